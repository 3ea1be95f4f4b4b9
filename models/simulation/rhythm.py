"""How busy an identity platform is through the day and the week, each tenant in its own time zone."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
TENANT_SHARES: Final = (0.70, 0.22, 0.08)
TENANT_OFFSETS_US: Final = (HOUR_US, -5 * HOUR_US, 5 * HOUR_US + 30 * MINUTE_US)
"""Standard time of each tenant beside UTC: central Europe, New York, India."""
_THURSDAY = 3  # 1970-01-01, Monday is 0
_SATURDAY_HOUR = 5 * 24
_LIFT_HOURS = 14  # after which nobody comes because of a release


def intensity(local: NDArray[np.int64]) -> NDArray[np.float64]:
    """Relative rate of arrivals at local times in microseconds; a Monday's mean is about 1.

    Three humps (morning, afternoon, evening) over a quiet night; less at the weekend. The greatest is less than four
    times the least, and it takes hours: a day's rhythm is no spike.

    >>> noon, night = intensity(np.array([12, 3]) * HOUR_US + 4 * DAY_US)
    >>> bool(3 < noon / night < 4)
    True
    """
    hour = (local % DAY_US) / HOUR_US
    humps = sum(
        height * _hump(hour, at, width) for at, width, height in ((10.5, 2.6, 0.9), (15.5, 2.6, 0.8), (20, 2.2, 0.8))
    )
    of_week = (local // DAY_US + _THURSDAY) % 7 * 24 + hour
    # Friday's night fades into the weekend, Sunday's out of it
    weekend = np.interp(of_week, [0, 4, _SATURDAY_HOUR - 3, _SATURDAY_HOUR + 5, 165, 168], [0.57, 0, 0, 1, 1, 0.57])
    return np.asarray((0.42 + humps) * (1 - 0.35 * weekend), dtype=np.float64)


def _hump(hour: NDArray[np.float64], at: float, width: float) -> NDArray[np.float64]:
    away = np.abs(hour - at)
    return np.asarray(np.exp(-0.5 * (np.minimum(away, 24 - away) / width) ** 2), dtype=np.float64)


def releases(first: int, last: int, seed: int) -> list[tuple[int, float]]:
    """The releases of the app in a run: one a week on some working day at nine UTC, and how much it lifts the traffic.

    A lift of 2 means up to three times the ordinary traffic. A week has the same release in every run of a seed.
    """
    out = []
    monday = first // DAY_US - (first // DAY_US + _THURSDAY) % 7 - 7
    for day in range(monday, last // DAY_US + 1, 7):
        rng = np.random.Generator(np.random.PCG64([seed, 5, max(day, 0)]))
        at = (day + int(rng.integers(0, 5))) * DAY_US + 9 * HOUR_US
        lift = float(rng.uniform(0.8, 1.8))
        if at < last and at + _LIFT_HOURS * HOUR_US > first:
            out.append((at, lift))
    return out


def _lift(time: NDArray[np.int64], released: list[tuple[int, float]]) -> NDArray[np.float64]:
    """How many times the ordinary traffic comes: it takes two hours to rise and the rest of the day to fade."""
    lifted = np.ones(len(time))
    for at, lift in released:
        hours = (time - at) / HOUR_US
        lifted += lift * np.interp(hours, [0, 0.7, 1.4, 2.2, 4, 8, _LIFT_HOURS], [0, 0.25, 0.75, 1, 0.8, 0.3, 0])
    return lifted


@dataclass(slots=True, frozen=True)
class Rhythm:
    """The run's time as a curve from 0 to 1: equal steps of `share` hold equally many arrivals.

    `tenants` has each step's arrivals by tenant, cumulative over the tenants, shape (steps, tenants).
    """

    edges: NDArray[np.int64]  # microseconds UTC
    share: NDArray[np.float64]
    tenants: NDArray[np.float64]
    released: list[tuple[int, float]]

    def at(self, share: NDArray[np.float64] | float) -> NDArray[np.int64]:
        """The times by which these shares of all arrivals have come."""
        return np.asarray(np.interp(share, self.share, self.edges)).astype(np.int64)

    def rate(self, time: int) -> float:
        """Arrivals a minute at a time, as a share of all."""
        here = int(self._steps(np.array([time]))[0])
        return float((self.share[here + 1] - self.share[here]) / (self.edges[here + 1] - self.edges[here]) * MINUTE_US)

    def tenant(self, time: NDArray[np.int64], luck: NDArray[np.float64]) -> NDArray[np.int64]:
        """Whose each arrival at a time is, drawn with luck from 0 to 1."""
        return np.asarray((luck[:, None] >= self.tenants[self._steps(time)][:, :-1]).sum(axis=1))

    def tenant_share(self, time: int, tenant: int) -> float:
        """The share of one tenant in the arrivals at a time."""
        here = np.diff(self.tenants[self._steps(np.array([time]))[0]], prepend=0.0)
        return float(here[tenant])

    def _steps(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.clip((time - self.edges[0]) // (self.edges[1] - self.edges[0]), 0, len(self.edges) - 2)


def rhythm(start: int, hours: float, seed: int) -> Rhythm:
    """The curve of a run that begins at `start` (microseconds UTC)."""
    length = int(hours * HOUR_US)
    steps = max(int(length // MINUTE_US), 1)
    edges = start + np.arange(steps + 1, dtype=np.int64) * (length // steps)
    released = releases(start, start + length, seed)
    each = np.stack(
        [
            share * intensity(edges[:-1] + offset)
            for share, offset in zip(TENANT_SHARES, TENANT_OFFSETS_US, strict=True)
        ],
        axis=1,
    )
    share = np.concatenate([[0.0], np.cumsum(each.sum(axis=1) * _lift(edges[:-1], released))])
    return Rhythm(edges, share / share[-1], np.cumsum(each, axis=1) / each.sum(axis=1, keepdims=True), released)
