"""The archive dataflow: what was scored, alerted and refused goes into the trail's tables. Wiring only."""

import ctypes
import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import bytewax.operators as op
import msgspec
import pyarrow as pa
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.testing import run_main

from flows.archive_input import Parts, check_places, from_files, from_topics
from flows.config import Config
from flows.connectors.archive_source import ArchiveSource, Came
from flows.connectors.kafka import Either
from flows.errors import LapwingError
from flows.kernels_cache import load_numba
from flows.parts import KAFKA, reading_of, unwrap_of
from flows.running import told_now_and_then
from flows.totals import Progress
from flows.trail.compact import Compaction
from flows.trail.erasure import settle
from flows.trail.keys import KeyStore
from flows.trail.ledger import Ledger
from flows.trail.reader import Trail
from flows.trail.tables import DEAD, EVENTS, Tables

EPOCH: Final = timedelta(seconds=10)
"""How long events wait in memory at most; each epoch is one commit a table."""
MOST_WAITING: Final = 50_000
"""Rows that wait in memory; more are committed before the epoch ends."""


_MALLOC: Final = {-1: 256 << 20, -3: 32 << 20}
"""M_TRIM_THRESHOLD, what is free at the heap's end at most; M_MMAP_THRESHOLD, what is never kept, as large as it can
be."""


class Archived(msgspec.Struct, kw_only=True):
    """What a run has put into the trail, by table."""

    events: int
    dead_letters: int
    records: dict[str, int]
    commits: int
    seconds: float
    interrupted: bool


class TrailSink(FixedPartitionedSink[Came, None]):
    """The tables of a trail, which one process writes."""

    def __init__(self, tables: Tables, ledger: Ledger, compaction: Compaction | None) -> None:
        self._tables, self._ledger, self._compaction = tables, ledger, compaction

    def list_parts(self) -> list[str]:
        """The one partition."""
        return ["trail"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "TrailPart":
        """The tables, as they stand."""
        return TrailPart(self._tables, self._ledger, self._compaction)


class TrailPart(StatefulSinkPartition[Came, None]):
    """Takes what comes, and commits at each epoch's end; earlier where much waits.

    The commit says how far each log is, and the source asks the tables for it: so there is nothing to be saved here,
    and what was not committed comes again.
    """

    def __init__(self, tables: Tables, ledger: Ledger, compaction: Compaction | None) -> None:
        self._tables, self._ledger, self._compaction = tables, ledger, compaction

    def write_batch(self, items: list[Came]) -> None:
        """Number, seal and keep rows."""
        for came in items:
            self._tables.take(came)
            if self._tables.rows >= MOST_WAITING:
                self._tables.commit()

    def snapshot(self) -> None:
        """Commit; sign what was committed, and put the tables' files in order, where that is due."""
        self._tables.commit()
        self._ledger.look()
        if self._compaction:
            self._compaction.look()


def build(source: ArchiveSource, tables: Tables, ledger: Ledger, compaction: Compaction | None) -> Dataflow:
    """The dataflow from logs to a trail."""
    flow = Dataflow("lapwing_archive")
    came = op.input("source", flow, source)
    keyed = op.map("to_trail", came, lambda one: ("trail", one))
    op.output("trail", keyed, TrailSink(tables, ledger, compaction))
    return flow


def run(
    config: Config,
    input: str,
    trail: str,
    keys: Path,
    stop: threading.Event,
    *,
    raw: bool = False,
    compact: bool = True,
    witness: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Archived:
    """Archive an input until it ends or `stop` is set. `raw` says that files and topics are events as sources send
    them; else results are known by their names. `witness` is the second place of what is signed. When a
    topic has got new partitions, all begins again with them.

    Raises
    ------
    LapwingError
        The places lie in each other; or the input, the keys or the trail failed. What was committed stays, and the
        next run goes on behind it.
    """
    load_numba()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # a batch makes many thousand objects that need no collector
    _reuse_memory()
    began = time.monotonic()
    check_places(input, trail, keys)
    ending = threading.Event()
    parts = _parts(config, input, raw, ending, tell)  # before anything is made for it
    with KeyStore.open(keys, create=True) as store:
        ledger = Ledger(trail, keys, store.identity, witness)
        if witness is None:
            tell("no second place (--witness): nobody can tell if the trail's end is cut off with what is signed of it")
        topics = input == KAFKA
        reading = reading_of(msgspec.structs.replace(config, detection=()), topics)  # what these ask is not kept
        tables = Tables(
            trail, store, reading, config.output.dead_letter_body, ledger=ledger, unwrap=unwrap_of(config, topics)
        )
        finish_erasures(trail, store, tell)
        compaction = Compaction(tables, tell) if compact else None
        while True:
            source = ArchiveSource(parts.parts, tables.reached, Either(stop, ending), parts.size)
            with watching(source, tables, on_progress):
                run_main(build(source, tables, ledger, compaction), epoch_interval=EPOCH)  # type: ignore[no-untyped-call]
            if stop.is_set() or not ending.is_set():
                break
            ending = threading.Event()
            parts = _parts(config, input, raw, ending, tell)
        ledger.finish()
        if compaction and not stop.is_set():
            compaction.finish()
    counts = dict(tables.counts)
    return Archived(
        events=counts.pop(EVENTS, 0),
        dead_letters=counts.pop(DEAD, 0),
        records=dict(sorted(counts.items())),
        commits=tables.commits,
        seconds=time.monotonic() - began,
        interrupted=stop.is_set(),
    )


def _reuse_memory() -> None:
    """Keep what is freed for what comes next: else the system takes it after each commit, and zeroes every page."""
    pa.set_memory_pool(pa.system_memory_pool())  # Arrow's own gives columns back
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # glibc's
        for parameter, size in _MALLOC.items():
            mallopt(parameter, size)


def finish_erasures(trail: str, keys: KeyStore, tell: Callable[[str], None]) -> None:
    """Finish erasures that a crash has cut off: what cannot be is told, and events are kept all the same."""
    try:
        for one in settle(Trail(trail, keys), keys):
            tell(f"finished: erasure {one.id}, begun {one.time} and cut off")
    except LapwingError as error:
        tell(f"erasures that were cut off are not finished: {error}")


def _parts(config: Config, input: str, raw: bool, ending: threading.Event, tell: Callable[[str], None]) -> Parts:
    """The logs of an input; `ending` is set when it has got more."""
    if input == KAFKA:
        return from_topics(config, raw, ending, tell)
    parts = from_files(config, input, raw)
    if parts.passed_over:
        tell(f"passed over {', '.join(parts.passed_over)}")
    return parts


@contextmanager
def watching(source: ArchiveSource, tables: Tables, tell: Callable[[Progress], None] | None) -> Iterator[None]:
    """Tell progress from a thread of its own while the flow runs."""

    def seen() -> Progress:
        dead = tables.counts[DEAD]
        return Progress(source.rows, 0, dead, tables.event_time, source.bytes_read, source.bytes_total)

    with told_now_and_then(seen, tell):
        yield
