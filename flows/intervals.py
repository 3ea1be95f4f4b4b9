"""How sure a share and a median are: intervals at 95 %."""

from collections.abc import Sequence
from math import ceil, floor, sqrt
from statistics import NormalDist, median
from typing import Final

_Z: Final = NormalDist().inv_cdf(0.975)


def wilson(found: int, of: int) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927).

    >>> [round(edge, 3) for edge in wilson(60, 60)]
    [0.94, 1.0]
    """
    if not of:
        return 0.0, 1.0
    share, room = found / of, _Z * _Z / of
    middle, half = share + room / 2, _Z * sqrt((share * (1 - share) + room / 4) / of)
    low, high = (middle - half) / (1 + room), (middle + half) / (1 + room)
    # With none, or all, one bound is the share itself, but for rounding.
    return max(0.0, min(share, low)), min(1.0, max(share, high))


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the values between which that of all there could be lies: those at Wilson's ranks for a half.

    It asks nothing of how values are spread. Of fewer than six values they are the least and the greatest.

    >>> median_interval([3.0, 1.0, 2.0]), median_interval([float(at) for at in range(101)])
    ((2.0, 1.0, 3.0), (50.0, 40.0, 60.0))
    """
    found, n = sorted(values), len(values)
    room = _Z * _Z / n
    half = _Z * sqrt((1 + room) / (4 * n)) / (1 + room)
    return median(found), found[max(0, floor((0.5 - half) * n))], found[min(n, ceil((0.5 + half) * n)) - 1]


def nearest_rank(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of the values does not exceed.

    >>> nearest_rank([5.0, 1.0, 4.0, 2.0, 3.0], 0.95), nearest_rank([float(at) for at in range(1, 101)], 0.95)
    (5.0, 95.0)
    """
    return sorted(values)[max(0, ceil(share * len(values) - 1e-9) - 1)]
