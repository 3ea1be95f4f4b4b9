"""What a reader hands to a format: messages as they came."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    rows: they share its offset, and `index` counts them.
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

    def __len__(self) -> int:
        return len(self.start)

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
