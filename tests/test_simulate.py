"""The simulator: reproducible, decodable, quiet where it should be, and its labels true."""

import collections
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import zstandard

from flows.errors import OutputError, UsageError
from flows.formats.lapwing import Decoded, decode
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from flows.formats.simulated import simulate
from flows.formats.truth import Truth, encode_truth, read_truth
from flows.simulate import write
from models.base import DIMENSIONS, NONE_TIME
from models.simulation.rhythm import MINUTE_US, rhythm
from tests.naive_rules import Event, busiest_minutes, crossings, failed, seconds


class Run(NamedTuple):
    lines: bytes
    events: list[Event]
    truth: list[Truth]

    @property
    def ordinary(self) -> list[Event]:
        malicious = {one for truth in self.truth for one in truth.events}
        return [event for event in self.events if event["id"] not in malicious]


def run(*arguments: Any, **named: Any) -> Run:
    chunks = list(simulate(*arguments, **named))
    lines = b"".join(chunk.lines for chunk in chunks)
    assert [chunk.lines.count(b"\n") for chunk in chunks] == [chunk.count for chunk in chunks]
    return Run(lines, [json.loads(line) for line in lines.splitlines()], [t for c in chunks for t in c.truth])


@pytest.fixture(scope="module")
def half_day() -> Run:
    return run(70_000, 11, hours=8.4, start=datetime(2026, 11, 2, 6, tzinfo=UTC))


@pytest.fixture(scope="module")
def busy() -> Run:
    """Seven times as busy as by default."""
    return run(45_000, 12, hours=0.5)


