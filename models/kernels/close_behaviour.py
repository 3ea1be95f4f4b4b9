"""A learning window ends: how its entities behaved is described by what was known before it, then taught."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.behaviour import (
    CrowdArrays,
    ProfileArrays,
    RecentArrays,
    SumArrays,
    describe_minute,
    remember,
    teach_minute,
)
from models.kernels.kernel import kernel


class ClosedArrays(NamedTuple):
    """The n windows of a minute that are not silent, in the order of their entities' hashes."""

    record: NDArray[np.int64]
    slot: NDArray[np.int64]
    place: NDArray[np.int64]  # in SumArrays
    panes: NDArray[np.int64]  # (n, FRAMES) events
    level: NDArray[np.float64]  # (n, LEVELS) from here on written
    x: NDArray[np.float64]  # (n, BEHAVIOURS)
    score: NDArray[np.float64]
    height: NDArray[np.float64]  # the score on a scale that a histogram of ratios tells apart
    quantile: NDArray[np.float64]
    guarded: NDArray[np.bool_]
    counted: NDArray[np.bool_]  # whether it enters the histograms


class BehaviourArrays(NamedTuple):
    """What a shard keeps of its entities' behaviour."""

    sums: SumArrays
    recent: RecentArrays
    profiles: ProfileArrays
    crowd: CrowdArrays


@kernel
def describe_windows(
    b: BehaviourArrays, half: NDArray[np.float64], weight: NDArray[np.float64], minute: int, w: ClosedArrays
) -> None:
    """Describe all windows of a minute; only recent behaviour moves."""
    for i in range(len(w.record)):
        remember(b.recent, w.slot[i], b.sums, w.place[i], w.panes[i], minute)
        describe_minute(
            b.profiles, w.record[i], b.recent, w.slot[i], b.crowd, b.sums, w.place[i], minute, half, weight,
            w.level[i], w.x[i],
        )  # fmt: skip


@kernel
def teach_windows(b: BehaviourArrays, minute: int, w: ClosedArrays) -> None:
    """Move the profiles of those that are not guarded, and the crowd."""
    for i in range(len(w.record)):
        if not w.guarded[i]:
            teach_minute(b.profiles, w.record[i], b.crowd, b.sums, w.place[i], minute, w.level[i])
