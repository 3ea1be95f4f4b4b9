"""Four views of a row beside a guarded sample of the rows before it, on one scale."""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.columns_of_rows import density_rarity, tail_rarity
from models.kernels.covariance import CovarianceArrays, distance, fit_covariance
from models.kernels.draw import below, draw
from models.kernels.isolation import IsolationArrays, expected_path, grow, path
from models.kernels.kernel import inlined, kernel
from models.kernels.reasons import take_reason
from models.kernels.run_guard import REFUSED, GuardArrays, counts, evidence, in_run, open_guard, refuses
from models.kernels.tail import TailArrays, tail_beyond, tail_count, tail_halve, tail_score

ISOLATION, NEIGHBOURS, COVARIANCE, TAILS, DENSITIES = range(5)
VIEWS: Final = 5
_WEIGHTS: Final = (0.25, 0.25, 0.25, 0.125, 0.125)  # the two views of single columns are one of four
NEAREST: Final = 5
PROBATION: Final = 64  # rows that wait before they teach, at most a tenth of those that have
WAITING: Final = 256  # of the rows refused, kept to be learned if they are accepted
_LARGEST: Final = 1e150  # a value beyond it counts as it: its square is finite
_FURTHEST: Final = 27.0  # deviations that a view says at most
_NEAREST_Z: Final = -3.0
_VIEW_ALPHA: Final = 0.001
_ROBUST_AFTER: Final = 50  # rows; from then on one moves a view's moments by at most _ROBUST deviations
_ROBUST: Final = 6.0
_SCALED_AFTER: Final = 2
_UNSURE: Final = 10.0  # rows as which 'usual' counts in a view's deviations while few are known
_OPEN_ROWS: Final = 300
RUN_SHARE: Final = 0.02  # a row of a run is at least as strange as the rarest such share of usual rows

(TAUGHT, KEPT, NEXT_FIT, FITTED, SAMPLE, VIEWED, FIRST, PENDING, REFUSED_KEPT) = range(9)  # places in head
HEAD: Final = 9


class EnsembleLearned(NamedTuple):
    """What the arithmetic needs from the parameters."""

    first: int
    among: int
    sample: int
    turnover: float
    trim: float
    alone: float
    tokens: float
    warm_up: int
    accept_after: int
    longest: int  # rows that teach between two fits


class EnsembleArrays(NamedTuple):
    """All that is learned of F columns, from R kept rows."""

    head: NDArray[np.int64]
    state: NDArray[np.int64]  # (1,) of random draws
    rows: NDArray[np.float64]  # (R, F)
    scaled: NDArray[np.float64]  # (R, F) at the last fit
    across: NDArray[np.float64]  # (F, among) the first of them, column by column
    away: NDArray[np.float64]  # (among,) square differences of the row at hand
    columns: NDArray[np.float64]  # (F, R) sorted, at the last fit
    centre: NDArray[np.float64]  # (F,)
    spread: NDArray[np.float64]
    width: NDArray[np.float64]
    pending: NDArray[np.float64]  # (PROBATION, F) ring of rows that are about to teach
    pending_beyond: NDArray[np.float64]  # (PROBATION,)
    waiting: NDArray[np.float64]  # (WAITING, F)
    trees: IsolationArrays
    grown: NDArray[np.int64]  # (1,) `state` before the trees were grown
    covariance: CovarianceArrays
    mean: NDArray[np.float64]  # (VIEWS,)
    square: NDArray[np.float64]
    says: NDArray[np.float64]  # (VIEWS,) of the row at hand
    row: NDArray[np.float64]  # (F,) the row at hand, as it is and scaled
    row_scaled: NDArray[np.float64]
    near: NDArray[np.float64]  # (NEAREST,)
    guard: GuardArrays
    usual: TailArrays  # of the scores of rows that teach
    usual_furthest: TailArrays  # of their greatest deviation
    told: TailArrays  # of all scores


