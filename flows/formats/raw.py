"""What a reader hands to a format: messages as they came."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.base import NONE_TIME
from models.event import DeadLetter, Envelopes


@dataclass(slots=True, frozen=True)
class RawBatch:
    """n messages of one source partition, in order: message k is `buffer[start[k] : start[k] + length[k]]`.

    `timestamp` is the record's own in microseconds UTC, `models.base.NONE_TIME` where it has none. `oversize` are the
    messages that the reader has already refused as `too_large`; they have no row. `envelopes` are the records' keys and
    headers, of n rows, where the source is a broker. A message that carried several events is several
    rows: they share its offset, and `index` counts them. `objects` says of rows that were found to be one JSON object,
    nested no deeper than the limits allow and without a member `lapwing`, where it begins and its length; 0 of others.
    """

    source: str
    buffer: NDArray[np.uint8]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    offset: NDArray[np.int64]
    index: NDArray[np.int32]
    timestamp: NDArray[np.int64]
    oversize: tuple[DeadLetter, ...] = ()
    envelopes: Envelopes | None = None
    objects: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: NDArray[np.int64], oversize: tuple[DeadLetter, ...]) -> "RawBatch":
        """Some rows, by their numbers, in the same buffer."""
        return replace(
            self,
            start=self.start[rows],
            length=self.length[rows],
            offset=self.offset[rows],
            index=self.index[rows],
            timestamp=self.timestamp[rows],
            envelopes=self.envelopes and self.envelopes.take(rows),
            objects=self.objects and (self.objects[0][rows], self.objects[1][rows]),
            oversize=oversize,
        )

    def message(self, row: int) -> bytes:
        """The row's bytes as they came."""
        at = int(self.start[row])
        return self.buffer[at : at + int(self.length[row])].tobytes()


def raw_batch(source: str, messages: Sequence[bytes]) -> RawBatch:
    """Messages at hand, numbered from 0, whose records have no time of their own.

    >>> raw_batch("demo", [b"{}", b"[1]"]).message(1)
    b'[1]'
    """
    length = np.array([len(message) for message in messages], np.int64)
    return RawBatch(
        source=source,
        buffer=np.frombuffer(b"".join(messages), np.uint8),
        start=np.cumsum(length) - length,
        length=length,
        offset=np.arange(len(messages)),
        index=np.zeros(len(messages), np.int32),
        timestamp=np.full(len(messages), NONE_TIME),
    )


def tail(raw: RawBatch, row: int) -> RawBatch:
    """The messages from a row on, copied out so that the rest of the buffer can go."""
    begin, stop = int(raw.start[row]), int(raw.start[-1] + raw.length[-1])
    at = (int(raw.offset[row]), int(raw.index[row]))
    after = tuple(letter for letter in raw.oversize if (letter.offset, letter.index) > at)
    rest = raw.take(np.arange(row, len(raw)), after)
    objects = rest.objects and (rest.objects[0] - begin, rest.objects[1])
    return replace(rest, buffer=raw.buffer[begin:stop].copy(), start=rest.start - begin, objects=objects)


def joined(left: RawBatch, right: RawBatch) -> RawBatch:
    """Two micro-batches that follow each other, as one."""
    objects = None
    if left.objects is not None and right.objects is not None:
        begins = np.concatenate((left.objects[0], right.objects[0] + len(left.buffer)))
        objects = begins, np.concatenate((left.objects[1], right.objects[1]))
    return replace(
        right,
        buffer=np.concatenate((left.buffer, right.buffer)),
        start=np.concatenate((left.start, right.start + len(left.buffer))),
        length=np.concatenate((left.length, right.length)),
        offset=np.concatenate((left.offset, right.offset)),
        index=np.concatenate((left.index, right.index)),
        timestamp=np.concatenate((left.timestamp, right.timestamp)),
        oversize=left.oversize + right.oversize,
        objects=objects,
        envelopes=None if left.envelopes is None or right.envelopes is None else left.envelopes.joined(right.envelopes),
    )
