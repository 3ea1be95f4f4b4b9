"""A learning window ends: how its entities behaved is described by what was known before it, then taught."""

from typing import Final, NamedTuple

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
from models.kernels.kernel import inlined, kernel
from models.kernels.load import prefetch

_AHEAD: Final = 6  # windows


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


@inlined
def _fetch(b: BehaviourArrays, record: int, slot: int, place: int) -> None:
    """Ask for all that describing a window looks at: entities lie in the order of their coming, anywhere in memory."""
    prefetch(b.sums.mix, place, 0)
    prefetch(b.sums.mix, place, 63)
    prefetch(b.sums.met, place, 0)
    prefetch(b.recent.mix, slot, 0)
    prefetch(b.recent.mix, slot, 64)
    prefetch(b.recent.mix, slot, 127)
    prefetch(b.recent.pace, slot, 0)
    prefetch(b.recent.minutes, slot, 0)
    prefetch(b.recent.last, slot, 0)
    prefetch(b.profiles.mix, record, 0)
    prefetch(b.profiles.hours, record, 0)
    prefetch(b.profiles.met, record, 0)
    prefetch(b.profiles.level, record, 0)
    prefetch(b.profiles.count, record, 0)


@kernel
def describe_windows(
    b: BehaviourArrays, half: NDArray[np.float64], weight: NDArray[np.float64], minute: int, w: ClosedArrays
) -> None:
    """Describe all windows of a minute; only recent behaviour moves."""
    n = len(w.record)
    for i in range(n):
        ahead = min(i + _AHEAD, n - 1)
        _fetch(b, w.record[ahead], w.slot[ahead], w.place[ahead])
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
