"""A table's rows, each beside those before it: clipped running z-scores, scored by a guarded forest in file order."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.forest import ForestLearned, ModelArrays, assess_windows, learn_windows
from models.kernels.half_space_trees import TreeArrays
from models.kernels.kernel import inlined, kernel


class RunningArrays(NamedTuple):
    """What has been learned of each column."""

    count: NDArray[np.int64]  # (1,) rows
    mean: NDArray[np.float64]
    square: NDArray[np.float64]  # mean square distance from the mean


@inlined
def scale(r: RunningArrays, clip: float, row: NDArray[np.float64], i: int, out: NDArray[np.float64]) -> None:
    """Row i's distances from the running means in standard deviations, from -clip .. clip to 0 .. 1."""
    for f in range(row.shape[1]):
        odd = row[i, f] - row[i, f]  # 0, or NaN if the value is not finite
        deviation = math.sqrt(r.square[f])
        z = (row[i, f] - r.mean[f]) / deviation + odd if deviation > 0.0 else odd
        out[0, f] = 0.5 + 0.5 * (min(max(z, -clip), clip) if z == z else z) / clip


@inlined
def learn_columns(r: RunningArrays, alpha: float, row: NDArray[np.float64], i: int) -> None:
    """Move each column's mean and variance by a row (West, 1979)."""
    r.count[0] += 1
    weight = max(alpha, 1.0 / r.count[0])
    for f in range(row.shape[1]):
        away = row[i, f] - r.mean[f]
        r.mean[f] += weight * away
        r.square[f] = (1.0 - weight) * (r.square[f] + weight * away * away)


@kernel
def assess_table(
    trees: TreeArrays,
    m: ModelArrays,
    p: ForestLearned,
    r: RunningArrays,
    clip: float,
    alpha: float,
    edges: NDArray[np.float64],
    rows: NDArray[np.float64],
    room: NDArray[np.float64],
    leaf: NDArray[np.uint16],
    scores: NDArray[np.float64],
    quantiles: NDArray[np.float64],
    guarded: NDArray[np.bool_],
    counted: NDArray[np.bool_],
) -> None:
    """Score each row, then learn it unless it is guarded or not finite.

    `room` has shape (1, F), `leaf` (1, T), `counted` (1,) and is true.
    """
    for i in range(len(rows)):
        scale(r, clip, rows, i, room)
        assess_windows(trees, m, p, edges, room, leaf, scores[i : i + 1], quantiles[i : i + 1], guarded[i : i + 1])
        finite = True
        for f in range(rows.shape[1]):
            if rows[i, f] - rows[i, f] != 0.0:
                finite = False
        if finite:
            learn_windows(m, p, edges, room, leaf, scores[i : i + 1], guarded[i : i + 1], counted)
            if not guarded[i]:
                learn_columns(r, alpha, rows, i)
