"""Streams of events as hypothesis draws them: regular traffic, attacks around their limits, hours of nothing."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from hypothesis import strategies as st

from models.rules import BruteForceIp, BruteForceUser, DeletionSurge, PasswordSprayIp, Rule, TrafficSpike
from tests.batches import row
from tests.naive import Params, Row

SECOND = 1_000_000
START = 1_795_410_000 * SECOND


class Episode(NamedTuple):
    """Some events of one kind. `at` and `over` are seconds; `who` numbers the entity, `count` the events."""

    kind: str
    at: int
    over: int
    who: int
    count: int


@dataclass(frozen=True)
class Setup:
    rules: tuple[Rule, ...]
    quiet_us: tuple[int, ...]
    params: Params
    half_life: int


def _regular(e: Episode, i: int) -> dict[str, str | bool]:
    return {"ip": f"10.0.0.{e.who}", "user": f"u{e.who}", "endpoint": f"/e{e.who % 2}", "success": True}


def _failures(e: Episode, i: int) -> dict[str, str | bool]:
    return {"ip": "10.0.0.1", "user": f"u{e.who}", "endpoint": "/login", "failure": True, "error": i % 3 > 0}


def _spray(e: Episode, i: int) -> dict[str, str | bool]:
    # every third of an even one succeeds: there the failed ones may not outnumber the others
    won = e.who % 2 == 0 and i % 3 == 2
    return {"ip": f"10.0.9.{e.who}", "user": f"v{i}", "endpoint": "/login", "failure": not won, "success": won}


def _deletions(e: Episode, i: int) -> dict[str, str | bool]:
    target = "" if e.who == 3 and i % 4 == 0 else f"t{i % (e.count - 1 if e.who == 2 and e.count > 1 else e.count)}"
    return {"ip": "10.0.0.2", "user": f"admin{e.who}", "endpoint": "/users/{id}", "deletion": True, "target": target}


def _spike(e: Episode, i: int) -> dict[str, str | bool]:
    return {"ip": f"10.0.0.{e.who}", "endpoint": "/e0", "error": i % 2 == 0}


def _resets(e: Episode, i: int) -> dict[str, str | bool]:
    return {"ip": f"10.0.0.{e.who}", "user": f"u{i % 3}", "reset": True}


def _tenant(e: Episode, i: int) -> dict[str, str | bool]:
    return {"tenant": f"other{e.who % 2}", "ip": "10.0.0.1", "user": "u1"}


KINDS: dict[str, Callable[[Episode, int], dict[str, str | bool]]] = {
    "regular": _regular,
    "failures": _failures,
    "spray": _spray,
    "deletions": _deletions,
    "spike": _spike,
    "resets": _resets,
    "tenant": _tenant,
}

SECONDS = st.one_of(st.integers(0, 60), st.integers(0, 1200), st.integers(0, 4 * 3600), st.sampled_from([3600, 90_000]))
WHO = st.integers(1, 3)


def _episodes(kind: str, count: st.SearchStrategy[int], over: st.SearchStrategy[int]) -> st.SearchStrategy[Episode]:
    return st.builds(Episode, st.just(kind), SECONDS, over, WHO, count)


EPISODE = st.one_of(
    _episodes("regular", st.integers(1, 120), st.integers(0, 3600)),
    _episodes("failures", st.sampled_from([1, 4, 9, 10, 11, 19, 20, 21, 45, 90]), st.integers(0, 1500)),
    _episodes("spray", st.sampled_from([7, 14, 15, 16, 22, 23, 40]), st.integers(0, 1800)),
    _episodes("deletions", st.sampled_from([1, 4, 5, 6, 12]), st.integers(0, 900)),
    _episodes("spike", st.sampled_from([19, 20, 60, 199, 200, 300]), st.integers(0, 180)),
    _episodes("resets", st.integers(1, 10), st.integers(0, 300)),
    _episodes("tenant", st.integers(1, 40), st.integers(0, 3600)),
)


def events(episodes: list[Episode], seed: int) -> list[Row]:
    """The episodes' events in the order of time; never two at one microsecond."""
    draw = random.Random(seed)
    rows = []
    for e in episodes:
        for i in range(e.count):
            time = START + e.at * SECOND + int((i + draw.random()) * e.over * SECOND / e.count)
            rows.append(row(time, **KINDS[e.kind](e, i)))  # type: ignore[arg-type]
    return sorted(rows, key=lambda r: r.time)


def disturbed(rows: list[Row], partitions: int, lateness: int, late_share: float, seed: int) -> list[list[Row]]:
    """The rows dealt to partitions; in each, order is lost within lateness, and a few rows come later than that."""
    draw = random.Random(seed)
    out: list[list[tuple[float, Row]]] = [[] for _ in range(partitions)]
    for r in rows:
        delay = draw.random() * lateness
        if draw.random() < late_share:
            delay += draw.choice([lateness, 60 * SECOND, 800 * SECOND])
        out[draw.randrange(partitions)].append((r.time + delay, r))
    return [[r for _, r in sorted(part, key=lambda item: item[0])] for part in out]


def _rules(draw: st.DrawFn, dimension: str) -> list[Rule]:
    few = draw(st.booleans())
    rules: list[Rule] = []
    if dimension in ("ip", "user"):
        rules.append(DeletionSurge(id="deletion_surge_" + dimension, dimension=dimension))  # type: ignore[arg-type]
    if dimension == "user":
        rules.append(BruteForceUser(at_least=draw(st.sampled_from([1, 5])) if few else 10))
        return rules
    rules.append(
        TrafficSpike(
            id="traffic_spike_" + dimension,
            dimension=dimension,  # type: ignore[arg-type]
            at_least=20 if few else 200,
            times=draw(st.sampled_from([1.5, 4.0])),
            z=draw(st.sampled_from([0.5, 6.0])),
            panes=draw(st.sampled_from([1, 3, 12])),
        )
    )
    if dimension == "ip":
        rules += [BruteForceIp(at_least=8 if few else 20), PasswordSprayIp(at_least=4 if few else 15)]
    return rules


@st.composite
def setups(draw: st.DrawFn, dimension: str) -> Setup:
    """Rules and parameters, at their defaults or so small that short streams reach every branch."""
    rules = tuple(_rules(draw, dimension))
    quiet = tuple(draw(st.sampled_from([30, 600, 900])) * SECOND for _ in rules)
    small = draw(st.booleans())
    warm_up, own = (draw(st.integers(1, 12)), draw(st.integers(1, 5))) if small else (20, 10)
    params = Params(
        alpha=draw(st.sampled_from([0.01, 0.3])),
        pool_alpha=draw(st.sampled_from([0.001, 0.03])),
        warm_up=warm_up,
        entity_warm_up=own,
        guard=draw(st.sampled_from([0.6, 0.9, 0.999])),
        accept_after=draw(st.sampled_from([2, 20, 180])),
        floor_failures=draw(st.sampled_from([3, 20])),
        floor_targets=draw(st.sampled_from([2, 5])),
    )
    return Setup(rules, quiet, params, draw(st.sampled_from([1, 7, 60, 10_080])))
