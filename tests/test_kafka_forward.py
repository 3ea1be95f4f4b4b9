"""`lapwing forward` from topics of a real broker."""

import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from flows.errors import InputError
from tests.command import begun, said
from tests.destinations.lines import alert, alerts, eventually, ids
from tests.destinations.runs import SECRETS, block, delivered, forwarded, running, serving, toml
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record
from tests.kafka.records import produce as written
from tests.kafka_admin import cut, deleted, group_offsets, grown, remade
from tests.kafka_runs import Site


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def produce(site: Site, found: list[dict[str, Any]]) -> None:
    """Alerts, each incident in a partition of its own."""
    records = [
        Record(json.dumps(one).encode(), uid.encode(), (), None, int(uid, 16) % site.partitions)
        for one in found
        for uid in [one["finding_info"]["uid"]]
    ]
    written(site.kafka.client(), site.topics["alerts"], records)


def in_order(found: list[str]) -> bool:
    """Whether the numbers of each incident rise."""
    by: dict[str, list[int]] = {}
    for id in found:
        by.setdefault(id[:32], []).append(int(id[33:]))
    return all(numbers == sorted(numbers) for numbers in by.values())


def test_committed_alerts_arrive_and_the_group_shows_how_far_it_is(
    kafka: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = alerts(60)
    with serving("splunk_hec", monkeypatch, bad="poison") as server:
        site = Site(kafka, tmp_path, 3, config=toml([block("splunk_hec", server, batch_events=7)]))
        produce(site, found[:20])
        aborted = Producer(site.kafka.client() | {"transactional.id": site.prefix})
        aborted.init_transactions()
        aborted.begin_transaction()
        for at in range(3):
            aborted.produce(site.topics["alerts"], json.dumps(alert(99, at)), partition=at)
        aborted.flush()
        aborted.abort_transaction()
        one = forwarded(site.path, "kafka", follow=False)["splunk_hec"]
        assert (one.read, one.sent) == (20, 20)
        assert one.behind in (0, 6)  # what was aborted, and its marks, count until the client has passed over them
        produce(site, [*found[20:40], alert(50, 0, message="poison")])
        one = forwarded(site.path, "kafka", follow=False)["splunk_hec"]  # by the group
        assert (one.read, one.sent, one.refused) == (21, 20, 1)
        for more in (found[40:50], found[50:]):
            produce(site, more)
            one = forwarded(site.path, "kafka", follow=False, state=str(tmp_path / "forwarded"))["splunk_hec"]
            assert (one.read, one.sent) == (10, 10)
        assert sorted(server.ids) == sorted(ids(found))
        assert in_order(server.ids)
        (letter,) = site.values("forward_dead_letters")
        assert (letter["destination"], letter["topic"]) == ("splunk_hec", site.topics["alerts"])
        assert "Invalid data format" in letter["detail"]
        reached = group_offsets(kafka, f"{site.prefix}.forward.splunk_hec", site.topics["alerts"])
        ends = {record.partition: record.offset + 1 for record in site.read("alerts")}
        assert reached == ends


def test_killed_over_topics_it_loses_nothing(kafka: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = alerts(300)
    with serving("elasticsearch", monkeypatch, slow_s=600) as server, serving("webhook", monkeypatch) as other:
        blocks = [block("elasticsearch", server, batch_events=10), block("webhook", other)]
        site = Site(kafka, tmp_path, 2, config=toml(blocks))
        produce(site, found)
        words = ["forward", "--config", site.path, "--state", tmp_path / "forwarded"]
        server.faults.extend([None] * 10 + ["slow"] * 400)
        one = begun(*words)
        eventually(lambda: len(delivered(server)) >= 100 and len(other.ids) == 300, "an answer is waited for")
        one.kill()
        one.communicate()
        server.faults.clear()
        assert len(delivered(server)) < 300
        one = begun(*words)
        eventually(lambda: len(delivered(server)) == 300, "all")
        one.terminate()
        said(one.communicate(timeout=60)[1])
        assert one.returncode == 0
        for at in (server, other):
            assert sorted(delivered(at)) == sorted(ids(found))
            assert in_order(delivered(at))


def test_a_gap_and_another_topic_are_refused(kafka: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("webhook", monkeypatch) as server:
        site = Site(kafka, tmp_path, 1, config=toml([block("webhook", server)]))
        produce(site, alerts(10))
        how = {"follow": False, "state": str(tmp_path / "forwarded")}
        assert forwarded(site.path, "kafka", **how)["webhook"].sent == 10
        produce(site, alerts(30)[10:])
        cut(kafka, site.topics["alerts"], 0, 20)
        with pytest.raises(InputError, match="offsets 10 to 19 were removed by retention"):
            forwarded(site.path, "kafka", **how)
        site.write(on_gap="earliest")
        assert forwarded(site.path, "kafka", **how)["webhook"].sent == 10
        remade(kafka, site.topics["alerts"], 1)
        with pytest.raises(InputError, match="was made anew"):
            forwarded(site.path, "kafka", **how)


def test_raw_events_come_from_every_topic_that_is_read(
    kafka: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def event(at: int) -> Record:
        return Record(b'{"user":"u-%d"}' % at, b"k", (), None, at % 2)

    with serving("elasticsearch", monkeypatch) as server:
        destination = block("elasticsearch", server, **{"from": "events", "action": "create"})
        site = Site(kafka, tmp_path, 2)
        more = [f"{site.prefix}.{name}" for name in ("okta", "entra")]
        for name in more:
            kafka.make(name, 2, {})
        formats = "".join(f'[[format]]\ntype = "{name.rpartition(".")[2]}"\ntopics = ["{name}"]\n' for name in more)
        site.config = formats + toml([destination])
        site.write()
        how = {"follow": False, "state": str(tmp_path / "forwarded")}
        for first in (0, 10):
            for name in (site.events, *more):
                written(kafka.client(), name, map(event, range(first, first + 10)))
            one = forwarded(site.path, "kafka", **how)["elasticsearch"]
            assert (one.read, one.sent, one.behind) == (30, 30, 0)
        assert len({*server.ids}) == 60
        for name in (site.events, *more):
            assert group_offsets(kafka, f"{site.prefix}.forward.elasticsearch", name) == {0: 10, 1: 10}
        site.config = toml([destination])
        site.write()
        assert forwarded(site.path, "kafka", **how)["elasticsearch"].read == 0
        deleted(kafka, more[0])
        site.config = formats + site.config
        site.write()
        with pytest.raises(InputError, match=f"no topic {more[0]}; it is made by"):
            forwarded(site.path, "kafka", **how)


def test_new_partitions_are_read(kafka: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("webhook", monkeypatch) as server:
        keys = {"new_partitions": "100ms", "start": "2999-01-01T00:00:00Z"}
        site = Site(kafka, tmp_path, 1, config=toml([block("webhook", server)]), keys=keys)
        produce(site, alerts(5))
        with running(site.path, "kafka") as run:
            eventually(lambda: run.seen["webhook"].waiting if run.seen else {}, "it reads")
            grown(kafka, site.topics["alerts"], 3)
            site.partitions = 3
            produce(site, alerts(40)[5:])
            eventually(lambda: len(server.ids) == 35, "all that came")
        assert sorted(server.ids) == sorted(ids(alerts(40)[5:]))
        assert in_order(server.ids)


def test_latest_is_where_the_first_run_began(kafka: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving("webhook", monkeypatch) as server:
        site = Site(kafka, tmp_path, 2, config=toml([block("webhook", server)]), keys={"start": "latest"})
        produce(site, alerts(10))
        assert forwarded(site.path, "kafka", follow=False)["webhook"].read == 0
        produce(site, alerts(20)[10:])
        assert forwarded(site.path, "kafka", follow=False)["webhook"].sent == 10
        deleted(kafka, site.topics["forward_dead_letters"])
        with pytest.raises(InputError, match=r"no topic .*forward-dead-letters; it is made by: kafka-topics.sh"):
            forwarded(site.path, "kafka", follow=False)
