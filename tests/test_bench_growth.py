"""The growth, soak and plain loop benchmarks run, and their verdicts are those of their numbers."""

import json
import xml.etree.ElementTree as ET
from math import isfinite

import pytest

from benchmarks import growth, lasting, plain_loop, soak
from flows.config import load
from flows.formats.simulated import simulate

LEFT_OUT = ("brute_force_ip", "traffic_spike_tenant")


@pytest.fixture(scope="module")
def soaked(tmp_path_factory):
    return soak.run(2, 0.5, 1, str(tmp_path_factory.mktemp("soak")), rows_a_day=4)


def test_the_soak_takes_every_event_and_looks_at_each_part_of_a_day(soaked):
    assert soaked["events"] == 86_400
    assert len(soaked["rows"]) == 8
    assert sum(row["events"] for row in soaked["rows"]) == soaked["events"]
    entities = [row["entities"] for row in soaked["rows"]]
    assert entities == sorted(entities)
    assert entities[-1] > 500
    assert all(row["seconds"] > 0 and row["resident_mib"] > 20 for row in soaked["rows"])
    text = soak.report(soaked)
    assert f"{entities[-1]:,}" in text
    assert "memory flat" in text
    section = soak.section(soaked)
    assert section.table == text
    assert section.figures["soak.memory_change_mib"] == soaked["memory_change"][0]
    assert len(ET.fromstring(section.picture).findall(".//{*}circle")) == 2 * 8
    longer = growth.svg("soak", [growth.Curve([(k, 5.0 + k) for k in range(96)], "row", "MiB")])
    assert "<circle" not in longer
    assert longer.count('text-anchor="middle"') == 12 + 1  # of the rows, and their name


def days(memory, speed, entities=1_000, active=500):
    """Two days of which each row of the second is beside one of the first."""
    return [soak.Row(round(each), 1.0, mib, entities, active, 0, 0) for mib, each in zip(memory, speed, strict=True)]


def _daily(k):
    return 100_000 - 20_000 * (k % 24 in (20, 21, 22, 23))


@pytest.mark.parametrize(
    ("rows", "flat", "steady", "bounded"),
    [
        (days([500.0] * 48, [_daily(k) for k in range(48)]), True, True, True),
        (days([500.0 + k / 2 for k in range(48)], [100_000] * 48), False, True, True),
        (days([500.0 + k / 3 for k in range(48)], [100_000] * 48), True, True, True),
        (days([500.0] * 48, [_daily(k) - 100 * k for k in range(48)]), True, False, True),
        (days([900.0] * 24 + [500.0] * 24, [90_000] * 24 + [100_000] * 24), True, True, True),
        (days([500.0] * 48, [100_000] * 48, entities=1_000_001), True, True, False),
        (days([500.0] * 48, [100_000] * 48, active=100_001), True, True, False),
    ],
)
def test_the_soak_says_what_grew_slowed_or_spilled(rows, flat, steady, bounded):
    said = soak.judged(rows, load())
    assert (said["memory_flat"], said["speed_steady"], said["within_bounds"]) == (flat, steady, bounded)


def test_a_change_has_the_textbook_interval():
    before, after = [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 5.0, 5.0]  # differences 1, 0, 2, 1
    assert lasting.change(before, after) == pytest.approx((1.0, 1.96 * (2 / 3) ** 0.5 / 2), rel=1e-6)
    assert lasting.change([1.0, 2.0], [2.0, 3.0]) == (0.0, float("inf"))


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    told = []
    folder = tmp_path_factory.mktemp("growth")
    figures = growth.measure(
        folder, 3_000, 1, told.append,
        sizes=(1_000,), entities=(100, 1_000), detections=(10,), left_out=LEFT_OUT, processes=(1,),
    )  # fmt: skip
    assert told[:3] == ["1,000 events", "100 entities", "1,000 entities"]
    return json.loads(json.dumps(figures))


def test_growth_measures_every_size_and_every_detection(grown):
    assert set(grown["by_entities"]) == {"100", "1000"}
    assert set(grown["by_detections"]) == {"0", "10"}
    assert set(grown["detection_costs"]) == set(LEFT_OUT)
    assert set(grown["by_events"]) == {"1000"}
    assert set(grown["by_processes"]) == {"1"}
    costs = [*grown["by_entities"].values(), *grown["by_events"].values()]
    assert all(ns > 0 and mib > 20 for ns, mib in costs)
    # of so few events what the start cost is the larger part, and its difference may be below zero, or the same twice
    assert all(isfinite(ns) for ns in (*grown["by_detections"].values(), *grown["detection_costs"].values()))
    text = growth.table(grown)
    assert all(name in text for name in LEFT_OUT)
    pictures = {part: growth.section(part, grown).picture for part in growth.ABOUT}
    points = {part: len(ET.fromstring(drawn).findall(".//{*}circle")) for part, drawn in pictures.items()}
    assert points == {"events": 2, "entities": 4, "detections": 2, "each": 0, "processes": 2}
    assert not any("href" in drawn for drawn in pictures.values())


@pytest.mark.parametrize("number", [0, 1, *growth.DETECTIONS])
def test_so_many_detections_are_configured(tmp_path, number):
    config = load(str(growth.detections_config(number, tmp_path / "own.toml")))
    assert len({rule.id for rule in config.detection}) == len(config.detection) == number


def test_leaving_one_detection_out_leaves_the_others_as_they_are(tmp_path):
    default = load().detection
    assert load(str(growth.without(None, tmp_path / "all.toml"))).detection == default
    left = load(str(growth.without("deletion_surge_ip", tmp_path / "less.toml"))).detection
    assert left == tuple(rule for rule in default if rule.id != "deletion_surge_ip")


def test_the_plain_loop_reads_every_line():
    lines = [line for chunk in simulate(500, 1) for line in chunk.lines.splitlines()]
    assert plain_loop.run(lines) > 0
    with pytest.raises(ValueError, match=r"JSON|unexpected"):
        plain_loop.run([*lines, b"{"])
