"""How an entity behaves in a closed minute, beside its own past and beside the crowd, as a row of features.

While a minute is open its events only add to sums, so their order does not matter. When it closes, the sums move the
entity's *recent* behaviour (some ten minutes, held while it is active), the features compare that with its *profile*
(what it has learned, held as long as the entity) and with the *crowd* (what all entities of the shard have learned),
and a minute that teaches moves profile and crowd. Only additions, divisions and square roots: the same bits everywhere.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import ENDPOINT, ERROR
from models.kernels.kernel import inlined, kernel

CALLS, OUTCOMES = range(2)  # the two sketches
CELLS: Final = 16
HOURS: Final = 8  # blocks of three
FRAMES: Final = 12  # base panes in the learning window
REMEMBERED: Final = 16  # minutes of silence after which recent behaviour is forgotten
KEEP: Final = 0.85  # of recent behaviour, each minute
MOST: Final = 64  # events for which a minute counts at most in a sketch
FULL: Final = 255  # of a profile's cell: then all of the sketch is halved
CROWD: Final = 10.0  # events that the crowd's mix weighs in a profile
CROWD_LEVEL: Final = 3.0  # windows that the crowd's level weighs in an entity's own
OWN_ALPHA: Final = 0.02
CROWD_ALPHA: Final = 0.0005
HOURS_ALPHA: Final = 0.00001  # of the crowd's hours: days, where the rest is about an hour
DAY: Final = 1440

(F_CALLS, F_OUTCOMES, F_CROWD_CALLS, F_CROWD_OUTCOMES, F_PERSISTENCE, F_VOLUME, F_SPACING, F_ERRORS, F_NEWNESS, F_HOUR) = range(10)  # fmt: skip  # noqa: E501
BEHAVIOURS: Final = 10
(L_CROWD_CALLS, L_CROWD_OUTCOMES, L_PERSISTENCE, L_VOLUME, L_SPACING, L_ERRORS) = range(6)
LEVELS: Final = (
    6  # features that are an excess over the entity's own usual level; of the features from F_CROWD_CALLS on
)


class SumArrays(NamedTuple):
    """One open minute of one entity in each place: 72 bytes. Nothing but additions, so in any order."""

    mix: NDArray[np.uint16]  # (C, 2, CELLS)
    met: NDArray[np.uint64]  # (C,) a bit for each counterpart, by its hash


class RecentArrays(NamedTuple):
    """Recent behaviour of the active entities, by ring: 148 bytes."""

    mix: NDArray[np.float32]  # (P, 2, CELLS)
    pace: NDArray[np.float32]  # (P, 3): events of base panes, their squares, base panes
    minutes: NDArray[np.uint32]  # (P,) bit i: active i minutes before `last`
    last: NDArray[np.int32]  # (P,) minute


class ProfileArrays(NamedTuple):
    """What is remembered of every entity, by record: 76 bytes."""

    mix: NDArray[np.uint8]  # (R, 2, CELLS)
    hours: NDArray[np.uint8]  # (R, HOURS) active minutes by time of day, UTC
    met: NDArray[np.uint64]  # (R,)
    level: NDArray[np.float32]  # (R, LEVELS)
    count: NDArray[np.int32]  # (R,) minutes learned


class CrowdArrays(NamedTuple):
    """What all entities of a shard have learned together."""

    mix: NDArray[np.float64]  # (2, CELLS) shares
    hours: NDArray[np.float64]  # (HOURS,) shares
    level: NDArray[np.float64]  # (LEVELS,)
    count: NDArray[np.int64]  # (1,)


@inlined
def spread(x: np.uint64) -> np.uint64:
    """A hash's bits mixed (Stafford, 2011), so that any of them can choose a place."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inlined
def status_class(status: int) -> int:
    """An answer's kind, below CELLS."""
    if status >= 500:
        return 9
    if status == 429:
        return 8
    if status == 404 or status == 410:
        return 7
    if status == 405 or status == 501:
        return 6
    if status == 401 or status == 403:
        return 5
    if status >= 400:
        return 4
    if status >= 300:
        return 3
    if status == 204:
        return 2
    return 1 if status >= 200 else 0


@inlined
def cells_of(
    dimension: int,
    endpoint: np.uint64,
    method: int,
    action: int,
    outcome: int,
    status: int,
    counts: int,
    classes: NDArray[np.uint8],
) -> tuple[int, int]:
    """The cells of both sketches in which an event counts; `classes` is models.features.behaviour's table."""
    error = 1 if counts & ERROR else 0
    if dimension == ENDPOINT:
        return 2 * (method & 7) + error, status_class(status) if status > 0 else 10 + outcome
    place = endpoint ^ (np.uint64(method + 1) * np.uint64(0x9E3779B97F4A7C15))
    return np.int64(spread(place) & np.uint64(CELLS - 1)), 2 * np.int64(classes[method & 7, action]) + error