@inlined
def _scaled(x: float, centre: float, spread: float) -> float:
    z = (x - centre) / spread
    return math.copysign(math.log1p(abs(z)), z)


@inlined
def _neighbours(e: EnsembleArrays, among: int) -> float:
    """Mean square difference per column to the fifth nearest of the kept rows."""
    for k in range(NEAREST):
        e.near[k] = np.inf
    away = e.away
    for r in range(among):
        away[r] = 0.0
    for f in range(len(e.row_scaled)):  # column by column: several rows at once
        x = e.row_scaled[f]
        column = e.across[f]
        for r in range(among):
            away[r] += (x - column[r]) * (x - column[r])
    for r in range(among):
        if away[r] < e.near[NEAREST - 1]:
            k = NEAREST - 1
            while k > 0 and e.near[k - 1] > away[r]:
                e.near[k] = e.near[k - 1]
                k -= 1
            e.near[k] = away[r]
    return e.near[min(NEAREST, among) - 1] / len(e.row_scaled)


@kernel
def look(e: EnsembleArrays, p: EnsembleLearned, row: NDArray[np.float64]) -> int:
    """What each view says of a row; how many of its values are there. A missing one is at the centre of its column."""
    there = 0
    tails = densities = 0.0
    for f in range(len(row)):
        e.row_scaled[f] = 0.0
        if row[f] - row[f] != 0.0:
            continue
        there += 1
        x = min(max(row[f], -_LARGEST), _LARGEST)
        e.row[f] = x
        if e.head[FITTED]:
            e.row_scaled[f] = _scaled(x, e.centre[f], e.spread[f])
            tails += tail_rarity(e.columns[f], e.head[FITTED], x)
            densities += density_rarity(e.columns[f], e.head[FITTED], x, e.width[f])
    if there == 0 or not e.head[FITTED]:
        return there
    e.says[ISOLATION] = -path(e.trees, e.row_scaled) / expected_path(e.head[SAMPLE])
    e.says[NEIGHBOURS] = 0.5 * math.log(_neighbours(e, min(p.among, e.head[FITTED])) + 1e-4)
    e.says[COVARIANCE] = math.log(distance(e.covariance, e.row_scaled) + 1e-2)
    e.says[TAILS] = math.log(tails / there + 0.1)
    e.says[DENSITIES] = densities / there
    return there


@inlined
def deviation(e: EnsembleArrays, view: int) -> float:
    """How far what a view says is from what it says of usual rows, in standard deviations."""
    z = (e.says[view] - e.mean[view]) / math.sqrt(e.square[view] + 1e-6)
    sure = e.head[VIEWED] / (e.head[VIEWED] + _UNSURE)
    return sure * min(max(z, _NEAREST_Z), _FURTHEST)


@inlined
def score_of(e: EnsembleArrays) -> float:
    """The views' deviations as one: (the mean of exp(z / 2)) squared, so that one far view outweighs an indifferent."""
    total = 0.0
    for view in range(VIEWS):
        total += _WEIGHTS[view] * math.exp(0.5 * deviation(e, view))
    return total * total


@inlined
def lifted(e: EnsembleArrays, p: EnsembleLearned, score: float) -> float:
    """A score and what a run says of all its rows, as the legs of a triangle: what is strange by itself hardly moves.

    No row is lifted far above the rarest `RUN_SHARE`, so that a lasting change hides no row that is strange by itself.
    """
    sure = evidence(e.guard, p.accept_after)
    return score if sure == 0.0 else math.hypot(score, sure * tail_score(e.usual, RUN_SHARE))


@kernel
def learn_views(e: EnsembleArrays) -> None:
    """Move each view's mean and variance by what it said."""
    e.head[VIEWED] += 1
    weight = max(1.0 / e.head[VIEWED], _VIEW_ALPHA)
    for view in range(VIEWS):
        away = e.says[view] - e.mean[view]
        if e.head[VIEWED] > _ROBUST_AFTER:
            most = _ROBUST * math.sqrt(e.square[view] + 1e-6)
            away = min(max(away, -most), most)
        e.mean[view] += weight * away
        e.square[view] = (1.0 - weight) * (e.square[view] + weight * away * away)


