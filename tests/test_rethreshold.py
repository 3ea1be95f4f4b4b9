"""Windows with another limit: what the flow itself opens with that limit, and no word where it is not known."""

import threading
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows import query
from flows.compare import read_alerts, read_truth
from flows.config import config_hash, load
from flows.detect import run
from flows.errors import InputError, Refused
from flows.formats.windows import table
from flows.mixed import attacks, merged, simulated_recall
from flows.rethreshold import Rethreshold, measure
from flows.simulate import simulate, write
from flows.tuning import index_of, limit_of, recall
from models.rules import (
    BaseDetection,
    BruteForceIp,
    BruteForceUser,
    DeletionSurge,
    Threshold,
    TrafficSpike,
    default_rules,
)
from models.rules.threshold import Condition

LIMITS = {
    "brute_force_user": ('type = "brute_force_user"', (4, 2, 7)),
    "failures_ip": ('type = "threshold"\nby = "ip"\nwhere = "failure"\ncount = true', (6, 4, 15)),
    "failures_tenant": ('type = "threshold"\nby = "tenant"\nwhere = "failure"\ncount = true', (30, 15, 40)),
    "events_minute": ('type = "threshold"\nby = "ip"\ncount = true\nwindow = "1m"', (12, 6, 20)),
    "accounts_ip": ('type = "threshold"\nby = "ip"\ndistinct = "user"\nwindow = "15m"', (8, 4, 12)),
    "failed_accounts_ip": (
        'type = "threshold"\nby = "ip"\nwhere = "failure"\ndistinct = "user"\nwindow = "15m"',
        (4, 2, 10),
    ),
    "addresses_user": ('type = "threshold"\nby = "user"\ndistinct = "ip"\nwindow = "15m"', (3, 2, 4)),
    "deletion_surge_user": ('type = "deletion_surge"\ndimension = "user"', (4, 2, 6)),
    "resets_ip": ('type = "threshold"\nby = "ip"\nwhere = "reset"\ncount = true', (4, 2, 12)),
}
"""A detection of every column that answers: how it is written, the limit of the run, and two others."""


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
    kinds = ("brute_force", "password_spray", "deletion_surge", "reset_surge", "distributed_brute_force")
    write(folder / "events.ndjson", simulate(30_000, 3, hours=3, users=2_000, attacks=kinds, attack_count=15))
    for which in range(3):
        blocks = [
            f'[[detection]]\n{text}\nid = "{name}"\nat_least = {limits[which]}\n'
            for name, (text, limits) in LIMITS.items()
        ]
        found.config(which).write_text("[state]\nshards = 1\n[output]\nmax_incidents_per_hour = 3\n" + "".join(blocks))
        events = str(folder / "events.ndjson")
        run(load(str(found.config(which))), events, found.out(which), None, False, "lapwing", threading.Event())
    return found