@inlined
def add_event(s: SumArrays, place: int, calls: int, outcomes: int, other: np.uint64) -> None:
    """Count one event in its entity's open minute; `other` is the counterpart's hash, 0: none."""
    if s.mix[place, CALLS, calls] < 65535:
        s.mix[place, CALLS, calls] += 1
    if s.mix[place, OUTCOMES, outcomes] < 65535:
        s.mix[place, OUTCOMES, outcomes] += 1
    if other != 0:
        s.met[place] |= np.uint64(1) << (spread(other) & np.uint64(63))


@kernel
def clear_sums(s: SumArrays, place: int) -> None:
    """Make a place ready for another minute."""
    s.mix[place] = 0
    s.met[place] = 0


@inlined
def total_of(s: SumArrays, place: int, sketch: int) -> int:
    """Events in a minute's sketch."""
    total = 0
    for c in range(CELLS):
        total += np.int64(s.mix[place, sketch, c])
    return total


@inlined
def capped(count: int, total: int) -> int:
    """A cell's share of at most MOST events."""
    return count if total <= MOST else (2 * count * MOST + total) // (2 * total)


@kernel
def forget_recent(r: RecentArrays, slot: int) -> None:
    """Recent behaviour begins anew: whenever a ring is given to an entity."""
    r.mix[slot] = 0.0
    r.pace[slot] = 0.0
    r.minutes[slot] = 0


@inlined
def remember(r: RecentArrays, slot: int, s: SumArrays, place: int, panes: NDArray[np.int64], minute: int) -> None:
    """A minute closes: recent behaviour fades by the minutes since the last one, and takes it in.

    `panes` are the minute's events by base pane. Guarded or not: this is what is seen, not what is learned.
    """
    gap = minute - r.last[slot]
    if r.minutes[slot] == 0 or gap <= 0 or gap > REMEMBERED:
        forget_recent(r, slot)
    else:
        for _ in range(gap):
            for sketch in range(2):
                for c in range(CELLS):
                    r.mix[slot, sketch, c] *= np.float32(KEEP)
            for k in range(3):
                r.pace[slot, k] *= np.float32(KEEP)
            r.pace[slot, 2] += np.float32(FRAMES)
        r.pace[slot, 2] -= np.float32(FRAMES)
        r.minutes[slot] = (r.minutes[slot] << np.uint32(gap)) & np.uint32(0xFFFF)
    r.minutes[slot] |= np.uint32(1)
    r.last[slot] = minute
    for sketch in range(2):
        total = total_of(s, place, sketch)
        for c in range(CELLS):
            r.mix[slot, sketch, c] += np.float32(capped(np.int64(s.mix[place, sketch, c]), total))
    for pane in panes:
        r.pace[slot, 0] += np.float32(pane)
        r.pace[slot, 1] += np.float32(pane) * np.float32(pane)
    r.pace[slot, 2] += np.float32(FRAMES)


@inlined
def bits(x: np.uint64) -> int:
    """How many bits are set."""
    n = 0
    while x != np.uint64(0):
        x &= x - np.uint64(1)
        n += 1
    return n


@inlined
def distance(total: float, expected: float, common: float) -> float:
    """The sum of squares of the distances of two mixes' roots, of which `common` is the sum of the roots' products."""
    return max(total + expected - 2.0 * common, 0.0)


@inlined
def own_distance(r: RecentArrays, slot: int, f: ProfileArrays, record: int, crowd: CrowdArrays, sketch: int) -> float:
    """How far the recent mix is from the entity's own, the crowd's weighing in; two samples (Freeman, Tukey 1950)."""
    seen = known = shares = common = 0.0
    for c in range(CELLS):
        own = float(f.mix[record, sketch, c])
        recent = float(r.mix[slot, sketch, c])
        share = own + CROWD * crowd.mix[sketch, c]
        seen += recent
        known += own
        shares += share
        common += math.sqrt(recent * share)  # of an empty cell, too: a root costs less than a branch that is missed
    known += CROWD
    away = distance(seen, seen * shares / known, common * math.sqrt(seen / known))
    return 2.0 * math.sqrt(away / (1.0 + seen / known))


@inlined
def crowd_distance(r: RecentArrays, slot: int, crowd: CrowdArrays, sketch: int) -> float:
    """How far the recent mix is from the crowd's (Freeman, Tukey 1950)."""
    seen = shares = common = 0.0
    for c in range(CELLS):
        recent = float(r.mix[slot, sketch, c])
        seen += recent
        shares += crowd.mix[sketch, c]
        common += math.sqrt(recent * crowd.mix[sketch, c])
    return 2.0 * math.sqrt(distance(seen, seen * shares, common * math.sqrt(seen)))


@inlined
def saturated(x: float, half: float) -> float:
    """From 0 for nothing and less to 1 for ever more; 1/2 at `half`."""
    return x / (x + half) if x > 0.0 else 0.0


