"""How strange closed minutes of behaviour are: a forest or an ensemble of one shard, in the same steps."""

from functools import lru_cache
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.detectors.half_space_trees import HalfSpaceTreesParams, build_trees, empty_model
from models.detectors.reservoir_ensemble import (
    ReservoirEnsembleParams,
    empty_ensemble,
    ensemble_tables,
    regrown,
)
from models.features.behaviour import carrying, weights
from models.kernels.behaviour import BEHAVIOURS
from models.kernels.close_behaviour import ClosedArrays
from models.kernels.direct import direct
from models.kernels.forest import GUARDED, LEARNED, MODEL_HEAD, assess_windows, explain, halve_rarity, learn_windows
from models.kernels.half_space_trees import TreeArrays
from models.kernels.reasons import REASON_FIELDS, REASONS
from models.kernels.reservoir_ensemble import assess_rows, explain_rows

BehaviourParams = HalfSpaceTreesParams | ReservoirEnsembleParams
"""Every detector of behaviour."""

_HALVE, _ASSESS, _LEARN, _EXPLAIN = direct(halve_rarity), direct(assess_windows), direct(learn_windows), direct(explain)
_ASSESS_ROWS, _EXPLAIN_ROWS = direct(assess_rows), direct(explain_rows)
_HEAD: Final = "model.head"


class BehaviourScores(Protocol):
    """Scores the described windows of a minute by the model before them, and learns them."""

    def halve(self, halvings: int) -> None:
        """So many half-lives have ended."""

    def assess(self, w: ClosedArrays) -> None:
        """Write score, height, quantile and guarded of all windows; NaN is not yet known."""

    def explain(self, w: ClosedArrays, which: NDArray[np.int64], reasons: NDArray[np.float64]) -> None:
        """Write the reasons of steps: `which` window each is of, -1 for none; `reasons` are -1 before."""

    def learn(self, w: ClosedArrays) -> None:
        """Learn the windows that are not guarded, as far as `assess` has not."""

    def tables(self) -> dict[str, NDArray[Any]]:
        """What is saved, by name, as it lies there."""

    def restored(self) -> None:
        """What was saved is there again."""


@lru_cache(maxsize=16)
def _trees(params: HalfSpaceTreesParams, dimension: int) -> TreeArrays:
    return build_trees(params.trees, params.height, weights(dimension), params.seed)


class Forest:
    """Half-Space Trees: all windows of a minute are scored, then learned."""

    def __init__(self, params: HalfSpaceTreesParams, dimension: int, edges: NDArray[np.float64]) -> None:
        self.params = params.learned
        self.trees = _trees(params, dimension)
        self.model = empty_model(params, BEHAVIOURS)
        self._edges = edges
        self._leaf = np.empty((0, params.trees), np.uint16)
        self._room = np.empty((1, BEHAVIOURS)), np.empty((1, params.trees), np.uint16)

    def halve(self, halvings: int) -> None:
        """The histogram of scores is halved."""
        _HALVE(self.model, halvings)

    def assess(self, w: ClosedArrays) -> None:
        """Nothing is learned; the leaves are kept for `learn`."""
        self._leaf = np.empty((len(w.x), len(self.trees.feature)), np.uint16)
        _ASSESS(
            self.trees, self.model, self.params, self._edges, w.x, self._leaf, w.score, w.quantile, w.guarded
        )  # fmt: skip
        np.divide(1.0, 1.0 - w.score, out=w.height)

    def explain(self, w: ClosedArrays, which: NDArray[np.int64], reasons: NDArray[np.float64]) -> None:
        """By the model as it scored."""
        _EXPLAIN(self.trees, self.model, self.params, w.x, which, *self._room, reasons)

    def learn(self, w: ClosedArrays) -> None:
        """In their order."""
        _LEARN(self.model, self.params, self._edges, w.x, self._leaf, w.score, w.guarded, w.counted)

    def tables(self) -> dict[str, NDArray[Any]]:
        """The trees are made anew."""
        model = self.model
        found = {f"model.{name}": getattr(model, name) for name in model._fields if name != "forest"}
        return found | {f"forest.{name}": getattr(model.forest, name) for name in ("head", "mass", "table")}

    def restored(self) -> None:
        """Nothing else hangs on it."""


class Ensemble:
    """A reservoir ensemble: each window is scored by all before it, also those of its own minute.

    So the same rows in the same order have the same scores in a table (`lapwing score --detector default`). A row is
    the features of `columns`: what weighs little in a forest would here count as much as the rest.
    """

    def __init__(self, params: ReservoirEnsembleParams, dimension: int) -> None:
        self._params, self.params = params, params.learned
        self.columns = carrying(dimension)
        self.head = np.zeros(MODEL_HEAD, np.int64)
        self.arrays = empty_ensemble(params, len(self.columns))
        self._rows = np.empty((0, len(self.columns)))
        self._room = np.empty(len(self.columns))

    def halve(self, halvings: int) -> None:
        """It forgets by rows, not by time."""

    def assess(self, w: ClosedArrays) -> None:
        """And learn what its own guard lets through."""
        self._rows = np.ascontiguousarray(w.x[:, self.columns])
        _ASSESS_ROWS(self.arrays, self.params, self._rows, w.score, w.quantile, w.guarded)
        w.height[:] = w.score

    def explain(self, w: ClosedArrays, which: NDArray[np.int64], reasons: NDArray[np.float64]) -> None:
        """By the model at the end of the minute."""
        _EXPLAIN_ROWS(self.arrays, self.params, self._rows, self.columns, which, self._room, reasons)

    def learn(self, w: ClosedArrays) -> None:
        """Only count: the rows are learned, or were refused."""
        guarded = int(np.count_nonzero(w.guarded))
        self.head[GUARDED] += guarded
        self.head[LEARNED] += len(w.guarded) - guarded

    def tables(self) -> dict[str, NDArray[Any]]:
        """Without what `restored` makes of it."""
        return {_HEAD: self.head} | {f"ensemble.{name}": one for name, one in ensemble_tables(self.arrays).items()}

    def restored(self) -> None:
        """Trees grow as they had grown."""
        regrown(self.arrays, self._params)


def behaviour_scores(params: BehaviourParams, dimension: int, edges: NDArray[np.float64]) -> BehaviourScores:
    """What scores the behaviour of one shard, before it has learned."""
    if isinstance(params, ReservoirEnsembleParams):
        return Ensemble(params, dimension)
    return Forest(params, dimension, edges)


def score_bytes(params: BehaviourParams, dimension: int) -> int:
    """What one shard takes beside what its entities take.

    >>> score_bytes(HalfSpaceTreesParams(), 3) // 1024, score_bytes(ReservoirEnsembleParams(), 3) // 1024
    (70, 1039)
    """
    if isinstance(params, ReservoirEnsembleParams):
        return _bytes(empty_ensemble(params, len(carrying(dimension))))
    return _bytes(empty_model(params, BEHAVIOURS))


def _bytes(arrays: tuple[Any, ...]) -> int:
    return sum(_bytes(one) if isinstance(one, tuple) else one.nbytes for one in arrays)


def no_reasons(steps: int) -> NDArray[np.float64]:
    """Room for the reasons of so many steps, none yet."""
    return np.full((steps, REASONS, REASON_FIELDS), -1.0)
