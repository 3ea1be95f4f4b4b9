"""Which of a log's leaves are looked at, and which checkpoint each part of them is proven by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flows.trail.checkpoints import Checkpoint
from flows.trail.merkle import Range


class Segments:
    """The leaves between each checkpoint of a log and the next.

    Parameters
    ----------
    points : by size.
    start, end : microseconds UTC; only what may have happened from `start` to before `end` is wanted. Every checkpoint
        says from when to when its leaves are, so nothing but notes is read to know.
    """

    def __init__(self, points: Sequence[Checkpoint], start: int | None, end: int | None) -> None:
        self.points = list(points)
        self.sizes = np.array([0, *(point.size for point in points)], np.int64)
        self.wanted = np.zeros(len(points) + 1, bool)
        begin = 0
        for at, point in enumerate(points):
            late = start is not None and point.greatest < start
            early = end is not None and point.least >= end
            self.wanted[at] = begin < point.since or not (late or early)
            begin = point.size
        for at in range(len(points) - 1, 0, -1):  # where a frontier is missing, the part before is needed too
            self.wanted[at - 1] |= self.wanted[at] and points[at - 1].range() is None

    @property
    def size(self) -> int:
        """Leaves under the last checkpoint."""
        return int(self.sizes[-1])

    def span(self) -> tuple[int, int]:
        """From the first leaf that is wanted to behind the last."""
        at = np.flatnonzero(self.wanted[:-1])
        return (int(self.sizes[at[0]]), int(self.sizes[at[-1] + 1])) if len(at) else (0, 0)

    def has(self, leaf: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which leaves lie in a part that is wanted."""
        part = np.searchsorted(self.sizes, leaf, side="right") - 1
        found: NDArray[np.bool_] = (leaf >= 0) & self.wanted[part]
        return found

    def before(self, at: int) -> Range | None:
        """The tree as it was where a part begins, if it is known."""
        return Range() if at == 0 else self.points[at - 1].range()
