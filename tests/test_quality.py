"""The benchmarks of quality run, and count what they say they count."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.quality_simulated import Kind, counted, figures, text
from models.simulation.attacks.plan import KINDS

ROOT = Path(__file__).parent.parent


def test_simulated_quality_of_two_small_days() -> None:
    words = ["--seeds", "1", "--attacks", "4", "--events", "40000", "--users", "1000", "--days", "1", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.quality_simulated", *words], capture_output=True, check=True, cwd=ROOT
    )
    found = json.loads(done.stdout)
    assert [*found["kinds"]] == [*KINDS]
    rows = [row for row in found["kinds"].values() if row["attacks"]]
    assert sum(row["attacks"] for row in rows) == 4
    assert all(
        row["found"] <= row["attacks"] and sum(b for _, b in row["by_strength"].values()) == row["attacks"]
        for row in rows
    )
    assert sum(row["found"] for row in rows) >= 2
    assert found["clean"]["days"] == 1
    assert found["clean"]["interval"][0] <= found["clean"]["a_day"] <= found["clean"]["interval"][1]


def test_figures_are_read() -> None:
    kind = Kind(events=[10, 30, 20], found=[False, True, True], as_expected=1, seconds=[4.0, 9.0])
    found = figures({"brute_force": kind}, {"x_ip": 3}, 2, {"y_ip": 7}, 7)
    assert found["kinds"]["brute_force"]["by_strength"] == {"weakest": [0, 1], "middle": [1, 1], "strongest": [1, 1]}
    assert found["kinds"]["brute_force"]["recall"] == pytest.approx(2 / 3)
    assert found["clean"]["a_day"] == 1.0
    lines = [*text(found)]
    assert "brute_force" in lines[1]
    assert "2/3" in lines[1]
    assert " 6 s" in lines[1]
    assert lines[-2].endswith("x_ip 1.50")
    assert "1.00 false incidents a day (0.40-2.06; aim 5): y_ip 7" in lines[-1]
    assert counted([]) == {}
