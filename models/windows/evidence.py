"""The events behind an incident: kept for as long as a rule's window may still ask for them."""

import hashlib
from collections import deque
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.event import EventBatch
from models.kernels.direct import direct
from models.kernels.gather import collect, copy_rows

_T = TypeVar("_T")
_COLLECT, _COPY_ROWS = direct(collect), direct(copy_rows)
MESSAGE_LIMIT = 2048
SHARD_LIMIT = 16 << 20
MERGE_ABOVE = 64
WHOLE = SHARD_LIMIT // 64
"""Bytes from which a chunk is merged no more: it could not be let go of while newer events are in it."""
LEAST, MOST = 3, 2
LOOK_BACK_US = 900_000_000
"""So far back at least, from the end of a closing pane, every counted event is still there; or a rule's window."""


class Witness(NamedTuple):
    """One counted event, in the order in which evidences are chosen. The message is empty where it is too long."""

    time: int
    digest: bytes
    message: bytes


class Chunk(NamedTuple):
    """Counted events of some batches, columns of length n; `blob` holds their messages one after another.

    `newest` is the greatest place.
    """

    entity: NDArray[np.uint64]
    place: NDArray[np.int64]
    time: NDArray[np.int64]
    marks: NDArray[np.uint64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    blob: NDArray[np.uint8]
    newest: int


class Evidence:
    """The events of the last window that a rule counts, by entity and place.

    At most 16 MiB are held; beyond that the oldest go first and `dropped` counts them. Adding costs about 0.1 us for
    each such event, nothing for others.
    """

    def __init__(self, lateness_us: int, marks: int = 0, longest_us: int = 0) -> None:
        self.keep_us = max(LOOK_BACK_US, longest_us) + lateness_us
        self.counted = np.uint64(marks)
        self.chunks: deque[Chunk] = deque()
        self.size = 0
        self.dropped = 0

    def add(self, batch: EventBatch, dimension: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Keep the events among some rows that a rule counts; their rows."""
        picked = np.empty(len(rows), np.int64)
        start, length = batch.shown
        n, size = _COLLECT(rows, self.counted, MESSAGE_LIMIT, batch.marks, length, picked)
        picked = picked[:n]
        if not n:
            return picked
        entity = np.ascontiguousarray(batch.entity[dimension])  # what `direct` asks for
        identity, number, blob = np.empty((2, n), np.uint64), np.empty((4, n), np.int64), np.empty(size, np.uint8)
        newest = _COPY_ROWS(
            picked, MESSAGE_LIMIT, batch.buffer, start, length, entity, batch.place,
            batch.time, batch.marks, identity, number, blob,
        )  # fmt: skip
        self.put(Chunk(identity[0], number[0], number[1], identity[1], number[2], number[3], blob, newest))
        return picked

    def put(self, chunk: Chunk) -> None:
        """Keep counted events that were chosen elsewhere."""
        self.chunks.append(chunk)
        self.size += len(chunk.blob) + 40 * len(chunk.place)
        if len(self.chunks) > MERGE_ABOVE:
            self._merge()

    def forget(self, watermark: int) -> None:
        """Let go of what no window can ask for any more."""
        while self.chunks and (self.size > SHARD_LIMIT or self.chunks[0].newest < watermark - self.keep_us):
            old = self.chunks.popleft()
            self.size -= len(old.blob) + 40 * len(old.place)
            if old.newest >= watermark - self.keep_us:
                self.dropped += len(old.place)

    def witnesses(self, entity: int, counted: int, start: int, end: int) -> list[Witness]:
        """Events of an entity placed in [start, end) that have one of the marks `counted`, by (time, content)."""
        found: list[Witness] = []
        for chunk in self.chunks:
            if chunk.newest < start:
                continue
            mine = np.flatnonzero(chunk.entity == np.uint64(entity))
            if not len(mine):
                continue
            place, marks = chunk.place[mine], chunk.marks[mine]
            hit = (place >= start) & (place < end) & ((marks & np.uint64(counted)) != 0)
            for i in mine[hit].tolist():
                at = int(chunk.start[i])
                found.append(witness(int(chunk.time[i]), chunk.blob[at : at + int(chunk.length[i])].tobytes()))
        found.sort()
        return found

    def _merge(self) -> None:
        """Make one chunk of the oldest small ones. What has become large stays as it is, and goes when it is old."""
        chunks, first = list(self.chunks), 0
        for small, run in groupby(chunks, lambda chunk: len(chunk.blob) < WHOLE):
            n = len(list(run))
            if small and n > 1:
                break
            first += n
        else:
            return
        last = first + min(n, MERGE_ABOVE // 2)
        old = chunks[first:last]
        shift = np.cumsum([0] + [len(c.blob) for c in old])
        columns = [np.concatenate([c[i] for c in old]) for i in range(4)]
        start = np.concatenate([c.start + shift[i] for i, c in enumerate(old)])
        length = np.concatenate([c.length for c in old])
        blob = np.concatenate([c.blob for c in old])
        one = Chunk._make([*columns, start, length, blob, max(c.newest for c in old)])
        self.chunks = deque([*chunks[:first], one, *chunks[last:]])

    def restore(self, state: list[list[bytes]]) -> None:
        """Take the chunks of a snapshot."""
        types: tuple[Any, ...] = (np.uint64, np.int64, np.int64, np.uint64, np.int64, np.int64, np.uint8)
        for chunk in state:
            columns = [np.frombuffer(b, t) for b, t in zip(chunk, types, strict=True)]
            self.chunks.append(Chunk._make([*columns, int(columns[1].max())]))
        self.size = sum(len(c.blob) + 40 * len(c.place) for c in self.chunks)


def witness(time: int, message: bytes) -> Witness:
    """An event as evidence: messages that differ come in the order of their hash."""
    return Witness(time, hashlib.blake2b(message, digest_size=8).digest(), message)


def ends(witnesses: list[_T]) -> list[_T]:
    """The first three and the last two of what is in order.

    >>> [w.time for w in ends([Witness(t, b"", b"") for t in range(9)])]
    [0, 1, 2, 7, 8]
    """
    return witnesses if len(witnesses) <= LEAST + MOST else witnesses[:LEAST] + witnesses[-MOST:]