def opened(runs: Runs, which: int, detection: str) -> set[tuple[str, str, int]]:
    """What the flow opened, by the minute in which it crossed."""
    files = (f"{runs.out(which)}/{name}.ndjson" for name in ("alerts", "suppressed"))
    every = [one for file in files for one in read_alerts(file) if one.detection == detection]
    return {(one.tenant, one.entity, (one.created - 1) // 60_000) for one in every}


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_another_limit_opens_what_the_flow_opens_with_it(runs: Runs, name: str, which: int) -> None:
    config = load(str(runs.config(0)))
    rule = next(rule for rule in config.detection if rule.id == name)
    fired = index_of(runs.out(0), config, rule).at(LIMITS[name][1][which])
    incidents = fired.incidents(10**9)
    sure = {(one.tenant, one.entity, one.start // 60_000_000) for one in incidents if one.sure}
    every = {(one.tenant, one.entity, one.start // 60_000_000) for one in incidents}
    there = opened(runs, which, name)
    assert there
    assert sure <= there <= every
    if measure(rule).each_minute:
        assert len(every - sure) <= 0.02 * len(every) + 1
    assert fired.most == len(every)
    assert fired.least == len(sure)


def test_most_detections_are_told_apart_without_doubt(runs: Runs) -> None:
    config = load(str(runs.config(0)))
    for rule in config.detection:
        if rule.id in ("brute_force_user", "failures_ip", "failures_tenant", "deletion_surge_user"):
            fired = index_of(runs.out(0), config, rule).at(limit_of(rule))
            assert fired.least == fired.most == len(opened(runs, 0, rule.id)), rule.id


def test_recall_is_what_compare_says(runs: Runs) -> None:
    config = load(str(runs.config(0)))
    index = index_of(runs.out(0), config, config.detection[0])
    truth = read_truth(runs.folder / "events.ndjson.truth.ndjson")
    found = recall(index, 7, truth)
    kinds = [one for one in truth if one.kind == "brute_force"]
    victims = {user for one in kinds for user in one.entities.get("user", ())}
    there = {entity for _, entity, _ in opened(runs, 2, "brute_force_user")}
    assert found.attacks == len(kinds) > 0
    assert found.proposed == sum(bool(there & set(one.entities.get("user", ()))) for one in kinds)
    assert found.now >= found.proposed >= 1
    assert victims & there
    assert recall(index, 1_000, truth).lost == tuple(sorted(one.attack for one in kinds))[: found.now]


def test_simulated_attacks_go_through_the_flow_among_the_events(runs: Runs, tmp_path: Path) -> None:
    config = load(str(runs.config(0)))
    index = index_of(runs.out(0), config, config.detection[0])
    found = simulated_recall(runs.out(0), config, index, 1_000, 4, 11)
    assert found.attacks == found.now == 4
    assert found.proposed == 0
    assert len(found.lost) == 4
    with pytest.raises(Refused, match="no attack that it should see"):
        simulated_recall(runs.out(0), config, index_of(runs.out(0), config, config.detection[1]), 7, 4, 11)
    with pytest.raises(InputError, match="leave --attacks out"):
        simulated_recall(str(tmp_path), config, index, 7, 4, 11)


def test_events_come_back_as_they_were_with_the_attacks_between_them(runs: Runs) -> None:
    config = load(str(runs.config(0)))
    index = index_of(runs.out(0), config, config.detection[0])
    lines, truth = attacks(index, ("brute_force",), 3, 11)
    assert len(truth) == 3
    assert len(lines) == sum(len(one.events) for one in truth)
    assert all(index.start * 60_000 <= time <= index.end * 60_000 for time, _ in lines)
    events = (runs.folder / "events.ndjson").read_bytes().splitlines(keepends=True)
    with open(f"{runs.out(0)}/scored.ndjson", "rb") as scored:
        mixed = list(merged(scored, lines))
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
    found: dict[str, list[float]] = {"minute": [], "value": [], "peak": [], "added": []}
    for minute in sorted({pane // PANES for pane, count in panes.items() if count}):
        ends = [minute * PANES + k for k in range(PANES)]
        values = [sum(panes.get(k, 0) for k in range(end - WINDOW + 1, end + 1)) for end in ends]
        if max(values) >= kept or minute in also:
            found["minute"].append(minute)
            found["value"].append(values[-1])
            found["peak"].append(max(values))
            found["added"].append(sum(panes.get(end, 0) for end in ends))
    return found


def windows(rows: dict[str, Any], config: str = "0", weight: float = 1.0) -> pa.Table:
    start = np.array(rows["minute"], np.int64) * 60_000_000
    many = len(start)
    return table({
        "tenant": "acme", "dimension": "user", "entity": rows.get("entity", pa.array(["sam"] * many)),
        "detector": "ewma", "start": start, "end": start + 60_000_000, "guarded": pa.array([False] * many),
        "sample_weight": np.full(many, weight), "config_hash": config,
        "failures_10m": np.array(rows["value"], float), "peak_failures_10m": np.array(rows["peak"], float),
        "failures_1m": np.array(rows["added"], float),
    })  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 160), st.integers(1, 8)), min_size=1, max_size=30),
    st.integers(3, 12),
    st.sets(st.integers(0, 80), max_size=20),
)
def test_incidents_are_joined_and_parted_as_the_flow_does_or_it_is_said_that_this_is_not_sure(
    events: list[tuple[int, int]], limit: int, also: set[int]
) -> None:
    panes: dict[int, int] = {}
    for pane, count in events:
        panes[pane] = panes.get(pane, 0) + count
    rows = rows_of(panes, kept=3, also=also)
    began = [pane // PANES for pane in naive(panes, limit)]
    if not rows["minute"]:
        assert not began
        return
    fired = Rethreshold(windows(rows), BruteForceUser(at_least=5)).at(limit)
    every = fired.first.tolist()
    sure = [minute for minute, certain in zip(every, fired.sure.tolist(), strict=True) if certain]
    assert set(sure) <= set(began) <= set(every)
    assert all(a < b for a, b in pairwise(every))
    if began:
        assert fired.value.max() == max(rows["peak"])


def test_a_long_hold_is_known_where_every_minute_is_kept() -> None:
    """Thirty failures at once hold for the whole window: what comes 19 minutes later still belongs to them."""
    rows = rows_of({0: 30, 38: 30}, 3, set())
    whole = Rethreshold(windows(rows), BruteForceUser()).at(10)
    assert (whole.most, whole.least) == (1, 1)
    rows["added"] = [1.0, 1.0]  # as if most of the thirty had come in minutes before, which are not kept
    unknown = Rethreshold(windows(rows), BruteForceUser()).at(10)
    assert (unknown.most, unknown.least) == (2, 1)
    assert [one.sure for one in unknown.incidents()] == [True, False]


def test_who_burns_it_and_what_there_is_to_show() -> None:
    rows = {"minute": [0, 100, 200, 50], "value": [9.0] * 4, "peak": [9.0, 12.0, 9.0, 9.0], "added": [9.0] * 4}
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
    assert (nothing.most, nothing.incidents(), nothing.burners()) == (0, [], [])


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (BruteForceIp(), "no column of the windows carries its unless"),
        (BaseDetection(id="credential_stuffing_ip"), "also and unless and at_least_events"),
        (BaseDetection(id="reset_surge_user"), "count by user in 60m"),
        (TrafficSpike(id="traffic_spike_tenant"), "what a traffic_spike asks for beside its limit"),
        (Threshold(id="x", by="ip", where='app == "web"', count=True), "count by ip in 10m"),
        (Threshold(id="x", by=("ip", "user"), where="failure", count=True), "count by ip_user in 10m"),
        (Threshold(id="x", by="ip", distinct="target"), "target by ip in 10m"),
        (Threshold(id="x", by="tenant", where="failure", distinct="user", window="15m"), "user by tenant in 15m"),
        (Threshold(id="x", by="user", sum="latency_ms"), "latency_ms by user"),
        (Threshold(id="x", also=Condition(count=True, at_least=2), count=True), "carries its also"),
    ],
)
def test_what_no_column_carries_is_refused_in_words(rule: Any, why: str) -> None:
    with pytest.raises(Refused, match=why):
        measure(rule)


def test_of_the_defaults_three_are_answered() -> None:
    answered = []
    for rule in default_rules():
        try:
            measure(rule)
            answered.append(rule.id)
        except Refused:
            pass
    assert answered == ["brute_force_user", "deletion_surge_user", "deletion_surge_ip"]


def test_what_is_only_a_sample_is_refused() -> None:
    rows = rows_of({0: 30}, 3, set())
    index = Rethreshold(windows(rows), BruteForceUser(at_least=11))
    with pytest.raises(Refused, match="below 6 the windows are only a sample"):
        index.at(5)
    assert index.at(6).most == 1
    assert Rethreshold(windows(rows), BruteForceUser(at_least=11), window_sample=1.0).at(1).most == 1
    with pytest.raises(Refused, match="another configuration"):
        Rethreshold(windows(rows, weight=100.0), BruteForceUser()).at(9)
    with pytest.raises(Refused, match="no windows"):
        Rethreshold(windows(rows).slice(0, 0), BruteForceUser())


def test_windows_of_another_configuration_are_refused(runs: Runs) -> None:
    config = load(str(runs.config(1)))
    with pytest.raises(Refused, match="another configuration"):
        index_of(runs.out(0), config, config.detection[0])
    assert set(query.windows(runs.out(0))["config_hash"].to_pylist()) == {config_hash(load(str(runs.config(0))))}


def test_the_limit_of_a_preset_is_its_own() -> None:
    assert [limit_of(rule) for rule in (BruteForceUser(at_least=7), DeletionSurge(dimension="ip"))] == [7.0, 5.0]
