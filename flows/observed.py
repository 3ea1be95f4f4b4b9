"""A run as it is seen from outside: one process, or several as one."""

import os
import threading
import time
from pathlib import Path
from typing import Final, Protocol

import msgspec

from flows.config import Config
from flows.parts import Source
from flows.readings import Key, Reading, Table, at_work, read, summed, together
from flows.totals import Totals
from models.base import NONE_TIME

OF_STATE: Final = ("evicted", "overflowed", "overtaken", "guarded", "accepted", "unscored")
"""Counters that go on where the saved state was."""


class Seen(Protocol):
    """What is asked of a run."""

    config: Config
    state: Path | None
    restarts: int

    def reading(self) -> Reading:
        """What the meters show of the whole, counters since the command began."""

    def working(self) -> int:
        """How many processes are at it."""

    def pids(self) -> list[int]:
        """All processes that are part of it."""

    def ailing(self) -> str:
        """Why the process should be replaced; empty while it is well, also before the flow has begun."""

    def waiting(self) -> str:
        """What is still to come before the flow does its work; empty when it is at it."""

    def well(self) -> str:
        """What is said while nothing ails it."""


class Observed:
    """One process. `begin` says what the run consists of; before, it is on its way."""

    restarts = 0

    def __init__(self, config: Config) -> None:
        self.config = config
        self.state: Path | None = None
        self._flow: tuple[Source, Totals, float] | None = None
        self._compiled = False
        self._past = Reading()

    def compiled(self) -> None:
        """All kernels are."""
        self._compiled = True

    def begin(self, source: Source, totals: Totals, state: Path | None) -> None:
        """The flow is about to run, or to run on with a new source."""
        if self._flow is not None:
            self._past = self.reading()
        self.state = state
        self._flow = source, totals, time.monotonic()

    def reading(self) -> Reading:
        """What the meters show, counters since the command began."""
        if self._flow is None:
            return Reading(compiled=self._compiled)
        source, totals, begun = self._flow
        return _after(self._past, read(self.config, source, totals, self.state is not None, begun))

    def working(self) -> int:
        """One, once the flow has begun."""
        return int(self._flow is not None)

    def pids(self) -> list[int]:
        """Itself alone."""
        return [os.getpid()]

    def ailing(self) -> str:
        """That the flow has not turned for too long."""
        if self._flow is None:
            return ""
        source, _, begun = self._flow
        return _still("the flow has not turned", max(source.board.pulse.turned, begun), self.config)

    def waiting(self) -> str:
        """What is still to come."""
        return self.reading().awaited(self.config) or self.ailing()

    def well(self) -> str:
        """Nothing more."""
        return "ok"


