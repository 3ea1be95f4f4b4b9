"""A series beside its own return levels: what only its few strangest episodes have reached."""

from functools import cache
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.kernels.return_levels import (
    LEVELS,
    NEVER,
    VIEWS,
    EpisodeArrays,
    RestLearned,
    SeriesArrays,
    SeriesLearned,
    level_at,
    ratios_learn,
    tell_once,
)
from models.kernels.season import TIMELESS, SeasonArrays
from models.kernels.tail import TailArrays
from models.thresholds.tail import filled_tail

_DAY_US = 86_400_000_000


class ReturnLevelsParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="return_levels"):
    """How many times the level that only its few strangest episodes have reached a series reaches now.

    A row is looked at in twelve views: how far it is above and below the mean of all rows, the mean of the last `short`
    and of the last `long`; how restless and how still the last `long` rows are; and, where times are given, how far it
    is above and below what is usual at this time of the day, and of the week.

    A view's return level is what its `episodes` strangest episodes of the last `memory` rows have reached (hydrology's
    word for the flood that comes so many times in so many years): an episode is its peak and what lies within `gap`
    rows of it. So one outlier does not raise it, and what goes on for `episodes` x `gap` rows is the new normal. The
    ratio of a view to its level has no unit and means the same in every view and every series; stillness and
    seasons must reach `secondary` times further. The row's ratio is the largest.

    The day (in `slots`, UTC) speaks after `season_rounds` days in a row's slot, while the mean distance from it is
    below `season_leaves` times that from the mean of all; the week (7 x `slots`) after as many weeks, where it also
    leaves less than 0.8 of what the day leaves. Where the day leaves less than 0.3, what it expects is not counted in
    the other views either. A slot's mean remembers `season_memory` days or weeks.

    **An episode is told once.** A ratio of `told` or more begins one. For `rest_share` of the rows so far (at least
    `rest_least`, at most `rest_most`) the score is the ratio over `grows` times what was told, which is below 1 unless
    it has grown that much; then it is told again, and the rest begins anew. That is what an alert is about: its
    beginning. The cost: another episode within the rest that is not `grows` times stranger is not told, and how long
    an episode lasts cannot be read from the scores. `told` is meant as the threshold: a higher one also misses what
    follows within the rest of an episode between the two.

    The score is the ratio: 1 is reached by the strangest row in a hundred, `told` by one in some 600, wherever nothing
    happens. The quantile is counted among the scores and `usual` rows of a quiet series put before them: a series of
    a few thousand rows cannot say itself what is rare, and quantiles of series of all lengths compare.

    When it fails: what is strange only as a pattern (a wrong order, a missing beat inside the range) is not seen; a
    slow drift is seen as far as it leaves the range; what came `episodes` times is normal, also if it never was
    welcome; a season that is neither day nor week is not known, one of another time zone moves with its clocks; in the
    first rows levels are too low and scores too high.

    Cost: 0.3 microseconds a row and column, 20 KB a column.

    Source: return levels and episodes as in Coles, An Introduction to Statistical Modeling of Extreme Values (2001),
    with the counted level in place of a fitted one; the rest is ours, and measured in docs/quality.md.
    """

    id: str = "levels"
    episodes: Annotated[int, msgspec.Meta(ge=1, le=25)] = 4
    gap: Annotated[int, msgspec.Meta(ge=0)] = 10
    memory: Annotated[int, msgspec.Meta(ge=1_000)] = 50_000
    short: Annotated[float, msgspec.Meta(ge=1)] = 4.0
    long: Annotated[float, msgspec.Meta(ge=1)] = 24.0
    secondary: Annotated[float, msgspec.Meta(ge=1)] = 1.75
    slots: Annotated[int, msgspec.Meta(ge=1, le=1_440)] = 48
    season_rounds: Annotated[int, msgspec.Meta(ge=1)] = 2
    season_memory: Annotated[float, msgspec.Meta(ge=1)] = 20.0
    season_leaves: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.6
    told: Annotated[float, msgspec.Meta(gt=1)] = 1.25
    grows: Annotated[float, msgspec.Meta(ge=1)] = 2.0
    rest_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.05
    rest_least: Annotated[float, msgspec.Meta(ge=0)] = 10.0
    rest_most: Annotated[float, msgspec.Meta(ge=0)] = 200.0
    warm_up: Annotated[int, msgspec.Meta(ge=2)] = 100
    usual: Annotated[float, msgspec.Meta(ge=0)] = 1e7


def usual_share(score: float) -> float:
    """The share of rows that score higher where nothing happens: one in a hundred reaches its return level.

    Measured on series of noise, seasons and counts; between them it varies by a factor of three.

    >>> [round(usual_share(score), 5) for score in (0.5, 1.0, 1.25, 2.0)]
    [0.93057, 0.01, 0.00168, 4e-05]
    """
    return float(0.01 ** (score**6)) if score < 1.0 else 0.01 * float(score) ** -8


@cache
def _usual_tail(usual: float) -> TailArrays:
    """What a series that knows nothing takes for usual: the same for every one, to be copied."""
    return filled_tail(usual_share, usual)


