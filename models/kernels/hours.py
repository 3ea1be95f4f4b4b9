"""What an entity's events usually are at this hour of the week, beside what they have been of late."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.baseline import own, power
from models.kernels.kernel import inlined, kernel
from models.kernels.layout import (
    FREE_HOURS,
    HOURS,
    RATES,
    ROUNDS,
    WEEK,
    X_EVENTS,
    ShardArrays,
)
from models.kernels.table import find

HOUR, DAY = 60, 1440  # minutes
MONDAY = 72  # hours: what makes hour 0 of the week that of a Monday, in UTC
YOUNG = 60  # learned windows before an entity's hours are kept
KNOWN = 2  # rounds (weeks, else days) before an hour is known
MANY = 4 * ROUNDS  # rounds are no longer counted, only where the next is put
COVERED = 30  # minutes of an hour that must be known for it to count
SMOOTH = 1.0 / 12.0  # events a minute: two hours of which ten events could be chance
MOST_LEVEL = 4.0  # the level of late is believed to be at most so many times that of the hours before
MOST_TIMES = 16.0
SPREAD = 0.25  # the share of a mean's weight with which the spread around the hours moves


@inlined
def second(means: NDArray[np.float32], rounds: int) -> float:
    """The second largest of an hour's last means: what it has been twice, so that no single attack is usual."""
    best = other = -1.0
    for k in range(min(rounds, ROUNDS)):
        mean = float(means[k])
        if mean > best:
            best, other = mean, best
        elif mean > other:
            other = mean
    return other


@inlined
def of_hour(s: ShardArrays, at: int, hour: int) -> float:
    """Events a minute at an hour since the epoch: as that hour of the week has been, else that of the day, else -1."""
    slot = (hour + MONDAY) % WEEK
    if s.hours[at].weeks[slot] >= KNOWN:
        return second(s.hours[at].week[slot], s.hours[at].weeks[slot])
    if s.hours[at].days[hour % 24] >= KNOWN:
        return second(s.hours[at].day[hour % 24], s.hours[at].days[hour % 24])
    return -1.0


@inlined
def of_minute(s: ShardArrays, at: int, minute: int) -> float:
    """What an hour's mean says of a minute: a step up to the next hour is gradual, a step down is not foreseen."""
    hour, past = minute // HOUR, minute % HOUR - HOUR // 2
    here = of_hour(s, at, hour)
    if here < 0.0:
        return -1.0
    beside = of_hour(s, at, hour + 1 if past >= 0 else hour - 1)
    return here + abs(past) / float(HOUR) * (beside - here) if beside > here else here


@inlined
def of_late(s: ShardArrays, at: int, minute: int, alpha: float) -> float:
    """What a mean that moves by `alpha` would be just before a minute if all hours had been as usual; -1: unknown."""
    seen = float(s.hours[at].seen)
    begin = max(s.hours[at].last + 1, minute - DAY)
    while begin < minute:
        hour = begin // HOUR
        end = min(minute, (hour + 1) * HOUR)
        usually = of_hour(s, at, hour)
        if usually >= 0.0:
            seen = usually if seen < 0.0 else usually + (seen - usually) * power(1.0 - alpha, end - begin)
        begin = end
    return seen


@inlined
def expected_now(s: ShardArrays, at: int, minute: int, mean: float, alpha: float) -> float:
    """What the hour usually is, times how the entity was of late (`mean`) beside its usual hours; -1: unknown."""
    usually = of_minute(s, at, minute)
    if usually < 0.0:
        return -1.0
    seen = of_late(s, at, minute, alpha)
    if seen < 0.0:
        return -1.0
    return usually * min((mean + SMOOTH) / (seen + SMOOTH), MOST_LEVEL)


@inlined
def dispersion(s: ShardArrays, at: int, mean: float, square: float) -> float:
    """Variance over mean around the usual hours; until a minute has taught it, that around the mean of late."""
    if s.hours[at].spread >= 0.0:
        return float(s.hours[at].spread)
    return (square - mean * mean) / mean if mean > 1e-6 else 1.0


@inlined
def usual(s: ShardArrays, record: int, value: int, minute: int, alpha: float) -> tuple[float, float]:
    """Mean and mean square of a value for a minute: the entity's own of late, or more, if the hour usually has more.

    Where hours are known the variance is that around them, else around the mean of late. Failures are expected to be
    more where events are; only these two have hours.
    """
    mean, square = own(s, record, value, minute, alpha)
    at = s.records[record].hours
    if value >= RATES or at < 0:
        return mean, square
    events = mean if value == X_EVENTS else own(s, record, X_EVENTS, minute, alpha)[0]
    expected = expected_now(s, at, minute, events, alpha)
    if expected < 0.0:
        return mean, square
    if value == X_EVENTS:
        now = max(expected, mean)
        return now, max(dispersion(s, at, mean, square), 1.0) * now + now * now
    if expected <= events or mean <= 0.0:
        return mean, square
    times = min((expected + SMOOTH) / (events + SMOOTH), MOST_TIMES)
    return mean * times, (square - mean * mean) * times + mean * mean * times * times


