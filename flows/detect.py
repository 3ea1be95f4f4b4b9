"""The detection dataflow: audit events in, every one scored, alerts out. Wiring only."""

import atexit
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache, partial
from importlib.metadata import version
from operator import attrgetter
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource
from bytewax.operators import KeyedStream
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from flows import recovery_store
from flows.config import Config, config_hash, load
from flows.connectors.file_sink import FileSink
from flows.connectors.kafka import KafkaSource
from flows.connectors.kafka_client import all_there
from flows.connectors.kafka_sink import KafkaSink, sink_key
from flows.connectors.output_directory import ACTIONS, ALERTS, DEAD_LETTERS, SCORED, SUPPRESSED, TEXTS, WINDOWS
from flows.connectors.staged_lines import finish
from flows.connectors.stdout_sink import StdoutSink
from flows.connectors.window_sink import WindowSink, merge_windows
from flows.durations import microseconds
from flows.errors import LapwingError, UsageError
from flows.formats.canonical import canonical
from flows.formats.windows import table_of
from flows.kernels_cache import load_numba
from flows.lineage import known_starts
from flows.lineage import lineage as lineage_of
from flows.lineage import moved as moved_mark
from flows.metrics import Observed
from flows.parts import KAFKA, Source, make_source, rehearse, shard_settings, table_secret
from flows.state_dir import known_sources, open_state
from flows.state_shape import state_identity
from flows.steps.assess import Assess
from flows.steps.decide import Decide, policy
from flows.steps.deliver import Delivery, deliver, tell
from flows.steps.encode import (
    action_limits,
    encode_actions,
    encode_alerts,
    encode_dead,
    encode_scored,
)
from flows.steps.gather import Gather, Gathered
from flows.steps.latest import Latest
from flows.steps.split import split
from flows.totals import Progress, RunResult, Totals
from models.alert import Alert
from models.base import DIMENSIONS, WATCHED
from models.event import EventBatch
from models.rules import program as program_of
from models.windows.joint import joints
from models.windows.shard import Shard

EPOCH = timedelta(seconds=1)
EPOCH_WITHOUT_STATE = timedelta(seconds=30)
"""Nothing waits for an epoch's end then but the closed windows in memory."""
MOST_BESIDE = 4
"""Threads at most on which minutes end: more shards than that are seldom at it at once."""


