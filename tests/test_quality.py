"""The benchmarks of quality run, and count what they say they count."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.quality_simulated import Detection, Found, Kind, counted, figures, picture, text
from models.simulation.attacks.plan import KINDS

ROOT = Path(__file__).parent.parent


def test_simulated_quality_of_two_small_days(tmp_path: Path) -> None:
    picture_file = tmp_path / "quality.svg"
    words = ["--seeds", "1", "--attacks", "4", "--events", "40000", "--users", "1000", "--days", "1", "--json"]
    words += ["--picture", str(picture_file)]
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
    assert sum(row["incidents"] for row in found["detections"].values()) >= sum(row["found"] for row in rows)
    told = [row["told_after_most_s"] for row in found["detections"].values() if row["told_after_most_s"] is not None]
    assert told
    assert ElementTree.parse(picture_file).getroot().tag.endswith("svg")
    assert found["clean"]["interval"][0] <= found["clean"]["a_day"] <= found["clean"]["interval"][1]


def test_figures_are_read() -> None:
    found = Found()
    found.kinds["brute_force"] = Kind(events=[10, 30, 20], found=[False, True, True], as_expected=1, seconds=[4.0, 9.0])
    found.detections["x_ip"] = Detection(true=1, false=3, after=[-20.0, 4.0, 6.0])
    all_of_it = figures(found, 2, {"y_ip": 7}, 7)
    row = all_of_it["kinds"]["brute_force"]
    assert row["by_strength"] == {"weakest": [0, 1], "middle": [1, 1], "strongest": [1, 1]}
    assert row["recall"] == pytest.approx(2 / 3)
    assert all_of_it["detections"]["x_ip"]["precision"] == 0.25
    assert all_of_it["clean"]["a_day"] == 1.0
    lines = [*text(all_of_it)]
    assert "brute_force" in lines[1]
    assert "2/3" in lines[1]
    assert " 6 s" in lines[1]
    assert [*lines[-3].split()] == ["x_ip", "4", "0.25", "(0.05-0.70)", "1.50", "4.0", "s", "6.0", "s"]
    assert "1.00 false incidents a day (0.40-2.06; aim 5): y_ip 7" in lines[-1]
    drawn = picture(all_of_it)
    assert drawn.count("<circle") == 3 + 3, "a legend, and three thirds of one kind"
    assert "brute force" in drawn
    assert counted([]) == {}
