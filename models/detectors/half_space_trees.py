"""Half-Space Trees: how rarely a forest of random halvings has lately seen rows like this one."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.kernels.forest import MODEL_HEAD, ForestLearned, ModelArrays
from models.kernels.half_space_trees import FOREST_HEAD, ForestArrays, TreeArrays, score_learn
from models.kernels.layout import BUCKETS
from models.kernels.standardise import RunningArrays, assess_table
from models.thresholds.edges import score_edges

_PADDING = 0.15
_MASK = (1 << 64) - 1
_TYPICAL_ALPHA = 0.001


class HalfSpaceTreesParams(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="half_space_trees"
):
    """Half-Space Trees (Tan, Ting and Liu, 2011) over features between 0 and 1, or over a table's clipped z-scores.

    `trees` random trees of `height` halve the unit cube again and again. Rows are counted in the cells they fall in,
    `window` learned rows at a time; the counts of one window score the rows of the next. A row in cells that few rows
    reached has a score near 1. A walk ends at a cell with fewer than a tenth of the window's rows.

    A row does not teach when its score's quantile among all rows is at or above `guard`, once `warm_up` rows have
    taught. The histogram behind quantiles is halved every `half_life`.

    When it fails: anomalies that come packed together fill their own cells (the guard is there for it); a guard much
    below 0.999 or a window much longer than 250 locks out what is new and good; what is strange only in how features
    go together is seen as far as a random halving isolates it; of many features one strange one is diluted.

    Cost: a score or a learned row is a walk of `height` steps in each tree. 25 trees of height 8 take about half a
    microsecond for both, 58 KB of structure shared by all forests of the same seed and features, 55 KB a forest.
    """

    id: str = "behaviour"
    trees: Annotated[int, msgspec.Meta(ge=1, le=200)] = 25
    height: Annotated[int, msgspec.Meta(ge=1, le=15)] = 8
    window: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 250
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 1
    warm_up: Annotated[int, msgspec.Meta(ge=1)] = 500
    guard: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.999
    accept_after: str = "3h"
    half_life: str = "7d"
    clip: Annotated[float, msgspec.Meta(gt=0, le=100)] = 3.0

    @property
    def learned(self) -> ForestLearned:
        """What the kernels need of them."""
        return ForestLearned(self.height, self.window, self.warm_up, self.guard, _TYPICAL_ALPHA)


def splitmix(seed: int) -> Iterator[float]:
    """Numbers from 0 to 1, the same on every machine and in every version (Steele, Lea and Flood, 2014).

    >>> numbers = splitmix(1)
    >>> round(next(numbers), 6), round(next(numbers), 6)
    (0.566562, 0.745782)
    """
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        x = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
        yield ((x ^ (x >> 31)) >> 11) * 2.0**-53


def build_trees(trees: int, height: int, limits: tuple[float, ...], seed: int) -> TreeArrays:
    """Random trees over features from 0 to their limits, drawn as River draws them.

    A node's feature is drawn in proportion to what is left of its range in the node's cell, its threshold evenly from
    that range without 15 % at either end. (The paper, section 4, halves at the middle of a randomly widened range.)
    The same arguments give the same trees.

    >>> trees = build_trees(2, 3, (1.0, 1.0, 0.5), seed=1)
    >>> trees.feature.shape, trees.feature.dtype.name, bool((trees.threshold > 0).all())
    ((2, 7), 'uint8', True)
    """
    numbers = splitmix(seed)
    nodes = (1 << height) - 1
    feature = np.zeros((trees, nodes), np.uint8)
    threshold = np.zeros((trees, nodes))
    for t in range(trees):
        cells = [[(0.0, limit) for limit in limits]]
        for node in range(nodes):
            cell = cells[node]
            lengths = np.cumsum([b - a for a, b in cell])
            on = int(np.searchsorted(lengths, next(numbers) * lengths[-1], side="right"))
            a, b = cell[on]
            at = a + (b - a) * (_PADDING + next(numbers) * (1.0 - 2.0 * _PADDING))
            feature[t, node], threshold[t, node] = on, at
            cells.append([*cell[:on], (a, at), *cell[on + 1 :]])
            cells.append([*cell[:on], (at, b), *cell[on + 1 :]])
    return TreeArrays(feature, threshold)


def empty_forest(trees: int, height: int) -> ForestArrays:
    """A forest that has learned nothing."""
    return ForestArrays(
        head=np.zeros(FOREST_HEAD, np.int64),
        mass=np.zeros((trees, 1 << height), np.int32),
        table=np.zeros((trees, 1 << height), np.int32),
        walk=np.zeros((2, (1 << (height + 1)) - 1), np.int32),
    )


def empty_model(params: HalfSpaceTreesParams, features: int) -> ModelArrays:
    """A guarded forest that has learned nothing."""
    return ModelArrays(
        head=np.zeros(MODEL_HEAD, np.int64),
        forest=empty_forest(params.trees, params.height),
        typical=np.zeros(features),
        histogram=np.zeros(BUCKETS, np.int64),
        below=np.zeros(BUCKETS + 1, np.int64),
    )


class HalfSpaceTrees:
    """Half-Space Trees alone: rows of features between 0 and 1, each scored, then learned whatever its score.

    Scores are River's (`1 - mass / greatest mass`), to the bit, on the same trees; NaN where River says 0 for "not
    known": before the first window is complete. A row that is not finite is NaN and teaches nothing.

    >>> forest = HalfSpaceTrees(HalfSpaceTreesParams(trees=5, height=3, window=3), features=1)
    >>> rows = np.array([[0.5], [0.45], [0.43], [0.44], [0.445], [0.0]])
    >>> [round(score, 3) for score in forest.score_learn(rows).tolist()]
    [nan, nan, nan, 0.16, 0.16, 0.8]
    """

    def __init__(self, params: HalfSpaceTreesParams, features: int, trees: TreeArrays | None = None) -> None:
        self.params = params
        if trees is None:
            trees = build_trees(params.trees, params.height, (1.0,) * features, params.seed)
        self.trees = trees
        self.forest = empty_forest(params.trees, params.height)

    def score_learn(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score each row of shape (n, features), then learn it."""
        scores = np.empty(len(rows))
        totals = np.empty(len(rows), np.int64)
        score_learn(self.trees, self.forest, self.params.height, self.params.window, rows, scores, totals)
        return scores


