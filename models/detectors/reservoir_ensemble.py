"""How strange a table's row is to four detectors at once, beside a guarded sample of the rows before it."""

from typing import Annotated, Any, Final, Literal

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
    regrow,
)
from models.kernels.run_guard import LEVELS, GuardArrays
from models.thresholds.tail import empty_tail

_LONGEST = 1_024
_NOT_SAVED: Final = ("across", "away", "trees", "says", "row", "row_scaled", "near", "room")
"""Room for a row, and what `regrow` makes of the rest."""


class ReservoirEnsembleParams(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reservoir_ensemble"
):
    """Four views of a row, each beside a sample of the rows before it, behind a guard that knows runs.

    In the live flow `over` says what a row is: how an entity behaved in a closed minute, with an ensemble for each
    shard; or what a tenant's closed minute is made of, with an ensemble for each tenant.

    `kept` rows are a sample of those that taught: the n-th enters with probability kept / n, at least `turnover`, in
    the place of any. Whenever a tenth more have taught (at least `first`, at most 1,024) all views are fitted to them
    anew, on columns as z-scores z of which the sign and log(1 + |z|) are taken. The first fit is at `first` rows.

    1. isolation: the mean path in `trees` isolation trees of `sample` rows each;
    2. neighbours: the distance to the fifth nearest of `among` kept rows;
    3. covariance: Mahalanobis' distance, by a covariance without the `trim` furthest rows, shrunk where columns are
       many; beyond 512 columns by variances alone;
    4. columns: how far out in its column each value is, and, with as much weight, how few values lie near it.

    What a view says is put into standard deviations of what it lately (1,000 rows) said of rows that taught, less while
    few have; the score is (mean of exp(z / 2)) squared, so that one view that is sure outweighs others that are not.
    About 1 is usual.

    A row does not teach when its score, or the larger of views 2 and 3 alone, is beyond the quantile `guard` of usual
    rows, by an extrapolated tail, once `warm_up` of them are known; or while a run goes on, if it is among the rarest
    20 % (of the last 64 or so rows 85 % were, or 40 % were among the rarest 5 %, and that share had risen by 0.2, or
    0.3, over the last 512). A row waits for 64 others before it teaches, or a tenth of those that have taught, so that
    the beginning of a run is left out as well. A row in a thousand that is refused still counts in the guard's
    histogram.

    While a run goes on, every row's score is lifted, whatever the row is like: to the root of the sum of its square and
    that of the score which the rarest 2 % of usual rows reach. In full once 75 % of the last 64 or so rows are among
    the rarest 20 %, or 40 % among the rarest 5 %; not at all below 40 % and 15 %; and the less, the nearer the run is
    to being accepted. So the first ten or so rows of a run are not lifted, and some hundred after its end still are.

    What is refused is learned late: when `accept_after` more rows were refused than a tenth of those let through. Then
    256 of them take the places of any kept rows, and the guard is open for 300 rows.

    `entity_accept_after` and `half_life` are of the live flow alone: an entity whose minutes were all refused for so
    long teaches all the same what is usual for itself (what it does to the sample is left to the guard); the histogram
    of events' scores is halved every `half_life`.

    A row with values missing (or not finite) is scored by those that are there, and changes nothing.

    When it fails: anomalies that are mixed into the data from the beginning, alike, and more than some percent, are
    normal to every view but the first; a sudden and lasting change is called strange for `accept_after` rows, a fast
    drift may be taken for a run; a run of rows that are hardly strange one by one is learned; a usual row in a run is
    lifted with it; rows before the first fit, and anomalies that come first of all, cannot be known. All columns count
    alike: of hundreds, few that matter are diluted; a column that is the same in all rows so far makes the first others
    very strange. A table in which no row is complete teaches nothing. Of how entities behave `half_space_trees` tells
    more (docs/quality.md).

    Cost: for ten columns 12 microseconds a row and 1.2 MB; for 400 columns 2 ms and 13 MB. A row costs
    `among` times columns, columns squared and `trees` times 8; a fit `kept` times columns squared.

    Sources: Liu, Ting and Zhou, Isolation forest (2008); Ramaswamy, Rastogi and Shim, Efficient algorithms for mining
    outliers (2000); Rousseeuw and Van Driessen, A fast algorithm for the minimum covariance determinant estimator
    (1999), of which two concentration steps are taken; Li et al., ECOD (2022), and Goldstein and Dengel, HBOS (2012),
    for the columns; Vitter, Random sampling with a reservoir (1985). The combination and the guard are our own.
    """

    id: str = "behaviour"
    over: Literal["behaviour", "tenants"] = "behaviour"
    kept: Annotated[int, msgspec.Meta(ge=32, le=65_536)] = 1_024
    among: Annotated[int, msgspec.Meta(ge=16, le=65_536)] = 512
    trees: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100
    sample: Annotated[int, msgspec.Meta(ge=2, le=4_096)] = 256
    trim: Annotated[float, msgspec.Meta(ge=0, le=0.4)] = 0.1
    turnover: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.2
    first: Annotated[int, msgspec.Meta(ge=4)] = 8
    warm_up: Annotated[int, msgspec.Meta(ge=20)] = 100
    guard: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.9997
    accept_after: Annotated[int, msgspec.Meta(ge=1)] = 5_000
    seed: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 2)] = 1
    entity_accept_after: str = "3h"
    half_life: str = "7d"

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
        across=np.zeros((features, min(params.among, params.kept))),
        away=np.zeros(min(params.among, params.kept)),
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
        grown=np.zeros(1, np.int64),
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


