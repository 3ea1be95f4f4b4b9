"""What brokers refuse, what another run does, and what is history: each ends well."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.command import said
from tests.kafka.records import Record
from tests.kafka_admin import configured
from tests.kafka_runs import Site, eventually


def calm(number: int, count: int = 40) -> list[Record]:
    """Events that nobody minds."""
    line = b'{"id":"e%d-%d","time":1795410000000,"user":"u%d"}'
    return [Record(line % (number, k, k % 7), partition=k % 2) for k in range(count)]


def attack(moment_s: float, user: str) -> list[Record]:
    """Failed logins of one account within seconds."""
    line = '{"time":%d,"action":"login","outcome":"failure","username":"%s","ip":"198.51.100.%d"}'
    return [Record((line % ((moment_s + k / 10) * 1000, user, k)).encode(), partition=0) for k in range(20)]


@pytest.mark.parametrize("delivery", ["exactly-once", "at-least-once"])
def test_what_cannot_be_delivered_ends_the_run_and_comes_with_the_next(
    kafka: Any, tmp_path: Path, delivery: str
) -> None:
    keys = {"delivery": delivery, "transaction_timeout": "4s", "producer": {"message.timeout.ms": 4000}}
    site = Site(kafka, tmp_path, keys=keys)
    site.produce(calm(0))
    with site.running("--start", "earliest") as process:
        eventually(lambda: len(site.read("scored")) == 40, "the run writes")
        configured(kafka, site.topics["scored"], "max.message.bytes", "150")
        site.produce(calm(1))
        process.wait(120)
        assert process.returncode == 1
        (line,) = said(process.stderr.read() if process.stderr else b"")
        assert site.topics["scored"] in line, "it names what did not take it"
    assert {event["id"] for event in site.values("scored")} == {f"e0-{k}" for k in range(40)}
    configured(kafka, site.topics["scored"], "max.message.bytes", "1000000")
    assert site.lapwing("--until", "end").returncode == 0
    ids = [event["id"] for event in site.values("scored")]
    assert {*ids} == {f"e{number}-{k}" for number in range(2) for k in range(40)}, "none is missing"
    assert delivery == "at-least-once" or len(ids) == 80, "none is there twice"


def test_a_second_run_under_the_same_name_fences_the_first(kafka: Any, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path)
    with site.running("--start", "latest") as first:
        number = 0

        def at_work() -> bool:
            nonlocal number
            site.produce(calm(number))
            number += 1
            return bool(site.read("scored"))

        eventually(at_work, "the first run writes")
        with site.running("--start", "latest", state=tmp_path / "other") as second:
            eventually(lambda: site.produce(calm(number)) or first.poll() is not None, "the first run has ended")
            assert first.returncode == 1
            (line,) = said(first.stderr.read() if first.stderr else b"")
            assert "fenced" in line
            assert "kafka.application" in line
            assert second.poll() is None


def test_history_is_learned_without_an_alarm_and_the_flow_goes_on(kafka: Any, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    now = time.time()
    site.produce(attack(now - 7200, "old"))
    site.produce([Record(b'{"time":%d,"user":"u"}' % ((now - 3600) * 1000), partition=0)])
    done = site.lapwing("--start", "earliest", "--until", "end", "--learn-until", "now")
    assert done.returncode == 0, done.stderr
    assert (len(site.read("scored")), site.values("alerts")) == (21, [])
    site.produce(attack(time.time(), "new"))
    assert site.lapwing("--until", "end", "--close").returncode == 0
    told = [json.dumps(alert) for alert in site.values("alerts")]
    assert told
    assert all('"new"' in one and '"old"' not in one for one in told)
    assert len(site.read("scored")) == 41
