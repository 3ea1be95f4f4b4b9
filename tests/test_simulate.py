"""The simulator: reproducible, decodable, quiet where it should be, and its labels true."""

import collections
import gzip
import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from flows.errors import OutputError, UsageError
from flows.formats import simulated
from flows.formats.lapwing import Decoded, decode
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from flows.formats.simulated import simulate
from flows.formats.truth import encode_truth, read_truth
from flows.simulate import write
from models.base import DIMENSIONS, NONE_TIME
from models.simulation.rhythm import DAY_US, HOUR_US, MINUTE_US, intensity, releases, rhythm
from tests.naive_rules import Event, Sliding, address, crossings, failed, person, seconds
from tests.simulated_runs import Run, run


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
    assert run(20_000, 3, attacks=()).lines != first.lines


def test_chunks_are_only_a_way_to_hand_lines_over(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run(40_000, 3)
    monkeypatch.setattr(simulated, "_CHUNK", 777)
    again = run(40_000, 3)
    assert again.lines == expected.lines
    assert again.truth == expected.truth


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


def test_attacks_take_their_share_at_most(either: Run) -> None:
    assert 0 < sum(len(truth.events) for truth in either.truth) <= 0.15 * len(either.events)


def test_attacks_leave_the_first_quarter_alone(half_day: Run) -> None:
    assert min(truth.start for truth in half_day.truth) >= "2026-11-02T08:06"
    floods = [truth.start for truth in half_day.truth if truth.kind == "traffic_spike"]
    assert floods
    assert min(floods) >= "2026-11-02T09:46"


def test_ordinary_traffic_crosses_no_rule(either: Run) -> None:
    assert crossings(either.ordinary) == set()


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


def test_each_tenants_day_has_a_rhythm_in_its_own_time_zone() -> None:
    people = [event for event in run(60_000, 2, hours=24, attacks=()).events if event.get("actor_type") != "service"]
    assert releases(1_793_577_600_000_000, 1_793_664_000_000_000, 2) == []
    for tenant, offset in (("acme", 1), ("globex", -5)):
        hours = collections.Counter(int(seconds(e) / 3600 + offset) % 24 for e in people if e["tenant"] == tenant)
        assert 2.5 < hours[11] / hours[3] < 4.5
    curve = rhythm(0, 7 * 24, 1)
    assert all(a < b for a, b in pairwise(curve.share.tolist()))


def test_weekends_are_quieter_and_nothing_leaps() -> None:
    sunday, tuesday = (10 * DAY_US + np.arange(24 * 60) * MINUTE_US, 12 * DAY_US + np.arange(24 * 60) * MINUTE_US)
    assert intensity(sunday).mean() < 0.8 * intensity(tuesday).mean()
    curve = rhythm(0, 28 * 24, 5)
    rates = np.diff(curve.share)
    smooth = rates[0]
    for rate in rates:
        assert rate < 3 * smooth  # a traffic spike is four times the learned mean
        smooth += 0.01 * (rate - smooth)


def test_a_release_lifts_traffic_smoothly_two_or_three_times() -> None:
    week = 7 * DAY_US
    found = releases(4 * DAY_US, 4 * DAY_US + 20 * week, 3)
    assert 19 <= len(found) <= 22
    assert len({at // DAY_US % 7 for at, _ in found}) > 2
    curve = rhythm(4 * DAY_US, 20 * 7 * 24, 3)
    for at, lift in found[2:18]:
        assert 0.8 <= lift <= 1.8
        day = [curve.rate(at + hour * HOUR_US) for hour in range(-2, 6)]
        other = [curve.rate(at + (week if (at + week) // DAY_US not in {a // DAY_US for a, _ in found} else -week)
                            + hour * HOUR_US) for hour in range(-2, 6)]  # fmt: skip
        if all(abs(at - a) % week for a, _ in found if a != at):
            assert max(np.array(day) / other) == pytest.approx(1 + lift, rel=0.15)


def test_people_get_the_new_app_after_a_release() -> None:
    start = next(
        at for at, _ in releases(1_793_577_600_000_000, 1_794_787_200_000_000, 6) if at > 1_793_577_600_000_000
    )
    events = run(20_000, 6, hours=30, start=datetime.fromtimestamp(start / 1e6 - 6 * 3600, tz=UTC), attacks=()).events
    phones = [event for event in events if event["app"] in ("ios", "android")]
    new = [event["app_version"] == "6.0.0" for event in phones]
    early = [seconds(event) < start / 1e6 for event in phones]
    assert not any(is_new for is_new, is_early in zip(new, early, strict=True) if is_early)
    assert 0.3 < np.mean(new[-1000:]) < 0.95


def test_phones_change_their_address_and_stay_in_their_country(half_day: Run) -> None:
    addresses, countries = collections.defaultdict(set), collections.defaultdict(set)
    for event in half_day.ordinary:
        if "user" in event and event.get("actor_type") != "admin":
            countries[event["user"]].add(event["country"])
            if event["app"] in ("ios", "android"):
                addresses[event["user"]].add(event["ip"])
    counts = [len(ips) for ips in addresses.values()]
    assert np.mean(np.array(counts) > 1) > 0.3
    assert {len(found) for found in countries.values()} == {1}
    recent = Sliding(900)
    assert max(len(set(recent.add(event["user"], seconds(event), event["ip"])))
               for event in sorted(half_day.ordinary, key=seconds) if "user" in event) < 8  # fmt: skip


def test_programs_are_steady_and_have_their_hours(half_day: Run) -> None:
    calls = collections.defaultdict(list)
    for event in half_day.ordinary:
        if event.get("actor_type") == "service":
            calls[event["user"]].append(seconds(event))
    assert len(calls) >= 10
    always = [times for times in calls.values() if max(times) - min(times) > 8 * 3600]
    assert len(always) >= 5
    for times in calls.values():
        gaps = np.diff(sorted(times))
        assert gaps.std() / gaps.mean() < 0.3 or max(gaps) > 3600
    assert 0.01 < sum(map(len, calls.values())) / len(half_day.events) < 0.08


def test_ordinary_traffics_worst_windows_stay_below_the_thresholds(half_day: Run) -> None:
    """With room: half of what the published defaults are."""
    bad = {"user": Sliding(600), "ip": Sliding(900), "reset": Sliding(3600), "resets": Sliding(900)}
    worst: dict[str, int] = collections.Counter()
    for event in sorted(half_day.ordinary, key=seconds):
        time, user = seconds(event), person(event)
        if failed(event):
            worst["user"] = max(worst["user"], len(bad["user"].add(user, time)))
            worst["ip"] = max(worst["ip"], len(set(bad["ip"].add(address(event), time, user))))
        if event["action"] == "password_reset_request":
            worst["reset"] = max(worst["reset"], len(bad["reset"].add(user, time)))
            worst["resets"] = max(worst["resets"], len(set(bad["resets"].add(address(event), time, user))))
    assert worst["user"] <= 6
    assert worst["ip"] <= 7
    assert worst["reset"] <= 3
    assert worst["resets"] <= 7


def test_without_attacks_there_are_no_labels() -> None:
    assert run(20_000, 3, attacks=()).truth == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"events": 0}, "events"),
        ({"events": 10, "hours": 0.0}, "hours"),
        ({"events": 10, "hours": float("nan")}, "hours"),
        ({"events": 10, "users": 3}, "users"),
        ({"events": 10, "seed": -1}, "seed"),
        ({"events": 10, "attacks": ("brute_force", "x")}, "no such attack: x; there are brute_force"),
        ({"events": 10, "attack_count": 0}, "count of attacks"),
        ({"events": 10, "attack_count": 3, "attack_every": 60_000_000}, "exclude each other"),
        ({"events": 10, "attack_every": 1_000}, "seconds apart"),
        ({"events": 10, "start": datetime(2026, 1, 1)}, "start"),
    ],
)
def test_arguments_out_of_range_are_refused_at_once(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        simulate(**({"seed": 1} | wrong))


def test_files_are_the_same_however_they_are_packed(tmp_path: Path) -> None:
    plain = write(tmp_path / "e.ndjson", simulate(3_000, 9))
    write(tmp_path / "e.ndjson.gz", simulate(3_000, 9))
    write(tmp_path / "e.ndjson.zst", simulate(3_000, 9))
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
    write(tmp_path / "e.ndjson.gz", simulate(3_000, 9))
    assert (tmp_path / "e.ndjson.gz").read_bytes() == first


def test_an_interrupted_run_leaves_the_old_files(tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson"
    path.write_bytes(b"before\n")

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, simulate(1_000, 1), on_progress=interrupt)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("e.ndjson", b"before\n")]


def test_progress_hears_every_chunk(tmp_path: Path) -> None:
    heard: list[int] = []
    write(tmp_path / "e.ndjson", simulate(40_000, 1), on_progress=heard.append)
    assert len(heard) >= 3
    assert heard == sorted(heard)
    assert heard[-1] == 40_000


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        write(tmp_path / "nowhere" / "e.ndjson", simulate(100, 1))
    with pytest.raises(OutputError, match="/dev/full: No space left on device"):
        write("/dev/full", simulate(20_000, 1))


def test_stdout_gets_the_lines_and_only_those() -> None:
    code = "from flows.simulate import simulate, write; write('-', simulate(1000, 9))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == run(1_000, 9).lines
    assert done.stderr == b""


def test_a_reader_that_leaves_is_a_broken_pipe() -> None:
    code = (
        "import os\nfrom flows.simulate import simulate, write\n"
        "try: write('-', simulate(40000, 9))\nexcept BrokenPipeError: os.write(2, b'gone'); os._exit(1)"
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
