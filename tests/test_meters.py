"""Thresholds of the users' own, in a shard, beside what their meters slowly add up to."""

import dataclasses
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import CLOSE, CREATE
from models.base import DIMENSIONS, JOINTS, WATCHED
from models.event import EventBatch
from models.kernels.layout import COUNTERS
from models.rules import program
from models.rules.program import Compiled, Program
from models.rules.threshold import Condition, Threshold, faults
from models.windows.incidents import incident_uid
from models.windows.joint import joints, widened
from tests.batches import TEXTS, interleaved, key_of, partition_batches, piece, row
from tests.naive import Params
from tests.naive_meters import Entity, added, crossings, shown
from tests.streams import SECOND, START, Setup
from tests.test_definitions import LATENESS, shard_of

PARAMS = Params(0.05, 0.005, 10, 3, 0.9, 20, 20, 5)
WHERE = ("", "failure", "success", "deletion", "status >= 500", 'app == "web"', "not late")
NAMES = {"tenant": ("acme", "globex"), "ip": ("192.0.2.1", "192.0.2.2"), "endpoint": ("/a", "/b"), "user": ("u", "v")}


@st.composite
def aggregates(draw: Any, by: tuple[str, ...], least: bool = True) -> dict[str, Any]:
    kind = draw(st.sampled_from(["count", "distinct", "sum", "ratio"]))
    found: dict[str, Any] = {"where": draw(st.sampled_from(WHERE))}
    match kind:
        case "count":
            found["count"] = True
        case "distinct":
            others = [d for d in ("ip", "endpoint", "user") if d not in by]
            found["distinct"] = draw(st.sampled_from([*others, "session", "target"]))
        case "sum":
            found["sum"] = "latency_ms"
        case "ratio":
            found["ratio"] = draw(st.sampled_from([text for text in WHERE if text]))
    if least:
        found["at_least"] = draw(st.sampled_from([0.25, 0.5, 1.0]) if kind == "ratio" else st.integers(1, 6).map(float))
    return found


@st.composite
def thresholds(draw: Any, number: int, by: tuple[str, ...]) -> Threshold:
    main = draw(aggregates(by))
    keys: dict[str, Any] = {"window": draw(st.sampled_from(["1m", "2m", "10m", "15m", "30m", "60m"]))}
    if "count" not in main and (draw(st.booleans()) or "ratio" in main):
        keys["at_least_events"] = draw(st.integers(1, 4))
    for key in ("also", "unless"):
        if draw(st.booleans()):
            condition = draw(aggregates(by, least=False))
            if ("ratio" in condition) == ("ratio" in main) and draw(st.booleans()):
                condition["times"] = draw(st.sampled_from([0.5, 1.0, 2.0]))
            else:
                condition["at_least"] = 0.5 if "ratio" in condition else draw(st.integers(1, 4).map(float))
            keys[key] = Condition(**condition)
    found = Threshold(id=f"d{number}", by=by, **main, **keys)  # type: ignore[arg-type]
    assert not faults(found, "$"), faults(found, "$")
    return found


def marked(item: EventBatch, told: Program, seed: int) -> EventBatch:
    """Marks, hashes and numbers drawn by offset; those that say what a row counts as say so."""
    n = len(item)
    marks = np.zeros(n, np.uint64)
    hashes = np.zeros((len(told.hashes), n), np.uint64)
    numbers = np.full((len(told.numbers), n), np.nan)
    for i, offset in enumerate(item.offset.tolist()):
        rng = random.Random(f"{seed}/{item.source}/{offset}")
        for bit, text in enumerate(told.marks):
            holds = bool(int(item.counts[i]) & TEXTS[text]) if text in TEXTS else rng.random() < 0.5
            marks[i] |= np.uint64(holds << bit)
        for k, name in enumerate(told.hashes):
            deleted = name == "target" and item.target[i] != 0
            hashes[k, i] = item.target[i] if deleted else rng.choice([0, *(key_of(name, str(v)) for v in range(4))])
        for k in range(len(told.numbers)):
            numbers[k, i] = rng.choice([float("nan"), rng.randrange(-512, 4096) / 1024])
    return dataclasses.replace(item, marks=marks, hashes=hashes, numbers=numbers)


def stream(seed: int, count: int, span_s: int) -> list[Any]:
    rng = random.Random(seed)
    rows = []
    for at in sorted(rng.randrange(span_s * SECOND) for _ in range(count)):
        names = {d: rng.choice(values) for d, values in NAMES.items()}
        kind = rng.choice(["failure", "success", "deletion", ""])
        counts = {kind: True} if kind else {}
        target = f"t{rng.randrange(4)}" if kind == "deletion" else ""
        rows.append(row(START + at - rng.randrange(LATENESS), **names, target=target, **counts))
    return rows


class Life(NamedTuple):
    """An incident: its first crossing pane and the end of the last (us), what it counts, the most that it measures."""

    entity: Entity
    first: int
    end: int
    count: int
    value: float


