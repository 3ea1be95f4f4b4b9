"""Around a running flow: its progress, its result, and what becomes of a store that cannot be written."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows import recovery_store
from flows.config import Config
from flows.parts import Source
from flows.state_dir import StateDir
from flows.totals import Progress, RunResult, Totals
from models.alert import SHADOW


def result(config: Config, totals: Totals, seconds: float, files: list[str], interrupted: bool) -> RunResult:
    """What a run has done, as a command tells it."""
    return RunResult(
        events=totals.scored + totals.dead_letters,
        scored=totals.scored,
        dead_letters=totals.dead_letters,
        alerts=totals.alerts,
        incidents=totals.incidents,
        merged=totals.merged,
        digested=totals.digested,
        shadow={
            one.id: sum(count for (name, _), count in list(totals.shadow.items()) if name == one.id)
            for one in config.detection
            if one.mode == SHADOW
        },
        suppressed={one.id: totals.suppressed.get(one.id, 0) for one in config.exception},
        muted=sum(totals.muted.values()),
        windows=totals.windows,
        late=totals.late,
        overtaken=totals.sum("overtaken"),
        evictions=totals.sum("evicted"),
        overflowed=totals.sum("overflowed"),
        seconds=seconds,
        files=files,
        interrupted=interrupted,
    )


def spare_collector() -> None:
    """Leave what is there now out of garbage collection, and what comes for longer: it looks through all there is."""
    gc.collect()
    gc.freeze()  # modules and compiled kernels are looked through with every full collection otherwise
    gc.set_threshold(10_000, 20, 20)  # a batch makes a thousand objects that need no collector


@contextmanager
def told_as_ours(kept: StateDir | None) -> Iterator[None]:
    """Tell a recovery store that cannot be written as an error for the user."""
    try:
        yield
    except BaseException as error:  # a panic is no Exception
        if kept and (failure := recovery_store.failure(kept.recovery, error)):
            raise failure from error
        raise


@contextmanager
def watching(source: Source, totals: Totals, tell: Callable[[Progress], None] | None) -> Iterator[None]:
    """Tell progress from a thread of its own while the flow runs."""

    def seen() -> Progress:
        events = totals.scored + totals.dead_letters
        return Progress(
            events, totals.alerts, totals.dead_letters, source.event_time, source.bytes_read, source.bytes_total
        )

    with told_now_and_then(seen, tell):
        yield


@contextmanager
def told_now_and_then(seen: Callable[[], Progress], tell: Callable[[Progress], None] | None) -> Iterator[None]:
    """Tell what is seen, some times a second, for as long as this lasts."""
    if tell is None:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            tell(seen())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