@kernel
def keep(e: EnsembleArrays, p: EnsembleLearned) -> None:
    """The rows whose probation is over: kept in the place of others, unless a run has begun that they belong to."""
    while e.head[PENDING] > 0 and (e.head[PENDING] == PROBATION or e.head[PENDING] > 0.1 * e.head[TAUGHT]):
        at = e.head[FIRST]
        e.head[FIRST] = (at + 1) % PROBATION
        e.head[PENDING] -= 1
        if in_run(e.guard, e.pending_beyond[at]):
            continue
        e.head[TAUGHT] += 1
        place = -1
        if e.head[KEPT] < len(e.rows):
            place = e.head[KEPT]
            e.head[KEPT] += 1
        elif draw(e.state) < max(len(e.rows) / e.head[TAUGHT], p.turnover):
            place = below(e.state, len(e.rows))
        if place >= 0:
            for f in range(e.rows.shape[1]):
                e.rows[place, f] = e.pending[at, f]


@kernel
def refuse(e: EnsembleArrays) -> None:
    """Keep a sample of what is refused, evenly over how long it lasts."""
    if e.guard.level[REFUSED] <= 1.0:
        e.head[REFUSED_KEPT] = 0
    place = e.head[REFUSED_KEPT]
    if place < WAITING:
        e.head[REFUSED_KEPT] += 1
    else:
        place = below(e.state, max(int(e.guard.level[REFUSED]), 1))
    if place < WAITING:
        for f in range(e.rows.shape[1]):
            e.waiting[place, f] = e.row[f]


@kernel
def accept(e: EnsembleArrays) -> None:
    """What was refused for so long is the new normal."""
    for k in range(e.head[REFUSED_KEPT]):
        place = below(e.state, e.head[KEPT])
        for f in range(e.rows.shape[1]):
            e.rows[place, f] = e.waiting[k, f]
    e.head[REFUSED_KEPT] = 0
    e.head[NEXT_FIT] = e.head[TAUGHT]
    e.head[VIEWED] = min(e.head[VIEWED], _ROBUST_AFTER)
    open_guard(e.guard, _OPEN_ROWS)
    tail_halve(e.usual)
    tail_halve(e.usual_furthest)


@njit(cache=True, nogil=True)
def _grow(e: EnsembleArrays, p: EnsembleLearned, kept: int, state: NDArray[np.int64]) -> None:
    """The neighbours and trees of so many rows that are scaled."""
    for f in range(e.rows.shape[1]):
        for r in range(min(p.among, kept)):
            e.across[f, r] = e.scaled[r, f]
    grow(e.trees, e.scaled, kept, e.head[SAMPLE], state)