def lives(told: Program, batches: list[EventBatch]) -> list[set[Life]]:
    """For each detection its incidents."""
    meters = added(told, batches)
    out = []
    for detection, crossed in zip(told.detections, crossings(told, batches), strict=True):
        mine: dict[Entity, list[int]] = {}
        for entity, pane in sorted(crossed):
            mine.setdefault(entity, []).append(pane)
        found = set()
        for entity, panes in mine.items():
            own = meters[detection.counted].get(entity, {})
            for crossing in runs(panes, own, detection.quiet // detection.pane):
                first, last = crossing[0], crossing[-1]
                length = detection.window // detection.pane
                start = min(pane for pane in range(first - length + 1, first + 1) if own.get(pane))
                count = sum(len(own.get(pane, ())) for pane in range(start, last + 1))
                value = max(measured(told, meters, detection, entity, pane) for pane in crossing)
                found.add(Life(entity, first * detection.pane, (last + 1) * detection.pane, count, value))
        out.append(found)
    return out


def runs(panes: list[int], own: dict[int, list[Any]], quiet: int) -> Iterator[list[int]]:
    """The crossing panes of each incident: one opens where an event of its own counts, and ends when it was quiet."""
    crossing: list[int] = []
    for pane in panes:
        if crossing and pane - crossing[-1] > quiet:
            yield crossing
            crossing = []
        if crossing or own.get(pane):
            crossing.append(pane)
    if crossing:
        yield crossing


def measured(told: Program, meters: Any, detection: Compiled, entity: Entity, pane: int) -> float:
    length = detection.window // detection.pane

    def value(meter: int) -> float:
        return float(shown(told.meters[meter].kind, meters[meter].get(entity, {}), pane, length))

    whole = value(detection.main.of) if detection.main.of >= 0 else 1.0
    return value(detection.main.meter) / whole


def names_of(dimension: str) -> dict[Entity, tuple[str, str]]:
    """(tenant, name as an incident's uid has it) of every entity there may be."""
    found: dict[Entity, tuple[str, str]] = {}
    for tenant in NAMES["tenant"]:
        parts = [[(key_of(d, tenant, name), name) for name in NAMES[d]] for d in parts_of(dimension)]
        if dimension == "tenant":
            found[(key_of(tenant),)] = tenant, tenant
        elif len(parts) == 1:
            found |= {(key,): (tenant, name) for key, name in parts[0]}
        else:
            found |= {(a, b): (tenant, chr(len(one)) + one + two) for a, one in parts[0] for b, two in parts[1]}
    return found


def parts_of(dimension: str) -> tuple[str, ...]:
    if dimension in DIMENSIONS:
        return (dimension,)
    return tuple(DIMENSIONS[d] for d in JOINTS[WATCHED.index(dimension) - len(DIMENSIONS)])


@pytest.mark.parametrize("dimension", WATCHED)
@given(data=st.data(), seed=st.integers(0, 10**6), size=st.sampled_from([7, 40, 1000]), cut=st.integers(0, 12))
@settings(max_examples=50, deadline=None)
def test_incidents_are_where_the_meters_say(dimension: str, data: Any, seed: int, size: int, cut: int) -> None:
    rules = tuple(data.draw(thresholds(number, parts_of(dimension))) for number in range(3))
    told = program(rules)
    at = WATCHED.index(dimension)
    sources = ("p", "q", "r")[: data.draw(st.integers(1, 3))]
    span = data.draw(st.sampled_from([600, 3000, 9000]))
    partitions = [
        partition_batches(source, sources, stream(seed + k, 150 // len(sources), span), LATENESS, [size])
        for k, source in enumerate(sources)
    ]
    turns = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=6))
    items = [widened(marked(item, told, seed), joints(told)) for item in interleaved(partitions, turns)]
    setup = Setup(rules, tuple(rule.quiet_us for rule in rules), PARAMS, 60)
    shard = shard_of(dimension, setup)
    alerts = []
    for number, item in enumerate(items):
        if number == cut:
            shard = shard_of(dimension, setup, 2, shard.snapshot())
        out = shard.assess(piece(item, at))
        assert not any(int(out.head[place]) for name in ("overtaken", "overflowed") for place in COUNTERS[name])
        alerts += [finding.alert for finding in out.findings]
    assert all(alert.activity != CLOSE or alert.seq > 0 for alert in alerts)
    keys = names_of(dimension)
    for rule, expected in zip(rules, lives(told, items), strict=True):
        wanted = set()
        for life in expected:
            tenant, name = keys[life.entity]
            wanted.add((incident_uid(tenant, rule.id, name, life.first), life.end, life.count, life.value))
        mine = [alert for alert in alerts if alert.detection == rule.id]
        assert {alert.uid for alert in mine if alert.activity == CREATE} == {uid for uid, *_ in wanted}
        closes = [(alert.uid, alert.end, alert.count, alert.value) for alert in mine if alert.activity == CLOSE]
        assert {*closes} == wanted
        assert len(closes) == len(wanted)
