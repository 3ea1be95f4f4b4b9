"""Which limit keeps a detection within a number of incidents a day, and how sure that is."""

import re
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.errors import Refused, UsageError
from flows.rethreshold import DAY_MINUTES, DAY_US, Fired, Rethreshold, counts
from models.thresholds.peaks_over_threshold import Peaks, binned, fit, future

LEAST_DAYS: Final = 7
"""Whole days: fewer show no week, and say too little of how days differ."""
LEAST_PEAKS: Final = 50
"""Fewer make no tail."""
_FORM: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)/(hour|day|week)", re.ASCII)
_A_DAY: Final = {"hour": 24.0, "day": 1.0, "week": 1 / 7}


class Tail(msgspec.Struct, frozen=True):
    """The Pareto tail that was fitted: where it begins, its scale and shape, and to how many peaks of how many days."""

    begin: float
    scale: float
    shape: float
    peaks: int
    days: int


class Proposal(msgspec.Struct, frozen=True):
    """The least limit whose expected rate is within the budget.

    `a_day` is expected by the tail, `counted` what there was in the range, `below` expected with a limit one lower
    (None: that is below where the tail begins). In `horizon` days to come the rate lies between `low` and `high`
    (95 %).
    """

    limit: float
    a_day: float
    counted: float
    below: float | None
    low: float
    high: float
    horizon: int
    tail: Tail


def budget_of(text: str) -> float:
    """Incidents a day.

    Raises
    ------
    UsageError
        It is no number above 0 an hour, a day or a week.

    >>> budget_of("20/day"), budget_of("7/week")
    (20.0, 1.0)
    """
    found = _FORM.fullmatch(text)
    if not found or float(found[1]) <= 0.0:
        raise UsageError(f'--budget: Expected a rate such as "20/day", "1/hour" or "3/week", got {text[:40]!a}')
    return float(found[1]) * _A_DAY[found[2]]


def whole_days(index: Rethreshold) -> NDArray[np.int64]:
    """The days (UTC, since 1970) with windows that the range covers but for an hour at either end.

    Raises
    ------
    Refused
        They are too few.
    """
    days = index.seen_days
    whole: NDArray[np.int64] = days[
        (days * DAY_MINUTES >= index.start - 60) & ((days + 1) * DAY_MINUTES <= index.end + 60)
    ]
    if len(whole) < LEAST_DAYS:
        raise Refused(
            f"the windows cover {len(whole)} whole day{_s(len(whole))} (UTC), and a rate with an "
            f"interval needs {LEAST_DAYS}: how days differ cannot be seen in fewer"
        )
    return whole


def counted(fired: Fired, days: NDArray[np.int64]) -> int:
    """How many incidents begin in some days."""
    return int(np.isin(fired.start // DAY_US, days).sum())


def propose(index: Rethreshold, a_day: float, horizon: int = 7, seed: int = 0) -> Proposal:
    """The limit for a budget of incidents a day, by peaks over threshold.

    Peaks are the greatest value of each incident at the limit where the tail begins. That is the highest with as many
    as the budget has, 50 at least: so the tail has to reach no further than it must, what was counted often enough is
    not smoothed away, and splits of one incident into several at a higher limit are few.

    Raises
    ------
    Refused
        There are too few days or peaks, or even the lowest limit that the windows answer gives less than the budget;
        or the limit is no number of events or things.
    """
    if not counts(index.detection):
        raise Refused("its limit is a share or a sum, and a budget is worked out of numbers that are counted")
    days = whole_days(index)
    wanted = a_day * len(days)
    levels = index.reached[index.reached >= index.floor]
    begin = _highest(index, levels, days, max(wanted, float(LEAST_PEAKS)))
    fired = index.at(begin)
    inside = np.isin(fired.start // DAY_US, days)
    peaks = int(inside.sum())
    if peaks < LEAST_PEAKS:
        raise Refused(
            f"{peaks} incident{_s(peaks)} in {len(days)} days at {begin:g}, the lowest limit that the windows "
            f"answer; a tail needs {LEAST_PEAKS} peaks"
        )
    if peaks < wanted:
        raise Refused(
            f"even {begin:g}, the lowest limit that the windows answer, gives {peaks / len(days):.2f} "
            f"incidents a day, less than {a_day:g}"
        )
    found = peaks_of(fired, days)
    tail = fit(found)
    limit = float(np.ceil(tail.level(wanted / peaks) - 1e-9))
    spread = future(found, limit, horizon, np.random.default_rng(seed))
    return Proposal(
        limit=limit,
        a_day=peaks / len(days) * tail.exceeds(limit),
        counted=counted(index.at(limit), days) / len(days),
        below=peaks / len(days) * tail.exceeds(limit - 1) if limit - 1 >= tail.begin else None,
        low=spread.low,
        high=spread.high,
        horizon=horizon,
        tail=Tail(tail.begin, tail.scale, tail.shape, peaks, len(days)),
    )


def peaks_of(fired: Fired, days: NDArray[np.int64]) -> Peaks:
    """The greatest value of each incident of some days, by day."""
    day = fired.start // DAY_US
    inside = np.isin(day, days)
    return binned(fired.value[inside], np.searchsorted(days, day[inside]), len(days), whole=True)


def _highest(index: Rethreshold, levels: NDArray[np.float64], days: NDArray[np.int64], peaks: float) -> float:
    """The highest level with so many incidents; the lowest of all where none has."""
    low, high = -1, len(levels)
    while high - low > 1:
        middle = (low + high) // 2
        if counted(index.at(float(levels[middle])), days) >= peaks:
            low = middle
        else:
            high = middle
    return float(levels[low]) if low >= 0 else index.floor


def _s(count: int) -> str:
    return "" if count == 1 else "s"