class ObservedUnit:
    """Several processes as their parent sees them, by what each says about once a second.

    What is not known of all of them is not shown: counters stay where they were until each has spoken, and values of
    the moment are left out. Counters go on when all start again, and never back.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.state: Path | None = None
        self.restarts = 0
        self._lock = threading.Lock()
        self._count = config.run.processes
        self._partitions = 0
        self._pids: list[int] = []
        self._heard: dict[int, tuple[float, Reading]] = {}
        self._past = Reading()
        self._news = "the processes are about to start"
        self._watermark = NONE_TIME
        self._last = Reading()  # points in time that stay true while all start again
        self._tables: dict[str, Table] = {}

    def begin(self, partitions: int, state: Path | None) -> None:
        """The processes are about to start; together they will read so many partitions."""
        with self._lock:
            now = time.monotonic()
            self.state, self._partitions = state, partitions
            self._heard = {number: (now, Reading()) for number in range(self._count)}
            self._watermark, self._last.epochs, self._tables = NONE_TIME, None, self._of_state()

    def started(self, pid: int) -> None:
        """A process is there."""
        with self._lock:
            self._pids.append(pid)

    def hear(self, number: int, reading: Reading) -> None:
        """What a process says of itself."""
        with self._lock:
            self._heard[number] = time.monotonic(), reading
            if self._complete():
                self._news = ""
                both = together(self._readings())
                self._watermark = max(self._watermark, NONE_TIME if both.mark is None else both.mark)
                self._last.turned = max(self._last.turned, both.turned)
                self._last.durable = max(self._last.durable, both.durable)
                if both.epochs is not None:
                    self._last.epochs = max(self._last.epochs or 0, both.epochs)
                self._settle(both.tables)

    def end(self) -> None:
        """All processes have ended, in whatever way. What they have counted stays counted."""
        with self._lock:
            counts = [(*key, count) for key, count in summed(self._readings()).items()]
            self._past = _after(self._past, Reading(counts=counts, epochs=self._last.epochs))
            self._last.epochs = None
            self._heard, self._pids = {}, []

    def again(self, why: str, failed: bool) -> None:
        """All will start again."""
        with self._lock:
            self.restarts += failed
            self._news = why

    def reading(self) -> Reading:
        """What the meters show of all together, counters since the command began."""
        with self._lock:
            if not self._complete():
                return msgspec.structs.replace(
                    self._past, turned=self._last.turned, durable=self._last.durable, tables=self._of_state()
                )
            both = together(self._readings())
            both.watermark, both.epochs, both.tables = self._watermark, self._last.epochs, dict(self._tables)
            both.turned, both.durable = self._last.turned, self._last.durable
            return _after(self._past, both)

    def working(self) -> int:
        """How many have begun to work."""
        with self._lock:
            return sum(one.begun > 0 for one in self._readings())

    def pids(self) -> list[int]:
        """The parent and those that work."""
        with self._lock:
            return [os.getpid(), *self._pids]

    def ailing(self) -> str:
        """That one of them has not turned for too long, or has nothing to turn and is silent."""
        with self._lock:
            heard = dict(self._heard)
            partitions = self._partitions
        readings = [one for _, one in heard.values()]
        busy = at_work(readings)
        for number, (said, one) in heard.items():
            name = f"process {number} of {self._count}"
            turns = any(one is other for other in busy)
            what, since = (f"{name} has not turned", one.moment) if turns else (f"{name} has said nothing", said)
            if why := _still(what, since, self.config):
                return why
        if all(one.begun for one in readings) and (built := sum(one.built for one in readings)) < partitions:
            since = max((one.begun for one in readings), default=time.monotonic())
            return _still(f"{partitions - built} of {partitions} partitions have not been taken on", since, self.config)
        return ""

    def waiting(self) -> str:
        """What is still to come in any of them, and why they start."""
        if coming := self._coming():
            return f"{self._news}; {coming}" if self._news else coming
        return self.ailing()

    def well(self) -> str:
        """What is going on, also when nobody need do anything."""
        return f"ok: {self._news}" if self._news else "ok"

    def _coming(self) -> str:
        with self._lock:
            if not self._heard:
                return "no process is there yet"
            for number, one in enumerate(self._readings()):
                if awaited := one.awaited(self.config, alone=False):
                    return f"process {number} of {self._count}: {awaited}"
            if not self._complete():
                return "the first heartbeat is under way"
        return ""

    def _readings(self) -> list[Reading]:
        return [self._heard[number][1] for number in sorted(self._heard)]

    def _complete(self) -> bool:
        """Whether what is known is of all."""
        readings = self._readings()
        if len(readings) < self._count or not all(one.begun for one in readings):
            return False
        if sum(one.built for one in readings) < self._partitions:
            return False
        return all(one.spoken for one in readings if one.built)

    def _settle(self, tables: dict[str, Table]) -> None:
        """Take up what the shards of all say, where none of a dimension is missing."""
        for name, table in tables.items():
            if table.shards < self.config.state.shards:
                continue
            before = self._tables.get(name, Table()).counts
            most = {counter: max(table.counts[counter], before.get(counter, 0)) for counter in OF_STATE}
            self._tables[name] = msgspec.structs.replace(table, counts=table.counts | most)

    def _of_state(self) -> dict[str, Table]:
        """Counters alone."""
        return {
            name: Table(counts={counter: table.counts[counter] for counter in OF_STATE})
            for name, table in self._tables.items()
        }


def _after(past: Reading, now: Reading) -> Reading:
    """A reading whose counters go on where those of what ran before have ended."""
    counts: dict[Key, int] = summed([past, now])
    epochs = None if past.epochs is None and now.epochs is None else (past.epochs or 0) + (now.epochs or 0)
    return msgspec.structs.replace(
        now, counts=[(name, labels, count) for (name, labels), count in counts.items()], epochs=epochs
    )


def _still(what: str, since: float, config: Config) -> str:
    still = time.monotonic() - since
    if still <= config.metrics.stalled_after_s:
        return ""
    return f"{what} for {still:.0f} s (stalled_after is {config.metrics.stalled_after})"
