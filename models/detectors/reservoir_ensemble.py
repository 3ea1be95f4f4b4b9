"""How strange a table's row is to four detectors at once, beside a guarded sample of the rows before it."""

from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.kernels.covariance import WIDEST, CovarianceArrays
from models.kernels.isolation import LEAF, IsolationArrays
from models.kernels.reservoir_ensemble import (
    HEAD,
    NEAREST,
    NEXT_FIT,
    PROBATION,
    VIEWS,
    WAITING,
    EnsembleArrays,
    EnsembleLearned,
    assess_rows,
)
from models.kernels.run_guard import LEVELS, GuardArrays
from models.thresholds.tail import empty_tail

_LONGEST = 1_024


class ReservoirEnsembleParams(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reservoir_ensemble"
):
    """Parameters."""

    kept: Annotated[int, msgspec.Meta(ge=32, le=65_536)] = 1_024
    among: Annotated[int, msgspec.Meta(ge=16, le=65_536)] = 512
    trees: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100
    sample: Annotated[int, msgspec.Meta(ge=2, le=4_096)] = 256
    trim: Annotated[float, msgspec.Meta(ge=0, le=0.4)] = 0.1
    turnover: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.2
    first: Annotated[int, msgspec.Meta(ge=8)] = 16
    warm_up: Annotated[int, msgspec.Meta(ge=20)] = 100
    guard: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.9997
    accept_after: Annotated[int, msgspec.Meta(ge=1)] = 5_000
    seed: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 2)] = 1

    @property
    def learned(self) -> EnsembleLearned:
        """What the kernels need of them."""
        return EnsembleLearned(
            self.first, self.among, self.sample, self.turnover, self.trim, 1.0 - self.guard, 0.001, self.warm_up,
            self.accept_after, _LONGEST,
        )  # fmt: skip


def empty_ensemble(params: ReservoirEnsembleParams, features: int) -> EnsembleArrays:
    """An ensemble that has learned nothing."""
    nodes = 2 * params.sample
    arrays = EnsembleArrays(
        head=np.zeros(HEAD, np.int64),
        state=np.array([params.seed]),
        rows=np.zeros((params.kept, features)),
        scaled=np.zeros((params.kept, features)),
        columns=np.zeros((features, params.kept)),
        centre=np.zeros(features),
        spread=np.ones(features),
        width=np.zeros(features),
        pending=np.zeros((PROBATION, features)),
        pending_beyond=np.ones(PROBATION),
        waiting=np.zeros((WAITING, features)),
        trees=IsolationArrays(
            np.full((params.trees, nodes), LEAF, np.int32),
            np.zeros((params.trees, nodes)),
            np.zeros((params.trees, nodes), np.int32),
        ),
        covariance=CovarianceArrays(
            np.zeros(features), np.zeros((features if features <= WIDEST else 1, features)), np.zeros(features)
        ),
        mean=np.zeros(VIEWS),
        square=np.zeros(VIEWS),
        says=np.zeros(VIEWS),
        row=np.zeros(features),
        row_scaled=np.zeros(features),
        near=np.zeros(NEAREST),
        guard=GuardArrays(
            np.zeros(1, np.int64), np.zeros(2), np.zeros(len(LEVELS)), np.array(LEVELS), np.zeros(len(LEVELS), np.bool_)
        ),
        usual=empty_tail(),
        usual_furthest=empty_tail(),
        told=empty_tail(),
    )
    arrays.head[NEXT_FIT] = params.first
    return arrays


class ReservoirEnsemble:
    """`ReservoirEnsembleParams` over rows of some columns.

    >>> rows = np.random.default_rng(1).normal(size=(2_000, 3))
    >>> rows[1_500] = 9.0
    >>> scores, quantiles = ReservoirEnsemble(ReservoirEnsembleParams(), features=3).score_learn(rows)
    >>> int(np.nanargmax(scores)), bool(quantiles[1_500] > 0.999), int(np.isnan(scores).sum())
    (1500, True, 22)
    """

    def __init__(self, params: ReservoirEnsembleParams, features: int) -> None:
        self.params = params
        self.arrays = empty_ensemble(params, features)

    def score_learn(
        self, rows: NDArray[np.float64], times: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score each row of shape (n, features), then learn it: scores and quantiles, NaN where not known."""
        scores, quantiles = np.empty(len(rows)), np.empty(len(rows))
        assess_rows(self.arrays, self.params.learned, np.ascontiguousarray(rows, np.float64), scores, quantiles)
        return scores, quantiles
