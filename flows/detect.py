"""The detection dataflow: audit events in, every one scored, alerts out. Wiring only."""

import atexit
import gc
import os
import signal
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from typing import Any

import bytewax.operators as op
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.operators import KeyedStream
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from flows import log as life
from flows.asked import write_asked
from flows.config import Config, config_hash, load
from flows.connectors.file_sink import FileSink
from flows.connectors.kafka import KafkaSource
from flows.connectors.kafka_client import all_there
from flows.connectors.kafka_sink import KafkaSink, sink_key
from flows.connectors.output_directory import (
    ACTIONS,
    ALERTS,
    DEAD_LETTERS,
    SCORED,
    SUPPRESSED,
    TEXTS,
    WINDOWS,
    open_directory,
)
from flows.connectors.staged_lines import finish
from flows.connectors.stdout_sink import StdoutSink
from flows.connectors.window_sink import WindowSink, merge_windows
from flows.durations import microseconds
from flows.errors import LapwingError, UsageError
from flows.format_block import format_faults
from flows.formats.windows import table_of
from flows.kernels_cache import load_numba
from flows.lineage import known_starts
from flows.lineage import lineage as lineage_of
from flows.lineage import moved as moved_mark
from flows.mutes import MutesInForce
from flows.observed import Observed
from flows.parts import KAFKA, Source, make_source, rehearse, shard_settings, shown_of, table_secret
from flows.running import result, spare_collector, told_as_ours, watching
from flows.state_dir import StateDir, known_sources, open_state
from flows.state_shape import state_identity
from flows.steps.assess import Assess, Assessed, Assessing, Saving
from flows.steps.carry import Place, bundles
from flows.steps.decide import Decide, policy
from flows.steps.deliver import Delivery, deliver, tell
from flows.steps.encode import (
    action_limits,
    encode_actions,
    encode_alerts,
    encode_dead,
    encode_scored,
)
from flows.steps.gather import Gather, Gathered, Home
from flows.steps.latest import Latest
from flows.steps.split import split
from flows.steps.spread import spread
from flows.steps.strands import Strands
from flows.totals import Progress, RunResult, Totals
from models.alert import Alert
from models.base import DIMENSIONS, WATCHED
from models.event import EventBatch
from models.mutes import Mutes
from models.rules import program as program_of
from models.windows.joint import joints
from models.windows.shard import Shard
from models.windows.slice import Slice

EPOCH = timedelta(seconds=1)
EPOCH_WITHOUT_STATE = timedelta(seconds=30)
"""Nothing waits for an epoch's end then but the closed windows in memory."""
MOST_BESIDE = 4
"""Threads at most on which shards assess and save themselves: more would wait for Python's lock."""


