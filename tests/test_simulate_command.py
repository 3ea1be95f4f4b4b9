"""`lapwing simulate` on the command line: flags, help, faults."""

import json
from pathlib import Path

import pytest

from flows.formats.simulated import ALL
from tests.command import lapwing
from tests.simulated_runs import run


def test_help_names_every_kind_and_has_examples() -> None:
    done = lapwing("simulate", "--help")
    assert done.returncode == 0
    assert set(ALL) <= set(done.stdout.decode().split())
    assert done.stdout.count(b"\n    lapwing simulate --events") >= 5
    for flag in ("--attacks", "--attack-every", "--users", "--days", "--start"):
        assert flag in done.stdout.decode()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--attacks", "brute_force,nonsense"], "no such attack: nonsense; there are brute_force"),
        (["--attacks", ""], "no such attack"),
        (["--attack-every", "often"], "--attack-every"),
        (["--attack-every", "0"], "count of attacks"),
        (["--attack-every", "1us"], "seconds apart"),
        (["--start", "Monday"], "--start"),
        (["--start", "2026-11-07T08:00:00"], "an RFC 3339 time with its offset"),
        (["--hours", "3", "--days", "1"], "leave one out"),
        (["--users", "3"], "--users"),
        (["--days", "0"], "--days"),
        (["--events", "0"], "--events"),
    ],
)
def test_wrong_flags_end_with_2_and_write_nothing(flags: list[str], said: str, tmp_path: Path) -> None:
    done = lapwing("simulate", "--events", "10", "--seed", "1", "--output", tmp_path / "e.ndjson", *flags)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.decode().split())
    assert b"Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_flags_reach_the_simulation(tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson"
    flags = ["--users", "200", "--days", "0.5", "--start", "2026-11-07", "--attacks", "reset_surge", "--attack-every"]
    done = lapwing("simulate", "--events", "6000", "--seed", "5", "--output", path, *flags, "2h", "--json")
    assert done.returncode == 0, done.stderr
    truth = [json.loads(line) for line in (tmp_path / "e.ndjson.truth.ndjson").read_text().splitlines()]
    assert {one["kind"] for one in truth} == {"reset_surge"}
    assert json.loads(done.stdout)["attacks"] == len(truth) == 4
    times = sorted(json.loads(line)["time"] for line in path.read_bytes().splitlines())
    assert times[0].startswith("2026-11-07T00:0")
    assert times[-1].startswith("2026-11-07T1")
    lapwing("simulate", "--events", "6000", "--seed", "5", "--output", path, *flags, "3")
    assert len((tmp_path / "e.ndjson.truth.ndjson").read_text().splitlines()) == 3


@pytest.mark.parametrize("flags", [["--attacks", "none"], ["--no-attacks"]])
def test_clean_traffic_has_no_labels(flags: list[str], tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson"
    assert lapwing("simulate", "--events", "2000", "--seed", "5", "--output", path, *flags).returncode == 0
    assert (tmp_path / "e.ndjson.truth.ndjson").read_bytes() == b""
    assert path.read_bytes() == run(2_000, 5, attacks=()).lines
