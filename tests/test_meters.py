"""Thresholds of the users' own, in a shard, beside what their meters slowly add up to."""

import dataclasses
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import CLOSE, CREATE
from models.base import DIMENSIONS
from models.event import EventBatch
from models.kernels.layout import COUNTERS
from models.rules import program
from models.rules.program import Program
from models.rules.threshold import Condition, Threshold, faults
from models.windows.incidents import incident_uid
from tests.batches import TEXTS, key_of, partition_batches, piece, row
from tests.naive import Params
from tests.naive_meters import _meters_of, added, crossings
from tests.streams import SECOND, START, Setup
from tests.test_definitions import LATENESS, shard_of

PARAMS = Params(0.05, 0.005, 10, 3, 0.9, 20, 20, 5)
WHERE = ("", "failure", "success", "deletion", "status >= 500", 'app == "web"', "not late")
NAMES = {"tenant": ("acme", "globex"), "ip": ("192.0.2.1", "192.0.2.2"), "endpoint": ("/a", "/b"), "user": ("u", "v")}


@st.composite
def aggregates(draw: Any, by: str, least: bool = True) -> dict[str, Any]:
    kind = draw(st.sampled_from(["count", "distinct", "sum", "ratio"]))
    found: dict[str, Any] = {"where": draw(st.sampled_from(WHERE))}
    match kind:
        case "count":
            found["count"] = True
        case "distinct":
            others = [d for d in ("ip", "endpoint", "user") if d != by]
            found["distinct"] = draw(st.sampled_from([*others, "session", "target"]))
        case "sum":
            found["sum"] = "latency_ms"
        case "ratio":
            found["ratio"] = draw(st.sampled_from([text for text in WHERE if text]))
    if least:
        found["at_least"] = draw(st.sampled_from([0.25, 0.5, 1.0]) if kind == "ratio" else st.integers(1, 6).map(float))
    return found


@st.composite
def thresholds(draw: Any, number: int, by: str) -> Threshold:
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
        rng = random.Random(f"{seed}/{offset}")
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


def lives(told: Program, batches: list[EventBatch], dimension: int) -> list[set[tuple[int, int, int]]]:
    """For each detection its incidents: entity, first crossing pane, end of the last crossing pane (us)."""
    meters = added(told, batches)
    out = []
    for detection, crossed in zip(told.detections, crossings(told, batches), strict=True):
        mine: dict[int, set[int]] = {}
        for (entity,), pane in crossed:
            mine.setdefault(entity, set()).add(pane)
        found = set()
        for entity, panes in mine.items():
            own = meters[detection.counted].get((entity,), {})
            first = last = None
            quiet = detection.quiet // detection.pane
            for pane in sorted(panes):
                if first is not None and pane - last > quiet:
                    found.add((entity, first, (last + 1) * detection.pane))
                    first = None
                if first is not None:
                    last = pane
                elif own.get(pane):
                    first = last = pane
            if first is not None:
                found.add((entity, first, (last + 1) * detection.pane))
        out.append(found)
    return out


@pytest.mark.parametrize("dimension", DIMENSIONS)
@given(data=st.data(), seed=st.integers(0, 10**6), size=st.sampled_from([7, 40, 1000]), cut=st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_incidents_are_where_the_meters_say(dimension: str, data: Any, seed: int, size: int, cut: int) -> None:
    rules = tuple(data.draw(thresholds(number, dimension)) for number in range(3))
    told = program(rules)
    at = DIMENSIONS.index(dimension)
    rows = stream(seed, 150, data.draw(st.sampled_from([600, 3000, 9000])))
    items = [marked(item, told, seed) for item in partition_batches("p", ("p",), rows, LATENESS, [size])]
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
    keys = {key_of(tenant) if at == 0 else key_of(dimension, tenant, name): (tenant, name)
            for tenant in NAMES["tenant"] for name in (NAMES[dimension] if at else (tenant,))}  # fmt: skip
    for rule, expected, compiled in zip(rules, lives(told, items, at), told.detections, strict=True):
        assert _meters_of(compiled)
        wanted = {
            (incident_uid(*(keys[entity][0], rule.id, keys[entity][1]), first * compiled.pane), end)
            for entity, first, end in expected
        }
        mine = [alert for alert in alerts if alert.detection == rule.id]
        assert {alert.uid for alert in mine if alert.activity == CREATE} == {uid for uid, _ in wanted}
        assert {(alert.uid, alert.end) for alert in mine if alert.activity == CLOSE} == wanted
