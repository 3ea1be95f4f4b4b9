"""Every detector that scores a table: by its name, and the two that `default` stands for."""

from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from models.detectors.half_space_trees import HalfSpaceTreesParams, TableTrees
from models.detectors.return_levels import ReturnLevels, ReturnLevelsParams
from models.detectors.table_ewma import TableEwma, TableEwmaParams
from models.kernels.tail import tail_follow
from models.thresholds.tail import empty_tail

TableParams = TableEwmaParams | HalfSpaceTreesParams | ReturnLevelsParams
PARAMS: Final[Mapping[str, type[TableParams]]] = {
    "ewma": TableEwmaParams,
    "half_space_trees": HalfSpaceTreesParams,
    "return_levels": ReturnLevelsParams,
}
"""The parameters of each, by the name of its type."""


class TableDetector(Protocol):
    """Scores rows in their order, each before it is learned."""

    def score_learn(
        self, rows: NDArray[np.float64], times: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores and quantiles of the rows that follow, of shape (n, features); NaN where not known.

        Any chunking of a table gives the same. `times` are microseconds UTC, of shape (n,), if anybody knows them.
        """


class _Trees:
    """`TableTrees`, with quantiles that are never tied."""

    def __init__(self, params: HalfSpaceTreesParams, features: int) -> None:
        self._trees = TableTrees(params, features)
        self._warm_up = params.warm_up
        self._tail = empty_tail()

    def score_learn(
        self, rows: NDArray[np.float64], times: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        scores = self._trees.score_learn(np.ascontiguousarray(rows))[0]
        quantiles = np.empty(len(rows))
        tail_follow(self._tail, 1.0 / np.maximum(1.0 - scores, 1e-6), self._warm_up, quantiles)
        return scores, quantiles


def default_params(features: int) -> TableParams:
    """What `default` stands for: one configuration for a single series, one for a table of features."""
    return ReturnLevelsParams() if features == 1 else HalfSpaceTreesParams()


def detector_of(params: TableParams, features: int) -> TableDetector:
    """A detector that has learned nothing yet."""
    if isinstance(params, TableEwmaParams):
        return TableEwma(params, features)
    if isinstance(params, ReturnLevelsParams):
        return ReturnLevels(params, features)
    return _Trees(params, features)
