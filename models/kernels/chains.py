"""Panes that hold become incidents: one goes on as long as no more than `quiet` panes lie between two that hold."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def chains(
    key: NDArray[np.int64], level: NDArray[np.float64], limit: float, quiet: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The first and the last pane of each incident, and its greatest level, of panes in order.

    `level` is negative where nothing may open (`models.kernels.levels.Levels`). Keys of two entities are far apart.
    """
    first, last, value = np.empty(len(key), np.int64), np.empty(len(key), np.int64), np.empty(len(key), np.float64)
    n = 0
    latest = np.int64(-(1 << 62))
    for i in range(len(key)):
        reached = abs(level[i])
        if reached < limit:
            continue
        if key[i] - latest > quiet:
            if level[i] < 0.0:
                continue
            first[n] = key[i]
            value[n] = reached
            n += 1
        latest = last[n - 1] = key[i]
        value[n - 1] = max(value[n - 1], reached)
    return first[:n].copy(), last[:n].copy(), value[:n].copy()
