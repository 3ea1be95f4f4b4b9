"""How rare each value of a row is in its own column, by the sorted values of the rows that are kept."""

import math

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined


@inlined
def _place(column: NDArray[np.float64], n: int, x: float, after: bool) -> int:
    """How many of the first n values are below x, or not above it."""
    low, high = 0, n
    while low < high:
        middle = (low + high) >> 1
        if column[middle] < x or (after and column[middle] == x):
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def tail_rarity(column: NDArray[np.float64], n: int, x: float) -> float:
    """-log of the two-sided share of values as far out as x (Li et al., 2022: ECOD); one value more is spread."""
    low = (_place(column, n, x, True) + 0.5) / (n + 1.0)
    high = (n - _place(column, n, x, False) + 0.5) / (n + 1.0)
    return -math.log(min(1.0, 2.0 * min(low, high)))


@inlined
def density_rarity(column: NDArray[np.float64], n: int, x: float, width: float) -> float:
    """-log of the share of values within `width` of x: what lies in a gap is rare, too."""
    near = _place(column, n, x + width, True) - _place(column, n, x - width, False)
    return -math.log((near + 0.5) / (n + 1.0))