@inlined
def levels_of(r: RecentArrays, slot: int, crowd: CrowdArrays, level: NDArray[np.float64]) -> None:
    """What an entity is compared with its own usual level in."""
    events = errors = 0.0
    for c in range(CELLS):
        events += r.mix[slot, OUTCOMES, c]
    for sketch in range(2):
        level[L_CROWD_CALLS + sketch] = crowd_distance(r, slot, crowd, sketch)
    level[L_PERSISTENCE] = bits(np.uint64(r.minutes[slot])) / REMEMBERED
    level[L_VOLUME] = math.sqrt(events)
    total, squares, panes = float(r.pace[slot, 0]), float(r.pace[slot, 1]), float(r.pace[slot, 2])
    mean = total / panes
    dispersion = (squares - total * mean) / total
    level[L_SPACING] = (1.0 - dispersion) * math.sqrt(0.5 * panes)
    for c in range(1, CELLS, 2):
        errors += r.mix[slot, OUTCOMES, c]
    level[L_ERRORS] = errors / (events + 1.0)


@inlined
def hour_of(minute: int) -> int:
    """The block of hours, UTC."""
    return (minute % DAY) * HOURS // DAY


@inlined
def describe_minute(
    f: ProfileArrays,
    record: int,
    r: RecentArrays,
    slot: int,
    crowd: CrowdArrays,
    s: SumArrays,
    place: int,
    minute: int,
    half: NDArray[np.float64],
    weight: NDArray[np.float64],
    level: NDArray[np.float64],
    x: NDArray[np.float64],
) -> None:
    """The features of a minute that `remember` has taken in, each from 0 to its weight, and the levels it teaches.

    `half` and `weight` are models.features.behaviour's. Nothing is written but `level` and `x`.
    """
    levels_of(r, slot, crowd, level)
    x[F_CALLS] = own_distance(r, slot, f, record, crowd, CALLS)
    x[F_OUTCOMES] = own_distance(r, slot, f, record, crowd, OUTCOMES)
    own = min(float(f.count[record]), 1.0 / OWN_ALPHA)
    for k in range(LEVELS):
        usual = (own * f.level[record, k] + CROWD_LEVEL * crowd.level[k]) / (own + CROWD_LEVEL)
        x[F_CROWD_CALLS + k] = level[k] - usual
    met = bits(s.met[place])
    x[F_NEWNESS] = bits(s.met[place] & ~f.met[record]) / met if met > 0 and f.count[record] > 0 else 0.0
    hour = hour_of(minute)
    active = 0.0
    for h in range(HOURS):
        active += float(f.hours[record, h])
    usual = (float(f.hours[record, hour]) + 2.0 * crowd.hours[hour]) / (active + 2.0)
    x[F_HOUR] = 1.0 - min(usual / crowd.hours[hour], 1.0) if crowd.hours[hour] > 0.0 else 0.0
    for k in range(BEHAVIOURS):
        x[k] = weight[k] * saturated(x[k], half[k])


@inlined
def teach_minute(
    f: ProfileArrays,
    record: int,
    crowd: CrowdArrays,
    s: SumArrays,
    place: int,
    minute: int,
    level: NDArray[np.float64],
) -> None:
    """An unguarded minute moves its entity's profile and the crowd; `level` is `describe_minute`'s."""
    crowd.count[0] += 1
    weight = max(CROWD_ALPHA, 1.0 / crowd.count[0])
    for sketch in range(2):
        total = total_of(s, place, sketch)
        full = False
        for c in range(CELLS):
            more = capped(np.int64(s.mix[place, sketch, c]), total)
            full |= np.int64(f.mix[record, sketch, c]) + more > FULL
            crowd.mix[sketch, c] += weight * (np.float64(s.mix[place, sketch, c]) / total - crowd.mix[sketch, c])
        for c in range(CELLS):
            old = np.int64(f.mix[record, sketch, c])
            more = capped(np.int64(s.mix[place, sketch, c]), total)
            f.mix[record, sketch, c] = min((old >> 1 if full else old) + more, FULL)
    hour = hour_of(minute)
    if f.hours[record, hour] == FULL:
        for h in range(HOURS):
            f.hours[record, h] >>= 1
    f.hours[record, hour] += 1
    weight_of_hours = max(HOURS_ALPHA, 1.0 / crowd.count[0])
    for h in range(HOURS):
        crowd.hours[h] += weight_of_hours * ((1.0 if h == hour else 0.0) - crowd.hours[h])
    f.met[record] |= s.met[place]
    f.count[record] += 1
    own = max(OWN_ALPHA, 1.0 / f.count[record])
    for k in range(LEVELS):
        f.level[record, k] += np.float32(own * (level[k] - f.level[record, k]))
        crowd.level[k] += weight * (level[k] - crowd.level[k])
