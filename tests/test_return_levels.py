"""A series beside its return levels: the definition, slowly; what is told once, and what becomes normal."""

import math

import numpy as np
import pytest

from models.detectors.return_levels import ReturnLevels, ReturnLevelsParams, usual_share

DAY = 86_400_000_000
STEP = 300_000_000


class NaiveEpisodes:
    """The strangest episodes of one view, from all that it has seen."""

    def __init__(self, params):
        self.params, self.entries = params, []  # [value, row], strangest first

    def level(self):
        known = [value for value, _ in self.entries if value > 0]
        return known[min(len(known), self.params.episodes) - 1] if known else 0.0

    def learn(self, value, row):
        room = 4 * self.params.episodes
        near = [entry for entry in self.entries if row - entry[1] <= self.params.gap]
        if value > 0 and (len(self.entries) < room or value > self.entries[-1][0]):
            if not near:
                self.entries = [*self.entries[: room - 1], [value, row]]
            elif value > near[0][0]:
                near[0][:] = [value, row]
            self.entries.sort(key=lambda entry: -entry[0])
        if row % 1_000 == 0:
            self.entries = [entry for entry in self.entries if entry[1] >= row - self.params.memory]


class NaiveSeason:
    """Means of slots over whole rounds, kept as lists."""

    def __init__(self, params, days):
        self.params, self.round, self.count, self.slots = params, days * DAY, days * params.slots, {}
        self.rows, self.near, self.far = 0, 0.0, 0.0

    def mean(self, slot, day):
        mean, days = 0.0, 0
        for each, values in sorted(self.slots.get(slot, {}).items()):
            if each < day:
                days += 1
                mean += max(1 / days, 1 / self.params.season_memory) * (sum(values) / len(values) - mean)
        return mean, days

    def residual(self, value, time):
        slots, day = self.count, time // self.round
        slot = time % self.round * slots // self.round
        mean, days = self.mean(slot, day)
        if days < self.params.season_rounds:
            return None
        later = (time % self.round) * slots / self.round - slot > 0.5
        beside = (slot + (1 if later else -1)) % slots
        # The slot beside is closed by its own rows only: its last day counts once a later row of it has come.
        days_beside = sorted(self.slots.get(beside, {}))
        mean_beside, known = self.mean(beside, days_beside[-1] if days_beside else day)
        away, other = value - mean, value - mean_beside
        if known < self.params.season_rounds:
            return away
        if away * other <= 0:
            return 0.0
        return min(away, other, key=abs)

    def explains(self):
        return self.rows >= 50 and self.near < self.params.season_leaves * self.far

    def learn(self, value, away, time):
        left = self.residual(value, time)
        if left is not None:
            self.rows += 1
            weight = max(1 / self.rows, 1e-4)
            near, far = abs(left), abs(away)
            if self.rows > 50:
                near, far = min(near, 5 * self.near), min(far, 5 * self.far)
            self.near += weight * (near - self.near)
            self.far += weight * (far - self.far)
        slot = time % self.round * self.count // self.round
        self.slots.setdefault(slot, {}).setdefault(time // self.round, []).append(value)


def naive_scores(params, values, times):
    """Every row's score, by the definition."""
    views = [NaiveEpisodes(params) for _ in range(12)]
    known = [0] * 12
    day, week = NaiveSeason(params, 1), NaiveSeason(params, 7)
    whole = short = long = values[0]
    around_whole = around_long = 0.0
    out, began, peak = [], -math.inf, 0.0
    for row, (value, time) in enumerate(zip(values, times, strict=True)):
        young = 1 / (row + 1)
        around = around_long + max(young, 1 / params.long) * (abs(value - long) - around_long)
        usual = max(around_whole, 1e-9 * abs(whole))
        seen = [max(sign * (value - level), 0.0) for level in (whole, short, long) for sign in (1, -1)]
        seen.append(around)
        seen.append(max(1 - math.log(max(around, 1e-9 * usual) / usual), 0) if usual > 0 else 0.0)
        for season in (day, week):
            speaks = season.explains() and (season is day or week.near < 0.8 * day.near)
            left = season.residual(value, time) if speaks else None
            seen += [None, None] if left is None else [max(left, 0.0), max(-left, 0.0)]
            if season is day and speaks and left is not None and day.near < 0.3 * day.far:
                seen[:6] = [min(each, max(left * sign, 0.0)) for each, sign in zip(seen, (1, -1) * 3, strict=False)]

        ratio = 0.0
        for view, each in enumerate(seen):
            if each and known[view] >= params.warm_up:
                level = views[view].level()
                if view != 7:
                    level = max(level, 1e-9 * abs(whole))
                level *= params.secondary if view >= 7 else 1
                ratio = max(ratio, each / level if level > 0 else 1e90)
        if row < params.warm_up:
            out.append(math.nan)
        else:
            inside = row - began <= min(max(params.rest_share * row, params.rest_least), params.rest_most)
            again = peak * params.grows
            news = not inside or ratio > again
            out.append(ratio if news else ratio / again)
            if news and ratio >= params.told:
                peak, began = ratio, row

        def bounded(view, away, now=row):
            if now < params.warm_up:
                return away
            return min(max(away, -100 * views[view + 1].level()), 100 * views[view].level())

        for view, each in enumerate(seen):
            if each is not None:
                views[view].learn(each, row)
                known[view] += 1
        away = bounded(4, value - long)
        around_long += max(young, 1 / params.long) * (abs(away) - around_long)
        long += max(young, 1 / params.long) * away
        short += max(young, 1 / params.short) * bounded(2, value - short)
        away = bounded(0, value - whole)
        around_whole += max(young, 1 / params.memory) * (abs(away) - around_whole)
        whole += max(young, 1 / params.memory) * away
        day.learn(value, value - whole, time)
        week.learn(value, value - whole, time)
    return np.array(out)


def series(kind, n, seed=1):
    rng = np.random.default_rng(seed)
    at = np.arange(n)
    step = 3_600_000_000 if kind == "weeks" else 2 * STEP
    if kind == "weeks":
        values = 50 + 30 * np.sin(2 * np.pi * at / 24) * (at // 24 % 7 < 5) + rng.normal(0, 2, n)
    elif kind == "days":
        values = 50 + 30 * np.sin(2 * np.pi * at / 144) + rng.normal(0, 2, n)
    elif kind == "counts":
        values = rng.poisson(0.3, n).astype(float)
    else:
        values = np.cumsum(rng.normal(0, 1, n))
    values[n // 2 : n // 2 + 15] += 60 * (1 + np.arange(15))
    values[3 * n // 4 : 3 * n // 4 + 60] = values[3 * n // 4]
    return values, 1_396_310_400_000_000 + at * step


def scored(values, times=None, params=None):
    detector = ReturnLevels(params or ReturnLevelsParams(), 1)
    return detector.score_learn(np.asarray(values, np.float64)[:, np.newaxis], times)


@pytest.mark.parametrize("kind", ["days", "weeks", "counts", "walk"])
@pytest.mark.parametrize(
    "params",
    [
        ReturnLevelsParams(),
        ReturnLevelsParams(episodes=2, gap=3, memory=1_000, short=2, long=60, slots=24, season_rounds=3, grows=1.1),
    ],
)
def test_a_score_is_its_definition(kind, params):
    values, times = series(kind, 1_500)
    expected = naive_scores(params, values.tolist(), times.tolist())
    assert (expected[params.warm_up :] > params.told).any()
    np.testing.assert_allclose(scored(values, times, params)[0], expected, rtol=1e-6, atol=1e-9)


def test_an_episode_is_told_once_and_again_when_it_grows():
    values = 50 + np.random.default_rng(2).normal(0, 1, 2_000)
    values[1_000:1_020] = 70
    values[1_010] = 150
    scores, quantiles = scored(values)
    told = np.flatnonzero(scores[950:] >= 1.25) + 950
    assert told.tolist()[:2] == [1_000, 1_010]
    assert len(told) <= 4
    assert quantiles[1_000] > 0.9999
    assert quantiles[1_001] < 0.99


def test_a_new_level_is_normal_soon_and_an_outlier_does_not_blind():
    values = 50 + np.random.default_rng(3).normal(0, 1, 4_000)
    values[1_000] = 500
    values[2_000:] += 20
    scores = scored(values)[0]
    assert scores[2_000] > 1.25  # far less than the outlier of before
    assert (scores[2_200:] < 1.25).mean() > 0.998


def test_what_comes_again_and_again_is_normal():
    values = np.random.default_rng(4).normal(0, 0.1, 4_000)
    values[100::200] += 5
    scores = scored(values)[0]
    assert (scores[1_000:] < 1.25).mean() > 0.999


def test_a_flat_line_and_a_missing_day_are_seen():
    values = 50 + np.random.default_rng(5).normal(0, 2, 3_000)
    values[2_000:2_100] = 50
    assert scored(values)[0][2_000:2_100].max() > 1.25
    at = np.arange(288 * 12)
    busy = (at % 288 >= 108) & (at % 288 < 216)
    values = np.where(busy, 80.0, 20.0) + np.random.default_rng(6).normal(0, 2, len(at))
    values[busy & (at // 288 == 10)] -= 60
    times = at * STEP
    begin = 288 * 10 + 108
    assert scored(values, times)[0][begin : begin + 20].max() > 1.25
    assert scored(values)[0][begin : begin + 20].max() < 1.25  # without times nobody knows


def test_a_working_day_at_the_weekend_is_seen_once_weeks_are_known():
    at = np.arange(24 * 7 * 10)
    works = (at // 24 % 7 < 5) & (at % 24 >= 8) & (at % 24 < 18)
    values = np.where(works, 80.0, 20.0) + np.random.default_rng(9).normal(0, 2, len(at))
    begin = 24 * (7 * 8 + 5) + 8
    values[begin : begin + 10] += 60
    monday = 4 * DAY  # 1970-01-05
    assert scored(values, monday + at * 12 * STEP)[0][begin] > 1.25
    assert scored(values)[0][begin] < 1.25


def test_the_first_change_of_a_constant_is_strange_and_a_constant_is_not():
    values = np.full(3_000, 45.1)
    values[2_000:] = 46.1
    scores = scored(values)[0]
    assert (scores[100:2_000] < 1).all()
    assert scores[2_000] > 1e6
    assert (scores[2_200:] < 1.25).all()


def test_of_several_columns_the_strangest_tells_and_state_is_bounded():
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(3_000, 3))
    rows[2_000, 1] = 20
    one = ReturnLevels(ReturnLevelsParams(), 3)
    size = [array.nbytes for each in one.series for arrays in each for array in arrays]
    scores, quantiles = one.score_learn(rows, None)
    assert np.nanargmax(scores) == 2_000
    assert size == [array.nbytes for each in one.series for arrays in each for array in arrays]
    assert np.isnan(scores[:100]).all()
    assert not np.isnan(scores[100:]).any()
    assert ((quantiles[100:] >= 0) & (quantiles[100:] < 1)).all()


def test_usual_scores_are_as_usual_as_told():
    shares = []
    for seed in range(20):
        scores = scored(np.random.default_rng(seed).normal(size=5_000))[0][750:]
        shares.append([(scores > level).mean() for level in (0.8, 1.0, 1.25)])
    for share, level in zip(np.mean(shares, axis=0), (0.8, 1.0, 1.25), strict=True):
        assert usual_share(level) / 5 < share < usual_share(level) * 3


def test_quality_on_counts_with_bursts():
    rng = np.random.default_rng(8)
    hits = told = 0
    for _ in range(10):
        values = rng.negative_binomial(4, 0.25, 6_000).astype(float)
        bursts = [2_000, 3_500, 5_000]
        for at in bursts:
            values[at : at + 10] += 100
        found = np.flatnonzero(scored(values)[1][900:] > 0.998) + 900
        told += len(found)
        hits += sum(((found >= at) & (found < at + 10)).any() for at in bursts)
    assert hits == 30
    assert told - hits <= 40


def test_scores_stay_finite_from_the_smallest_to_the_largest_values():
    values = np.random.default_rng(10).normal(size=3_000) * 1e-310
    values[[1_000, 1_500, 2_000]] = 1e308, -1e308, 1e-300
    scores, quantiles = scored(values)
    assert np.isfinite(scores[100:]).all()
    assert scores[1_000] > 1e80
    assert (quantiles[100:] < 1).all()
    assert (scores[2_500:] < 1.25).mean() > 0.99  # three absurd values do not blind
