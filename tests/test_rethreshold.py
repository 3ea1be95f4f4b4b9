"""Windows with another limit: what the flow itself opens with that limit, and no word where it is not known."""

import threading
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import slider
from flows import query
from flows.compare import Incident, match, read_alerts, read_truth
from flows.config import config_hash, load
from flows.detect import run
from flows.errors import InputError, Refused
from flows.formats.windows import LEVELS, table
from flows.mixed import attacks, merged, simulated_recall
from flows.recast import Range
from flows.rethreshold import Rethreshold, answered
from flows.simulate import simulate, write
from flows.tuning import beside, index_of, limit_of, recall
from models.rules import (
    BaseDetection,
    BruteForceUser,
    DeletionSurge,
    Threshold,
    TrafficSpike,
    default_rules,
)
from models.windows.incidents import incident_uid

LIMITS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "brute_force_user": ('type = "brute_force_user"', (4, 2, 7)),
    "brute_force_ip": ('type = "brute_force_ip"\nusers_below = 4', (6, 3, 12)),
    "password_spray_ip": ('type = "password_spray_ip"', (6, 3, 12)),
    "deletion_surge_user": ('type = "deletion_surge"\ndimension = "user"', (4, 2, 6)),
    "deletion_surge_ip": ('type = "deletion_surge"\ndimension = "ip"', (4, 2, 6)),
    "credential_stuffing_ip": ('type = "base"', (6, 3, 9)),
    "distributed_brute_force_user": ('type = "base"', (4, 2, 8)),
    "distributed_spray_tenant": ('type = "base"', (8, 4, 20)),
    "reset_surge_ip": ('type = "base"', (4, 2, 12)),
    "refused_endpoint": (
        'type = "threshold"\nby = "endpoint"\nwhere = "status >= 403"\ncount = true\nwindow = "5m"', (6, 3, 12)
    ),
    "errors_endpoint": (
        'type = "threshold"\nby = "endpoint"\nratio = "error"\nwindow = "5m"\nat_least_events = 20', (0.2, 0.1, 0.35)
    ),
    "failing_user": (
        'type = "threshold"\nby = "user"\nratio = "failure"\nwindow = "3m"\nquiet = "10m"\nat_least_events = 3',
        (0.6, 0.3, 1.0),
    ),
    "slow_endpoint": (
        'type = "threshold"\nby = "endpoint"\nsum = "latency_ms"\nwindow = "5m"', (20_000.0, 10_000.0, 40_000.0)
    ),
    "far_south_ip": (
        'type = "threshold"\nby = "ip"\nsum = "lat"\nwindow = "10m"\n'
        'unless = {where = "failure", count = true, at_least = 2}',
        (300.0, 150.0, 600.0),
    ),
    "failures_tenant": ('type = "threshold"\nby = "tenant"\nwhere = "failure"\ncount = true', (30, 15, 40)),
    "events_minute": (
        'type = "threshold"\nby = "ip"\ncount = true\nwindow = "1m"\nalso = {distinct = "endpoint", at_least = 2}',
        (12, 6, 14),
    ),
    "accounts_ip": ('type = "threshold"\nby = "ip"\ndistinct = "user"\nwindow = "15m"\nquiet = "40m"', (8, 4, 12)),
    "addresses_user": ('type = "threshold"\nby = "user"\ndistinct = "ip"\nwindow = "15m"', (3, 2, 4)),
}  # fmt: skip
"""Detections of every kind that windows answer: how each is written, the limit of the run, and two others."""


