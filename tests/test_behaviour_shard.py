"""Behaviour through a real shard, in any batches and over restarts, beside minutes that are put together by hand."""

import dataclasses
import random
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np
import pytest

from models.alert import CLOSE, CREATE
from models.base import DIMENSIONS, ENDPOINT, ERROR, IP, USER
from models.detectors.half_space_trees import HalfSpaceTreesParams
from models.detectors.reservoir_ensemble import ReservoirEnsembleParams
from models.event import EventBatch
from models.features.behaviour import BEHAVIOUR
from models.kernels.behaviour import add_event, cells_of
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.windows.behaviour import BehaviourSettings
from models.windows.behaviour_scores import BehaviourParams
from models.windows.shard import Shard
from tests.batches import assess, interleaved, partition_batches, row
from tests.naive import Row
from tests.streams import SECOND, Setup
from tests.test_behaviour import CLASSES
from tests.test_behaviour import Shard as Kernels
from tests.test_definitions import LATENESS, counter, shard_of

MINUTE = 60 * SECOND
BEGIN = 1_795_410_000_000_000 // MINUTE
FOREST = HalfSpaceTreesParams(trees=9, height=6, window=20, warm_up=25, guard=0.9)
ENSEMBLE = ReservoirEnsembleParams(
    kept=64, among=32, trees=9, sample=32, warm_up=25, guard=0.97, turnover=0.5, accept_after=60
)
SCORE = {FOREST: 0.6, ENSEMBLE: 3.0}
HALF_LIFE, ACCEPT_AFTER, QUIET = 40, 4, 12
SETUP = Setup((), (), (0.05, 0.005, 20, 2, 0.98, 5, 12, 5), 60)


class Closed(NamedTuple):
    """A closed window."""

    entity: str
    end: int
    score: float
    quantile: float
    guarded: bool


def rule_of(dimension: str, params: BehaviourParams) -> BehaviourAnomaly:
    return BehaviourAnomaly(
        id="odd", dimension=dimension, hits=2, windows=4, quantile=0.75, score=SCORE[params], at_least=4,
        quiet=f"{QUIET}m",
    )  # type: ignore[arg-type]  # fmt: skip


def new_shard(dimension: str, params: BehaviourParams, secret: int, state: bytes | None = None) -> Shard:
    return shard_of(
        dimension, SETUP, secret, state, rules=(rule_of(dimension, params),), quiet_us=(QUIET * MINUTE,),
        behaviour=BehaviourSettings(params=params, half_life_minutes=HALF_LIFE, accept_after_minutes=ACCEPT_AFTER),
    )  # fmt: skip


def traffic(rng: random.Random, minutes: int = 110) -> list[Row]:
    """Some users and their addresses, each with a taste of its own, and for some minutes not itself."""
    rows = []
    for user in range(9):
        odd = rng.randrange(40, minutes)
        for minute in range(minutes):
            strange = odd <= minute < odd + 6
            for _ in range(14 if strange else rng.choice((0, 0, 1, 2, 3))):
                at = (BEGIN + minute) * MINUTE + rng.randrange(MINUTE)
                path = rng.randrange(9) if strange else user % 3
                rows.append(
                    row(
                        at, ip=f"10.0.0.{user % 5}", user=f"u{user}", endpoint=f"/p{path}",
                        error=rng.random() < (0.6 if strange else 0.05),
                    )
                )  # fmt: skip
    return rows


def known(item: EventBatch) -> EventBatch:
    """The batch with a method, action, outcome and status of each row that follow from its endpoint and error."""
    errors = (item.counts & ERROR) != 0
    path = item.entity[ENDPOINT] % np.uint64(7)
    return dataclasses.replace(
        item,
        method=(path % np.uint64(5)).astype(np.uint8),
        action=(path + np.uint64(14)).astype(np.uint8),
        outcome=np.where(errors, 2, 1).astype(np.uint8),
        status=np.where(errors, 403, 200).astype(np.int16),
    )