class TableTrees:
    """Half-Space Trees over any numeric table in file order: clipped running z-scores, a guard, a quantile.

    The running mean and variance of each column move with every row that teaches, by 1/n and at least by 0.001.
    Every row that has a score enters the histogram of quantiles, guarded or not.

    >>> rows = np.random.default_rng(1).normal(size=(2_000, 3))
    >>> rows[1_500] = 9.0
    >>> detector = TableTrees(HalfSpaceTreesParams(), features=3)
    >>> scores, quantiles, guarded = detector.score_learn(rows)
    >>> int(np.nanargmax(scores)), bool(guarded[1_500]), bool(np.isnan(scores[:250]).all())
    (1500, True, True)
    """

    def __init__(self, params: HalfSpaceTreesParams, features: int) -> None:
        self.params = params
        self.trees = build_trees(params.trees, params.height, (1.0,) * features, params.seed)
        self.model = empty_model(params, features)
        self.running = RunningArrays(np.zeros(1, np.int64), np.zeros(features), np.zeros(features))
        self._edges = score_edges()

    def score_learn(
        self, rows: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Score each row of shape (n, features), then learn it unless it is guarded: score, quantile, guarded.

        NaN is not yet known, or not finite.
        """
        scores, quantiles, guarded = np.empty(len(rows)), np.empty(len(rows)), np.empty(len(rows), np.bool_)
        room, leaf, counted = (
            np.empty((1, rows.shape[1])),
            np.empty((1, self.params.trees), np.uint16),
            np.ones(1, np.bool_),
        )
        assess_table(
            self.trees, self.model, self.params.learned, self.running, self.params.clip, _TYPICAL_ALPHA, self._edges,
            rows, room, leaf, scores, quantiles, guarded, counted,
        )  # fmt: skip
        return scores, quantiles, guarded
