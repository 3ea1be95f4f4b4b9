"""One process of several over which a run is spread: `python -m flows.member REPORTS`, started by `flows.cluster`.

It reads its job and then the word to stop from stdin, and ends when stdin does: the supervisor is gone then, however it
ended. What it has to say goes to the descriptor REPORTS, a JSON object a line.
"""

import io
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
from bytewax.testing import cluster_main

from flows import log
from flows.caught import hear
from flows.config import Config
from flows.connectors.kafka import KafkaSource
from flows.detect import build, get_ready, how
from flows.errors import ConfigError, LapwingError
from flows.observed import Observed
from flows.parts import make_source
from flows.readings import Reading
from flows.running import told_as_ours, watching
from flows.state_dir import StateDir
from flows.steps.carry import Place
from flows.totals import Progress, Share, Totals

STOP: Final = b"stop\n"
SIGNALS: Final = {signal.SIGTERM, signal.SIGINT}
"""They are blocked when a process starts, until it ignores them."""
_METERED_S: Final = 1.0


@dataclass(slots=True, frozen=True)
class Job:
    """What one process needs to know; the same for all but for its number.

    The supervisor holds the lock of the state directory and has determined what all must agree on: the partitions,
    where a topic begins, the name among transactions.
    """

    config: Config
    input: str
    output: str
    state: str | None
    close: bool
    partitions: tuple[str, ...]
    starts: Mapping[str, tuple[str, int]]
    lineage: str | None
    moved: str
    addresses: tuple[str, ...]
    number: int
    tell: log.Say


class Note(msgspec.Struct, tag=True):
    """A line for the user."""

    text: str


class Reached(msgspec.Struct, tag=True):
    """How far the process has come."""

    progress: Progress


class Metered(msgspec.Struct, tag=True):
    """What the process' meters show."""

    reading: Reading


class Grown(msgspec.Struct, tag=True):
    """The topic has partitions that nobody reads: all are to end, and to start again with them."""

    text: str


class Failed(msgspec.Struct, tag=True):
    """Why the process cannot go on, as the user is told; `faults` are a configuration's."""

    text: str
    exit_code: int
    faults: list[str] = []


class Broke(msgspec.Struct, tag=True):
    """Something that is nobody's mistake but ours, or that another process has ended; the first is the cause."""

    trace: str


class Done(msgspec.Struct, tag=True):
    """What the process has done; it ends now."""

    share: Share


Report = Note | Reached | Metered | Grown | Failed | Broke | Done


def main() -> None:
    """Do the job that stdin brings."""
    for number in SIGNALS:
        # A group of processes gets a signal together; the supervisor says what it means.
        signal.signal(number, signal.SIG_IGN)
    tell = _Reports(int(sys.argv[1]))
    stdout = os.dup(1)
    os.dup2(2, 1)  # the engine prints there that it waits for the others
    sys.stderr = _Notes(tell)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    job: Job = pickle.loads(_read(int.from_bytes(_read(8), "big")))
    stop = threading.Event()
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()

    def end(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        tell(failure(error) or Broke("".join(traceback.format_exception(error))))
        os._exit(1)  # threads of the engine may wait for processes that have ended

    sys.excepthook = end
    with metering(job.config, tell) as observed:
        totals = work(job, stop, stdout, tell, observed)
    tell(Done(totals.share()))


def work(job: Job, stop: threading.Event, stdout: int, tell: Callable[[Report], None], observed: Observed) -> Totals:
    """Run this process' part of the flow to its end.

    Raises
    ------
    LapwingError
        The input or output failed.
    """
    get_ready(job.config)
    observed.compiled()
    failures: list[LapwingError] = []

    def failed(error: LapwingError) -> None:
        # The others would read on for ever: the supervisor has to stop them.
        failures.append(error)
        tell(_told(error))

    source = make_source(
        job.config, job.input, stop, close_at_end=job.close, known=job.partitions, starts=job.starts,
        only=job.partitions, alone=False, on_failure=failed, on_grown=lambda text: tell(Grown(text)),
    )  # fmt: skip
    ready = partial(log.record, "ready", "the first batch has passed all shards", process=job.number)
    totals, place = Totals(tell=job.tell, on_first=ready), Place(job.number, len(job.addresses), source.board)
    kept = StateDir(Path(job.state), -1) if job.state else None
    flow = build(
        job.config, source, job.output, kept=kept is not None, totals=totals, log=kept.log if kept else None,
        mutes=kept.path if kept else None, place=place, lineage=job.lineage, stdout=stdout, moved=job.moved,
    )  # fmt: skip
    observed.begin(source, totals, kept.path if kept else None)
    hear(flow, lambda error: tell(failure(error) or Broke("".join(traceback.format_exception(error)))))
    with watching(source, totals, lambda progress: tell(Reached(progress))), told_as_ours(kept):
        cluster_main(flow, [*job.addresses], job.number, worker_count_per_proc=1, **how(kept))  # type: ignore[no-untyped-call]
    if failures:
        raise failures[0]
    if isinstance(source, KafkaSource):
        source.show_progress()
    return totals


@contextmanager
def metering(config: Config, tell: Callable[[Report], None]) -> Iterator[Observed]:
    """Tell from a thread of its own what the meters show, where somebody can ask the supervisor, and at the end."""
    observed, over = Observed(config), threading.Event()
    if not config.metrics.listen:
        yield observed
        return

    def watch() -> None:
        while not over.wait(_METERED_S):
            tell(Metered(observed.reading()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield observed
    finally:
        over.set()
        thread.join()
        tell(Metered(observed.reading()))


def failure(error: BaseException | None) -> Failed | None:
    """The error for the user inside what the engine raised, if there is one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, LapwingError):
            return _told(error)
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _told(error: LapwingError) -> Failed:
    return Failed(str(error), error.exit_code, error.faults if isinstance(error, ConfigError) else [])


def _read(count: int) -> bytes:
    """So many bytes of stdin, past Python's buffer: its lock, held by a thread, would abort the end of the process."""
    found = b""
    while len(found) < count:
        more = os.read(0, count - len(found))
        if not more:
            os._exit(1)
        found += more
    return found


def _listen(stop: threading.Event) -> None:
    while _read(len(STOP)) == STOP:
        stop.set()


class _Reports:
    """Reports on their way to the supervisor, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._lock = threading.Lock()

    def __call__(self, report: Report) -> None:
        line = msgspec.json.encode(report) + b"\n"
        with self._lock, suppress(BrokenPipeError):  # nobody is left to be told: stdin has ended too
            view = memoryview(line)
            while view:
                view = view[self._file.write(view) :]


class _Notes(io.TextIOBase):
    """What Python says on stderr, as lines for the supervisor."""

    def __init__(self, tell: Callable[[Report], None]) -> None:
        self._tell = tell
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._tell(Note(line))
        return len(text)


if __name__ == "__main__":
    main()