@pytest.fixture(scope="module", params=["half_day", "busy"])
def either(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(request.param)
    return found


def decoded(lines: bytes) -> Decoded:
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    n = len(ends)
    raw = RawBatch(
        "simulated", np.frombuffer(lines, np.uint8), starts, ends - starts, np.arange(n), np.zeros(n, np.int32),
        np.full(n, NONE_TIME),
    )  # fmt: skip
    return decode(raw, Limits())


def name(batch: Decoded, dimension: str, row: int) -> str:
    at = DIMENSIONS.index(dimension)
    start = batch.name_start[at, row]
    return batch.names[start : start + batch.name_length[at, row]].tobytes().decode()


@pytest.mark.parametrize("size", [1, 2, 599, 16_383, 40_001])
def test_a_run_has_exactly_the_events_asked_for(size: int) -> None:
    events = run(size, 5).events
    assert len(events) == size
    assert len({event["id"] for event in events}) == size


def test_equal_arguments_give_equal_bytes_and_another_seed_does_not() -> None:
    first, again, other = run(20_000, 3), run(20_000, 3), run(20_000, 4)
    assert first.lines == again.lines
    assert first.truth == again.truth
    assert first.lines != other.lines
    assert run(20_000, 3, attacks=False).lines != first.lines


def test_a_consumer_changes_nothing() -> None:
    np.random.seed(1)
    one, two = simulate(40_000, 3), simulate(40_000, 3)
    mixed = [next(one).lines]
    np.random.seed(2)
    reference = [chunk.lines for chunk in two]
    mixed += [chunk.lines for chunk in one]
    assert mixed == reference


def test_everything_is_decoded_and_nothing_ignored(either: Run) -> None:
    batch = decoded(either.lines)
    assert batch.dead == ()
    assert len(batch.row) == len(either.events)
    assert int(batch.note_length.sum()) == 0
    assert {"tenant", "ip", "endpoint"} <= {d for d in DIMENSIONS if (batch.entity[DIMENSIONS.index(d)] != 0).all()}


def test_labels_name_entities_as_lapwing_does(either: Run) -> None:
    batch = decoded(either.lines)
    row_of = {event["id"]: row for row, event in enumerate(either.events)}
    for truth in either.truth:
        rows = [row_of[one] for one in truth.events]
        assert {name(batch, "ip", row) for row in rows} == set(truth.entities["ip"])
        assert {name(batch, "user", row) for row in rows} - {""} == set(truth.entities["user"])
        endpoints = {name(batch, "endpoint", row) for row in rows}
        assert truth.entities["endpoint"] in ([], list(endpoints))
        assert truth.entities["tenant"] in ([], [name(batch, "tenant", rows[0])])


def test_labels_have_their_events_times(either: Run) -> None:
    by_id = {event["id"]: event for event in either.events}
    for truth in either.truth:
        times = [by_id[one]["time"] for one in truth.events]
        assert (min(times), max(times)) == (truth.start, truth.end)
        assert len(set(truth.events)) == len(truth.events)
    ids = [one for truth in either.truth for one in truth.events]
    assert len(ids) == len(set(ids))
    assert len(ids) <= 0.15 * len(either.events)


def test_attacks_leave_the_first_quarter_alone(half_day: Run) -> None:
    assert min(truth.start for truth in half_day.truth) >= "2026-11-02T08:06"
    floods = [truth.start for truth in half_day.truth if truth.kind == "traffic_spike"]
    assert floods
    assert min(floods) >= "2026-11-02T09:46"


def test_every_kind_of_attack_comes_and_crosses_its_rule(either: Run) -> None:
    assert {truth.kind for truth in either.truth} == {
        "brute_force", "password_spray", "deletion_surge", "traffic_spike",
    }  # fmt: skip
    crossed = crossings(either.events)
    by_id = {event["id"]: event for event in either.events}
    for truth in either.truth:
        entities = set(truth.entities["ip"]) | set(truth.entities["user"])
        if truth.kind == "traffic_spike":
            minute = busiest_minutes([by_id[one] for one in truth.events])
            assert max(most for most, _ in minute.values()) >= 500
        else:
            assert any(rule.startswith(truth.kind) and entity in entities for rule, entity in crossed), truth.attack


def test_ordinary_traffic_crosses_no_rule(either: Run) -> None:
    assert crossings(either.ordinary) == set()
    assert all(over < 3 for _, over in busiest_minutes(either.ordinary).values())


def test_a_flood_is_far_above_what_its_endpoint_has(either: Run) -> None:
    ordinary = collections.Counter((event["tenant"], event["endpoint"]) for event in either.ordinary)
    first, last = (min(map(seconds, either.ordinary)), max(map(seconds, either.ordinary)))
    by_id = {event["id"]: event for event in either.events}
    for truth in either.truth:
        if truth.kind == "traffic_spike":
            event = by_id[truth.events[0]]
            base = ordinary[(event["tenant"], event["endpoint"])] / ((last - first) / 60)
            length = (datetime.fromisoformat(truth.end) - datetime.fromisoformat(truth.start)).total_seconds() / 60
            assert len(truth.events) / length > 6 * base


def test_events_arrive_a_little_out_of_order(either: Run) -> None:
    times = np.array([seconds(event) for event in either.events])
    behind = np.maximum.accumulate(times) - times
    assert 0.05 < (behind > 0).mean() < 0.9
    assert behind.max() <= 4.001


def test_people_mistype_and_then_get_in(either: Run) -> None:
    logins = [event for event in either.ordinary if event["action"] == "login"]
    assert 0.03 < sum(map(failed, logins)) / len(logins) < 0.08
    sessions: dict[str, list[Event]] = collections.defaultdict(list)
    for event in logins:
        sessions[event["session"]].append(event)
    failing = [session for session in sessions.values() if any(map(failed, session))]
    assert sum(not all(map(failed, session)) for session in failing) > 0.6 * len(failing)


def test_traffic_is_shaped_like_an_identity_platforms(half_day: Run) -> None:
    events = half_day.ordinary
    actions = collections.Counter(event["action"] for event in events)
    assert actions.most_common(1)[0][0] == "token_refresh"
    assert {"password_reset_request", "account_delete", "profile_update", "role_change", "register"} <= set(actions)
    people = collections.defaultdict(set)
    for event in events:
        people[event["ip"]].add(event.get("username"))
    crowds = sorted(map(len, people.values()), reverse=True)
    assert crowds[0] > 100
    assert crowds[20] > 5
    assert np.median(crowds) <= 3
    share = collections.Counter(event.get("username") for event in events)
    top = sorted(share.values(), reverse=True)
    assert sum(top[: len(top) // 10]) > 0.3 * len(events)
    size = [len(line) for line in half_day.lines.splitlines()]
    assert 400 < np.mean(size) < 500
    assert 0.02 < np.mean([not line.isascii() for line in half_day.lines.splitlines()]) < 0.08
    changes = next(event["changes"] for event in events if event["action"] == "profile_update")
    assert set(changes[0]) == {"path", "old", "new"}
    assert any(":" in event["ip"] for event in events)


def test_the_day_has_a_rhythm() -> None:
    hours = collections.Counter(event["time"][11:13] for event in run(30_000, 2, hours=24, attacks=False).events)
    assert 2.5 < hours["11"] / hours["03"] < 4.5
    curve = rhythm(0, 7 * 24)
    assert all(a < b for a, b in pairwise(curve.share.tolist()))
    noon = 12 * 60 * MINUTE_US
    day = 24 * 60 * MINUTE_US
    assert curve.rate(2 * day + noon) < 0.75 * curve.rate(4 * day + noon)  # 1970-01-03 was a Saturday


def test_without_attacks_there_are_no_labels() -> None:
    assert run(20_000, 3, attacks=False).truth == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"events": 0}, "events"),
        ({"events": 10, "hours": 0.0}, "hours"),
        ({"events": 10, "hours": float("nan")}, "hours"),
        ({"events": 10, "users": 3}, "users"),
        ({"events": 10, "seed": -1}, "seed"),
        ({"events": 10, "start": datetime(2026, 1, 1)}, "start"),
    ],
)
def test_arguments_out_of_range_are_refused_at_once(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        simulate(**({"seed": 1} | wrong))


def test_files_are_the_same_however_they_are_packed(tmp_path: Path) -> None:
    plain = write(tmp_path / "e.ndjson", 3_000, 9)
    write(tmp_path / "e.ndjson.gz", 3_000, 9)
    write(tmp_path / "e.ndjson.zst", 3_000, 9)
    expected = run(3_000, 9)
    assert (tmp_path / "e.ndjson").read_bytes() == expected.lines
    assert gzip.decompress((tmp_path / "e.ndjson.gz").read_bytes()) == expected.lines
    packed = io.BytesIO((tmp_path / "e.ndjson.zst").read_bytes())
    assert zstandard.ZstdDecompressor().stream_reader(packed).read() == expected.lines
    assert (plain.events, plain.size, plain.attacks) == (3_000, len(expected.lines), len(expected.truth))
    assert plain.truth_path == str(tmp_path / "e.ndjson.truth.ndjson")
    assert read_truth(plain.truth_path) == expected.truth
    assert Path(plain.truth_path).read_bytes() == encode_truth(expected.truth)
    first = (tmp_path / "e.ndjson.gz").read_bytes()
    write(tmp_path / "e.ndjson.gz", 3_000, 9)
    assert (tmp_path / "e.ndjson.gz").read_bytes() == first


def test_an_interrupted_run_leaves_the_old_files(tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson"
    path.write_bytes(b"before\n")

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, 1_000, 1, on_progress=interrupt)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("e.ndjson", b"before\n")]


