"""One source partition between raw bytes and batches: decode, clock, cut. Every source plays through it."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch, joined, tail
from models.base import END_OF_TIME, LATE, NONE_TIME
from models.event import DeadLetter, Envelopes, EventBatch
from models.kernels.clock import batch_end, tick

SECOND: Final = 1_000_000


@dataclass(slots=True, frozen=True)
class ClockParams:
    """What shapes a source's time (TIME.md 1). Microseconds of event time; the last two are wall-clock seconds."""

    lateness: int = 5 * SECOND
    late_count_max: int = 600 * SECOND
    max_jump: int = 600 * SECOND
    max_skew: int = 30 * SECOND
    batch_span: int = 30 * SECOND
    idle_after_s: float = 5.0
    heartbeat_s: float = 1.0


@dataclass(slots=True, frozen=True)
class Reached:
    """How far a partition has come: the last message returned and the clock after it. What a snapshot keeps."""

    offset: int = -1
    index: int = 0
    greatest: int = NONE_TIME
    candidate: int = NONE_TIME

    def watermark(self, lateness: int) -> int:
        """The partition's watermark, NONE_TIME while nothing has moved the clock."""
        return NONE_TIME if self.greatest == NONE_TIME else self.greatest - lateness


class Partition:
    """Turns raw micro-batches into `EventBatch`es that carry everything the flow knows of their time.

    `feed` takes a raw micro-batch, `take` gives the next batch, cut where its places span more than `batch_span` and
    at `batch_rows`. What is cut off stays pending: it is in no snapshot, because `reached` moves only with `take`.
    A row that waits for its next (models.kernels.clock) and the messages after it are kept as raw bytes and decoded
    again in front of the next micro-batch, so there is no state beside `reached`.

    A message that `decode` calls dead travels with the batch in whose offsets it lies. Every message fed is, in
    order, exactly one row or one dead letter of exactly one batch.
    """

    def __init__(
        self,
        source: str,
        sources: tuple[str, ...],
        decode: Callable[[RawBatch], Decoded],
        params: ClockParams,
        batch_rows: int = 4096,
        reached: Reached | None = None,
    ) -> None:
        self.source = source
        self.sources = sources
        self.params = params
        self.reached = reached or Reached()
        self.messages = 0
        self._decode = decode
        self._batch_rows = batch_rows
        self._number = 0
        self._held: RawBatch | None = None
        self._pending: _Pending | None = None

    @property
    def pending(self) -> bool:
        """Whether `take` has something to give."""
        return self._pending is not None

    @property
    def holding(self) -> bool:
        """Whether a row waits for its next one."""
        return self._held is not None

    @property
    def front(self) -> int:
        """The place of the first pending row; NONE_TIME if only dead letters are pending."""
        pending = self._pending
        if pending is None or pending.at == len(pending.place):
            return NONE_TIME
        return int(pending.place[pending.at])

    @property
    def whole(self) -> int:
        """The offset of the last message of which nothing is still to come.

        One message may carry several events, and `reached` may lie between two of them: the message is read again then
        by the next run, and what was returned of it is passed over.
        """
        offset, pending = self.reached.offset, self._pending
        following = [] if self._held is None else [int(self._held.offset[0])]
        if pending is not None:
            following += pending.decoded.offset[pending.at : pending.at + 1].tolist()
            following += [letter.offset for letter in pending.dead[:1]]
        return offset - 1 if offset in following else offset

    def feed(self, raw: RawBatch | None, ended: bool = False) -> None:
        """Decode a micro-batch and run the clock over it. Only when nothing is pending.

        Messages at or below `reached`, which a reader gives again after a restart, are passed over. `ended` says
        that no message will follow; the waiting row, if there is one, is then released.
        """
        assert self._pending is None, "feed with batches pending would reorder them"
        if raw is not None:
            raw = self._unseen(raw)
        if self._held is not None:
            raw = self._held if raw is None else joined(self._held, raw)
            self._held = None
        if raw is None or not len(raw) + len(raw.oversize):
            return
        decoded = self._decode(raw)
        ordinal = np.asarray(decoded.row, np.int64)
        if raw.oversize:
            ordinal = ordinal + _before(raw.oversize, decoded)
        rows = len(decoded.time)
        place, greatest, candidate = (np.empty(rows, np.int64) for _ in range(3))
        decided = tick(
            decoded.time, decoded.record_time, ordinal, len(raw) + len(raw.oversize), ended,
            self.reached.greatest, self.reached.candidate,
            self.params.lateness, self.params.late_count_max, self.params.max_jump,
            place, decoded.flags, greatest, candidate,
        )  # fmt: skip
        dead = decoded.dead if raw.envelopes is None else _addressed(decoded.dead, raw, raw.envelopes)
        if decided < rows:
            self._held = tail(raw, int(decoded.row[decided]))
            at = (int(decoded.offset[decided]), int(decoded.index[decided]))
            dead = tuple(letter for letter in dead if (letter.offset, letter.index) < at)
        if decided or dead:
            self._pending = _Pending(decoded, place[:decided], greatest, candidate, dead, raw.envelopes)

    def take(self) -> EventBatch:
        """The next batch. It accounts for every message from `first` (excluded) to `reached` (included)."""
        pending = self._pending
        assert pending is not None, "take without anything pending"
        decoded, at, end = pending.decoded, pending.at, pending.at
        rows = len(pending.place)
        if at < rows:
            end = batch_end(pending.place, at, min(rows, at + self._batch_rows), self.params.batch_span)
        dead = pending.dead_before(end)
        before = self.reached
        last = (before.offset, before.index)
        if end > at:
            last = (int(decoded.offset[end - 1]), int(decoded.index[end - 1]))
        if dead:
            last = max(last, (dead[-1].offset, dead[-1].index))
        first_clock = after = (before.greatest, before.candidate)
        if end > at:
            first_clock = (int(pending.greatest[at]), 0)
            after = (int(pending.greatest[end - 1]), int(pending.candidate[end - 1]))
        self.reached = Reached(last[0], last[1], after[0], after[1])
        batch = self._batch(before, Reached(greatest=first_clock[0]), False, pending.rows(end), dead)
        if dead:
            batch.dead_place = pending.greatest_before(dead, end, before.greatest)
        self.messages += end - at + len(dead)
        pending.at = end
        if end == rows:
            self._pending = None
        return batch

    def heartbeat(self, idle: bool) -> EventBatch:
        """An item without rows that says where the partition stands."""
        return self._batch(self.reached, self.reached, idle, _NO_ROWS)

    def last_item(self, close: bool) -> EventBatch:
        """The end of a finite input: idle from here on, and with `close` at the end of time."""
        batch = self.heartbeat(idle=True)
        if close:
            batch.watermark = END_OF_TIME
        return batch

    def _unseen(self, raw: RawBatch) -> RawBatch:
        offset, index = self.reached.offset, self.reached.index
        if all(letter.offset > offset for letter in raw.oversize) and (not len(raw) or raw.offset[0] > offset):
            return raw
        kept = (raw.offset > offset) | ((raw.offset == offset) & (raw.index > index))
        unseen = tuple(letter for letter in raw.oversize if (letter.offset, letter.index) > (offset, index))
        return raw.take(np.flatnonzero(kept), unseen)

    def _batch(
        self,
        before: Reached,
        at_first_row: Reached,
        idle: bool,
        rows: dict[str, Any],
        dead: tuple[DeadLetter, ...] = (),
    ) -> EventBatch:
        lateness = self.params.lateness
        batch = EventBatch(
            source=self.source,
            sources=self.sources,
            number=self._number,
            first=(before.offset, before.index),
            reached=(self.reached.offset, self.reached.index),
            watermark_before=at_first_row.watermark(lateness),
            watermark=self.reached.watermark(lateness),
            idle=idle,
            dead=dead,
            **rows,
        )
        self._number += 1
        return batch