@njit(cache=True, nogil=True)
def fit(e: EnsembleArrays, p: EnsembleLearned) -> None:
    """Fit every view to the kept rows."""
    kept = e.head[KEPT]
    for f in range(e.rows.shape[1]):
        column = np.sort(e.rows[:kept, f])
        e.columns[f, :kept] = column
        middle = column[kept // 2]
        if column[0] == column[-1]:  # a constant that is not what it was is strange, by a thousandth of itself
            e.centre[f], e.spread[f] = middle, max(abs(middle), 1e-9) * 1e-3
            e.width[f] = 1e-3 * e.spread[f]
        else:
            quartiles = (column[(3 * kept) // 4] - column[kept // 4]) / 1.349
            e.centre[f], e.spread[f] = column.mean(), max(column.std(), 1e-200)
            e.width[f] = (min(quartiles, e.spread[f]) if quartiles > 0.0 else e.spread[f]) * kept ** (-1.0 / 3.0)
        for r in range(kept):
            e.scaled[r, f] = _scaled(e.rows[r, f], e.centre[f], e.spread[f])
    e.head[SAMPLE] = min(p.sample, kept)
    e.grown[0] = e.state[0]
    _grow(e, p, kept, e.state)
    fit_covariance(e.covariance, e.scaled[:kept], p.trim)
    e.head[FITTED] = kept
    e.head[NEXT_FIT] = e.head[TAUGHT] + min(max(p.first, e.head[TAUGHT] // 10), p.longest)


@kernel
def assess_row(e: EnsembleArrays, p: EnsembleLearned, row: NDArray[np.float64]) -> tuple[float, float, bool]:
    """A row's score and quantile by the rows before it, NaN is not yet known; then it is learned, or inert, or refused.

    Whether it was refused comes last.
    """
    there = look(e, p, row)
    score = told = quantile = np.nan
    if there > 0 and e.head[VIEWED] >= _SCALED_AFTER:
        score = told = score_of(e)
    beyond = 1.0
    refused = False
    furthest = 0.0
    if score == score:
        if there == len(row):
            furthest = math.exp(max(deviation(e, NEIGHBOURS), deviation(e, COVARIANCE)))
            beyond = min(tail_beyond(e.usual, score), tail_beyond(e.usual_furthest, furthest))
            if e.usual.total[0] >= p.warm_up:
                refused = refuses(e.guard, beyond, p.alone)
        told = lifted(e, p, score)
        if e.told.total[0] >= p.warm_up:
            quantile = 1.0 - tail_beyond(e.told, told)
    if there < len(row):
        return told, quantile, False
    tail_count(e.told, told)
    counted = counts(e.guard, refused, p.tokens)
    if counted and e.head[FITTED] > 0:
        learn_views(e)
        if score == score:
            tail_count(e.usual, score)
            tail_count(e.usual_furthest, furthest)
    if refused:
        refuse(e)
        if e.guard.level[REFUSED] >= p.accept_after:
            accept(e)
    else:
        at = (e.head[FIRST] + e.head[PENDING]) % PROBATION
        e.head[PENDING] += 1
        for f in range(len(row)):
            e.pending[at, f] = e.row[f]
        e.pending_beyond[at] = beyond
        keep(e, p)
    return told, quantile, refused


@njit(cache=True, nogil=True)
def assess_rows(
    e: EnsembleArrays,
    p: EnsembleLearned,
    rows: NDArray[np.float64],
    scores: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    refused: NDArray[np.bool_],
) -> None:
    """Score each row, then learn it unless it is refused, in their order."""
    for i in range(len(rows)):
        scores[i], quantiles[i], refused[i] = assess_row(e, p, rows[i])
        if e.head[TAUGHT] >= e.head[NEXT_FIT]:
            fit(e, p)


@njit(cache=True, nogil=True)
def regrow(e: EnsembleArrays, p: EnsembleLearned) -> None:
    """The neighbours and trees of the last fit, from the rows that it scaled: they are not saved."""
    if e.head[FITTED] > 0:
        _grow(e, p, e.head[FITTED], e.grown.copy())


@kernel
def explain_rows(
    e: EnsembleArrays,
    p: EnsembleLearned,
    x: NDArray[np.float64],
    columns: NDArray[np.int64],
    which: NDArray[np.int64],
    room: NDArray[np.float64],
    reasons: NDArray[np.float64],
) -> None:
    """Of each step's row of x (`which`, -1 for none) the features whose typical value lowers the score most.

    `columns` (F,) are what the columns are called in `reasons`, of shape (steps, REASONS, REASON_FIELDS), which is -1
    before; `room` has shape (F,). Nothing is learned.
    """
    for step in range(len(which)):
        i = which[step]
        if i < 0:
            continue
        look(e, p, x[i])
        score = score_of(e)
        for f in range(x.shape[1]):
            room[f] = x[i, f]
        for f in range(x.shape[1]):
            room[f] = e.centre[f]
            look(e, p, room)
            room[f] = x[i, f]
            take_reason(reasons[step], columns[f], x[i, f], e.centre[f], score - score_of(e))