def empty_series(params: ReturnLevelsParams) -> tuple[SeriesArrays, SeasonArrays, SeasonArrays]:
    """A series of which nothing was learned, its day and its week."""
    shape = (VIEWS, 4 * params.episodes)  # more than count, for when the oldest go
    return (
        SeriesArrays(
            learned=np.zeros(1, np.int64),
            level=np.zeros(LEVELS),
            largest=np.zeros(shape),
            row=np.full(shape, NEVER, np.int64),
            seen=np.zeros(VIEWS),
            rows=np.zeros(VIEWS, np.int64),
        ),
        _empty_season(params, 1),
        _empty_season(params, 7),
    )


def _empty_season(params: ReturnLevelsParams, days: int) -> SeasonArrays:
    slots = days * params.slots
    return SeasonArrays(
        mean=np.zeros(slots),
        rounds=np.zeros(slots, np.int64),
        total=np.zeros(slots),
        count=np.zeros(slots, np.int64),
        round=np.full(slots, NEVER, np.int64),
        rows=np.zeros(1, np.int64),
        spread=np.zeros(2),
        length=np.array([days * _DAY_US]),
        limits=np.array([params.season_rounds, params.season_memory, params.season_leaves], np.float64),
    )


def _words(arrays: Any) -> int:
    return arrays.size if isinstance(arrays, np.ndarray) else sum(map(_words, arrays))


def _laid(arrays: Any, row: NDArray[np.int64], at: int) -> tuple[Any, int]:
    """Nested tuples of arrays of 64-bit members, moved to a place in a row of such; and what comes after them."""
    if isinstance(arrays, np.ndarray):
        there = row[at : at + arrays.size].view(arrays.dtype).reshape(arrays.shape)
        there[:] = arrays
        return there, at + arrays.size
    found = []
    for one in arrays:
        moved, at = _laid(one, row, at)
        found.append(moved)
    return (type(arrays)(*found) if hasattr(arrays, "_fields") else type(arrays)(found)), at


class ReturnLevels:
    """The detector of a single series; of several, the strangest column tells.

    A row with a member that is not finite has no score and teaches nothing. See `ReturnLevelsParams` for what the
    numbers mean.

    >>> values = np.random.default_rng(1).normal(50.0, 2.0, 2_000)
    >>> values[1_500:1_510] = 75.0
    >>> scores, quantiles = ReturnLevels(ReturnLevelsParams(), 1).score_learn(values[:, np.newaxis], None)
    >>> int(np.nanargmax(scores)), bool(scores[1_500] > 3), bool((scores[1_501:1_510] < 1).all())
    (1500, True, True)
    """

    def __init__(self, params: ReturnLevelsParams, features: int) -> None:
        self.params = p = params
        arrays = (
            [empty_series(p) for _ in range(features)],
            EpisodeArrays(np.array([0, NEVER], np.int64), np.zeros(1)),
            _usual_tail(p.usual),
        )
        self.words = np.empty(_words(arrays), np.int64)
        """All that is learned; another one with the same parameters goes on from a copy."""
        (self.series, self.episode, self.tail), _ = _laid(arrays, self.words, 0)
        self._learned = SeriesLearned(p.episodes, p.gap, p.memory, p.short, p.long, p.secondary, p.warm_up)
        self._rest = RestLearned(p.told, p.grows, p.rest_share, p.rest_least, p.rest_most, p.warm_up)
        self._out = np.empty(2)

    def level_at(self, value: float, at_least: float, time: int = TIMELESS) -> tuple[float, float]:
        """What is usual for the single series at a time, and the limit from there to a value that is not learned yet.

        Nothing is learned. The limit is the value between what is usual and this one with a ratio of `at_least`; NaN
        if the ratio is below.

        >>> detector = ReturnLevels(ReturnLevelsParams(), 1)
        >>> _ = detector.score_learn(np.random.default_rng(1).normal(50.0, 2.0, (2_000, 1)), None)
        >>> [round(x, 1) for x in detector.level_at(75.0, at_least=2.0)]
        [50.2, 62.0]
        """
        series, day, week = self.series[0]
        level_at(series, self._learned, day, week, value, time, at_least, self._out)
        usual, limit = self._out.tolist()
        return usual, limit

    def score_learn(
        self, rows: NDArray[np.float64], times: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score each row of shape (n, features), then learn it: scores and quantiles, NaN where not known.

        `times` are microseconds UTC of shape (n,); without them there is no season.
        """
        whole = np.isfinite(rows).all(axis=1)
        scores = np.zeros(int(whole.sum()))
        quantiles = np.empty(len(scores))
        when = np.empty(0, np.int64) if times is None else np.ascontiguousarray(times[whole])
        for column, (series, day, week) in enumerate(self.series):
            ratios_learn(series, self._learned, day, week, np.ascontiguousarray(rows[whole, column]), when, scores)
        tell_once(self.episode, self._rest, self.tail, scores, quantiles)
        out = np.full((2, len(rows)), np.nan)
        out[0, whole], out[1, whole] = scores, quantiles
        return out[0], out[1]
