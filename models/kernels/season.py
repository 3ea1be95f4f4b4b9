"""What a series usually is at this time of the day or of the week, and whether that explains it."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined

TIMELESS: Final = -(1 << 62)  # the time of a row that has none
TRUSTED: Final = 50  # rows with a residual before the season may speak
FADE: Final = 1e-4  # least weight of a row in the two spreads that are compared


class SeasonArrays(NamedTuple):
    """What was learned; S slots divide the round, which is a day or a week."""

    mean: NDArray[np.float64]  # (S,) over rounds
    rounds: NDArray[np.int64]  # (S,) that went into it
    total: NDArray[np.float64]  # (S,) of the round under way
    count: NDArray[np.int64]  # (S,)
    round: NDArray[np.int64]  # (S,) the round under way
    rows: NDArray[np.int64]  # (1,) rows that had a residual
    spread: NDArray[np.float64]  # (2,) running mean distance from the season, and from the mean of all
    length: NDArray[np.int64]  # (1,) of a round, microseconds
    limits: NDArray[np.float64]  # (3,) rounds before a slot is known, rounds a mean remembers, largest share left


@inlined
def slot_of(a: SeasonArrays, time: int) -> int:
    """The slot of a time."""
    return (time % a.length[0]) * len(a.mean) // a.length[0]


@inlined
def close_round(a: SeasonArrays, slot: int, number: int) -> None:
    """Let a slot's last round count once another has begun."""
    if a.round[slot] == number:
        return
    if a.count[slot] > 0:
        a.rounds[slot] += 1
        mean = a.total[slot] / a.count[slot]
        a.mean[slot] += max(1.0 / a.rounds[slot], 1.0 / a.limits[1]) * (mean - a.mean[slot])
    a.round[slot] = number
    a.total[slot] = 0.0
    a.count[slot] = 0


@inlined
def season_known(a: SeasonArrays, time: int) -> bool:
    """Whether enough rounds were seen at this time of it."""
    if time == TIMELESS:
        return False
    slot = slot_of(a, time)
    close_round(a, slot, time // a.length[0])
    return a.rounds[slot] >= a.limits[0]


@inlined
def season_explains(a: SeasonArrays, time: int) -> bool:
    """Whether the season is known and leaves clearly less than the mean of all does."""
    return season_known(a, time) and a.rows[0] >= TRUSTED and a.spread[0] < a.limits[2] * a.spread[1]


@inlined
def season_residual(a: SeasonArrays, value: float, time: int) -> float:
    """How far a value is outside what lies between its slot's mean and that of the slot next to it in time."""
    slots = len(a.mean)
    slot = slot_of(a, time)
    place = 2 * ((time % a.length[0]) * slots - slot * a.length[0]) - a.length[0]
    beside = (slot + 1) % slots if place > 0 else (slot + slots - 1) % slots
    own = value - a.mean[slot]
    if a.rounds[beside] < a.limits[0]:
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
    close_round(a, slot, time // a.length[0])
    a.total[slot] += value
    a.count[slot] += 1
