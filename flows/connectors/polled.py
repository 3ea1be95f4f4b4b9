"""A source partition as Bytewax polls it: heartbeat first, then batches, aligned with the others, then the end."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any, Final, Protocol

from bytewax.inputs import StatefulSourcePartition

from flows.connectors.board import Board
from flows.connectors.partition import Partition, Reached
from flows.errors import InputError
from flows.formats.raw import RawBatch
from models.base import NONE_TIME
from models.event import EventBatch

TURN: Final = 4
"""Micro-batches at most that go through the flow together: beside one that waits for its last shard others go on."""
SNAPSHOT_VERSION: Final = 1
_NAP: Final = timedelta(milliseconds=5)
_SOON_S: Final = 0.2
_FRESH_S: Final = 1.0
"""So old is, at most, that the reader had nothing more to give, for the partition to be idle."""

Snapshot = tuple[int, Any, int, int, int, int, bool]
"""(version, reader's position, offset, index, greatest, candidate, ended), plain values only."""


class Reader(Protocol):
    """Where a partition's raw micro-batches come from."""

    def read(self) -> RawBatch | None:
        """The next micro-batch; None if there is none for now. Never blocks for long."""

    @property
    def ended(self) -> bool:
        """Whether `read` will never give anything again."""

    @property
    def silent(self) -> bool:
        """Whether the source had no more to say at the last `read`, having given all (it may have more later)."""

    def position(self, offset: int) -> Any:
        """A plain value from which reading can go on after the message at `offset`."""

    def close(self) -> None:
        """Let go of what is open."""


class PolledPartition(StatefulSourcePartition[EventBatch, Snapshot]):
    """Plays a reader through a `Partition` for Bytewax: an item a call, never blocking.

    A call gives up to `most` items where more than one is at hand, read and decoded, as `ready` says: so it is of a
    file, or where there is much to catch up with, never of what comes in live.

    The first item is a heartbeat with the saved watermark, before the reader is touched (TIME.md 5.2). While nothing
    else leaves, an empty item follows every `heartbeat_s`, idle once the reader has been silent for `idle_after_s`. One
    that has caught up and brings nothing but dead letters is idle too: rubbish has no time, so nobody can wait for it.
    A finite reader ends with one idle item, at the end of time with `close_at_end`, then StopIteration. When `stop`
    is set, StopIteration comes at once and nothing is flushed, so that the next run goes on (TIME.md 1.9). An input
    that cannot be read any more is told to `on_failure`, if there is one, and stops the run in the same way: raised
    instead, Bytewax prints a panic around it. Where other processes wait for it too (it is not `alone`), an empty item
    says soon that it is held back.
    """

    def __init__(
        self,
        partition: Partition,
        reader: Reader,
        board: Board,
        stop: Event,
        close_at_end: bool,
        on_failure: Callable[[InputError], None] | None = None,
        alone: bool = True,
        most: int = 1,
        ready: Callable[[], bool] = lambda: False,
    ) -> None:
        self._partition = partition
        self._reader = reader
        self._board = board
        self._stop = stop
        self._close_at_end = close_at_end
        self._on_failure = on_failure
        self._alone = alone
        self._most, self._ready = most, ready
        self._told = NONE_TIME
        board.pulse.built += 1
        self._started = False
        self._over = False
        self._wait = False
        self._epochs = 0
        self._spoken = self._heard = time.monotonic()
        self._caught_up = float("-inf")

    def next_batch(self) -> list[EventBatch]:
        """Batches, one heartbeat, or nothing; StopIteration at the end or when stopped."""
        self._wait = False
        pulse = self._board.pulse
        pulse.turned = time.monotonic()
        pulse.ending = False
        pulse.ended(self._epochs)  # nobody is polled in an epoch before the one before it is durable
        if self._stop.is_set() or self._over:
            pulse.over += 1
            raise StopIteration
        try:
            return self._several()
        except InputError as error:
            if self._on_failure is None:
                raise
            self._on_failure(error)
            self._stop.set()
            pulse.over += 1
            raise StopIteration from error

    def _several(self) -> list[EventBatch]:
        out = more = self._next()
        while len(out) < self._most and more and len(more[-1]) and (self._partition.pending or self._ready()):
            more = self._next()
            out = out + more
        return out

    def _next(self) -> list[EventBatch]:
        if not self._started:
            self._started = True
            return self._say(self._partition.heartbeat(idle=False))
        partition = self._partition
        if not partition.pending:
            ended = self._reader.ended
            raw = None if ended else self._reader.read()
            partition.feed(raw, ended)
            now = time.monotonic()
            if self._reader.silent:
                self._caught_up = now
            if partition.front != NONE_TIME:
                self._heard = now
            if ended and not partition.pending:
                self._over = True
                self._board.leave(partition.source)
                return self._say(partition.last_item(self._close_at_end))
        if partition.pending and self._may_leave():
            batch = partition.take()
            if not partition.pending:
                self._board.returned(partition.source, partition.reached.greatest)
            if not len(batch) and self._idle():
                batch.idle = True
                self._board.leave(partition.source)
            return self._say(batch)
        return self._nothing()

    def next_awake(self) -> datetime | None:
        """A nap while the source is silent or the others are behind, so that waiting costs no core."""
        return datetime.now(UTC) + _NAP if self._wait else None

    def snapshot(self) -> Snapshot:
        """Where the next run goes on: after the last item returned."""
        self._epochs += 1
        self._board.pulse.ending = True
        reached = self._partition.reached
        position = self._reader.position(self._partition.whole)
        clock = (reached.greatest, reached.candidate)
        return (SNAPSHOT_VERSION, position, reached.offset, reached.index, *clock, self._over)

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()

    def _may_leave(self) -> bool:
        front = self._partition.front
        return front == NONE_TIME or self._board.may_return(self._partition.source, front)

    def _nothing(self) -> list[EventBatch]:
        now = time.monotonic()
        pending = self._partition.pending
        self._wait = pending or self._reader.silent
        # Other processes hear only with an item where this partition stands, and may wait for that.
        held = pending and not self._alone and self._partition.front != self._told
        if now - self._spoken < (_SOON_S if held else self._partition.params.heartbeat_s):
            return []
        self._told = self._partition.front
        idle = self._idle()
        if idle:
            self._board.leave(self._partition.source)
        return self._say(self._partition.heartbeat(idle))

    def _idle(self) -> bool:
        """Whether no event has come for long, though all that there is was read a moment ago."""
        now, after = time.monotonic(), self._partition.params.idle_after_s
        return not self._partition.pending and now - self._heard >= after and now - self._caught_up < _FRESH_S

    def _say(self, batch: EventBatch) -> list[EventBatch]:
        self._spoken = time.monotonic()
        return [batch]


def turn(partitions: int, alone: bool) -> int:
    """How many micro-batches each of so many partitions may give at once: together some, in one process only.

    >>> turn(1, True), turn(3, True), turn(8, True), turn(1, False)
    (4, 1, 1, 1)
    """
    return max(1, TURN // partitions) if alone else 1


def resumed(snapshot: Snapshot | None, source: str) -> tuple[Any, Reached]:
    """Take a snapshot apart: the reader's position (None at a first start) and how far the partition came."""
    if snapshot is None:
        return None, Reached()
    if snapshot[0] != SNAPSHOT_VERSION:
        raise InputError(
            f"{source}: the saved position has version {snapshot[0]}, this release reads {SNAPSHOT_VERSION}"
        )
    _, position, offset, index, greatest, candidate, _ = snapshot
    return position, Reached(offset, index, greatest, candidate)
