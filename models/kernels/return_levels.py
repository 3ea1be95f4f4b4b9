"""A series beside its own return levels: what its few strangest episodes so far have reached, in several views."""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import brief, inlined, kernel
from models.kernels.season import TIMELESS, SeasonArrays, learn_season, season_explains, season_residual
from models.kernels.tail import TailArrays, tail_beyond, tail_count

ABOVE, BELOW, ABOVE_SHORT, BELOW_SHORT, ABOVE_LONG, BELOW_LONG, RESTLESS, STILL = range(8)
ABOVE_DAY, BELOW_DAY, ABOVE_WEEK, BELOW_WEEK = range(8, 12)
VIEWS: Final = 12
SECONDARY: Final = STILL  # the first of the views that must reach further to say as much
WHOLE, SHORT, LONG, AROUND_WHOLE, AROUND_LONG = range(5)
"""Places in SeriesArrays.level: running means, and mean distances from two of them."""
LEVELS: Final = 5
ROWS, BEGAN = range(
    2
)  # places in EpisodeArrays.head: rows scored or learned, the row at which an episode was last told
EPISODE_HEAD: Final = 2
NEVER: Final = -(1 << 62)
HUGE: Final = 1e90  # a value further from 0 is taken for that: squares and ratios stay finite
SMALLEST: Final = 1e-9  # share of the series' own size below which a difference is rounding
CLOCKWORK: Final = 0.3  # a day that leaves less than that share is expected also where it leaps
BETTER: Final = 0.8  # a week speaks where it leaves less than that share of what the day leaves
LEAP: Final = 100.0  # return levels: a value further off moves the running means as if it were that far
HALVINGS: Final = 40  # of the way from what is usual to a value, when the value of a ratio is looked for
SWEEP: Final = 1_000  # rows between two looks for episodes that are too old


class SeriesLearned(NamedTuple):
    """What the arithmetic needs from the detector's parameters."""

    episodes: int
    gap: int
    memory: int
    short: float
    long: float
    secondary: float
    warm_up: int


class RestLearned(NamedTuple):
    """What tells an episode once needs from the detector's parameters."""

    told: float
    grows: float
    share: float
    least: float
    most: float
    warm_up: int


class SeriesArrays(NamedTuple):
    """What was learned of one series; K episodes are kept, more than count, for when the oldest go."""

    learned: NDArray[np.int64]  # (1,) rows
    level: NDArray[np.float64]
    largest: NDArray[np.float64]  # (VIEWS, K) what the strangest episodes reached, falling
    row: NDArray[np.int64]  # (VIEWS, K) and when
    seen: NDArray[np.float64]  # (VIEWS,) the row under way in each view; below 0 is not known
    rows: NDArray[np.int64]  # (VIEWS,) rows that were known


class EpisodeArrays(NamedTuple):
    """The episode under way."""

    head: NDArray[np.int64]
    peak: NDArray[np.float64]  # (1,) its largest score


@inlined
def look(s: SeriesArrays, p: SeriesLearned, day: SeasonArrays, week: SeasonArrays, value: float, time: int) -> None:
    """A value in each view, by what was learned before it."""
    for view, level in ((ABOVE, WHOLE), (ABOVE_SHORT, SHORT), (ABOVE_LONG, LONG)):
        away = value - s.level[level]
        s.seen[view] = max(away, 0.0)
        s.seen[view + 1] = max(-away, 0.0)
    weight = max(1.0 / p.long, 1.0 / (s.learned[0] + 1))
    around = s.level[AROUND_LONG] + weight * (abs(value - s.level[LONG]) - s.level[AROUND_LONG])
    s.seen[RESTLESS] = around
    # A flat line's spread falls by a share with every row: its logarithm grows as the line does.
    usual = max(s.level[AROUND_WHOLE], SMALLEST * abs(s.level[WHOLE]))
    s.seen[STILL] = max(1.0 - math.log(max(around / usual, SMALLEST)), 0.0) if usual > 0.0 else 0.0
    s.seen[ABOVE_DAY] = s.seen[BELOW_DAY] = s.seen[ABOVE_WEEK] = s.seen[BELOW_WEEK] = -1.0
    if season_explains(day, time):
        away = season_residual(day, value, time)
        s.seen[ABOVE_DAY] = max(away, 0.0)
        s.seen[BELOW_DAY] = max(-away, 0.0)
        if day.spread[0] < CLOCKWORK * day.spread[1]:
            for view in range(RESTLESS):
                s.seen[view] = min(s.seen[view], s.seen[ABOVE_DAY + view % 2])
    if season_explains(week, time) and week.spread[0] < BETTER * day.spread[0]:
        away = season_residual(week, value, time)
        s.seen[ABOVE_WEEK] = max(away, 0.0)
        s.seen[BELOW_WEEK] = max(-away, 0.0)


@inlined
def return_level(s: SeriesArrays, p: SeriesLearned, view: int) -> float:
    """What so many episodes have reached; of fewer, what all of them have; 0 without any."""
    k = p.episodes - 1
    while k > 0 and s.largest[view, k] == 0.0:
        k -= 1
    return s.largest[view, k]


@inlined
def ratio(s: SeriesArrays, p: SeriesLearned) -> float:
    """How many times its return level the row reaches, in the view where it is most."""
    floor = SMALLEST * abs(s.level[WHOLE])
    most = 0.0
    for view in range(VIEWS):
        if s.rows[view] >= p.warm_up and s.seen[view] > 0.0:
            level = max(return_level(s, p, view), floor) if view != STILL else return_level(s, p, view)
            if view >= SECONDARY:
                level *= p.secondary
            if s.seen[view] > level * most:
                most = min(s.seen[view] / level, HUGE) if level > 0.0 else HUGE
    return most


