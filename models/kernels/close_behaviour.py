"""A learning window ends: how its entities behaved is scored by the model before it, then taught."""

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
from models.kernels.forest import ForestLearned, ModelArrays, assess_windows, learn_windows
from models.kernels.half_space_trees import TreeArrays
from models.kernels.kernel import kernel


class ClosedArrays(NamedTuple):
    """The n windows of a minute that are not silent, in the order of their entities' hashes."""

    record: NDArray[np.int64]
    slot: NDArray[np.int64]
    place: NDArray[np.int64]  # in SumArrays
    panes: NDArray[np.int64]  # (n, FRAMES) events
    level: NDArray[np.float64]  # (n, LEVELS) from here on written
    x: NDArray[np.float64]  # (n, BEHAVIOURS)
    leaf: NDArray[np.uint16]  # (n, T)
    score: NDArray[np.float64]
    quantile: NDArray[np.float64]
    guarded: NDArray[np.bool_]


class BehaviourArrays(NamedTuple):
    """What a shard keeps of its entities' behaviour."""

    sums: SumArrays
    recent: RecentArrays
    profiles: ProfileArrays
    crowd: CrowdArrays
    model: ModelArrays


@kernel
def close_behaviour(
    b: BehaviourArrays,
    trees: TreeArrays,
    p: ForestLearned,
    edges: NDArray[np.float64],
    half: NDArray[np.float64],
    weight: NDArray[np.float64],
    minute: int,
    w: ClosedArrays,
) -> None:
    """Describe and score all windows of a minute; only recent behaviour moves."""
    for i in range(len(w.record)):
        remember(b.recent, w.slot[i], b.sums, w.place[i], w.panes[i], minute)
        describe_minute(
            b.profiles, w.record[i], b.recent, w.slot[i], b.crowd, b.sums, w.place[i], minute, half, weight,
            w.level[i], w.x[i],
        )  # fmt: skip
    assess_windows(trees, b.model, p, edges, w.x, w.leaf, w.score, w.quantile, w.guarded)


@kernel
def learn_behaviour(
    b: BehaviourArrays,
    p: ForestLearned,
    edges: NDArray[np.float64],
    minute: int,
    w: ClosedArrays,
    counted: NDArray[np.bool_],
) -> None:
    """Teach what is not guarded. A guarded window enters the histogram of scores only where `counted` says so."""
    learn_windows(b.model, p, edges, w.x, w.leaf, w.score, w.guarded, counted)
    for i in range(len(w.record)):
        if not w.guarded[i]:
            teach_minute(b.profiles, w.record[i], b.crowd, b.sums, w.place[i], minute, w.level[i])