class _Pending:
    """A decoded micro-batch on its way out, from row `at` on."""

    __slots__ = ("at", "candidate", "dead", "decoded", "envelopes", "flat", "greatest", "place", "shown", "stacked")

    def __init__(
        self,
        decoded: Decoded,
        place: NDArray[np.int64],
        greatest: NDArray[np.int64],
        candidate: NDArray[np.int64],
        dead: tuple[DeadLetter, ...],
        envelopes: Envelopes | None,
    ) -> None:
        self.decoded = decoded
        self.envelopes = envelopes
        self.flat = {name: _typed(getattr(decoded, name), name) for name in _FLAT} | {"place": place}
        self.flat["marks"] = _marked(decoded)
        self.stacked = {name: _typed(getattr(decoded, name), name) for name in _STACKED}
        self.shown: tuple[NDArray[Any], NDArray[Any]] | None = None
        if decoded.shown_start is not None and decoded.shown_length is not None:
            self.shown = _typed(decoded.shown_start, "start"), _typed(decoded.shown_length, "length")
        self.place = place
        self.greatest = greatest
        self.candidate = candidate
        self.dead = dead
        self.at = 0

    def rows(self, end: int) -> dict[str, Any]:
        """The columns of the rows from `at` to `end`, as views: nothing is copied."""
        at = self.at
        if end == at:
            return _NO_ROWS
        columns: dict[str, Any] = {name: column[at:end] for name, column in self.flat.items()}
        for name, column in self.stacked.items():
            columns[name] = column[:, at:end]
        columns["buffer"], columns["names"] = self.decoded.buffer, self.decoded.names
        if self.shown is not None:
            columns["shown_start"], columns["shown_length"] = (column[at:end] for column in self.shown)
        if self.envelopes is not None:
            columns["row"], columns["envelopes"] = self.decoded.row[at:end], self.envelopes
        return columns

    def dead_before(self, end: int) -> tuple[DeadLetter, ...]:
        """Take off the dead letters in front of row `end`; all that are left behind the last row."""
        if not self.dead or end == len(self.place):
            taken, self.dead = self.dead, ()
            return taken
        at = (int(self.decoded.offset[end]), int(self.decoded.index[end]))
        count = bisect_left(self.dead, at, key=lambda letter: (letter.offset, letter.index))
        taken, self.dead = self.dead[:count], self.dead[count:]
        return taken

    def greatest_before(self, dead: tuple[DeadLetter, ...], end: int, before: int) -> NDArray[np.int64]:
        """The partition's greatest event time in front of each of some dead letters; `before` that of row `at`."""
        rows = [
            *zip(self.decoded.offset[self.at : end].tolist(), self.decoded.index[self.at : end].tolist(), strict=True)
        ]
        clock = np.concatenate(([before], self.greatest[self.at : end]))
        return clock[[bisect_left(rows, (letter.offset, letter.index)) for letter in dead]]


