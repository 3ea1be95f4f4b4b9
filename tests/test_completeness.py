"""What has come and what is missing, of files and over a real broker."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.completeness import Sequence
from tests.command import command, lapwing
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record, produce
from tests.kafka_admin import cut
from tests.kafka_runs import Site

MOMENT = 1_795_410_000_000


def event(second: float, tenant: str, number: int, **more: Any) -> bytes:
    about = {
        "time": int(MOMENT + second * 1000),
        "tenant": tenant,
        "id": f"{tenant}-{number}",
        "seq": number,
        "user": "u",
    }
    return json.dumps(about | more).encode()


def scored(events: list[bytes], tmp_path: Path) -> Path:
    (tmp_path / "events.ndjson").write_bytes(b"".join(line + b"\n" for line in events))
    done = lapwing("detect", "--input", tmp_path / "events.ndjson", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    return tmp_path / "out"


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(0, 2**32))
def test_a_sequence_knows_what_is_missing(numbers: set[int], seed: int) -> None:
    """Its first number counts as the first; all others may come in any order, and more than once."""
    least = min(numbers)
    rest = [*(numbers - {least}), *random.Random(seed).choices([*numbers], k=5)]
    random.Random(seed).shuffle(rest)
    found = Sequence()
    for number in (least, *rest):
        found.add(number)
    holes = {*range(least, max(numbers))} - numbers
    assert found.end() == len(holes)
    assert {n for gap in found.gaps for n in range(gap.first, gap.last + 1)} >= holes or len(found.gaps) == 20


def test_its_memory_is_bounded() -> None:
    found = Sequence(ahead=10)
    for number in (0, *range(2, 100)):
        found.add(number)
    assert found.end() == 1


def test_gaps_duplicates_and_silence_are_told_by_tenant(tmp_path: Path) -> None:
    events = [event(k, "acme", k) for k in range(10) if k not in (4, 5)]
    events += [event(9.5, "acme", 9), event(0, "globex", 100), event(400, "globex", 101), b"no event"]
    out = scored(events, tmp_path)
    code, text, said = command("completeness", "--input", out, "--sequence", "seq", "--silence", "5m", "--json")
    found = json.loads(text)
    assert code == 3
    assert (found["events"], found["dead_letters"], found["unscored"], found["partitions"]) == (11, 1, None, [])
    acme, globex = found["tenants"]
    assert (acme["events"], acme["duplicates"], acme["missing"]) == (9, 1, 2)
    assert acme["gaps"] == [{"first": 4, "last": 5}]
    assert (acme["longest_silence_s"], acme["silent_s"]) == (3.0, 390.5)
    assert (globex["duplicates"], globex["missing"], globex["longest_silence_s"]) == (0, 0, 400.0)
    assert found["missing"] == ["tenant acme: 2 of its sequence are missing", "tenant acme: silent for 390 s"]
    assert said == ["lapwing: " + "; ".join(found["missing"])]
    code, text, said = command("completeness", "--input", out, "--from", "2026-11-23T05:05:00Z")
    assert (code, said) == (0, [])
    assert "1 events scored" in text
    code, _, said = command("completeness", "--input", out, "--from", "2027-01-01T00:00:00Z")
    assert (code, said) == (3, ["lapwing: no event at all: no data, not no alert"])


def test_of_topics_what_waits_and_what_is_nowhere(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2)
    first = [
        Record(event(k, "acme", k), b"k", (), MOMENT + k * 1000, k % 2) for k in range(20)
    ]  # fmt: skip
    site.produce([*first, Record(b"{", b"k", (), MOMENT + 20_000, 0)])
    site.run()
    words = ("completeness", "--input", "kafka", "--config", site.path, "--sequence", "seq", "--json")
    site.read("scored")
    code, text, said = command(*words)
    found = json.loads(text)
    assert (code, said) == (0, [])
    assert (found["events"], found["dead_letters"], found["unscored"]) == (20, 1, 0)
    assert [(one["messages"], one["lag"], one["lost"], one["passed_over"]) for one in found["partitions"]] == [
        (11, 0, 0, 0), (10, 0, 0, 0),
    ]  # fmt: skip
    site.produce([Record(event(30, "acme", 21), b"k", (), MOMENT + 30_000, 1)])
    code, text, _ = command(*words)
    assert [one["lag"] for one in json.loads(text)["partitions"]] == [0, 1]
    assert code == 0
    site.run()
    code, text, said = command(*words)
    assert (code, said) == (3, ["lapwing: tenant acme: 1 of its sequence are missing"])
    assert json.loads(text)["tenants"][0]["gaps"] == [{"first": 20, "last": 20}]


def okta(number: int, second: float) -> dict[str, Any]:
    moment = datetime.fromtimestamp(MOMENT / 1000 + second, UTC).isoformat()
    actor = {"alternateId": "sam@example.com", "type": "User"}
    return {"eventType": "user.session.start", "uuid": f"u-{number}", "published": moment, "actor": actor}


def test_a_platforms_events_are_read_in_its_format(tmp_path: Path) -> None:
    (tmp_path / "events.ndjson").write_text("".join(f"{json.dumps(okta(at % 2, at))}\n" for at in range(3)))
    words = "--input", tmp_path / "events.ndjson", "--output", tmp_path / "out", "--format", "okta"
    assert command("detect", *words)[0] == 0
    [tenant] = json.loads(command("completeness", "--input", tmp_path / "out", "--json")[1])["tenants"]
    assert (tenant["events"], tenant["duplicates"]) == (3, 1)


def test_all_topics_of_events_count_and_what_was_removed_unread_is_lost(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    other = f"{site.prefix}.okta"
    kafka.make(other, 1, {})
    site.config = f'[[format]]\ntype = "okta"\ntopics = ["{other}"]\n'
    site.write()
    site.produce([Record(event(0, "acme", 1), b"k", (), MOMENT, 0)])

    def produced(*numbers: int) -> None:
        """Each message an array of two events."""
        values = [json.dumps([okta(number, at) for at in (0, 1)]).encode() for number in numbers]
        produce(kafka.client(), other, [Record(value, b"k", (), MOMENT, 0) for value in values])

    produced(1)
    site.run()
    site.read("scored")
    words = ("completeness", "--input", "kafka", "--config", site.path, "--json")
    code, text, said = command(*words)
    found = json.loads(text)
    assert (code, found["events"], found["unscored"]) == (0, 3, 0), said
    places = [(one["topic"], one["messages"], one["lag"], one["lost"]) for one in found["partitions"]]
    assert places == [(site.events, 1, 0, 0), (other, 1, 0, 0)]
    assert [(one["tenant"], one["duplicates"]) for one in found["tenants"]] == [("acme", 0), ("default", 1)]
    produced(2, 3, 4)
    cut(kafka, other, 0, 3)
    code, text, said = command(*words)
    assert (code, said) == (3, [f"lapwing: {other}/0: 2 messages were removed unread"])
    assert [(one["lag"], one["lost"]) for one in json.loads(text)["partitions"]] == [(0, 0), (1, 2)]


def test_what_is_no_place_is_one_line(tmp_path: Path) -> None:
    code, _, said = command("completeness", "--input", tmp_path / "none")
    assert code == 1
    assert len(said) == 1
    assert command("completeness", "--input", tmp_path, "--silence", "long")[0] == 2
    assert command("completeness", "--input", tmp_path, "--from", "yesterday")[0] == 2
