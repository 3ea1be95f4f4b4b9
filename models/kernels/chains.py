"""Panes that hold become incidents: one goes on as long as no more than `quiet` panes lie between two that hold."""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

PANE_BITS: Final = 32
"""The lower bits of a key: more than any pane since 1970 has. Above them is the entity's number."""
LAST_PANE: Final = (1 << PANE_BITS) - 1


@njit(cache=True, nogil=True)
def chains(
    first: NDArray[np.int64], last: NDArray[np.int64], level: NDArray[np.float64], limit: float, quiet: int, pane: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Of each incident the entity, the start of its first pane, the end of its last, and its greatest level.

    `first` and `last` are the keys of runs of panes that follow each other at one level, in order; `pane` is how long a
    pane is. `level` is negative where nothing may open (`models.kernels.levels.Levels`).
    """
    n = 0
    entity, start = np.empty(len(first), np.int64), np.empty(len(first), np.int64)
    end, value = np.empty(len(first), np.int64), np.empty(len(first), np.float64)
    latest = np.int64(-(1 << 62))
    for i in range(len(first)):
        reached = abs(level[i])
        if reached < limit:
            continue
        if first[i] - latest > quiet:
            if level[i] < 0.0:
                continue
            entity[n] = first[i] >> PANE_BITS
            start[n] = (first[i] & LAST_PANE) * pane
            value[n] = reached
            n += 1
        latest = last[i]
        end[n - 1] = ((latest & LAST_PANE) + 1) * pane
        value[n - 1] = max(value[n - 1], reached)
    # No copies of the right size: pages behind it were never touched, so they cost nothing.
    return entity[:n], start[:n], end[:n], value[:n]