_SHAPE: Final = {
    "buffer": np.uint8, "start": np.int64, "length": np.int32, "note_start": np.int64, "note_length": np.int32,
    "offset": np.int64, "index": np.int32, "time": np.int64, "place": np.int64, "flags": np.uint8,
    "counts": np.uint8, "action": np.uint8, "outcome": np.uint8, "reason": np.uint8, "status": np.int16,
    "method": np.uint8,
    "entity": np.uint64, "names": np.uint8, "name_start": np.int64, "name_length": np.int32, "target": np.uint64,
    "marks": np.uint64, "hashes": np.uint64, "numbers": np.float64,
}  # fmt: skip
_STACKED: Final = {"entity": 4, "name_start": 4, "name_length": 4, "hashes": 0, "numbers": 0}
"""Columns with several rows each, and how many of them an item without events has."""
_FLAT: Final = tuple(name for name in _SHAPE if name not in (*_STACKED, "buffer", "names", "place", "marks"))
_NO_ROWS: Final[dict[str, Any]] = {
    name: np.empty((_STACKED[name], 0) if name in _STACKED else 0, kind) for name, kind in _SHAPE.items()
}


def _before(refused: tuple[DeadLetter, ...], decoded: Decoded) -> NDArray[np.int64]:
    """How many refused messages came before each row."""
    places = [(letter.offset, letter.index) for letter in refused]
    rows = zip(decoded.offset.tolist(), decoded.index.tolist(), strict=True)
    return np.array([bisect_left(places, row) for row in rows], np.int64)


def _marked(decoded: Decoded) -> NDArray[np.uint64]:
    """The marks of each row now that it is known which are late; zero-width without a program."""
    variants = decoded.marks
    if len(variants) < 2:
        return np.ravel(variants)
    return _typed(np.where(decoded.flags & LATE, variants[1], variants[0]), "marks")


def _typed(column: NDArray[Any], name: str) -> NDArray[Any]:
    return column.astype(_SHAPE[name], copy=False)


def _addressed(dead: tuple[DeadLetter, ...], raw: RawBatch, envelopes: Envelopes) -> tuple[DeadLetter, ...]:
    """Dead letters with what their records carried; the reader has seen to its own."""
    out = []
    for letter in dead:
        at = int(np.searchsorted(raw.offset, letter.offset))
        if at < len(raw) and raw.offset[at] == letter.offset:
            headers = envelopes.headers[at] if envelopes.headers is not None else ()
            timestamp = int(envelopes.timestamp[at])
            letter = replace(letter, key=envelopes.keys[at], headers=headers, timestamp=timestamp)
        out.append(letter)
    return tuple(out)