def build(
    config: Config,
    source: FixedPartitionedSource[EventBatch, Any],
    output: str,
    *,
    kept: bool,
    totals: Totals,
    log: Path | None = None,
    mutes: Path | None = None,
    place: Place | None = None,
    lineage: str | None = None,
    stdout: int = 1,
    moved: str = "",
) -> Dataflow:
    """The dataflow from a source to an output: a directory, `-` or `kafka`. `place` is this process' among
    several that share the work.

    `kept` says whether there is a recovery store: results are then published when their epoch is durable, and what
    is held at the end of the input waits for the next run; `log` is the folder in which shards save what has
    changed, else the recovery store has them whole; `mutes` is the state directory, where people's mutes are;
    `lineage` is the state's name among transactions, `moved` its mark if it is a copy, `stdout` the descriptor of
    standard output. Step ids are the identity of saved state: never rename them.
    """
    shards = config.state.shards
    secret = table_secret(config)
    program = program_of(config.detection)
    joint = joints(program)
    watched = (*range(len(DIMENSIONS)), *joint)
    settings = {dimension: shard_settings(config, WATCHED[dimension], program) for dimension in watched}
    rules = {rule.id: rule for rule in config.detection}
    shown = shown_of(config)

    def make_shard(at: int, state: bytes | None) -> Shard:
        shard = Shard(at, settings[at], secret, shown, state)
        totals.shards.append(shard)
        return shard

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    decides = policy(config, time.time_ns() // 1000)
    threads = ThreadPoolExecutor(min(cores, MOST_BESIDE), "assess")
    # What is sent to another process has to be done before.
    strands = Strands(threads if not place and cores > 1 else None)
    saving = Saving(threads) if kept else None
    flow = Dataflow("lapwing_detect")
    batches = op.input("source", flow, source)

    def assess(slices: KeyedStream[Slice]) -> KeyedStream[tuple[str, Assessing | Assessed]]:
        return op.stateful_batch("assess", slices, lambda resume: Assess(make_shard, saving, resume, strands, log))

    pieces: KeyedStream[Assessing | Assessed | Home]
    if place is None:
        slices = op.flat_map("split", batches, partial(split, shards=shards, joint=joint))
        pieces = op.map("by_source", assess(slices), lambda item: item[1])
    else:
        pieces = spread(batches, partial(bundles, shards=shards, joint=joint, place=place), assess, place)
    gathered = op.stateful_batch("gather", pieces, lambda resume: Gather(shards, len(joint), place is not None))
    seen = op.map_value("seen", gathered, totals.see)
    to_decide = op.map("to_decide", seen, lambda item: ("alerts", item[1]))
    muted = MutesInForce(mutes, totals.tell) if mutes else Mutes
    decided = op.stateful_batch(
        "decide",
        to_decide,
        lambda resume: Decide(decides, not kept, resume, totals.see_drift, muted),
    )
    counted = op.map_value("seen_alerts", decided, totals.see_alerts)
    if output == KAFKA:
        _to_topics(config, seen, to_decide, counted, lineage, totals)
        return flow
    told = partial(encode_alerts, rules=rules, version=version("lapwing"))
    alerts = op.map_value("encode_alerts", counted, told)
    if output == "-":
        op.output("alerts", alerts, StdoutSink(stdout))
        return flow
    body = config.output.dead_letter_body
    op.output("alerts", alerts, FileSink(output, ALERTS, kept, moved))
    kept_back = op.map_value("encode_suppressed", counted, partial(told, suppressed=True))
    op.output("suppressed", kept_back, FileSink(output, SUPPRESSED, kept, moved))
    limits = action_limits(config)
    actions = op.map_value("encode_actions", counted, partial(encode_actions, rules=rules, limits=limits))
    op.output("actions", actions, FileSink(output, ACTIONS, kept, moved))
    op.output("scored", op.map_value("encode_scored", seen, encode_scored), FileSink(output, SCORED, kept, moved))
    dead = op.map_value("encode_dead", seen, partial(encode_dead, topic="audit.events", body=body))
    op.output("dead_letters", dead, FileSink(output, DEAD_LETTERS, kept, moved))
    windows = op.map_value("closed_windows", seen, attrgetter("windows"))
    op.output("windows", windows, WindowSink(output, kept, partial(table_of, config_hash=config_hash(config))))
    return flow


def _to_topics(
    config: Config,
    seen: KeyedStream[Gathered],
    clock: KeyedStream[Gathered],
    counted: KeyedStream[list[Alert]],
    lineage: str | None,
    totals: Totals,
) -> None:
    """All results to topics: one step, so that a sink partition has one transaction for what comes from everywhere."""
    kafka = config.kafka
    delivery = Delivery(
        kafka.topics, kafka.sinks, config.output.dead_letter_body, config_hash(config), config.topics_beside
    )
    rules = {rule.id: rule for rule in config.detection}
    results = op.flat_map("deliver", seen, partial(deliver, delivery=delivery))
    telling = partial(tell, delivery=delivery, rules=rules, actions=action_limits(config))
    told = op.map("deliver_alerts", counted, telling)
    retention = microseconds(kafka.closed_retention)
    both: KeyedStream[Gathered | list[Alert]] = op.merge("closed_and_clock", clock, counted)
    closed = op.stateful_batch("latest", both, lambda resume: Latest(kafka.topics.latest, retention, resume))
    over = op.map("deliver_latest", closed, lambda item: (sink_key(item[0], kafka.sinks), item[1]))
    sink = KafkaSink(kafka, lineage)
    totals.sent = sink.counts
    op.output("results", op.merge("delivered", results, told, over), sink)


def run(
    config: Config,
    input: str,
    output: str,
    state: str | None,
    close: bool,
    format: str,
    stop: threading.Event,
    on_progress: Callable[[Progress], None] | None = None,
    observed: Observed | None = None,
    *,
    fresh: bool = False,
    accept_rewarm: bool = False,
    tell: life.Say = life.silent,
    sources: Callable[..., Source] | None = None,
) -> RunResult:
    """Run the flow in this process until the input ends or `stop` is set. `observed` is told what it consists of.

    With `fresh` the state is set aside first; with `accept_rewarm` detectors that have changed begin anew. `tell` says,
    a line each, what the user must know of the state, of its mutes and of drifts. `sources` makes the source, of
    arguments as `make_source` has. When the topic of events has got new partitions, the run ends in good order and
    begins again with them.

    Raises
    ------
    LapwingError
        The input or output failed, or the state directory is refused. Nothing is marked done that is not.
    """
    config = in_format(config, format)
    get_ready(config)
    if observed is not None:
        observed.compiled()
    once = partial(_run, config, input, output, state, close, stop, on_progress, observed, tell, sources)
    done, grown = once(fresh=fresh, accept_rewarm=accept_rewarm)
    while grown and not stop.is_set():
        gc.collect()
        further, grown = once(fresh=False, accept_rewarm=False)
        done = further.after(done)
    return done


def _run(
    config: Config,
    input: str,
    output: str,
    state: str | None,
    close: bool,
    stop: threading.Event,
    on_progress: Callable[[Progress], None] | None,
    observed: Observed | None,
    tell: life.Say,
    sources: Callable[..., Source] | None,
    *,
    fresh: bool,
    accept_rewarm: bool,
) -> tuple[RunResult, bool]:
    """One flow from its beginning to its end, and whether the input has got partitions that it does not read."""
    began = time.monotonic()
    failures: list[LapwingError] = []
    totals = Totals(tell=tell, on_first=partial(life.record, "ready", "the first batch has passed all shards"))
    made_for = state_identity(config, output)
    kept = open_state(state, made_for, fresh=fresh, accept_rewarm=accept_rewarm) if state else None
    try:
        if kept:
            write_asked(kept.path, config)
        for note in kept.notes if kept else ():
            tell(note)
        source = open_source(
            config, input, output, stop, kept, close=close, renewed=True, on_failure=failures.append, sources=sources
        )
        lineage = lineage_of(kept.path) if kept and output == KAFKA else None
        moved = moved_mark(kept.path) if kept else ""
        log = kept.log if kept else None
        flow = build(
            config, source, output, kept=kept is not None, totals=totals, log=log,
            mutes=kept.path if kept else None, lineage=lineage, moved=moved,
        )  # fmt: skip
        if observed is not None:
            observed.begin(source, totals, kept.path if kept else None)
        with watching(source, totals, on_progress), told_as_ours(kept):
            run_main(flow, **how(kept))  # type: ignore[no-untyped-call]
        if failures:
            raise failures[0]
        if isinstance(source, KafkaSource):
            source.show_progress()
        files = publish(output)
    finally:
        if kept:
            kept.close()
    done = result(config, totals, time.monotonic() - began, files, interrupted=stop.is_set())
    return done, isinstance(source, KafkaSource) and source.grown


def in_format(config: Config, format: str) -> Config:
    """The configuration for an input of this format; refuses one that there is not."""
    if faults := format_faults(format, config.format):
        raise UsageError(faults[0])
    return msgspec.structs.replace(config, input=msgspec.structs.replace(config.input, format=format))


def get_ready(config: Config) -> None:
    """Load, or compile, all code that a run will call, and leave the collector out of it."""
    load_numba()
    rehearse(config)
    spare_collector()


def open_source(
    config: Config,
    input: str,
    output: str,
    stop: threading.Event,
    kept: StateDir | None,
    *,
    close: bool,
    renewed: bool = False,
    on_failure: Callable[[LapwingError], None] | None = None,
    sources: Callable[..., Source] | None = None,
) -> Source:
    """The source, when brokers and topics are there; what the next start must know of it is kept, durably."""
    if KAFKA in (input, output):
        all_there(config.kafka, reading=input == KAFKA, writing=output == KAFKA)
    source = (sources or make_source)(
        config,
        input,
        stop,
        close_at_end=close or not kept,
        known=known_sources(kept) if kept else (),
        starts=known_starts(kept.path) if kept else {},
        renewed=renewed,
        on_failure=on_failure,
    )
    if kept:
        if isinstance(source, KafkaSource):
            known_starts(kept.path, source.starts)
        known_sources(kept, source.partitions)
    return source


def how(kept: StateDir | None) -> dict[str, Any]:
    """How the engine runs a flow: the epoch and the recovery store."""
    recovery = RecoveryConfig(str(kept.recovery)) if kept else None  # type: ignore[no-untyped-call]
    return {"epoch_interval": EPOCH if kept else EPOCH_WITHOUT_STATE, "recovery_config": recovery}


def flow(config_path: str | None = None) -> Dataflow:
    """The dataflow for `python -m bytewax.run "flows.detect:flow('config.toml')"`, with Bytewax's own flags.

    Input and output are those of the configuration. SIGTERM and Ctrl-C finish the epoch. When the run has ended, what
    waits is published; after a crash the next start does that.
    """
    config = load(config_path)
    if not config.input.path or not config.output.path:
        raise UsageError("the configuration needs path under [input] and under [output]")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    flags = set(sys.argv)
    kept = bool(flags & {"-r", "--recovery-directory"}) or "BYTEWAX_RECOVERY_DIRECTORY" in os.environ
    given = _place_given(sys.argv[1:])
    source = make_source(config, config.input.path, stop, close_at_end=not kept, alone=given is None)
    place = Place(*given, source.board) if given else None
    if not place or place.number == 0:  # two would publish the same
        atexit.register(publish, config.output.path)
    return build(config, source, config.output.path, kept=kept, totals=Totals(), place=place)


def _place_given(words: list[str]) -> tuple[int, int] | None:
    """Which of how many processes Bytewax's own flags or variables make of this one."""
    flags = ArgumentParser(add_help=False, allow_abbrev=False)
    flags.add_argument("-i", "--process-id", default=os.environ.get("BYTEWAX_PROCESS_ID"))
    flags.add_argument("-a", "--addresses", default=os.environ.get("BYTEWAX_ADDRESSES", ""))
    flags.add_argument("-w", "--workers-per-process", default=os.environ.get("BYTEWAX_WORKERS_PER_PROCESS"))
    given, _ = flags.parse_known_args(words)
    count = len(given.addresses.split(";"))
    if given.workers_per_process not in (None, "1"):
        if count > 1:
            raise UsageError("several processes have one worker each: leave -w out")
        life.say("one worker a process is fastest: processes scale, threads do not")
    return (int(given.process_id), count) if count > 1 and given.process_id is not None else None


def publish(output: str) -> list[str]:
    """What waits becomes public; the names of the result files."""
    if output in ("-", KAFKA):
        return []
    open_directory(output)  # a stop may come before anything was opened
    finish(output)
    merge_windows(output)
    return [os.path.join(output, name) for name in (*TEXTS, WINDOWS)]
