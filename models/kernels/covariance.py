"""A trimmed, shrunk covariance of rows, and Mahalanobis' distance by it."""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.kernel import inlined

WIDEST: Final = 512  # columns; of more, only the variances are used
_CONCENTRATIONS: Final = 2
_RIDGE: Final = 0.01  # of the mean variance


class CovarianceArrays(NamedTuple):
    """What is learned of F columns."""

    mean: NDArray[np.float64]  # (F,)
    factor: NDArray[np.float64]  # (F, F) lower Cholesky factor; (1, F) deviations where F > WIDEST
    room: NDArray[np.float64]  # (F,)


@inlined
def distance(c: CovarianceArrays, row: NDArray[np.float64]) -> float:
    """Mahalanobis' distance, squared, per column."""
    total = 0.0
    wide = len(c.factor) < len(row)
    for i in range(len(row)):
        away = row[i] - c.mean[i]
        if wide:
            away /= c.factor[0, i]
        else:
            for k in range(i):
                away -= c.factor[i, k] * c.room[k]
            away /= c.factor[i, i]
        c.room[i] = away
        total += away * away
    return total / len(row)


@njit(cache=True, nogil=True)
def _fit(c: CovarianceArrays, rows: NDArray[np.float64]) -> None:
    n, features = rows.shape
    for f in range(features):
        c.mean[f] = rows[:, f].mean()
    centred = rows - c.mean
    variance = np.empty(features)
    for f in range(features):
        variance[f] = (centred[:, f] * centred[:, f]).mean()
    ridge = _RIDGE * variance.mean() + 1e-6
    if len(c.factor) < features:
        c.factor[0, :] = np.sqrt(variance + ridge)
        return
    kept = (1.0 - min(1.0, features / (n + 1.0))) / n
    c.factor[:, :] = 0.0
    for i in range(n):
        for f in range(features):
            x = centred[i, f] * kept
            for g in range(f):
                c.factor[f, g] += x * centred[i, g]
    for f in range(features):
        c.factor[f, f] = variance[f] + ridge
    for f in range(features):
        for g in range(f + 1):
            rest = c.factor[f, g]
            for k in range(g):
                rest -= c.factor[f, k] * c.factor[g, k]
            c.factor[f, g] = math.sqrt(max(rest, 1e-9)) if f == g else rest / c.factor[g, g]


@njit(cache=True, nogil=True)
def fit_covariance(c: CovarianceArrays, rows: NDArray[np.float64], trim: float) -> None:
    """Fit to all rows, then twice to those that are not the `trim` furthest by the fit before.

    Covariances are shrunk to 0 by features / (rows + 1), so that few rows of many columns have a distance, too.
    """
    _fit(c, rows)
    away = np.empty(len(rows))
    for _ in range(_CONCENTRATIONS):
        for i in range(len(rows)):
            away[i] = distance(c, rows[i])
        furthest = np.sort(away)[int((len(rows) - 1) * (1.0 - trim))]
        _fit(c, rows[away <= furthest])
