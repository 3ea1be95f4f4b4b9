"""Verdicts over a real broker: written for an incident of the topics, and read from the beginning."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.verdicts import Verdict, encode
from tests.command import command, lapwing, said
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record, produce
from tests.kafka_admin import deleted
from tests.kafka_runs import Site
from tests.test_kafka_latest import failed, quiet

SHADOW = '[[detection]]\ntype = "brute_force_user"\n[[detection]]\ntype = "password_spray_ip"\nmode = "shadow"\n'


def incidents(site: Site, key: str) -> dict[str, dict[str, Any]]:
    """The incidents of a topic, by uid."""
    return {alert["finding_info"]["uid"]: alert for alert in site.values(key)}


def spray(minute: float) -> list[Record]:
    """Fifteen accounts that fail at one address."""
    found = failed("x", minute)
    for k, record in enumerate(found):
        event = json.loads(record.value or b"") | {"ip": "203.0.113.7", "username": f"u{k}"}
        found[k] = Record(json.dumps(event).encode(), partition=0)
    return found


def judge(site: Site, uid: str, word: str, *more: str, code: int = 0) -> list[str]:
    ended, out, told = command(
        "verdict", uid, word, "--output", "kafka", "--config", site.path, "--by", "soc@acme.example", *more
    )
    assert (ended, out) == (code, ""), told
    return told


def told(site: Site) -> dict[str, Any]:
    done = lapwing("verdicts", "kafka", "--config", site.path, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_verdict_goes_to_its_topic_and_is_counted(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 3, config=SHADOW)
    site.produce(failed("first", 0) + failed("second", 0.1) + failed("third", 0.2) + spray(0.3) + quiet(2))
    assert site.run(close=True).shadow == {"password_spray_ip": 1}
    alerts, silent = incidents(site, "alerts"), incidents(site, "suppressed")
    assert {len(alerts), len(silent)} == {3, 1}
    by_user = {alert["unmapped"]["entity"]: uid for uid, alert in alerts.items()}
    [shadow] = silent
    assert told(site)["unjudged"] == 4
    judge(site, by_user["first"], "true")
    [said] = judge(site, by_user["first"][:8], "false", "--note", "load test")
    assert f"topic {site.topics['verdicts']}" in said
    judge(site, by_user["second"], "benign")
    judge(site, shadow, "true")
    found = site.read("verdicts")
    assert {record.key for record in found} == {uid.encode() for uid in (by_user["first"], by_user["second"], shadow)}
    last = [json.loads(record.value or b"") for record in found if record.key == by_user["first"].encode()]
    assert [(one["verdict"], one["note"], one["by"]) for one in last] == [
        ("true", "", "soc@acme.example"), ("false", "load test", "soc@acme.example"),
    ]  # fmt: skip
    assert last[1].items() >= {
        "detection": "brute_force_user", "tenant": "default", "dimension": "user", "entity": "first", "version": 1,
    }.items()  # fmt: skip
    others = [
        Record(b"no verdict", b"x"), Record(None, b"y"),
        Record(encode(Verdict(uid="f" * 32, verdict="false", detection="gone")), b"f" * 32),
    ]  # fmt: skip
    produce(kafka.client(), site.topics["verdicts"], others)
    result = told(site)
    assert (result["incidents"], result["unjudged"], result["unreadable"]) == (5, 1, 1)
    rows = {
        row["detection"]: (row["true"], row["false"], row["benign"], row["unjudged"]) for row in result["detections"]
    }
    assert rows == {"brute_force_user": (0, 1, 1, 1), "gone": (0, 1, 0, 0), "password_spray_ip": (1, 0, 0, 0)}


def test_what_is_in_no_topic_is_refused(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    [line] = judge(site, "f" * 32, "true", code=3)
    assert "no incident in the topics of alerts begins with" in line
    assert site.read("verdicts") == []
    assert told(site) == {
        "incidents": 0, "unjudged": 0, "unreadable": 0, "detections": [], "entities": [], "exceptions": [],
    }  # fmt: skip


@pytest.mark.parametrize("words", [("verdicts", "kafka"), ("verdict", "f" * 32, "true", "--output", "kafka")])
def test_no_broker_and_no_topic_are_one_line(kafka: Endpoint, tmp_path: Path, words: tuple[str, ...]) -> None:
    site = Site(kafka, tmp_path, 1)
    deleted(kafka, site.topics["alerts"], site.topics["verdicts"])
    done = lapwing(*words, "--config", site.path)
    assert done.returncode == 1
    [line] = said(done.stderr)
    assert line.startswith("lapwing: no topic ")
    site.write(bootstrap="127.0.0.1:1", startup_timeout="2s")
    done = lapwing(*words, "--config", site.path)
    assert done.returncode == 1
    [line] = said(done.stderr)
    assert line.startswith("lapwing: Kafka at 127.0.0.1:1: no answer within 2s (")