@inlined
def enter(largest: NDArray[np.float64], row: NDArray[np.int64], seen: float, now: int, gap: int) -> None:
    """Let a view's row count among the strangest episodes: one episode is what lies within `gap` rows of its peak."""
    end = len(largest) - 1
    if seen <= largest[end]:
        return
    for k in range(len(largest)):
        if now - row[k] <= gap:
            if seen <= largest[k]:
                return
            end = k
    while end > 0 and largest[end - 1] < seen:
        largest[end] = largest[end - 1]
        row[end] = row[end - 1]
        end -= 1
    largest[end] = seen
    row[end] = now


@inlined
def forget(largest: NDArray[np.float64], row: NDArray[np.int64], before: int) -> None:
    """Take out the episodes that are older than a row."""
    kept = 0
    for k in range(len(largest)):
        if row[k] >= before:
            largest[kept] = largest[k]
            row[kept] = row[k]
            kept += 1
    for k in range(kept, len(largest)):
        largest[k] = 0.0
        row[k] = NEVER


@inlined
def bounded(s: SeriesArrays, p: SeriesLearned, view: int, away: float) -> float:
    """How far a running mean is let move: a few absurd values must not take it along."""
    if s.learned[0] < p.warm_up:
        return away
    return min(max(away, -LEAP * return_level(s, p, view + 1)), LEAP * return_level(s, p, view))


@inlined
def learn(s: SeriesArrays, p: SeriesLearned, value: float) -> None:
    """Move the levels and the episodes by the row that was looked at."""
    now = s.learned[0]
    for view in range(VIEWS):
        if s.seen[view] >= 0.0:
            enter(s.largest[view], s.row[view], s.seen[view], now, p.gap)
            s.rows[view] += 1
            if now % SWEEP == 0:
                forget(s.largest[view], s.row[view], now - p.memory)
    young = 1.0 / (now + 1)
    away = bounded(s, p, ABOVE_LONG, value - s.level[LONG])
    s.level[AROUND_LONG] += max(young, 1.0 / p.long) * (abs(away) - s.level[AROUND_LONG])
    s.level[LONG] += max(young, 1.0 / p.long) * away
    s.level[SHORT] += max(young, 1.0 / p.short) * bounded(s, p, ABOVE_SHORT, value - s.level[SHORT])
    away = bounded(s, p, ABOVE, value - s.level[WHOLE])
    s.level[AROUND_WHOLE] += max(young, 1.0 / p.memory) * (abs(away) - s.level[AROUND_WHOLE])
    s.level[WHOLE] += max(young, 1.0 / p.memory) * away
    s.learned[0] = now + 1


@brief
def level_at(
    s: SeriesArrays,
    p: SeriesLearned,
    day: SeasonArrays,
    week: SeasonArrays,
    value: float,
    time: int,
    at_least: float,
    out: NDArray[np.float64],
) -> None:
    """What a value that is not learned yet lies beside: what is usual now, and from where a ratio is reached.

    `out` is (usual, limit). Usual is the season's mean that is nearest to the value, where the day is explained,
    else the mean of the last `long` rows; the limit lies between it and the value, NaN while the ratio is below.
    """
    value = min(max(value, -HUGE), HUGE)
    look(s, p, day, week, value, time)
    reached = ratio(s, p)
    out[0] = value - season_residual(day, value, time) if season_explains(day, time) else s.level[LONG]
    out[1] = np.nan
    if reached < at_least:
        return
    low, high = out[0], value
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        look(s, p, day, week, middle, time)
        if ratio(s, p) < at_least:
            low = middle
        else:
            high = middle
    out[1] = high


@kernel
def ratios_learn(
    s: SeriesArrays,
    p: SeriesLearned,
    day: SeasonArrays,
    week: SeasonArrays,
    values: NDArray[np.float64],
    times: NDArray[np.int64],
    most: NDArray[np.float64],
) -> None:
    """Raise `most` to each value's ratio by those before it, then learn it. Values are finite; `times` may be none."""
    for i in range(len(values)):
        value = min(max(values[i], -HUGE), HUGE)
        if s.learned[0] == 0:
            s.level[WHOLE] = s.level[SHORT] = s.level[LONG] = value
        time = times[i] if len(times) > 0 else TIMELESS
        look(s, p, day, week, value, time)
        most[i] = max(most[i], ratio(s, p))
        learn(s, p, value)
        if time != TIMELESS:
            learn_season(day, value, value - s.level[WHOLE], time)
            learn_season(week, value, value - s.level[WHOLE], time)


@inlined
def tell(e: EpisodeArrays, p: RestLearned, score: float) -> float:
    """The score if it is news; within an episode that was told, the score over what it must reach to be told again."""
    now = e.head[ROWS]
    inside = now - e.head[BEGAN] <= min(max(p.share * now, p.least), p.most)
    again = e.peak[0] * p.grows
    news = not inside or score > again
    if news and score >= p.told:
        e.peak[0] = score
        e.head[BEGAN] = now
    return score if news else score / again


@kernel
def tell_once(
    e: EpisodeArrays,
    p: RestLearned,
    tail: TailArrays,
    scores: NDArray[np.float64],
    quantiles: NDArray[np.float64],
) -> None:
    """Turn ratios into scores that tell an episode once, and count them; NaN while too few rows were seen."""
    for i in range(len(scores)):
        quantiles[i] = np.nan
        if e.head[ROWS] < p.warm_up:
            scores[i] = np.nan
        else:
            scores[i] = tell(e, p, scores[i])
            quantiles[i] = 1.0 - tail_beyond(tail, scores[i])
            tail_count(tail, scores[i])
        e.head[ROWS] += 1