def build(
    config: Config,
    source: FixedPartitionedSource[EventBatch, Any],
    output: str,
    *,
    kept: bool,
    totals: Totals,
    alone: bool = True,
    lineage: str | None = None,
    moved: str = "",
) -> Dataflow:
    """The dataflow from a source to an output: a directory, `-` or `kafka`. `alone`: no other process shares the work.

    `kept` says whether there is a recovery store: results are then published when their epoch is durable, and what is
    held at the end of the input waits for the next run; `lineage` is the state's name among transactions, `moved` its
    mark if it is a copy. Step ids are the identity of saved state: never rename them.
    """
    shards = config.state.shards
    secret = table_secret(config)
    program = program_of(config.detection)
    joint = joints(program)
    watched = (*range(len(DIMENSIONS)), *joint)
    settings = {dimension: shard_settings(config, WATCHED[dimension], program) for dimension in watched}
    rules = {rule.id: rule for rule in config.detection}
    shown = lru_cache(maxsize=1024)(canonical)  # an incident's alerts show the same few events again and again

    def make_shard(at: int, state: bytes | None) -> Shard:
        shard = Shard(at, settings[at], secret, shown, state)
        totals.shards.append(shard)
        return shard

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # What is sent to another process has to be done before.
    beside = ThreadPoolExecutor(min(cores, MOST_BESIDE), "assess") if alone and cores > 1 else None
    flow = Dataflow("lapwing_detect")
    batches = op.input("source", flow, source)
    slices = op.flat_map("split", batches, partial(split, shards=shards, joint=joint))
    assessed = op.stateful_batch("assess", slices, lambda resume: Assess(make_shard, kept, resume, beside))
    by_source = op.map("by_source", assessed, lambda item: item[1])
    gathered = op.stateful_batch("gather", by_source, lambda resume: Gather(shards, len(joint)))
    seen = op.map_value("seen", gathered, totals.see)
    now = time.time_ns() // 1000
    to_decide = op.map("to_decide", seen, lambda item: ("alerts", item[1]))
    decided = op.stateful_batch(
        "decide",
        to_decide,
        lambda resume: Decide(policy(config, now), not kept, resume),
    )
    counted = op.map_value("seen_alerts", decided, totals.see_alerts)
    if output == KAFKA:
        _to_topics(config, seen, to_decide, counted, lineage, totals)
        return flow
    told = partial(encode_alerts, rules=rules, version=version("lapwing"))
    alerts = op.map_value("encode_alerts", counted, told)
    if output == "-":
        op.output("alerts", alerts, StdoutSink())
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
    delivery = Delivery(kafka.topics, kafka.sinks, config.output.dead_letter_body, config_hash(config))
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
    tell: Callable[[str], None] = lambda text: None,
) -> RunResult:
    """Run the flow in this process until the input ends or `stop` is set. `observed` is told what it consists of.

    With `fresh` the state is set aside first; with `accept_rewarm` detectors that have changed begin anew. `tell` is
    told, a line each, what the user must know of the state.

    Raises
    ------
    LapwingError
        The input or output failed, or the state directory is refused. Nothing is marked done that is not.
    """
    if format != "lapwing":
        raise UsageError(f"no format {format!r}; there is: lapwing")
    load_numba()
    rehearse(config)
    if observed is not None:
        observed.compiled()
    gc.collect()
    gc.freeze()  # modules and compiled kernels are looked through with every full collection otherwise
    gc.set_threshold(10_000, 20, 20)  # a batch makes a thousand objects that need no collector
    began = time.monotonic()
    failures: list[LapwingError] = []
    totals = Totals()
    made_for = state_identity(config, output)
    kept = open_state(state, made_for, fresh=fresh, accept_rewarm=accept_rewarm) if state else None
    try:
        for note in kept.notes if kept else ():
            tell(note)
        if KAFKA in (input, output):
            all_there(config.kafka, reading=input == KAFKA, writing=output == KAFKA)
        known = known_sources(kept) if kept else ()
        starts = known_starts(kept.path) if kept else {}
        source = make_source(
            config,
            input,
            stop,
            close_at_end=close or not kept,
            known=known,
            starts=starts,
            on_failure=failures.append,
        )
        if kept:
            if isinstance(source, KafkaSource):
                known_starts(kept.path, source.starts)
            known_sources(kept, source.partitions)
        lineage = lineage_of(kept.path) if kept and output == KAFKA else None
        moved = moved_mark(kept.path) if kept else ""
        flow = build(config, source, output, kept=kept is not None, totals=totals, lineage=lineage, moved=moved)
        if observed is not None:
            observed.begin(source, totals, kept.path if kept else None)
        with _Watching(source, totals, on_progress):
            recovery = RecoveryConfig(str(kept.recovery)) if kept else None  # type: ignore[no-untyped-call]
            try:
                run_main(  # type: ignore[no-untyped-call]
                    flow, epoch_interval=EPOCH if kept else EPOCH_WITHOUT_STATE, recovery_config=recovery
                )
            except BaseException as error:  # a panic is no Exception
                if kept and (failure := recovery_store.failure(kept.recovery, error)):
                    raise failure from error
                raise
        if failures:
            raise failures[0]
        if isinstance(source, KafkaSource):
            source.show_progress()
        files = _published(output)
    finally:
        if kept:
            kept.close()
    return RunResult(
        events=totals.scored + totals.dead_letters,
        scored=totals.scored,
        dead_letters=totals.dead_letters,
        alerts=totals.alerts,
        incidents=totals.incidents,
        merged=totals.merged,
        digested=totals.digested,
        suppressed={one.id: totals.suppressed.get(one.id, 0) for one in config.exception},
        windows=totals.windows,
        late=totals.late,
        overtaken=totals.sum("overtaken"),
        evictions=totals.sum("evicted"),
        overflowed=totals.sum("overflowed"),
        seconds=time.monotonic() - began,
        files=files,
        interrupted=stop.is_set(),
    )


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
    if flags & {"-w", "--workers-per-process"}:
        print("lapwing: one worker a process is fastest: processes scale, threads do not", file=sys.stderr)
    alone = not flags & {"-i", "--process-id", "-a", "--addresses"}
    source = make_source(config, config.input.path, stop, close_at_end=not kept, alone=alone)
    atexit.register(_published, config.output.path)
    return build(config, source, config.output.path, kept=kept, totals=Totals(), alone=alone)


def _published(output: str) -> list[str]:
    """What waits becomes public; the names of the result files."""
    if output in ("-", KAFKA):
        return []
    finish(output)
    merge_windows(output)
    return [os.path.join(output, name) for name in (*TEXTS, WINDOWS)]


class _Watching:
    """Tells progress from a thread of its own while the flow runs."""

    def __init__(self, source: Source, totals: Totals, tell: Callable[[Progress], None] | None) -> None:
        self._source, self._totals, self._tell = source, totals, tell
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(0.2) and self._tell is not None:
            source, totals = self._source, self._totals
            events = totals.scored + totals.dead_letters
            self._tell(
                Progress(
                    events, totals.alerts, totals.dead_letters, source.event_time, source.bytes_read, source.bytes_total
                )
            )

    def __enter__(self) -> None:
        if self._tell is not None:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
