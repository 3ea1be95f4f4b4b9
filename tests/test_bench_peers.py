"""The counting job is what it says, engines that are missing are told of, and different counts are found."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import engines
from benchmarks.peers import job
from flows.formats.simulated import simulate


def event(second, **members):
    return {"time": f"2026-11-02T00:{second // 60:02}:{second % 60:02}.000Z", "tenant": "acme"} | members


def file_of(path, rows):
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return str(path)


def rows_of(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_the_plain_loop_counts_minutes_of_each_dimension(tmp_path):
    events = [
        event(0, ip="192.0.2.1", endpoint="/login", user="a"),
        event(59, ip="192.0.2.1", endpoint="/login"),
        event(61, ip="192.0.2.1", endpoint="/login", user="a"),
        event(58, ip="192.0.2.2", endpoint="/login", user=None),  # late, and its minute is not over
        event(62, ip="192.0.2.1", tenant="other"),
    ]
    job.plain(file_of(tmp_path / "events", events), str(tmp_path / "rows"))
    counts = {(r["dimension"], r["tenant"], r["entity"], r["minute"][11:]): r["n"] for r in rows_of(tmp_path / "rows")}
    assert counts == {
        ("ip", "acme", "192.0.2.1", "00:00"): 2,
        ("ip", "acme", "192.0.2.1", "00:01"): 1,
        ("ip", "acme", "192.0.2.2", "00:00"): 1,
        ("ip", "other", "192.0.2.1", "00:01"): 1,
        ("endpoint", "acme", "/login", "00:00"): 3,
        ("endpoint", "acme", "/login", "00:01"): 1,
        ("user", "acme", "a", "00:00"): 1,
        ("user", "acme", "a", "00:01"): 1,
    }
    said = job.told(str(tmp_path / "rows"))
    assert (said.windows, said.events) == (8, 11)


def test_a_score_is_against_the_minutes_before(tmp_path):
    counts = [10, 10, 13, 10]
    events = [event(60 * minute, ip="192.0.2.1") for minute, n in enumerate(counts) for _ in range(n)]
    job.plain(file_of(tmp_path / "events", events), str(tmp_path / "rows"))
    # mean 10.03 after 10, 10, 13, and a variance below the least one
    assert [row["z"] for row in rows_of(tmp_path / "rows")] == pytest.approx([0, 0, 3, -0.03])
    assert job.told(str(tmp_path / "rows")).z == pytest.approx(3.03)


def test_a_score_beyond_the_least_variance_is_divided_by_the_root_of_the_variance():
    smoothed = job.Smoothed()
    smoothed.z(100)
    smoothed.z(200)
    # mean 101, mean square 10,300
    assert smoothed.z(110) == pytest.approx((110 - 101) / (10_300 - 101**2) ** 0.5)


ROW = {"dimension": "ip", "tenant": "acme", "entity": "192.0.2.1", "minute": "2026-11-02T00:00", "n": 2, "z": 0.5}


def test_the_checksum_is_of_counts_and_not_of_order(tmp_path):
    other = ROW | {"entity": "192.0.2.2", "z": -1.5}
    there = job.told(file_of(tmp_path / "there", [ROW, other]))
    back = job.told(file_of(tmp_path / "back", [other, ROW | {"more": 1}]))
    assert there == back
    assert there.z == 2.0


@pytest.mark.parametrize("name", ["dimension", "tenant", "entity", "minute", "n"])
def test_the_checksum_hangs_on_every_part_of_a_count(tmp_path, name):
    changed = ROW | {name: 3 if name == "n" else "other"}
    sums = {job.told(file_of(tmp_path / "rows", [each])).checksum for each in (ROW, changed)}
    assert len(sums) == 2
    swapped = [job.told(file_of(tmp_path / "rows", [ROW, changed])).checksum, *sums]
    assert len(set(swapped)) == 3


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    said = []
    folder = tmp_path_factory.mktemp("peers")
    figures = engines.measure(folder, 3_000, 1, Path(sys.executable), said.append)
    assert said[0] == "simulating 3,000 events"
    return folder, json.loads(json.dumps(figures))


def test_lapwing_counts_as_the_plain_loop_does(measured):
    folder, figures = measured
    wanted, own = figures["engines"][engines.PLAIN], figures["engines"][engines.COUNTING]
    for each in ("windows", "events", "checksum"):
        assert own["told"][each] == wanted["told"][each]
    counts = Counter(
        (name, line["tenant"], line[name], line["time"][:16])
        for line in rows_of(folder / "events.ndjson")
        for name in job.DIMENSIONS
        if name in line
    )
    assert wanted["told"]["windows"] == len(counts) > 1_000
    assert wanted["told"]["events"] == counts.total() > 2 * 3_000
    assert not engines.faults(figures["engines"])
    assert all(figures["engines"][name]["peak_mib"] > 10 for name in (engines.PLAIN, engines.COUNTING, engines.WHOLE))


def test_what_is_not_installed_is_said(measured):
    _, figures = measured
    text = engines.table(figures).splitlines()
    for name in engines.PEERS:
        (line,) = [line for line in text if line.startswith(name)]
        assert "not installed: " in line
    package = {"csp": "csp", "flink sql": "pyflink", "pathway, static": "pathway"}
    assert all(package[name] in figures["engines"][name]["missing"] for name in engines.PEERS)
    assert "the same counts" in text[-1]
    assert all(name in text[-1] for name in (engines.PLAIN, engines.COUNTING))
    assert not any(name in text[-1] for name in engines.PEERS)


def test_without_the_environment_no_peer_is_run(tmp_path):
    said = engines.counted(tmp_path / "python", "csp_counts", tmp_path, tmp_path, tmp_path)
    assert said == {"missing": "not installed: `make bench-peers` makes its environment"}


def test_a_peer_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="plain_counts ended with 1"):
        engines.counted(Path(sys.executable), "plain_counts", tmp_path / "no", tmp_path / "no", tmp_path / "rows")


@pytest.mark.parametrize(
    ("name", "changed", "found"),
    [
        ("csp", {"checksum": "0"}, "csp: "),
        ("csp", {"windows": 0}, "csp: "),
        ("csp", {"z": 1.0}, "csp: z-scores"),
        (engines.COUNTING, {"checksum": "0"}, f"{engines.COUNTING}: "),
        (engines.COUNTING, {"z": 1.0}, ""),
    ],
)
def test_other_counts_and_scores_are_a_fault(measured, name, changed, found):
    figures = {key: dict(each) for key, each in measured[1]["engines"].items()}
    figures[name] = figures[engines.PLAIN] | {"told": figures[engines.PLAIN]["told"] | changed}
    wrong = engines.faults(figures)
    assert len(wrong) == bool(found)
    assert all(each.startswith(found) for each in wrong)
    text = engines.table(measured[1] | {"engines": figures})
    assert text.count("DIFFERENT") == len(wrong)


def test_names_are_those_that_lapwing_sees_and_stay_so():
    lines = [line + b"\n" for chunk in simulate(2_000, 1) for line in chunk.lines.splitlines()]
    once = list(engines.named(lines))
    assert list(engines.named(once)) == once
    events = [json.loads(line) for line in once]
    assert any("{id}" in each.get("endpoint", "") for each in events)
    assert any("@" in each.get("user", "") for each in events)
    assert not any(each.get("ip", "").endswith("/128") or "username" in each for each in events)
