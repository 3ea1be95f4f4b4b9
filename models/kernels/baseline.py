"""Exponentially weighted baselines of counts, and how far a count is from its own."""

import math

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined
from models.kernels.layout import BUCKETS, EDGES_A_DOUBLING, RATES, X_ERROR_SHARE, ShardArrays


@inlined
def power(base: float, exponent: int) -> float:
    """`base ** exponent` by squaring: the same bits on every machine."""
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


@inlined
def silence(alpha: float, age: int, gap: int) -> float:
    """What `gap` silent windows leave of a mean of `age` windows: their weight is 1/n at first, alpha later."""
    young = min(gap, max(0, int(1.0 / alpha) - age))
    return float(age) / float(age + young) * power(1.0 - alpha, gap - young)


@inlined
def own(s: ShardArrays, record: int, value: int, minute: int, alpha: float) -> tuple[float, float]:
    """The entity's mean and mean square of a value just before a minute, silent minutes counted; nothing is written."""
    mean = float(s.records[record]["mean"][value])
    square = float(s.records[record].square[value])
    if value < RATES:
        gap = minute - s.records[record].last - 1
        if gap > 0:
            left = silence(alpha, s.records[record].last - s.records[record].first + 1, gap)
            return mean * left, square * left
    return mean, square


@inlined
def count_z(count: float, mean: float, variance: float) -> float:
    """Distance of a count from its mean in standard deviations of the square root (Anscombe 1948).

    The square root makes a count's variance 1/4 whatever its mean, times the dispersion (variance over mean) where
    the count is burstier than Poisson. From 0 to 3 is 2.4, not infinity.
    """
    dispersion = 1.0
    if mean > 0.0 and variance > mean:
        dispersion = min(variance / mean, 10000.0)
    return 2.0 * (math.sqrt(count + 0.375) - math.sqrt(mean + 0.375)) / math.sqrt(dispersion)


@inlined
def value_z(value: int, x: float, events: float, mean: float, square: float) -> float:
    """Distance of a learned value from its baseline; a share of errors is scored as the count it stands for."""
    if value == X_ERROR_SHARE:
        return count_z(x * events, mean * events, 0.0)
    return count_z(x, mean, square - mean * mean)


@inlined
def doublings(x: float) -> float:
    """The logarithm to base 2, plus a constant, to 0.01: out of the bits, because a call costs more than all else."""
    bits = np.float64(x).view(np.int64)
    past = float(bits & 0xF_FFFF_FFFF_FFFF) * 2.0**-52
    return float(bits >> 52) + past * (1.3431 - 0.3431 * past)


@inlined
def bucket_of(edges: NDArray[np.float64], score: float) -> int:
    """The histogram's bucket of a score: how many edges are below it.

    Edges are a constant factor apart, so that a logarithm says where it must be; a look at the edges makes it exact.
    """
    n = len(edges)
    if not score > edges[0]:
        return 0
    k = int(min((doublings(score) - doublings(edges[0])) * EDGES_A_DOUBLING + 1.0, float(n)))
    while k < n and edges[k] < score:
        k += 1
    while edges[k - 1] >= score:
        k -= 1
    return k


@inlined
def quantile_of(s: ShardArrays, row: int, edges: NDArray[np.float64], score: float) -> float:
    """The share of closed windows, or of their events, below a score (half of its own bucket), at most 1 - 1/n."""
    n = s.below[row, BUCKETS]
    if n == 0:
        return 0.0
    bucket = bucket_of(edges, score)
    q = (s.below[row, bucket] + 0.5 * s.histogram[row, bucket]) / n
    return min(q, 1.0 - 1.0 / n)
