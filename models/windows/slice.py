"""What travels to a shard and back."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.alert import Alert
from models.event import EventBatch


@dataclass(slots=True)
class Slice:
    """The rows of a batch that one shard of one dimension is to assess; none in a heartbeat."""

    batch: EventBatch
    dimension: int
    shard: int
    rows: NDArray[np.int64]


@dataclass(slots=True, frozen=True)
class Finding:
    """An alert on its way out. It is let go when every shard has passed base pane `pane`, in which it was decided."""

    pane: int
    alert: Alert


@dataclass(slots=True)
class SliceScores:
    """What a shard says of a slice. Columns are parallel to `rows`. One slice of each batch brings the batch along.

    `severity` is that of the gravest rule that an event's entity has crossed (0: none); `uid_rows` and `uids`
    (16 bytes each) name the incidents open at the entity of a row. `passed` is the shard's first open base pane.
    `windows` are the columns of the closed learning windows that are kept.
    """

    batch: EventBatch | None
    dimension: int
    shard: int
    number: int
    rows: NDArray[np.int64]
    feature: NDArray[np.uint8]
    score: NDArray[np.float64]
    quantile: NDArray[np.float64]
    z: NDArray[np.float64]
    expected: NDArray[np.float64]
    observed: NDArray[np.float64]
    severity: NDArray[np.uint8]
    uid_rows: NDArray[np.int64]
    uids: NDArray[np.uint8]
    passed: int
    findings: list[Finding] = field(default_factory=list)
    windows: list[dict[str, Any]] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
