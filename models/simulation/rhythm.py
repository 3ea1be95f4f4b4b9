"""How busy an identity platform is through the day and the week."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MINUTE_US = 60_000_000
DAY_US = 1_440 * MINUTE_US
_THURSDAY = 3  # 1970-01-01, Monday is 0


def intensity(time: NDArray[np.int64]) -> NDArray[np.float64]:
    """Relative rate of arrivals at times in microseconds UTC; a Monday's mean is about 1.

    Three humps (morning, afternoon, evening) over a quiet night; less at the weekend. The greatest is less than four
    times the least, and it takes hours: a day's rhythm is no spike.

    >>> noon, night = intensity(np.array([12, 3]) * 60 * MINUTE_US + 4 * DAY_US)
    >>> bool(3 < noon / night < 4)
    True
    """
    hour = (time % DAY_US) / (60 * MINUTE_US)
    humps = sum(
        height * _hump(hour, at, width) for at, width, height in ((10.5, 2.6, 0.9), (15.5, 2.6, 0.8), (20, 2.2, 0.8))
    )
    weekend = (time // DAY_US + _THURSDAY) % 7 >= 5
    return np.asarray((0.42 + humps) * np.where(weekend, 0.7, 1.0), dtype=np.float64)


def _hump(hour: NDArray[np.float64], at: float, width: float) -> NDArray[np.float64]:
    away = np.abs(hour - at)
    return np.asarray(np.exp(-0.5 * (np.minimum(away, 24 - away) / width) ** 2), dtype=np.float64)


@dataclass(slots=True, frozen=True)
class Rhythm:
    """The run's time as a curve from 0 to 1: equal steps of `share` hold equally many arrivals."""

    edges: NDArray[np.int64]  # microseconds UTC
    share: NDArray[np.float64]

    def at(self, share: NDArray[np.float64] | float) -> NDArray[np.int64]:
        """The times by which these shares of all arrivals have come."""
        return np.asarray(np.interp(share, self.share, self.edges)).astype(np.int64)

    def rate(self, time: int) -> float:
        """Arrivals a minute at a time, as a share of all."""
        here = min(max(int(np.searchsorted(self.edges, time)) - 1, 0), len(self.edges) - 2)
        return float((self.share[here + 1] - self.share[here]) / (self.edges[here + 1] - self.edges[here]) * MINUTE_US)


def rhythm(start: int, hours: float) -> Rhythm:
    """The curve of a run that begins at `start` (microseconds UTC)."""
    length = int(hours * 60 * MINUTE_US)
    steps = max(int(length // MINUTE_US), 1)
    edges = start + np.arange(steps + 1, dtype=np.int64) * (length // steps)
    share = np.concatenate([[0.0], np.cumsum(intensity(edges[:-1]))])
    return Rhythm(edges, share / share[-1])
