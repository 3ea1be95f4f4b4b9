"""Audit events as columns: the one shape that everything between decode and encode speaks."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Headers = tuple[tuple[str, bytes | None], ...]
"""A record's headers in their order; a name may come more than once."""


@dataclass(slots=True, frozen=True)
class Envelopes:
    """What records carry beside their value, where the source is a broker; row k is the k-th raw message.

    `headers` is None where no record has any. `timestamp` is the record's own, epoch ms, -1 for none.
    """

    keys: Sequence[bytes | None]
    headers: Sequence[Headers] | None
    timestamp: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.int64]) -> "Envelopes":
        """Some of them."""
        at = rows.tolist()
        headers = self.headers
        return Envelopes(
            [self.keys[k] for k in at], None if headers is None else [headers[k] for k in at], self.timestamp[rows]
        )

    def joined(self, other: "Envelopes") -> "Envelopes":
        """These, followed by others."""
        headers: list[Headers] | None = None
        if self.headers is not None or other.headers is not None:
            headers = [*(self.headers or [()] * len(self)), *(other.headers or [()] * len(other))]
        return Envelopes([*self.keys, *other.keys], headers, np.concatenate((self.timestamp, other.timestamp)))


@dataclass(slots=True, frozen=True)
class DeadLetter:
    """One message that could not become an event; `reason` is from a closed list.

    `body` holds at most 64 KiB of the raw bytes, not yet redacted or encoded; `key`, `headers` and `timestamp`
    (epoch ms, -1 for none) are those of its record.
    """

    stage: str
    reason: str
    source: str
    offset: int
    index: int
    size: int
    sha256: str
    body: bytes
    detail: str = ""
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int = -1


@dataclass(slots=True)
class EventBatch:
    """A micro-batch of valid audit events of one source partition, in input order, as columns of length n.

    Times are integer microseconds UTC. Entity columns have shape (4, n), rows in the order of
    `models.base.DIMENSIONS`; hash 0 means that the event has no entity there. Never modified after it
    has left its source.
    """

    source: str  # the source partition's name
    sources: tuple[str, ...]  # every source partition of the flow, sorted; the same in every item
    number: int  # counts this source's items since the process started
    first: tuple[int, int]  # (offset, index) reached before this item
    reached: tuple[int, int]  # (offset, index) of the last message this item accounts for, dead letters included
    watermark_before: int  # of the source, at this item's first row
    watermark: int  # of the source, after this item's last row; END_OF_TIME at the end of a finite input
    idle: bool  # the source has nothing to say for now
    buffer: NDArray[np.uint8]  # the messages' bytes, and repaired ones
    start: NDArray[np.int64]  # where each row's JSON object begins in `buffer`, trimmed
    length: NDArray[np.int32]
    note_start: NDArray[np.int64]  # where each row's JSON list of ignored members begins in `buffer`; length 0: none
    note_length: NDArray[np.int32]
    offset: NDArray[np.int64]
    index: NDArray[np.int32]
    time: NDArray[np.int64]  # as the event says
    place: NDArray[np.int64]  # max(time, watermark of the source at this row): where it is counted
    flags: NDArray[np.uint8]
    counts: NDArray[np.uint8]
    action: NDArray[np.uint8]
    outcome: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    status: NDArray[np.int16]  # HTTP status, 0: none
    method: NDArray[np.uint8]  # an index into METHODS
    entity: NDArray[np.uint64]  # (4, n)
    names: NDArray[np.uint8]  # the entities' normalised names, UTF-8
    name_start: NDArray[np.int64]  # (4, n)
    name_length: NDArray[np.int32]  # (4, n)
    target: NDArray[np.uint64]  # hash of the object of a deletion, 0: none
    # Which of `envelopes` is each row's, where the source is a broker.
    row: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    envelopes: Envelopes | None = None
    dead: tuple[DeadLetter, ...] = ()
    # For each of `dead` the greatest event time that its source had shown before it, NONE_TIME for none.
    dead_place: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    # By the program of the threshold detections (models.rules.program); zero-width without one.
    marks: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))  # bit k: expression k holds
    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty((0, 0), np.uint64))  # (d, n), 0: none
    numbers: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))  # (s, n), NaN: none
    # Where in `buffer` the object stands that an alert may show of each row, if that is not the row's own.
    shown_start: NDArray[np.int64] | None = None
    shown_length: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.time)

    def message(self, row: int) -> bytes:
        """The row's JSON object as it will go out."""
        at = int(self.start[row])
        return self.buffer[at : at + int(self.length[row])].tobytes()

    @property
    def shown(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Where each row's canonical object begins, and its length: what alerts are told from."""
        if self.shown_start is None or self.shown_length is None:
            return self.start, self.length
        return self.shown_start, self.shown_length

    def name(self, dimension: int, row: int) -> str:
        """The row's entity in a dimension, normalised; empty if it has none."""
        at = int(self.name_start[dimension, row])
        return self.names[at : at + int(self.name_length[dimension, row])].tobytes().decode()


@dataclass(slots=True)
class ScoredBatch:
    """A batch with what was known of each row when it arrived. Score columns have shape (4, n).

    `feature` is an index into FEATURES or NO_FEATURE (the event lacks the dimension). NaN in `score`,
    `quantile`, `expected` means not yet known. `risk` is -1 while nothing is known. The row's open incidents are
    `uids[uid_from[row]:uid_from[row + 1]]`, 16 bytes each, smallest first, at most 4; `uids_more` counts the rest.
    """

    batch: EventBatch
    feature: NDArray[np.uint8]
    score: NDArray[np.float64]
    quantile: NDArray[np.float64]
    z: NDArray[np.float64]
    expected: NDArray[np.float64]
    observed: NDArray[np.float64]
    risk: NDArray[np.int16]
    uid_from: NDArray[np.int64]
    uids: NDArray[np.uint8]
    uids_more: NDArray[np.int32]
