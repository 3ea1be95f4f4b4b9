"""A forest that scores windows by the model before them, learns those that its guard lets through, and says why."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.baseline import bucket_of
from models.kernels.half_space_trees import ForestArrays, TreeArrays, find_leaves, learn_leaves, score_leaves
from models.kernels.kernel import inlined, kernel
from models.kernels.layout import BUCKETS
from models.kernels.reasons import take_reason

LEARNED, GUARDED = range(2)  # places in ModelArrays.head: windows that taught, and that did not
MODEL_HEAD: Final = 2


class ForestLearned(NamedTuple):
    """What the arithmetic needs from the detector's parameters."""

    height: int
    window: int
    warm_up: int
    guard: float
    typical_alpha: float


class ModelArrays(NamedTuple):
    """What one shard of one dimension has learned; F features."""

    head: NDArray[np.int64]
    forest: ForestArrays
    typical: NDArray[np.float64]  # (F,) running mean of the windows that taught
    histogram: NDArray[np.int64]  # (BUCKETS,) of rarity
    below: NDArray[np.int64]  # (BUCKETS + 1,) cumulated


@inlined
def rarity(score: float) -> float:
    """Greatest mass over a window's own: 1 to 2**(H + 1) - 1. Scores near 1 differ too little for a histogram."""
    return 1.0 / (1.0 - score)


@kernel
def rarity_quantile(m: ModelArrays, edges: NDArray[np.float64], score: float) -> float:
    """The share of closed windows below a score (half of its own bucket), at most 1 - 1/n; 0 without any."""
    n = m.below[BUCKETS]
    if n == 0:
        return 0.0
    bucket = bucket_of(edges, rarity(score))
    return min((m.below[bucket] + 0.5 * m.histogram[bucket]) / n, 1.0 - 1.0 / n)


@kernel
def cumulate_rarity(m: ModelArrays) -> None:
    """Make quantiles answer from the histogram as it is now."""
    m.below[0] = 0
    for b in range(BUCKETS):
        m.below[b + 1] = m.below[b] + m.histogram[b]


@kernel
def halve_rarity(m: ModelArrays, halvings: int) -> None:
    """Half-lives have passed."""
    for b in range(BUCKETS):
        m.histogram[b] >>= min(halvings, 63)
    cumulate_rarity(m)


@kernel
def assess_windows(
    trees: TreeArrays,
    m: ModelArrays,
    p: ForestLearned,
    edges: NDArray[np.float64],
    x: NDArray[np.float64],
    leaf: NDArray[np.uint16],
    scores: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    guarded: NDArray[np.bool_],
) -> None:
    """Score closed windows (rows of x) by the model before them; NaN is not yet known. Nothing is learned.

    `leaf`, of shape (n, T), is for `learn_windows`.
    """
    warm = m.head[LEARNED] >= p.warm_up
    for i in range(len(x)):
        find_leaves(trees, p.height, x, i, leaf, i)
        scores[i] = score_leaves(m.forest, p.height, p.window, leaf, i)
        quantiles[i] = rarity_quantile(m, edges, scores[i]) if warm and scores[i] == scores[i] else np.nan
        guarded[i] = quantiles[i] >= p.guard


@kernel
def learn_windows(
    m: ModelArrays,
    p: ForestLearned,
    edges: NDArray[np.float64],
    x: NDArray[np.float64],
    leaf: NDArray[np.uint16],
    scores: NDArray[np.float64],
    guarded: NDArray[np.bool_],
    counted: NDArray[np.bool_],
) -> None:
    """Learn the unguarded windows in their order. A guarded one enters the histogram only where `counted` says so."""
    for i in range(len(x)):
        if not guarded[i] or counted[i]:
            if scores[i] == scores[i]:
                m.histogram[bucket_of(edges, rarity(scores[i]))] += 1
        if guarded[i]:
            m.head[GUARDED] += 1
            continue
        m.head[LEARNED] += 1
        weight = max(p.typical_alpha, 1.0 / m.head[LEARNED])
        for f in range(x.shape[1]):
            m.typical[f] += weight * (x[i, f] - m.typical[f])
        learn_leaves(m.forest, p.height, p.window, leaf, i)
    cumulate_rarity(m)


@kernel
def explain(
    trees: TreeArrays,
    m: ModelArrays,
    p: ForestLearned,
    x: NDArray[np.float64],
    which: NDArray[np.int64],
    room: NDArray[np.float64],
    leaf: NDArray[np.uint16],
    reasons: NDArray[np.float64],
) -> None:
    """Of each step's row of x (`which`, -1 for none) the features whose typical value lowers the score most.

    `reasons`, of shape (steps, REASONS, REASON_FIELDS), is -1 before; `room` has shape (1, F), `leaf` (1, T).
    """
    for step in range(len(which)):
        i = which[step]
        if i < 0:
            continue
        find_leaves(trees, p.height, x, i, leaf, 0)
        score = score_leaves(m.forest, p.height, p.window, leaf, 0)
        for f in range(x.shape[1]):
            room[0, f] = x[i, f]
        for f in range(x.shape[1]):
            room[0, f] = m.typical[f]
            find_leaves(trees, p.height, room, 0, leaf, 0)
            less = score - score_leaves(m.forest, p.height, p.window, leaf, 0)
            room[0, f] = x[i, f]
            take_reason(reasons[step], f, x[i, f], m.typical[f], less)
