"""On call over a real broker: mutes of a running flow, the queue in topics, dead letters put back once."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flows.connectors.kafka_again import Again, Once
from flows.errors import OutputError
from tests.command import command
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record
from tests.kafka_runs import Site, eventually
from tests.test_kafka_latest import failed, quiet
from tests.test_log import marked, marks_in


def creates(site: Site, key: str) -> set[str]:
    """The accounts of the creates in a topic."""
    found = [alert for alert in site.values(key) if alert["activity_id"] == 1]
    return {a["unmapped"]["entity"] for a in found if a["unmapped"]["detection"] == "brute_force_user"}


def told(site: Site, *words: str, code: int = 0) -> tuple[Any, list[str]]:
    """What a command prints as JSON, and says."""
    ended, out, said = command(*words, "--config", site.path, "--json")
    assert ended == code, said
    return json.loads(out or "null"), said


def test_a_running_flow_heeds_a_mute_and_the_queue_is_in_the_topics(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    stop = threading.Event()
    flow = threading.Thread(target=site.run, kwargs={"until": "", "stop": stop})
    flow.start()
    try:
        site.produce(failed("before", 0) + quiet(2))
        eventually(lambda: "before" in creates(site, "alerts"), "an incident is told")
        words = "mute", "brute_force_user", "--entity", "muted", "--for", "1h", "--reason", "ticket 4711", "--by", "kim"
        one, _ = told(site, *words, "--state", str(site.state), "--output", "kafka")
        time.sleep(1.5)  # the flow looks once a second
        site.produce(failed("muted", 3) + failed("loud", 3) + quiet(5))
        eventually(lambda: "muted" in creates(site, "suppressed"), "it is kept back")
        eventually(lambda: "loud" in creates(site, "alerts"), "others are told")
    finally:
        stop.set()
        flow.join()
    assert creates(site, "alerts") == {"before", "loud"}
    assert creates(site, "suppressed") == {"muted"}
    found, _ = told(site, "incidents", "--open", "--input", "kafka")
    mine = {row["incident"]["entity"]: row for row in found["incidents"]}
    assert {"before", "loud"} <= mine.keys()
    uid = mine["loud"]["incident"]["uid"]
    words = "incident", uid[:10], "ack", "--note", "looking", "--by", "kim"
    code, _, [line] = command(*words, "--input", "kafka", "--config", site.path)
    assert (code, "is with kim" in line) == (0, True)
    found, _ = told(site, "incident", uid, "--input", "kafka")
    assert (found["case"]["status"], found["case"]["by"]) == ("ack", "kim")
    assert [one["operation"] for one in found["said"]] == ["ack"]
    records = {record.key: json.loads(record.value or b"") for record in site.read("verdicts")}
    assert records[f"handling/{uid}".encode()]["operation"] == "ack"
    assert records[f"mute/{one['id']}".encode()]["note"] == "ticket 4711"
    assert told(site, "verdicts", "kafka")[0]["unreadable"] == 0, "operations are no rubbish"


def test_dead_letters_go_back_once_from_where_they_stand(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2)
    secret = b'{"username":"sam","password":"hunter2","when":"2026-11-23T05:00:00Z"}'
    headers = (("trace", b"7"),)
    site.produce([
        Record(b"{", b"a", headers, partition=0), Record(secret, b"b", headers, partition=1),
        Record(b"x" * 70_000, b"c", partition=1), *quiet(1),
    ])  # fmt: skip
    assert site.run(close=True).dead_letters == 3
    found, _ = told(site, "dead-letters", "list", "--input", "kafka")
    assert found["letters"] == 3
    assert all(group["hour"] for group in found["groups"])
    assert told(site, "dead-letters", "list", "--from", "1h", "--input", "kafka")[0]["letters"] == 3
    assert told(site, "dead-letters", "list", "--to", "1h", "--input", "kafka")[0]["letters"] == 0
    before = {(one.partition, one.offset) for one in site.read("events")}
    words = "dead-letters", "replay", "--input", "kafka", "--by", "kim"
    assert told(site, *words, "--reason", "missing_time")[0]["put_back"] == 1
    done, _ = told(site, *words)
    assert (done["put_back"], done["before"], done["lost"]) == (2, 1, 0), "redacted or cut: the records stand yet"
    done, _ = told(site, *words)
    assert (done["put_back"], done["before"]) == (0, 3)
    again = {one.value: one for one in site.read("events") if (one.partition, one.offset) not in before}
    assert again.keys() == {b"{", secret, b"x" * 70_000}
    assert (again[secret].key, again[secret].partition) == (b"b", 1)
    assert dict(again[secret].headers) == {"trace": b"7", "lapwing-replay": f"{site.events}/1:0".encode()}
    groups = told(site, "dead-letters", "list", "--input", "kafka")[0]["groups"]
    assert [group["put_back"] for group in groups] == [group["letters"] for group in groups]
    assert "hunter2" not in "".join(str(one.value) for one in site.read("verdicts"))


def test_two_replays_at_a_time_put_nothing_back_twice(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    block = site.loaded().kafka
    first, note = Once(block, "replay"), [Again(site.events, b"{", None), Again(site.topics["verdicts"], b"{}", b"k")]
    Once(block, "replay").write(note)
    with pytest.raises(OutputError, match="fenced"):
        first.write(note)
    assert len(site.read("events")) == 1


def test_no_log_tells_what_a_record_or_the_environment_holds(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    site.produce([
        Record(line, b"mark-key", (("mark-header", b"mark-value"),), partition=0)
        for line in (*marked(), b'{"mark-member":"mark-body"', b'{"user":"mark-user","time":"mark-time"}')
    ])  # fmt: skip
    env = os.environ | {"LAPWING_LOG": "json", "LAPWING_HASH_SEED": "mark-seed", "MARK_PASSWORD": "mark-password"}
    done = site.lapwing("--until", "end", "--start", "earliest", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dead_letters"] == 2
    assert not marks_in(done.stdout + done.stderr)
    site.write(bootstrap="127.0.0.1:1", startup_timeout="1s", security="sasl_plaintext", sasl_mechanism="PLAIN",
               username="lapwing", password_env="MARK_PASSWORD")  # fmt: skip
    done = site.lapwing(env=env)
    assert done.returncode == 1
    assert b"no answer" in done.stderr
    assert not marks_in(done.stdout + done.stderr)
