"""A table's rows, each beside the running means and variances of its columns."""

import math

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import kernel
from models.kernels.standardise import RunningArrays, learn_columns
from models.kernels.tail import TailArrays, tail_beyond, tail_count


@kernel
def assess_by_ewma(
    r: RunningArrays,
    t: TailArrays,
    kept_out: NDArray[np.int64],
    alpha: float,
    warm_up: int,
    guard: float,
    accept_after: int,
    rows: NDArray[np.float64],
    scores: NDArray[np.float64],
    quantiles: NDArray[np.float64],
) -> None:
    """Score each row, then learn it unless it is guarded or has a value that is not finite.

    `kept_out` (1,) is how many guarded rows have come one after another.
    """
    for i in range(len(rows)):
        scores[i] = quantiles[i] = np.nan
        finite = True
        furthest = 0.0
        for f in range(rows.shape[1]):
            away = abs(rows[i, f] - r.mean[f])
            if not away < np.inf:
                finite = False
            # Of a column that has not moved yet any other value is as far as one of its own size.
            spread = math.sqrt(r.square[f]) + 1e-9 * abs(r.mean[f])
            furthest = max(furthest, away / spread if spread > 0.0 else min(away, 1.0) * 1e9)
        if not finite:
            continue
        guarded = False
        if r.count[0] >= warm_up:
            scores[i] = min(furthest, 1e300)
            if t.total[0] >= warm_up:
                quantiles[i] = 1.0 - tail_beyond(t, scores[i])
                guarded = quantiles[i] >= guard
            tail_count(t, scores[i])
        kept_out[0] = kept_out[0] + 1 if guarded else 0
        if not guarded or kept_out[0] > accept_after:
            learn_columns(r, alpha, rows, i)