class Runs(NamedTuple):
    folder: Path

    def config(self, which: int) -> Path:
        return self.folder / f"{which}.toml"

    def out(self, which: int) -> str:
        return str(self.folder / f"out{which}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("rethreshold")
    found = Runs(folder)
    write(folder / "events.ndjson", simulate(30_000, 3, hours=3, users=2_000, attack_count=20))
    for which in range(3):
        blocks = [
            f'[[detection]]\n{text}\nid = "{name}"\nat_least = {limits[which]}\n'
            for name, (text, limits) in LIMITS.items()
        ]
        found.config(which).write_text("[state]\nshards = 1\n[output]\nmax_incidents_per_hour = 3\n" + "".join(blocks))
        events = str(folder / "events.ndjson")
        run(load(str(found.config(which))), events, found.out(which), None, False, "lapwing", threading.Event())
    return found


def opened(runs: Runs, which: int, detection: str) -> set[str]:
    """The uids of what the flow opened."""
    files = (f"{runs.out(which)}/{name}.ndjson" for name in ("alerts", "suppressed"))
    return {one.uid for file in files for one in read_alerts(file) if one.detection == detection}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_another_limit_opens_what_the_flow_opens_with_it(runs: Runs, name: str, which: int) -> None:
    config = load(str(runs.config(0)))
    rule = next(rule for rule in config.detection if rule.id == name)
    fired = index_of(runs.out(0), config, rule).at(LIMITS[name][1][which])
    there = opened(runs, which, name)
    assert there
    assert {one.uid for one in fired.incidents(10**9)} == there
    assert fired.total == len(there)


def test_limits_are_spread_from_bound_to_bound_by_whole_steps() -> None:
    index = Rethreshold(slider.windows(20_000, 1), BruteForceUser())
    levels = index.spread(60)
    least, greatest = index.bounds()
    assert 30 < len(levels) <= 60
    assert levels == sorted(set(levels))
    assert (levels[0], levels[-1]) == (least, greatest)
    assert levels[:3] == [least, least + 1, least + 2]
    assert levels[-1] - levels[-2] > 5


def test_recall_is_what_compare_says(runs: Runs) -> None:
    config = load(str(runs.config(0)))
    index = index_of(runs.out(0), config, config.detection[0])
    truth = read_truth(runs.folder / "events.ndjson.truth.ndjson")
    found = recall(index, 7, truth)
    kinds = [one for one in truth if one.kind == "brute_force"]
    victims = {user for one in kinds for user in one.entities.get("user", ())}
    there = {one.entity for one in read_alerts(f"{runs.out(2)}/alerts.ndjson") if one.detection == "brute_force_user"}
    assert found.attacks == len(kinds) > 0
    assert found.proposed == sum(bool(there & set(one.entities.get("user", ()))) for one in kinds)
    assert found.now >= found.proposed >= 1
    assert victims & there
    assert recall(index, 1_000, truth).lost == tuple(sorted(one.attack for one in kinds))[: found.now]
    fired = index.at(2)
    whole = [
        Incident(one.uid, one.tenant, index.detection.id, "user", one.entity, one.start // 1000 + 30_000,
                 one.start // 1000, one.end // 1000)
        for one in fired.incidents(fired.total)
    ]  # fmt: skip
    named = [one for one in truth if any(one.entities.values())]
    unnamed = msgspec.structs.replace(kinds[0], entities={}, events=[])
    for labels in (named, [*named, unnamed]):
        told = [msgspec.structs.replace(one, events=[]) for one in labels]
        said, compared = beside(index, fired, told), match(whole, told)
        assert (said.incidents, said.false) == (len(whole), len(compared.false))
        assert said.incidents > said.false > 0 or labels is not named


def test_labels_of_another_range_or_without_a_time_are_told(runs: Runs) -> None:
    config = load(str(runs.config(0)))
    index = index_of(runs.out(0), config, config.detection[0])
    one = read_truth(runs.folder / "events.ndjson.truth.ndjson")[0]
    elsewhere = msgspec.structs.replace(one, start="2025-01-01T00:00:00Z", end="2025-01-01T00:01:00Z")
    for ask in (lambda labels: beside(index, index.at(7), labels), lambda labels: recall(index, 7, labels)):
        with pytest.raises(Refused, match="the labels are of another range, 2025-01-01"):
            ask([elsewhere])
        for bad, why in (("yesterday", "not a time: yesterday"), ("2026-11-23T05:00:00", "without an offset")):
            with pytest.raises(InputError, match=why):
                ask([msgspec.structs.replace(one, end=bad)])


def test_a_limit_is_answered_from_the_panes_that_reach_it() -> None:
    """High limits look at few panes only: the same fires as of all of them."""
    rng = np.random.default_rng(5)
    minutes = np.arange(0, 4_000, 2)
    peaks = np.floor(5 + 3 * rng.pareto(1.0, len(minutes)))
    levels = [[float(peak), -float(peak)] for peak in peaks]
    index = Rethreshold(windows({"minute": minutes.tolist(), "levels": levels}), BruteForceUser())
    assert len(index._layers) > 3
    panes = {4 * k + at: peak for k, peak in enumerate(peaks) for at in (0, 1)}
    for limit in (5.0, 9.0, 10.0, 20.0, 39.5, 40.0, 160.0):
        began, crossed = [], -QUIET - 1
        for pane, peak in panes.items():
            if peak >= limit:
                began += [pane] if pane - crossed > QUIET else []
                crossed = pane
        assert (index.at(limit).start // 30_000_000).tolist() == began


def test_simulated_attacks_go_through_the_flow_among_the_events(runs: Runs, tmp_path: Path) -> None:
    config = load(str(runs.config(0)))
    index = index_of(runs.out(0), config, config.detection[0])
    found = simulated_recall(runs.out(0), config, index, 1_000, 4, 11)
    assert found.attacks == found.now == 4
    assert found.proposed == 0
    assert len(found.lost) == 4
    unseen = next(rule for rule in config.detection if rule.id == "far_south_ip")
    with pytest.raises(Refused, match="no attack that it should see"):
        simulated_recall(runs.out(0), config, index_of(runs.out(0), config, unseen), 700, 4, 11)
    with pytest.raises(InputError, match="leave --attacks out"):
        simulated_recall(str(tmp_path), config, index, 7, 4, 11)


def test_events_come_back_as_they_were_with_the_attacks_between_them(runs: Runs) -> None:
    config = load(str(runs.config(0)))
    index = index_of(runs.out(0), config, config.detection[0])
    scored = Path(runs.out(0)) / "scored.ndjson"
    with scored.open("rb") as source:
        lines, truth = attacks(index, ("brute_force",), 3, 11, Range(source, 11))
    assert len(truth) == 3
    assert len(lines) == sum(len(one.events) for one in truth)
    assert all(index.start * 60_000 <= time <= index.end * 60_000 for time, _ in lines)
    events = (runs.folder / "events.ndjson").read_bytes().splitlines(keepends=True)
    with scored.open("rb") as source:
        mixed = list(merged(source, lines))
    added = {line for _, line in lines}
    assert sorted(line for line in mixed if line not in added) == sorted(events)
    places = [at for at, line in enumerate(mixed) if line in added]
    assert 0 < places[0] < places[-1] < len(mixed) - 1
    with pytest.raises(InputError, match="no scored event"):
        list(merged([b'{"time":1}\n'], lines))


# The rule of an incident's life, slowly: tests/naive_rules.py has the same over events.
WINDOW, QUIET, PANES = 20, 20, 2


def naive(panes: dict[int, int], limit: int) -> list[int]:
    """The first crossing pane of each incident of an entity with so many failures in each pane of 30 s."""
    began: list[int] = []
    crossed = None
    for pane in range(min(panes), max(panes) + WINDOW + QUIET + 2):
        value = sum(panes.get(k, 0) for k in range(pane - WINDOW + 1, pane + 1))
        if value >= limit and (crossed is not None or panes.get(pane, 0)):
            began += [pane] if crossed is None else []
            crossed = pane
        elif crossed is not None and pane - crossed >= QUIET:
            crossed = None
    return began


def rows_of(panes: dict[int, int], kept: int, also: set[int]) -> dict[str, Any]:
    """The entity's minutes as the flow keeps them: those that reached `kept`, and a few more."""
    found: dict[str, list[Any]] = {"minute": [], "levels": []}
    for minute in sorted({pane // PANES for pane, count in panes.items() if count}):
        end = minute * PANES + PANES - 1
        levels = []
        for pane in range(minute * PANES, end + WINDOW):
            value = sum(panes.get(k, 0) for k in range(pane - WINDOW + 1, min(pane, end) + 1))
            levels.append(float(value if panes.get(pane, 0) and pane <= end else -value))
        reached = max(map(abs, levels[:PANES])) >= kept
        if reached or minute in also:
            found["minute"].append(minute)
            found["levels"].append(levels if reached else [])
    return found


def windows(rows: dict[str, Any], config: str = "0", weight: float = 1.0) -> pa.Table:
    start = np.array(rows["minute"], np.int64) * 60_000_000
    many = len(start)
    levels = [[("brute_force_user", one), ("other", [99.0])] if one else None for one in rows["levels"]]
    return table({
        "tenant": "acme", "dimension": "user", "entity": rows.get("entity", pa.array(["sam"] * many)),
        "detector": "ewma", "start": start, "end": start + 60_000_000, "guarded": pa.array([False] * many),
        "sample_weight": np.full(many, weight), "config_hash": config, "levels": pa.array(levels, LEVELS),
    })  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 160), st.integers(1, 8)), min_size=1, max_size=30),
    st.integers(3, 12),
    st.sets(st.integers(0, 80), max_size=20),
)
def test_incidents_are_joined_and_parted_as_the_flow_does(
    events: list[tuple[int, int]], limit: int, also: set[int]
) -> None:
    panes: dict[int, int] = {}
    for pane, count in events:
        panes[pane] = panes.get(pane, 0) + count
    rows = rows_of(panes, kept=3, also=also)
    began = naive(panes, limit)
    if not rows["minute"]:
        assert not began
        return
    shuffled = windows(rows).take(np.random.default_rng(len(events)).permutation(len(rows["minute"])))
    fired = Rethreshold(shuffled, BruteForceUser(at_least=5)).at(limit)
    assert (fired.start // 30_000_000).tolist() == began
    assert all(a < b for a, b in zip(fired.end, fired.start[1:], strict=False))
    if began:
        greatest = max(sum(panes.get(k, 0) for k in range(pane - WINDOW + 1, pane + 1)) for pane in panes)
        assert fired.value.max() == greatest


def test_a_value_that_holds_without_a_counted_event_opens_nothing() -> None:
    """An `unless` that ends lets a value hold in a pane in which nothing came: an open incident goes on there."""
    rows = {"minute": [0, 30], "levels": [[-12.0, -12.0, -11.0], [12.0, 0.0, -15.0, *[0.0] * 19, -10.0]]}
    fired = Rethreshold(windows(rows), BruteForceUser()).at(10)
    assert [(one.start, one.end, one.value) for one in fired.incidents()] == [(1_800_000_000, 2_490_000_000, 15.0)]
    assert fired.incidents()[0].uid == incident_uid("acme", "brute_force_user", "sam", 1_800_000_000)
    assert Rethreshold(windows(rows), BruteForceUser()).at(13).total == 0


def test_who_burns_it_and_what_there_is_to_show() -> None:
    rows = {"minute": [0, 100, 200, 50], "levels": [[9.0], [9.0, 12.0], [9.0], [0.0, 9.0]]}
    rows["entity"] = pa.array(["sam", "sam", "sam", "ada"])
    fired = Rethreshold(windows(rows), BruteForceUser()).at(9)
    assert [(one.entity, one.incidents, one.share) for one in fired.burners()] == [("sam", 3, 0.75), ("ada", 1, 0.25)]
    assert [(one.entity, one.start // 60_000_000, one.value) for one in fired.incidents()] == [
        ("sam", 0, 9.0), ("ada", 50, 9.0), ("sam", 100, 12.0), ("sam", 200, 9.0)
    ]  # fmt: skip
    assert [one.start // 60_000_000 for one in fired.incidents(2)] == [0, 50]
    assert fired.entities == 2
    assert fired.a_day == pytest.approx(4 / (201 / 1440))
    nothing = Rethreshold(windows(rows), BruteForceUser()).at(13)
    assert (nothing.total, nothing.incidents(), nothing.burners()) == (0, [], [])


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (BaseDetection(id="slow_spray_ip"), "its window of 2h moves in steps of 5m"),
        (BaseDetection(id="reset_surge_user"), "its window of 60m moves in steps of 5m"),
        (TrafficSpike(id="traffic_spike_tenant"), "what a traffic_spike asks for beside its limit"),
        (Threshold(id="x", by=("ip", "user"), where="failure", count=True), "no windows of ip and user together"),
    ],
)
def test_what_windows_do_not_say_is_refused_in_words(rule: Any, why: str) -> None:
    with pytest.raises(Refused, match=why):
        answered(rule)


def test_of_the_defaults_all_with_a_limit_and_panes_of_a_minute_are_answered() -> None:
    found = []
    for rule in default_rules():
        try:
            answered(rule)
            found.append(rule.id)
        except Refused:
            pass
    assert found == [
        "brute_force_user", "brute_force_ip", "password_spray_ip", "deletion_surge_user", "deletion_surge_ip",
        "credential_stuffing_ip", "distributed_brute_force_user", "distributed_spray_tenant", "reset_surge_ip",
        "error_surge_endpoint", "server_errors_endpoint",
    ]  # fmt: skip


def test_what_is_only_a_sample_is_refused() -> None:
    rows = rows_of({0: 30}, 3, set())
    index = Rethreshold(windows(rows), BruteForceUser(at_least=11))
    with pytest.raises(Refused, match="below 6 the windows are only a sample"):
        index.at(5)
    assert index.at(6).total == 1
    assert Rethreshold(windows(rows), BruteForceUser(at_least=11), window_sample=1.0).at(1).total == 1
    with pytest.raises(Refused, match="another limit"):
        Rethreshold(windows(rows, weight=100.0), BruteForceUser()).at(9)
    with pytest.raises(Refused, match="no windows"):
        Rethreshold(windows(rows).slice(0, 0), BruteForceUser())
    with pytest.raises(Refused, match="an earlier version"):
        Rethreshold(windows(rows).drop_columns("levels"), BruteForceUser())


def test_windows_of_another_configuration_are_refused(runs: Runs) -> None:
    config = load(str(runs.config(1)))
    with pytest.raises(Refused, match="another configuration"):
        index_of(runs.out(0), config, config.detection[0])
    assert set(query.windows(runs.out(0))["config_hash"].to_pylist()) == {config_hash(load(str(runs.config(0))))}


def test_the_limit_of_a_preset_is_its_own() -> None:
    assert [limit_of(rule) for rule in (BruteForceUser(at_least=7), DeletionSurge(dimension="ip"))] == [7.0, 5.0]