def arrivals(rows: list[Row], rng: random.Random) -> list[EventBatch]:
    """Two partitions in disorder within lateness, in items of any size, some of which reach far ahead."""
    parts: list[list[Row]] = [[], []]
    for one in rows:
        parts[rng.random() < 0.3].append(one)
    names = ("a", "b")
    streams = []
    for name, mine in zip(names, parts, strict=True):
        mine.sort(key=lambda one: one.time + rng.random() * 0.98 * LATENESS)
        sizes = [rng.choice((1, 3, 20, 60)) for _ in range(2000)]
        streams.append(partition_batches(name, names, mine, LATENESS, sizes))
    return list(interleaved(streams, [rng.randrange(2) for _ in range(500)]))


def expected(rows: list[Row], dimension: int, params: BehaviourParams) -> tuple[list[Closed], list[tuple[Any, ...]]]:
    """What the kernels say minute by minute, and the incidents by the rule's own words."""
    other = USER if dimension == IP else IP
    minutes: dict[int, dict[int, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for one in rows:
        minutes[one.place // MINUTE][one.keys[dimension]].append(one)
    numbers: dict[int, int] = {}
    names = {one.keys[dimension]: one.names[dimension] for one in rows}
    for key in sorted(names):
        numbers[key] = len(numbers)
    kernels = Kernels(len(numbers), params, dimension)
    since: dict[int, int] = {}
    day: dict[int, int] = {}
    closed: list[Closed] = []
    strange: dict[int, dict[int, int]] = defaultdict(dict)
    period = min(minutes) // HALF_LIFE
    rule = rule_of(DIMENSIONS[dimension], params)
    for minute in sorted(minutes):
        kernels.scores.halve(minute // HALF_LIFE - period)
        period = minute // HALF_LIFE
        panes = []
        keys = sorted(minutes[minute])
        for key in keys:
            counts = [0] * 12
            for one in minutes[minute][key]:
                path, bad = one.keys[ENDPOINT] % 7, bool(one.error)
                calls, outcomes = cells_of(
                    dimension, np.uint64(one.keys[ENDPOINT]), path % 5, path + 14, 2 if bad else 1,
                    403 if bad else 200, ERROR if bad else 0, CLASSES,
                )  # fmt: skip
                add_event(kernels.b.sums, numbers[key], calls, outcomes, np.uint64(one.keys[other]))
                counts[one.place % MINUTE // (5 * SECOND)] += 1
            panes.append(counts)
        w = kernels.close(minute, [numbers[key] for key in keys], panes)
        counted = []
        for i, key in enumerate(keys):
            closed.append(Closed(names[key], (minute + 1) * MINUTE, float(w.score[i]), float(w.quantile[i]), False))
            if w.quantile[i] >= rule.quantile and w.score[i] >= rule.score:
                strange[key][minute] = len(minutes[minute][key])
            counted.append(True)
            if not w.guarded[i]:
                since.pop(key, None)
            elif minute - since.setdefault(key, minute) >= ACCEPT_AFTER:
                w.guarded[i] = False
            else:
                counted[-1] = day.get(key) != minute // 1440
                day[key] = minute // 1440
            closed[-1] = closed[-1]._replace(guarded=bool(w.guarded[i]))
        kernels.learn(minute, w, counted)
    return closed, sorted(told for key in names for told in lives(names[key], strange[key], rule))


def lives(entity: str, strange: dict[int, int], rule: BehaviourAnomaly) -> list[tuple[Any, ...]]:
    """The creates and closes of an entity: (entity, activity, time, start, end, events)."""

    def crosses(minute: int) -> list[int]:
        recent = [m for m in range(minute - rule.windows + 1, minute + 1) if m in strange]
        enough = len(recent) >= rule.hits and sum(strange[m] for m in recent) >= rule.at_least
        return recent if minute in strange and enough else []

    out: list[tuple[Any, ...]] = []
    start = last = 0
    for minute in range(min(strange, default=0), max(strange, default=0) + QUIET + 2):
        if recent := crosses(minute):
            if not last:
                start = recent[0]
                events = sum(strange[m] for m in recent)
                at = (minute + 1) * MINUTE
                out.append((entity, CREATE, at, start * MINUTE, at, events))
            last = minute
        elif last and minute - last >= QUIET:
            events = sum(n for m, n in strange.items() if start <= m <= last)
            out.append((entity, CLOSE, (minute + 1) * MINUTE, start * MINUTE, (last + 1) * MINUTE, events))
            last = 0
    return out


@pytest.mark.parametrize("params", [FOREST, ENSEMBLE], ids=["forest", "ensemble"])
@pytest.mark.parametrize(("dimension", "seed"), [("user", 1), ("ip", 2), ("endpoint", 3), ("user", 4)])
def test_windows_and_incidents_are_what_the_definitions_say(dimension: str, seed: int, params: BehaviourParams) -> None:
    at = DIMENSIONS.index(dimension)
    rng = random.Random(seed)
    rows = traffic(rng)
    items = arrivals(rows, rng)
    shard = new_shard(dimension, params, seed)
    restarts = {rng.randrange(len(items)) for _ in range(5)}
    windows: list[Closed] = []
    alerts = []
    for number, item in enumerate(items):
        if number in restarts:
            shard = new_shard(dimension, params, seed + 100 * number, shard.snapshot())
        out = assess(shard, known(item), at)
        for c in out.windows:
            if c.detector == params.id:
                assert set(c.feature.tolist()) == {12}
                rest = zip(c.score.tolist(), c.quantile.tolist(), c.guarded.tolist(), strict=True)
                windows += [Closed(name, c.end, *more) for name, more in zip(c.entity, rest, strict=True)]
        alerts += [finding.alert for finding in out.findings]
        assert counter(out.head, "overtaken") == counter(out.head, "overflowed") == 0
    closed, told = expected(rows, at, params)
    assert [repr(one) for one in windows] == [repr(one) for one in closed]
    lived = [
        (a.entity, a.activity, a.time, a.start, a.end, a.count) for a in alerts if a.activity in (CREATE, CLOSE)
    ]  # fmt: skip
    assert sorted(lived) == told
    assert sum(one[1] == CREATE for one in told) >= 2
    assert {one.guarded for one in closed} == {True, False}
    assert sum(len(a.reasons) > 1 for a in alerts) > len(alerts) / 2
    for a in alerts:
        assert a.value >= a.limit == SCORE[params]
        assert 1 <= len(a.evidences) <= 5
        assert len(a.reasons) <= 3
        assert all(one.feature in BEHAVIOUR and one.drop > 0 for one in a.reasons)
        assert [one.drop for one in a.reasons] == sorted((one.drop for one in a.reasons), reverse=True)


def test_an_event_says_how_its_entity_behaved_in_its_last_minute() -> None:
    """Null while nothing is known; then the last window's score, where it is rarer than the event's own rates."""
    rng = random.Random(5)
    rows = traffic(rng)
    shard = new_shard("user", FOREST, 5)
    cold = warm = 0
    scores: dict[str, list[float]] = {}
    for item in arrivals(rows, rng):
        piece = known(item)
        out = assess(shard, piece, USER)
        for c in out.windows:
            if c.detector == FOREST.id:
                for name, score in zip(c.entity, c.score.tolist(), strict=True):
                    scores.setdefault(name, []).append(score)
        mine = out.scores.feature[USER] == 12
        cold += int((~mine).sum())
        for at in np.flatnonzero(mine):
            warm += 1
            assert 0.0 <= out.scores.score[USER, at] == out.scores.observed[USER, at] <= 1.0
            assert 0.0 <= out.scores.quantile[USER, at] < 1.0
            assert out.scores.score[USER, at] in scores[piece.name(USER, int(at))]
    assert warm > 50
    assert cold > 50
