"""What travels to a shard and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from models.alert import Alert
from models.base import DIMENSIONS, NO_FEATURE
from models.event import EventBatch
from models.kernels.arrive import ScoreArrays
from models.kernels.levels import Levels


@dataclass(slots=True)
class Slice:
    """The rows of a batch that one shard of one dimension is to assess; none in a heartbeat.

    `scores` are the whole batch's: every shard writes those of its own dimension and rows.
    """

    batch: EventBatch
    dimension: int
    shard: int
    rows: NDArray[np.int64]
    scores: ScoreArrays


def unknown(n: int, dimensions: int = len(DIMENSIONS)) -> ScoreArrays:
    """The scores of n rows of which nothing is known yet: no feature, NaN, no severity, no ring."""
    shape = dimensions, n
    score, quantile, z, expected, observed = np.full((5, *shape), np.nan)
    return ScoreArrays(
        feature=np.full(shape, NO_FEATURE, np.uint8),
        score=score,
        quantile=quantile,
        z=z,
        expected=expected,
        observed=observed,
        severity=np.zeros(shape, np.uint8),
        slot=np.full(shape, -1, np.int32),
    )


@dataclass(slots=True, frozen=True)
class Finding:
    """An alert on its way out. It is let go when every shard has passed base pane `pane`, in which it was decided."""

    pane: int
    alert: Alert


@dataclass(slots=True, frozen=True)
class Texts(Sequence[str]):
    """Names one after another in UTF-8, as Arrow has them: the i-th ends at ends[i + 1]. Decoded when asked for.

    >>> texts = Texts(np.frombuffer(b"samada", np.uint8), np.array([0, 3, 6], np.int32))
    >>> len(texts), list(texts)
    (2, ['sam', 'ada'])
    """

    blob: NDArray[np.uint8]
    ends: NDArray[np.int32]

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Texts":
        """Some names; cost is that of a Python loop over them.

        >>> list(Texts.of(["ada", ""]))
        ['ada', '']
        """
        encoded = [text.encode() for text in texts]
        ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        return self.blob[self.ends[at] : self.ends[at + 1]].tobytes().decode()


@dataclass(slots=True)
class ClosedWindows:
    """The learning windows of one shard that are kept of one minute; columns of length k.

    NaN in `score`, `quantile`, `expected` means not yet known, in `values` and `peaks` (k, features of
    `models.kernels.learn`) that the dimension does not have the feature.
    """

    dimension: int
    detector: str
    end: int  # microseconds UTC; they begin a minute before
    tenant: Texts
    entity: Texts
    feature: NDArray[np.int64]  # what stood out most, an index into FEATURES
    guarded: NDArray[np.bool_]
    score: NDArray[np.float64]
    quantile: NDArray[np.float64]
    expected: NDArray[np.float64]
    observed: NDArray[np.float64]
    weight: NDArray[np.float64]
    values: NDArray[np.float64]
    peaks: NDArray[np.float64]
    rules: tuple[str, ...]  # the ids that `levels.rule` counts in
    levels: Levels
    shard: int = -1  # said by `gather`

    def __len__(self) -> int:
        return len(self.entity)


@dataclass(slots=True)
class SliceScores:
    """What a shard says of a slice. One slice of each batch brings the batch along.

    `scores` are the batch's, with this shard's rows written; `uid_rows` and `uids` (16 bytes each) name the incidents
    open at the entity of a row. `passed` is the shard's first open base pane, `head` its counters
    (`models.kernels.layout`).
    """

    batch: EventBatch | None
    dimension: int
    shard: int
    number: int
    rows: NDArray[np.int64]
    scores: ScoreArrays
    uid_rows: NDArray[np.int64]
    uids: NDArray[np.uint8]
    passed: int
    head: NDArray[np.int64]
    findings: list[Finding]
    windows: list[ClosedWindows]
