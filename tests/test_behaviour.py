"""Features of behaviour: what the definitions say, slowly; bounded whatever is counted; the order of events is free."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import ACTIONS, DIMENSIONS, ENDPOINT, ERROR, IP, METHODS, OUTCOMES, USER
from models.detectors.half_space_trees import HalfSpaceTreesParams
from models.features.behaviour import (
    BEHAVIOUR,
    HALF,
    action_classes,
    allocate_profiles,
    allocate_recent,
    allocate_sums,
    empty_crowd,
    weights,
)
from models.kernels.behaviour import BEHAVIOURS, LEVELS, add_event, cells_of, clear_sums
from models.kernels.close_behaviour import BehaviourArrays, ClosedArrays, describe_windows, teach_windows
from models.kernels.half_space_trees import find_leaves, score_leaves
from models.kernels.reasons import DROP, FEATURE
from models.thresholds.edges import score_edges
from models.windows.behaviour_scores import BehaviourParams, Forest, behaviour_scores, no_reasons

MASK = (1 << 64) - 1
CLASSES = action_classes()
WEIGHT = weights(USER)
PARAMS = HalfSpaceTreesParams(trees=9, height=5, window=6, warm_up=8, guard=0.9)


def spread(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def scored(shard, x, i, height, window):
    leaf = np.empty((1, len(shard.scores.trees.feature)), np.uint16)
    find_leaves(shard.scores.trees, height, x, i, leaf, 0)
    return score_leaves(shard.model.forest, height, window, leaf, 0)


class Naive:
    """One entity and its crowd, as the module says it, with lists and dicts."""

    def __init__(self):
        self.recent = [[0.0] * 16, [0.0] * 16]
        self.pace = []  # (weight, events of a pane), all panes since the entity was last forgotten
        self.active = []  # minutes
        self.own = [[0] * 16, [0] * 16]
        self.hours = [0] * 8
        self.met = set()
        self.level = [0.0] * 6
        self.count = 0

    def close(self, crowd, minute, mixes, panes, met):
        if self.active and 0 < minute - self.active[-1] <= 16:
            gap = minute - self.active[-1]
            self.recent = [[x * 0.85**gap for x in mix] for mix in self.recent]
            self.pace = [(w * 0.85**gap, x) for w, x in self.pace]
            for silent in range(1, gap):
                self.pace += [(0.85**silent, 0)] * 12
        else:
            self.recent, self.pace, self.active = [[0.0] * 16, [0.0] * 16], [], []
        self.active.append(minute)
        self.active = [m for m in self.active if m > minute - 16]
        for mix, more in zip(self.recent, mixes, strict=True):
            for c in range(16):
                mix[c] += capped(more[c], sum(more))
        self.pace += [(1.0, x) for x in panes]
        return self.features(crowd, minute, met)

    def features(self, crowd, minute, met):
        out = []
        for own, recent, usual in zip(self.own, self.recent, crowd.mix, strict=True):
            n, known = sum(recent), sum(own)
            shares = [(o + 10 * u) / (known + 10) for o, u in zip(own, usual, strict=True)]
            away = sum((math.sqrt(r) - math.sqrt(n * s)) ** 2 for r, s in zip(recent, shares, strict=True))
            out.append(2 * math.sqrt(away / (1 + n / (known + 10))))
        levels = [
            2
            * math.sqrt(
                sum((math.sqrt(r) - math.sqrt(sum(recent) * u)) ** 2 for r, u in zip(recent, usual, strict=True))
            )
            for recent, usual in zip(self.recent, crowd.mix, strict=True)
        ]
        events = sum(self.recent[1])
        panes = sum(w for w, _ in self.pace)
        mean = sum(w * x for w, x in self.pace) / panes
        variance = sum(w * x * x for w, x in self.pace) / panes - mean * mean
        levels += [
            len(self.active) / 16,
            math.sqrt(events),
            (1 - variance / mean) * math.sqrt(panes / 2),
            sum(self.recent[1][1::2]) / (events + 1),
        ]
        n = min(self.count, 50)
        usual = [(n * o + 3 * c) / (n + 3) for o, c in zip(self.level, crowd.level, strict=True)]
        out += [a - b for a, b in zip(levels, usual, strict=True)]
        out.append(len(met - self.met) / len(met) if met and self.count else 0.0)
        hour = minute % 1440 // 180
        share = (self.hours[hour] + 2 * crowd.hours[hour]) / (sum(self.hours) + 2)
        out.append(1 - min(share / crowd.hours[hour], 1) if crowd.hours[hour] > 0 else 0.0)
        self.levels = levels
        return [w * (max(x, 0) / (max(x, 0) + h)) for x, h, w in zip(out, HALF, WEIGHT, strict=True)]

    def learn(self, minute, mixes, met):
        for own, more in zip(self.own, mixes, strict=True):
            add = [capped(x, sum(more)) for x in more]
            if any(a + b > 255 for a, b in zip(own, add, strict=True)):
                own[:] = [x // 2 for x in own]
            own[:] = [min(a + b, 255) for a, b in zip(own, add, strict=True)]
        self.count += 1
        self.hours[minute % 1440 // 180] += 1
        self.met |= met
        weight = max(0.02, 1 / self.count)
        self.level = [old + weight * (new - old) for old, new in zip(self.level, self.levels, strict=True)]


class Crowd:
    def __init__(self):
        self.mix = [[1 / 16] * 16, [1 / 16] * 16]
        self.hours = [1 / 8] * 8
        self.level = [0.0] * 6
        self.count = 0

    def learn(self, minute, mixes, levels):
        self.count += 1
        weight = max(0.0005, 1 / self.count)
        for mix, more in zip(self.mix, mixes, strict=True):
            mix[:] = [old + weight * (x / sum(more) - old) for old, x in zip(mix, more, strict=True)]
        self.level = [old + weight * (new - old) for old, new in zip(self.level, levels, strict=True)]
        here = minute % 1440 // 180
        weight = max(0.00001, 1 / self.count)
        self.hours = [old + weight * ((k == here) - old) for k, old in enumerate(self.hours)]


def capped(count, total):
    return count if total <= 64 else math.floor(count * 64 / total + 0.5)


class Shard:
    """The kernels, with a few entities: entity k has record, ring and place k."""

    def __init__(self, entities: int, params: BehaviourParams = PARAMS, dimension: int = USER):
        self.scores = behaviour_scores(params, dimension, score_edges())
        self.half, self.weight = np.array(HALF), np.array(weights(dimension))
        self.b = BehaviourArrays(
            allocate_sums(entities), allocate_recent(entities), allocate_profiles(entities), empty_crowd()
        )

    @property
    def model(self):
        assert isinstance(self.scores, Forest)
        return self.scores.model

    def close(self, minute, entities, panes):
        n = len(entities)
        k = np.array(entities, np.int64)
        w = ClosedArrays(
            k, k, k, np.array(panes, np.int64).reshape(n, 12), np.empty((n, LEVELS)), np.empty((n, BEHAVIOURS)),
            np.empty(n), np.empty(n), np.empty(n), np.empty(n, np.bool_), np.empty(n, np.bool_),
        )  # fmt: skip
        describe_windows(self.b, self.half, self.weight, minute, w)
        self.scores.assess(w)
        return w

    def learn(self, minute, w, counted):
        w.counted[:] = counted
        self.scores.learn(w)
        teach_windows(self.b, minute, w)
        for k in w.place.tolist():
            clear_sums(self.b.sums, k)


def events_of(seed, minutes, entities):
    """For each minute and active entity a list of events: (second, calls, outcomes, counterpart)."""
    rng = np.random.default_rng(seed)
    minute = int(rng.integers(0, 3000))
    for _ in range(minutes):
        minute += int(rng.choice([1, 1, 1, 2, 5, 17, 400], p=[0.6, 0.1, 0.1, 0.1, 0.05, 0.04, 0.01]))
        active = np.flatnonzero(rng.random(entities) < 0.7).tolist() or [0]
        yield (
            minute,
            {
                k: [
                    (
                        int(rng.integers(60)),
                        int(rng.integers(16) ** 2 // 16),
                        int(rng.integers(16)),
                        int(rng.integers(0, 9)) * 977,
                    )
                    for _ in range(int(rng.choice([1, 2, 5, 30, 150])))
                ]
                for k in active
            },
        )


def sums_of(rows):
    calls, outcomes, panes, met = [0] * 16, [0] * 16, [0] * 12, set()
    for second, c, o, other in rows:
        calls[c] += 1
        outcomes[o] += 1
        panes[second // 5] += 1
        if other:
            met.add(spread(other) & 63)
    return (calls, outcomes), panes, met


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_features_guard_and_profiles_are_what_the_definitions_say(seed):
    shard, crowd = Shard(5), Crowd()
    naive = [Naive() for _ in range(5)]
    taught = guarded = 0
    for minute, active in events_of(seed, 120, 5):
        expected, panes = [], []
        for k, rows in active.items():
            for _, c, o, other in rows:
                add_event(shard.b.sums, k, c, o, np.uint64(other))
            mixes, counts, met = sums_of(rows)
            panes.append(counts)
            expected.append(naive[k].close(crowd, minute, mixes, counts, met))
        w = shard.close(minute, list(active), panes)
        np.testing.assert_allclose(w.x, expected, rtol=2e-4, atol=2e-4)
        taught += int((~w.guarded).sum())
        guarded += int(w.guarded.sum())
        shard.learn(minute, w, [False] * len(active))
        for teaches, (k, rows) in zip(~w.guarded, active.items(), strict=True):
            if teaches:
                mixes, _, met = sums_of(rows)
                naive[k].learn(minute, mixes, met)
                crowd.learn(minute, mixes, naive[k].levels)
        for k, one in enumerate(naive):
            assert shard.b.profiles.mix[k].tolist() == one.own
            assert shard.b.profiles.count[k] == one.count
        np.testing.assert_allclose(shard.b.crowd.mix, crowd.mix, rtol=1e-9, atol=1e-12)
    assert taught > 100
    assert guarded > 3
    assert shard.model.head.tolist() == [taught, guarded]


def test_a_window_is_scored_by_the_model_before_it_and_a_guarded_one_teaches_nothing():
    shard = Shard(3)
    for minute, active in events_of(7, 60, 3):
        for k, rows in active.items():
            for _, c, o, other in rows:
                add_event(shard.b.sums, k, c, o, np.uint64(other))
        w = shard.close(minute, list(active), [sums_of(rows)[1] for rows in active.values()])
        again = [scored(shard, w.x, i, 5, 6) for i in range(len(w.x))]
        np.testing.assert_array_equal(again, w.score)
        w.guarded[:] = minute % 3 == 0
        frozen = [a.copy() for a in (*shard.b.profiles, *shard.b.crowd, *shard.model.forest, shard.model.typical)]
        counts = shard.model.histogram.sum()
        counted = [k == 1 for k in active]
        shard.learn(minute, w, counted)
        if w.guarded[0]:
            after = (*shard.b.profiles, *shard.b.crowd, *shard.model.forest, shard.model.typical)
            assert all((a == b).all() for a, b in zip(frozen, after, strict=True))
            entered = sum(c and s == s for c, s in zip(counted, w.score, strict=True))
            assert shard.model.histogram.sum() == counts + entered
    assert shard.model.head.min() > 10


@given(st.randoms(use_true_random=False), st.integers(0, 10_000))
def test_the_order_of_a_minutes_events_is_free(random, seed):
    one, other = Shard(3), Shard(3)
    for minute, active in events_of(seed, 4, 3):
        rows = [(k, *row) for k, rows in active.items() for row in rows]
        mixed = random.sample(rows, len(rows))
        for shard, order in ((one, rows), (other, mixed)):
            for k, _, c, o, counterpart in order:
                add_event(shard.b.sums, k, c, o, np.uint64(counterpart))
        panes = [sums_of(rows)[1] for rows in active.values()]
        a, b = (shard.close(minute, list(active), panes) for shard in (one, other))
        np.testing.assert_array_equal(a.x, b.x)
        for shard, w in ((one, a), (other, b)):
            shard.learn(minute, w, [True] * len(active))


counts = st.one_of(st.integers(0, 3), st.integers(0, 65535), st.just(2**32 - 1))


@given(
    st.lists(
        st.tuples(
            st.integers(1, 30),
            st.lists(counts, min_size=16, max_size=16),
            st.lists(counts, min_size=16, max_size=16),
            st.lists(counts, min_size=12, max_size=12),
            st.integers(0, MASK),
        ),
        max_size=30,
    )
)
def test_features_stay_in_their_bounds_under_any_counts(minutes):
    shard = Shard(1, HalfSpaceTreesParams(trees=3, height=4, window=2, warm_up=1))
    minute = 29_000_000
    for gap, calls, outcomes, panes, met in minutes:
        minute += gap
        shard.b.sums.mix[0, 0] = np.minimum(calls, 65535)
        shard.b.sums.mix[0, 1] = np.minimum(outcomes, 65535)
        for sketch, pane in ((shard.b.sums.mix[0, 0], panes), (shard.b.sums.mix[0, 1], panes)):
            if not sketch.any():
                sketch[0] = 1
            if not any(pane):
                pane[0] = 1
        shard.b.sums.met[0] = met
        w = shard.close(minute, [0], [panes])
        assert ((w.x >= 0) & (w.x <= np.array(WEIGHT))).all(), w.x
        assert ((w.score >= 0) & (w.score <= 1) | np.isnan(w.score)).all()
        assert np.isfinite(w.level).all()
        shard.learn(minute, w, [True])
    assert all(np.isfinite(a).all() for a in (*shard.b.profiles, *shard.b.crowd, *shard.b.recent))


@given(
    st.integers(0, len(DIMENSIONS) - 1), st.integers(0, MASK), st.integers(0, len(METHODS) - 1),
    st.integers(0, len(ACTIONS) - 1), st.integers(0, len(OUTCOMES) - 1), st.integers(-(2**15), 2**15 - 1),
    st.integers(0, 255),
)  # fmt: skip
def test_every_event_has_a_cell_in_both_sketches(dimension, endpoint, method, action, outcome, status, counts):
    calls, outcomes = cells_of(dimension, np.uint64(endpoint), method, action, outcome, status, counts, CLASSES)
    error = int(counts & ERROR > 0)
    if dimension == ENDPOINT:
        assert calls == 2 * method + error
        assert 0 <= outcomes < 16
    else:
        assert calls == spread(endpoint ^ ((method + 1) * 0x9E3779B97F4A7C15 & MASK)) & 15
        assert outcomes == 2 * CLASSES[method, action] + error


def test_answers_of_different_kinds_have_cells_of_their_own():
    at = [
        cells_of(ENDPOINT, np.uint64(5), 1, 0, outcome, status, 0, CLASSES)[1]
        for status in (200, 204, 302, 400, 403, 405, 404, 429, 503)
        for outcome in (1,)
    ] + [cells_of(ENDPOINT, np.uint64(5), 1, 0, outcome, 0, 0, CLASSES)[1] for outcome in range(len(OUTCOMES))]
    assert len(set(at)) == len(at)


def test_a_users_turn_is_explained_by_what_turned():
    """A regular reader that begins to export stands out by its mix, and nothing else in the crowd does."""
    shard = Shard(40, HalfSpaceTreesParams(warm_up=100))
    rng = np.random.default_rng(4)
    read = cells_of(USER, np.uint64(11), METHODS.index("GET"), ACTIONS.index("data_read"), 1, 200, 0, CLASSES)
    write = cells_of(USER, np.uint64(12), METHODS.index("POST"), ACTIONS.index("api_call"), 1, 201, 0, CLASSES)
    export = cells_of(USER, np.uint64(13), METHODS.index("GET"), ACTIONS.index("data_export"), 1, 200, 0, CLASSES)
    assert len({read[1], write[1], export[1]}) == 3
    for minute in range(600, 720):
        active = [k for k in range(40) if rng.random() < 0.4 or (k == 7 and minute >= 690)]
        panes = []
        for k in active:
            n = 1 + int(rng.poisson(2)) + 2 * (k == 7 and minute >= 690)
            for _ in range(n):
                cell = (read, write)[int(rng.random() < 0.3)] if k != 7 or minute < 690 else export
                add_event(shard.b.sums, k, *cell, np.uint64(k + 1))
            panes.append(rng.multinomial(n, [1 / 12] * 12))
        w = shard.close(minute, active, panes)
        if minute > 700:
            at = active.index(7)
            assert w.score[at] == np.nanmax(w.score)
            assert w.quantile[at] > 0.98
            reasons = no_reasons(1)
            shard.scores.explain(w, np.array([at]), reasons)
            feature, drop = reasons[0, :, FEATURE].astype(int), reasons[0, :, DROP]
            assert (np.diff(drop) <= 0).all()
            assert drop[0] > 0
            turned = {"calls", "outcomes", "crowd_calls", "crowd_outcomes", "persistence", "volume"}
            assert {BEHAVIOUR[f] for f in feature} <= turned
            changed = w.x[at : at + 1].copy()
            changed[0, feature[0]] = shard.model.typical[feature[0]]
            assert drop[0] == w.score[at] - scored(shard, changed, 0, 8, 250)
        shard.learn(minute, w, [True] * len(active))


def test_dimensions_without_a_sketch_of_their_own_share_the_one_of_addresses():
    row = (np.uint64(99), 3, 1, 2, 401, ERROR, CLASSES)
    assert cells_of(IP, *row) == cells_of(USER, *row)
    assert cells_of(IP, *row) != cells_of(ENDPOINT, *row)
