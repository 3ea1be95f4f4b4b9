"""Which share of scores lies below one, also beyond the largest yet."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.kernels.tail import OCTAVES, STEPS, TailArrays, tail_beyond, tail_count, tail_edge, tail_halve


def empty_tail() -> TailArrays:
    """Nothing counted yet."""
    return TailArrays(np.zeros(1), np.zeros(OCTAVES * STEPS), np.zeros(OCTAVES), np.zeros(OCTAVES))


def filled_tail(beyond: Callable[[float], float], weight: float) -> TailArrays:
    """As if `weight` scores had been counted, of which the share `beyond(score)` is above a score.

    >>> tail = filled_tail(lambda score: 1.0 / (1.0 + score), 1e6)
    >>> round(tail_beyond(tail, 1.0), 3), round(tail_beyond(tail, 9.0), 3)
    (0.5, 0.1)
    """
    tail = empty_tail()
    for bucket in range(OCTAVES * STEPS):
        low, high = tail_edge(bucket), tail_edge(bucket + 1)
        count = weight * (beyond(low) - beyond(high))
        tail.total[0] += count
        tail.count[bucket] = count
        tail.octave[bucket // STEPS] += count
        tail.logs[bucket // STEPS] += count * math.log(0.5 * (low + high))
    return tail


class Tail:
    """A running histogram of scores, whose tail is extrapolated: quantiles that are comparable, never 1.

    Scores are at least 0 (less counts as 0) and tell most on a ratio scale: buckets are a 32nd of an octave, from 2^-24
    to 2^40. A score between 0 and 1 whose strange end is crowded below 1 goes in as 1 / (1 - score).

    Below the tail's edge the share of scores above one is the counted one, each score evenly spread over its bucket,
    and one score more spread over all. The tail is the largest n^(2/3) / 2 scores, at least 20. In it the share is the
    mean of the counted one and a Pareto tail whose exponent is Hill's estimate, drawn to 4 as if by four scores more,
    and at most 32. Where it would fall below 1e-9 it goes on by its logarithm, so that a double near 1 still tells
    quantiles apart.

    When it fails: with few scores the extrapolation is the prior's; a tail thinner than Pareto's (normal scores)
    is called rarer too late, never too early; what drifts upwards is called strange until it was counted
    (`halve` forgets); the quantile says how rare a score is among scores, not how grave it is.

    Cost: 17 KB; a quantile is some 200 additions (0.2 microseconds), counting one. Kernels take `arrays` and call
    `tail_beyond`, `tail_quantile`, `tail_count`, `tail_halve` (`models.kernels.tail`) themselves.

    Source: Hill, A simple general approach to inference about the tail of a distribution (1975); the logarithmic
    buckets of DDSketch (Masson, Rim and Lee, 2019), with an octave's steps even so that finding one takes no logarithm.

    >>> tail = Tail()
    >>> tail.count(np.arange(1.0, 1_001.0))
    >>> tail.quantiles(np.array([500.0, 990.0, 1_100.0, 1e6, np.nan])).round(4).tolist()
    [0.4995, 0.9847, 0.9991, 1.0, nan]
    >>> bool(tail.quantiles(np.array([1e300]))[0] < 1.0)
    True
    """

    def __init__(self) -> None:
        self.arrays = empty_tail()

    def quantiles(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of scores expected below each, in 0..1, by those counted; NaN of NaN. Nothing is counted."""
        return 1.0 - np.array([tail_beyond(self.arrays, score) for score in scores.tolist()], np.float64)

    def count(self, scores: NDArray[np.float64]) -> None:
        """Count scores; NaN does not count."""
        for score in scores.tolist():
            tail_count(self.arrays, score)

    def halve(self) -> None:
        """Let what was counted until now count half."""
        tail_halve(self.arrays)