def test_progress_hears_every_chunk(tmp_path: Path) -> None:
    heard: list[int] = []
    write(tmp_path / "e.ndjson", 40_000, 1, on_progress=heard.append)
    assert len(heard) >= 3
    assert heard == sorted(heard)
    assert heard[-1] == 40_000


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        write(tmp_path / "nowhere" / "e.ndjson", 100, 1)
    with pytest.raises(OutputError, match="/dev/full: No space left on device"):
        write("/dev/full", 20_000, 1)


def test_stdout_gets_the_lines_and_only_those() -> None:
    code = "from flows.simulate import write; write('-', 1000, 9)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == run(1_000, 9).lines
    assert done.stderr == b""


def test_a_reader_that_leaves_is_a_broken_pipe() -> None:
    code = (
        "import os\nfrom flows.simulate import write\n"
        "try: write('-', 40000, 9)\nexcept BrokenPipeError: os.write(2, b'gone'); os._exit(1)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b"gone"
    assert process.returncode == 1


def samples() -> Iterator[bytes]:
    yield from (Path(__file__).parent / "samples" / "events.ndjson").read_bytes().splitlines(keepends=True)


def test_the_sample_has_ordinary_and_odd_events() -> None:
    lines = list(samples())
    batch = decoded(b"".join(lines))
    assert collections.Counter(dead.reason for dead in batch.dead) == collections.Counter(
        ["missing_time", "bad_time", "no_entity", "not_an_object", "malformed_json", "reserved_member"]
    )
    assert len(batch.row) + len(batch.dead) == len(lines)
    assert int((batch.note_length > 0).sum()) == 5
