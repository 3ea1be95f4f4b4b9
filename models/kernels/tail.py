"""A running histogram of scores whose upper end is extrapolated, so that no quantile is ever 1."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel

OCTAVES: Final = 64  # of scores: from 2**-24 to 2**40; what is outside falls in the first or the last
STEPS: Final = 32  # buckets in an octave
LOWEST: Final = -24
FEWEST: Final = 20  # scores that make a tail
PRIOR: Final = 4.0  # tail scores as which the shape that is expected beforehand counts ...
PRIOR_EXCESS: Final = 0.25  # ... and its mean logarithm above the tail's edge: a Pareto tail of exponent 4
STEEPEST: Final = 32.0  # exponent: equal scores over and over must not make the next step infinitely rare
FLOOR: Final = 1e-9  # a share below it falls by its logarithm only, so that doubles near 1 still tell quantiles apart


class TailArrays(NamedTuple):
    """What was counted."""

    total: NDArray[np.float64]  # (1,) scores
    count: NDArray[np.float64]  # (OCTAVES * STEPS,)
    octave: NDArray[np.float64]  # (OCTAVES,) sums of count
    logs: NDArray[np.float64]  # (OCTAVES,) sums of the logarithms of the middles of the buckets counted in


@inlined
def tail_bucket(score: float) -> int:
    """The bucket of a score that is not NaN."""
    if not score >= 2.0**LOWEST:
        return 0
    part, octave = math.frexp(min(score, 2.0**60))
    place = (octave - 1 - LOWEST) * STEPS + int((2.0 * part - 1.0) * STEPS)
    return min(place, OCTAVES * STEPS - 1)


@inlined
def tail_edge(bucket: int) -> float:
    """The lower edge of a bucket; that of the first is 0."""
    if bucket == 0:
        return 0.0
    return math.ldexp(1.0 + (bucket % STEPS) / STEPS, bucket // STEPS + LOWEST)


@inlined
def _log_middle(bucket: int) -> float:
    return math.log(math.ldexp(1.0 + (bucket % STEPS + 0.5) / STEPS, bucket // STEPS + LOWEST))


@inlined
def _reached(t: TailArrays, score: float, bucket: int) -> float:
    """How many scores reached one, each evenly spread over its bucket."""
    low = tail_edge(bucket)
    high = tail_edge(bucket + 1)
    reached = max(high - score, 0.0) / (high - low) * t.count[bucket]
    octave = bucket // STEPS
    for k in range(octave + 1, OCTAVES):
        reached += t.octave[k]
    for k in range(bucket + 1, (octave + 1) * STEPS):
        reached += t.count[k]
    return reached


@inlined
def _floored(logarithm: float) -> float:
    return FLOOR / (1.0 + math.log(FLOOR) - logarithm)


@kernel
def tail_beyond(t: TailArrays, score: float) -> float:
    """The share of scores that are expected above one, by those counted: falls with it, never 0; NaN of NaN."""
    if score != score:
        return np.nan
    score = min(max(score, 0.0), 1e300)
    bucket = tail_bucket(score)
    reached = _reached(t, score, bucket)
    wanted = max(float(FEWEST), 0.5 * t.total[0] ** (2.0 / 3.0))
    inside = 0.0
    logs = 0.0
    edge = 0
    if t.total[0] >= wanted:
        octave = OCTAVES - 1
        while octave > 0 and inside + t.octave[octave] < wanted:
            inside += t.octave[octave]
            logs += t.logs[octave]
            octave -= 1
        edge = (octave + 1) * STEPS
        while edge > octave * STEPS and inside < wanted:
            edge -= 1
            inside += t.count[edge]
            logs += t.count[edge] * _log_middle(edge)
    if bucket < edge or edge == 0:  # one score more is spread over all: no two are tied in an empty stretch
        share = (reached + 1.0 / (1.0 + score)) / (t.total[0] + 1.0)
        return share if share >= FLOOR else _floored(math.log(share))
    begin = tail_edge(edge)
    excess = max(logs - inside * math.log(begin), 0.0)
    exponent = min((inside + PRIOR) / (excess + PRIOR * PRIOR_EXCESS), STEEPEST)
    # The mean of what was counted and what is fitted: one alone is tied beyond the largest, the other knows no lumps.
    fitted = math.log(0.5 * (inside + 2.0 / (1.0 + begin)) / (t.total[0] + 1.0))
    fitted -= exponent * max(math.log(score) - math.log(begin), 0.0)
    beyond = 0.5 * reached / (t.total[0] + 1.0) + math.exp(fitted)
    return beyond if beyond >= FLOOR else _floored(fitted)


@kernel
def tail_quantile(t: TailArrays, score: float) -> float:
    """The share of scores that are expected below one, by those counted; below 1, and NaN of NaN."""
    return 1.0 - tail_beyond(t, score)


@kernel
def tail_score(t: TailArrays, share: float) -> float:
    """A score that at least a `share` of those counted reached, to a bucket."""
    wanted = share * t.total[0]
    octave = OCTAVES - 1
    while octave > 0 and t.octave[octave] < wanted:
        wanted -= t.octave[octave]
        octave -= 1
    bucket = (octave + 1) * STEPS - 1
    while bucket > octave * STEPS and t.count[bucket] < wanted:
        wanted -= t.count[bucket]
        bucket -= 1
    return tail_edge(bucket)


@kernel
def tail_count(t: TailArrays, score: float) -> None:
    """Count a score; NaN does not count."""
    if score != score:
        return
    bucket = tail_bucket(score)
    t.total[0] += 1.0
    t.count[bucket] += 1.0
    t.octave[bucket // STEPS] += 1.0
    t.logs[bucket // STEPS] += _log_middle(bucket)


@kernel
def tail_halve(t: TailArrays) -> None:
    """Let what was counted until now count half."""
    t.total[0] *= 0.5
    for k in range(OCTAVES * STEPS):
        t.count[k] *= 0.5
    for k in range(OCTAVES):
        t.octave[k] *= 0.5
        t.logs[k] *= 0.5


@kernel
def tail_follow(t: TailArrays, scores: NDArray[np.float64], warm_up: int, quantiles: NDArray[np.float64]) -> None:
    """Each score's quantile by those before it, NaN until there are `warm_up`; then it is counted."""
    for i in range(len(scores)):
        quantiles[i] = 1.0 - tail_beyond(t, scores[i]) if t.total[0] >= warm_up else np.nan
        tail_count(t, scores[i])
