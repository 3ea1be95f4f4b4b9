"""How far a table's row is from the running means of its columns."""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.kernels.standardise import RunningArrays
from models.kernels.table_ewma import assess_by_ewma
from models.thresholds.tail import empty_tail


class TableEwmaParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ewma"):
    """Exponentially weighted mean and variance of each column: the plain reference, and the fastest.

    A row's score is the largest distance of one of its values from the column's mean, in standard deviations. Mean and
    variance move by `alpha` with every row that is learned (by 1/n while there are few). There is a score after
    `warm_up` learned rows, a quantile after as many scores. A row at or above the quantile `guard` is not learned,
    unless `accept_after` rows before it were not either: a new level is learned then.

    When it fails: a season is strange each time it turns; columns that are strange only together are not seen; a
    slow drift is learned.

    Source: West, Updating mean and variance estimates (1979).
    """

    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.005
    warm_up: Annotated[int, msgspec.Meta(ge=2)] = 50
    guard: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.999
    accept_after: Annotated[int, msgspec.Meta(ge=0)] = 200


class TableEwma:
    """`TableEwmaParams` over rows of some columns; a row with a value that is not finite is NaN and teaches nothing.

    Cost: some 5 ns a value and 200 ns a row; 17 KB.

    >>> rows = np.random.default_rng(1).normal(size=(2_000, 3))
    >>> rows[1_500] = 9.0
    >>> scores, quantiles = TableEwma(TableEwmaParams(), features=3).score_learn(rows, None)
    >>> int(np.nanargmax(scores)), bool(quantiles[1_500] > 0.999), bool(np.isnan(scores[:50]).all())
    (1500, True, True)
    """

    def __init__(self, params: TableEwmaParams, features: int) -> None:
        self.params = params
        self.running = RunningArrays(np.zeros(1, np.int64), np.zeros(features), np.zeros(features))
        self.tail = empty_tail()
        self._kept_out = np.zeros(1, np.int64)

    def score_learn(
        self, rows: NDArray[np.float64], times: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score each row of shape (n, features), then learn it: scores and quantiles, NaN where not known."""
        its = self.params
        scores, quantiles = np.empty(len(rows)), np.empty(len(rows))
        assess_by_ewma(
            self.running, self.tail, self._kept_out, its.alpha, its.warm_up, its.guard, its.accept_after,
            np.ascontiguousarray(rows), scores, quantiles,
        )  # fmt: skip
        return scores, quantiles