@inlined
def learn_spread(s: ShardArrays, record: int, minute: int, events: float, alpha: float) -> None:
    """Before a minute teaches: how far it is from what was expected, squared, over that (a Poisson count's is 1)."""
    at = s.records[record].hours
    if at < 0:
        return
    mean, square = own(s, record, X_EVENTS, minute, alpha)
    expected = expected_now(s, at, minute, mean, alpha)
    if expected <= 0.0:
        return
    s.hours[at].spread = dispersion(s, at, mean, square)
    away = (events - expected) * (events - expected) / max(expected, SMOOTH)
    s.hours[at].spread += SPREAD * alpha * (away - s.hours[at].spread)


@inlined
def more(rounds: int) -> int:
    """One round more; of many it is only known where the next is put."""
    return rounds + 1 if rounds < MANY else MANY - ROUNDS + 1


@inlined
def learn_hour(s: ShardArrays, at: int, hour: int, mean: float) -> None:
    """An hour is over: it counts in its place of the week and of the day."""
    slot, clock = (hour + MONDAY) % WEEK, hour % 24
    s.hours[at].week[slot, s.hours[at].weeks[slot] % ROUNDS] = mean
    s.hours[at].weeks[slot] = more(s.hours[at].weeks[slot])
    s.hours[at].day[clock, s.hours[at].days[clock] % ROUNDS] = mean
    s.hours[at].days[clock] = more(s.hours[at].days[clock])


@inlined
def turn_hour(s: ShardArrays, at: int, minute: int) -> None:
    """Close the hour under way if a minute is not in it. Silence is learned, but not that of more than a day.

    After more than that nothing is known of the time between: the stream may have stood still.
    """
    hour, before = minute // HOUR, s.hours[at].hour
    if hour == before:
        return
    through = 0 <= minute - s.hours[at].last - 1 <= DAY
    end = (before + 1) * HOUR if through else s.hours[at].last + 1
    covered = end - s.hours[at].since
    if covered >= COVERED:
        learn_hour(s, at, before, s.hours[at].total / covered)
    if through:
        for silent in range(before + 1, hour):
            learn_hour(s, at, silent, 0.0)
    s.hours[at].hour = hour
    s.hours[at].since = hour * HOUR if through else minute
    s.hours[at].total = 0.0


@kernel
def turn_hours(s: ShardArrays, minute: int) -> None:
    """Before a minute is learned: close the hours that are over, and give back those of entities that are gone."""
    for at in range(s.head[HOURS]):
        owner = s.hours[at].owner
        if owner == 0:
            continue
        record = find(s, owner)
        if s.records[record].hash == 0 or s.records[record].hours != at:
            s.hours[at].owner = 0
            s.head[FREE_HOURS] += 1
        else:
            turn_hour(s, at, minute)


@inlined
def take_hours(s: ShardArrays, record: int, minute: int) -> None:
    """Begin to keep an entity's hours, if there is room."""
    at = s.head[HOURS]
    if s.head[FREE_HOURS] > 0:
        at = 0
        while s.hours[at].owner != 0:
            at += 1
        s.head[FREE_HOURS] -= 1
    elif at < len(s.hours):
        s.head[HOURS] += 1
    else:
        return
    s.records[record].hours = at
    s.hours[at].owner = s.records[record].hash
    s.hours[at].hour = minute // HOUR
    s.hours[at].since = minute
    s.hours[at].last = minute - 1
    s.hours[at].guarded = minute - 1
    s.hours[at].total = 0.0
    s.hours[at].seen = -1.0
    s.hours[at].spread = -1.0
    for k in range(WEEK):
        s.hours[at].weeks[k] = 0
    for k in range(24):
        s.hours[at].days[k] = 0


@inlined
def count_minute(s: ShardArrays, record: int, minute: int, events: float, guarded: bool) -> None:
    """A minute of an entity that was not silent counts in its hour, guarded or not: an attack is in one round only."""
    at = s.records[record].hours
    if at < 0:
        if guarded or s.records[record].count < YOUNG or len(s.hours) == 0:
            return
        take_hours(s, record, minute)
        at = s.records[record].hours
        if at < 0:
            return
    s.hours[at].total += events
    if guarded:
        s.hours[at].guarded = minute


@kernel
def pass_minute(s: ShardArrays, minute: int, alpha: float) -> None:
    """After a minute was learned: it is of late now, for all but those whose minute was guarded."""
    for at in range(s.head[HOURS]):
        if s.hours[at].owner == 0:
            continue
        learned = s.hours[at].guarded != minute
        s.hours[at].seen = of_late(s, at, minute + 1 if learned else minute, alpha)
        s.hours[at].last = minute
