"""How often a level is exceeded that few peaks have reached: a generalised Pareto tail, and how sure one may be."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_SHAPES = np.linspace(-0.75, 1.5, 46)
_SCALES = np.geomspace(0.05, 8.0, 60)  # times the mean excess
_ZOOMS = 6
_MOST_BINS = 64


class ParetoTail(NamedTuple):
    """A generalised Pareto tail of peaks that have reached `begin`: P(peak >= z) is `exceeds(z)` of them."""

    begin: float
    scale: float
    shape: float

    def exceeds(self, level: float) -> float:
        """The share of the peaks that reach a level; 1 up to `begin`.

        >>> ParetoTail(10.0, 2.0, 0.5).exceeds(14.0)
        0.25
        """
        return float(_survival(np.array([level - self.begin]), self.scale, self.shape)[0])

    def level(self, share: float) -> float:
        """The level that this share of the peaks reaches (Siffer, eq. 1, with q n / N_t as the share).

        >>> ParetoTail(10.0, 2.0, 0.5).level(0.25)
        14.0
        """
        if abs(self.shape) < 1e-9:
            return self.begin - self.scale * float(np.log(share))
        return self.begin + self.scale / self.shape * float(share**-self.shape - 1.0)


class Peaks(NamedTuple):
    """Peaks by day and by the interval between two edges in which they lie, the last without an end.

    `edges[0]` is where the tail begins, `reached[d, j]` how many peaks of day d reached `edges[j]` and not the next.
    """

    edges: NDArray[np.float64]  # (J,)
    reached: NDArray[np.int64]  # (days, J)


def binned(values: NDArray[np.float64], days: NDArray[np.int64], of: int, whole: bool) -> Peaks:
    """Peaks of `of` days as counts between at most 64 edges, the least of them where the tail begins.

    `whole` peaks are counts: a peak of 7 says that what was reached lies from 7 up to 8, so edges are whole too.

    >>> binned(np.array([3.0, 3.0, 5.0]), np.array([0, 1, 1]), 2, True)
    Peaks(edges=array([3., 4., 5., 6.]), reached=array([[1, 0, 0, 0],
           [1, 0, 1, 0]]))
    """
    if whole:
        kinds = np.unique(np.concatenate([values, values + 1.0]))
    else:
        kinds = np.unique(values)
    if len(kinds) > _MOST_BINS:
        places = np.unique(np.round(np.linspace(0, len(kinds) - 1, _MOST_BINS)).astype(np.int64))
        kinds = kinds[places]
    bins = np.searchsorted(kinds, values, side="right") - 1
    count = np.zeros((of, len(kinds)), np.int64)
    np.add.at(count, (days, bins), 1)
    return Peaks(kinds, count)


def fit(peaks: Peaks) -> ParetoTail:
    """The most likely tail of all peaks, by what is known of each: between which edges it lies.

    Counts need no jitter that way, nor does a hit between two edges count as one at either. When it fails: with fewer
    than some 50 peaks the shape is anybody's guess; where peaks are of two kinds (people who mistype, attackers) the
    tail is a compromise between both.

    Cost: seven grids of 2,760 tails; 20 ms.

    Source: Pickands, Statistical inference using extreme order statistics (1975); Siffer et al., Anomaly detection in
    streams with extreme value theory (KDD 2017), whose Grimshaw estimate maximises the same likelihood of exact values.
    """
    whole = peaks.reached.sum(axis=0, keepdims=True)
    shapes, scales = _SHAPES, _SCALES * _mean_excess(peaks)
    for _ in range(_ZOOMS):
        shape, scale = _best(peaks.edges, whole, shapes, scales)
        a, b = (float(shapes[1] - shapes[0]), float(scales[1] / scales[0]))
        shapes = np.linspace(shape[0] - a, shape[0] + a, 11)
        scales = scale[0] * np.geomspace(1.0 / b, b, 11)
    return ParetoTail(float(peaks.edges[0]), float(scale[0]), float(shape[0]))


class Spread(NamedTuple):
    """What `future` says of a number of days to come, a day: the interval, and the replicates it is made of."""

    low: float
    high: float
    rates: NDArray[np.float64]


def future(peaks: Peaks, level: float, days: int, rng: np.random.Generator, replicates: int = 2_000) -> Spread:
    """The interval (95 %) in which the rate of peaks that reach a level lies in so many days to come.

    Each replicate draws whole days, one fewer than there are (which makes up for what so few days cannot show of their
    own spread), and fits the tail to them; then draws the days to come from those, and lets each of their peaks reach
    the level with the tail's probability, and half a peak more. So it holds how little is known of the tail, how days
    differ, and chance.

    When it fails: what no day of these has shown, a new attacker, a release, a holiday, is in no interval.

    Cost: one product of (replicates, edges) and (edges, 2,760); 0.2 s.

    Source: whole days are the blocks of Kuensch, The jackknife and the bootstrap for general stationary observations
    (1989).
    """
    of = len(peaks.reached)
    drawn = rng.integers(of, size=(replicates, max(of - 1, 1)))
    taken = np.zeros((replicates, of))
    np.add.at(taken, (np.arange(replicates)[:, np.newaxis], drawn), 1.0)
    counts = taken @ peaks.reached
    shape, scale = _best(peaks.edges, counts, _SHAPES, _SCALES * _mean_excess(peaks))
    share = _survival(np.full(replicates, level - peaks.edges[0]), scale, shape)
    # Where no peak has reached the level, the likeliest tail may well end below it: that is no proof. What is added is
    # Jeffreys' word on a count of none; beside counts of more it is nothing.
    share = np.minimum(share + rng.gamma(0.5, size=replicates) / peaks.reached.sum(), 1.0)
    coming = drawn[np.arange(replicates)[:, np.newaxis], rng.integers(drawn.shape[1], size=(replicates, days))]
    reached = rng.binomial(peaks.reached.sum(axis=1)[coming].sum(axis=1), share)
    low, high = np.quantile(reached, (0.025, 0.975), method="closest_observation") / days
    return Spread(float(low), float(high), reached / days)


def _mean_excess(peaks: Peaks) -> float:
    count = peaks.reached.sum(axis=0)
    return max(
        float((peaks.edges - peaks.edges[0]) @ count / count.sum()), float(np.diff(peaks.edges).min(initial=1.0)) / 2
    )


def _survival(excess: NDArray[np.float64], scale: object, shape: object) -> NDArray[np.float64]:
    """The share of a tail's peaks above an excess; all arguments of one shape."""
    y = np.maximum(excess, 0.0) / np.asarray(scale)
    bent = np.asarray(shape) + np.zeros_like(y)
    straight = np.abs(bent) < 1e-9
    bent = np.where(straight, 1.0, bent)
    with np.errstate(divide="ignore"):
        out: NDArray[np.float64] = np.where(straight, np.exp(-y), np.maximum(1.0 + bent * y, 0.0) ** (-1.0 / bent))
    return out


def _best(
    edges: NDArray[np.float64], counts: NDArray[np.float64], shapes: NDArray[np.float64], scales: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The most likely of all pairs of shape and scale, for each row of counts."""
    shape, scale = (axis.ravel() for axis in np.meshgrid(shapes, scales, indexing="ij"))
    above = _survival(edges[np.newaxis, :] - edges[0], scale[:, np.newaxis], shape[:, np.newaxis])
    inside = above - np.append(above[:, 1:], np.zeros((len(above), 1)), axis=1)
    likely = counts @ np.log(np.maximum(inside, 1e-300)).T
    best = likely.argmax(axis=1)
    return shape[best], scale[best]