def ensemble_tables(arrays: EnsembleArrays) -> dict[str, NDArray[Any]]:
    """What an ensemble is saved as, by name, as it lies there: less than a third of it.

    >>> tables = ensemble_tables(empty_ensemble(ReservoirEnsembleParams(), 10))
    >>> sum(array.nbytes for array in tables.values()) // 1024
    317
    """
    found: dict[str, NDArray[Any]] = {}
    for name, array in arrays._asdict().items():
        parts = array._asdict() if isinstance(array, tuple) else {"": array}  # type: ignore[attr-defined]
        found |= {f"{name}.{part}".rstrip("."): one for part, one in parts.items() if part not in _NOT_SAVED}
    return {name: array for name, array in found.items() if name.partition(".")[0] not in _NOT_SAVED}


def regrown(arrays: EnsembleArrays, params: ReservoirEnsembleParams) -> None:
    """Make what `ensemble_tables` leaves out of what it gave."""
    regrow(arrays, params.learned)


class ReservoirEnsemble:
    """`ReservoirEnsembleParams` over rows of some columns: scores from the 11th row on, quantiles 100 rows later.

    The score is at least 0 and finite, the quantile the share of all scores before, extrapolated, so never 1.

    >>> rows = np.random.default_rng(1).normal(size=(2_000, 3))
    >>> rows[1_500] = 9.0
    >>> scores, quantiles = ReservoirEnsemble(ReservoirEnsembleParams(), features=3).score_learn(rows)
    >>> int(np.nanargmax(scores)), bool(quantiles[1_500] > 0.999), int(np.isnan(scores).sum())
    (1500, True, 10)
    """

    def __init__(self, params: ReservoirEnsembleParams, features: int) -> None:
        self.params = params
        self.arrays = empty_ensemble(params, features)

    def score_learn(
        self, rows: NDArray[np.float64], times: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score each row of shape (n, features), then learn it: scores and quantiles, NaN where not known."""
        scores, quantiles, refused = np.empty(len(rows)), np.empty(len(rows)), np.empty(len(rows), np.bool_)
        rows = np.ascontiguousarray(rows, np.float64)
        assess_rows(self.arrays, self.params.learned, rows, scores, quantiles, refused)
        return scores, quantiles
