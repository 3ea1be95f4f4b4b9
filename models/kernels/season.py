"""What a series usually is at this time of the day, and whether that explains it."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined

DAY_US: Final = 86_400_000_000
TIMELESS: Final = -(1 << 62)  # the time of a row that has none
TRUSTED: Final = 50  # rows with a residual before the season may speak
FADE: Final = 1e-3  # weight of a row in the two spreads that are compared


class SeasonArrays(NamedTuple):
    """What was learned; S slots divide the day."""

    mean: NDArray[np.float64]  # (S,) over days
    days: NDArray[np.int64]  # (S,) that went into it
    total: NDArray[np.float64]  # (S,) of the day under way
    count: NDArray[np.int64]  # (S,)
    day: NDArray[np.int64]  # (S,) the day under way
    rows: NDArray[np.int64]  # (1,) rows that had a residual
    spread: NDArray[np.float64]  # (2,) running mean distance from the season, and from the mean of all
    limits: NDArray[np.float64]  # (3,) days before a slot is known, days a mean remembers, share it must explain


@inlined
def slot_of(a: SeasonArrays, time: int) -> int:
    """The slot of a time."""
    return (time % DAY_US) * len(a.mean) // DAY_US


@inlined
def close_day(a: SeasonArrays, slot: int, day: int) -> None:
    """Let a slot's last day count once another has begun."""
    if a.day[slot] == day:
        return
    if a.count[slot] > 0:
        a.days[slot] += 1
        mean = a.total[slot] / a.count[slot]
        a.mean[slot] += max(1.0 / a.days[slot], 1.0 / a.limits[1]) * (mean - a.mean[slot])
    a.day[slot] = day
    a.total[slot] = 0.0
    a.count[slot] = 0


@inlined
def season_known(a: SeasonArrays, time: int) -> bool:
    """Whether enough days were seen at this time of the day."""
    if time == TIMELESS:
        return False
    slot = slot_of(a, time)
    close_day(a, slot, time // DAY_US)
    return a.days[slot] >= a.limits[0]


@inlined
def season_explains(a: SeasonArrays, time: int) -> bool:
    """Whether the season is known and leaves clearly less than the mean of all does."""
    return season_known(a, time) and a.rows[0] >= TRUSTED and a.spread[0] < a.limits[2] * a.spread[1]


@inlined
def season_residual(a: SeasonArrays, value: float, time: int) -> float:
    """How far a value is outside what lies between its slot's mean and that of the slot next to it in time."""
    slots = len(a.mean)
    slot = slot_of(a, time)
    place = 2 * ((time % DAY_US) * slots - slot * DAY_US) - DAY_US
    beside = (slot + 1) % slots if place > 0 else (slot + slots - 1) % slots
    own = value - a.mean[slot]
    if a.days[beside] < a.limits[0]:
        return own
    other = value - a.mean[beside]
    if own * other <= 0.0:
        return 0.0
    return own if abs(own) < abs(other) else other


@inlined
def learn_season(a: SeasonArrays, value: float, away: float, time: int) -> None:
    """Count a value in its slot and let it weigh season against mean; `away` is its distance from the mean of all."""
    if season_known(a, time):
        left = abs(season_residual(a, value, time))
        a.rows[0] += 1
        weight = max(1.0 / a.rows[0], FADE)
        trusted = a.rows[0] > TRUSTED  # an outlier must not decide
        a.spread[0] += weight * ((min(left, 5.0 * a.spread[0]) if trusted else left) - a.spread[0])
        a.spread[1] += weight * ((min(abs(away), 5.0 * a.spread[1]) if trusted else abs(away)) - a.spread[1])
    slot = slot_of(a, time)
    close_day(a, slot, time // DAY_US)
    a.total[slot] += value
    a.count[slot] += 1
