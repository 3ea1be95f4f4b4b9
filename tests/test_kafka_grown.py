"""A topic that grows while it is read."""

from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.command import said
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record
from tests.kafka_admin import group_offsets, grown
from tests.kafka_runs import Site, eventually
from tests.scrape import Scraper
from tests.test_kafka_start import event, events, scored


def failures(first: int, partition: int) -> list[Record]:
    """Six failed sign-ins of one user, and the same user's address."""
    return [
        record._replace(value=event(k, user="u1", action="login", outcome="failure"))
        for k, record in enumerate(events(range(first, first + 6), partition), first)
    ]  # fmt: skip


def test_new_partitions_are_read_while_it_runs_and_state_is_kept(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(
        kafka, tmp_path, 1, counts={"scored": 3}, config='[[detection]]\ntype = "brute_force_user"\n',
        keys={"new_partitions": "500ms"},
    )  # fmt: skip
    site.produce(failures(0, 0))
    log = tmp_path / "stderr"
    words = ("--start", "earliest", "--metrics", "0")
    with log.open("wb") as stderr, site.running(*words, stderr=stderr) as process:
        eventually(lambda: group_offsets(kafka, site.prefix, site.events) == {0: 6}, "the first six are done")
        grown(kafka, site.events, 3)
        site.produce(failures(6, 2))
        eventually(lambda: sorted(scored(site)) == list(range(12)), "those of the new partition come out")
        site.produce([*events(range(100, 101), 0), *events(range(101, 103), 1), *events(range(103, 104), 2)])
        eventually(lambda: len(scored(site)) == 16, "all partitions are read")
        eventually(lambda: site.values("alerts"), "an incident of both")
        seen = Scraper(log, process)
        seen.ready()
        assert {partition for partition, _ in seen.values("consumer_lag_messages")} == {"0", "1", "2"}
        seen.until(lambda s: s.value("events_total") == 16, "counters go on")
        assert seen.value("restarts_total") == 0
        process.terminate()
        assert process.wait(60) == 0
    assert sorted(scored(site)) == [*range(12), *range(100, 104)], "each once"
    alert, *_ = site.values("alerts")
    assert alert["finding_info"]["analytic"]["uid"] == "brute_force_user"
    assert alert["count"] >= 10, "six failures in each partition"
    told = [line for line in said(log.read_bytes()) if "partitions now" in line]
    assert told == [
        f"lapwing: topic {site.events} has 3 partitions now, 2 of them new: beginning again with all of them, "
        "state and place kept"
    ]
    (
        *_,
        summary,
    ) = said(log.read_bytes())
    assert summary.startswith("lapwing: 16 messages in "), "of both parts"


def test_nobody_looks_who_is_told_not_to(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, keys={"new_partitions": "0s"})
    site.produce(events(range(3)))
    log = tmp_path / "stderr"
    with log.open("wb") as stderr, site.running("--start", "earliest", stderr=stderr) as process:
        eventually(lambda: group_offsets(kafka, site.prefix, site.events) == {0: 3}, "it reads")
        grown(kafka, site.events, 2)
        site.produce([*events(range(3, 5), 0), *events(range(10, 12), 1)])
        eventually(lambda: sorted(scored(site)) == [0, 1, 2, 3, 4], "it goes on")
        assert len(AdminClient(kafka.client()).list_topics(site.events, timeout=30).topics[site.events].partitions) == 2
        process.terminate()
        assert process.wait(60) == 0
    assert not [line for line in said(log.read_bytes()) if "partitions now" in line]
    site.run()
    assert sorted(scored(site)) == [0, 1, 2, 3, 4, 10, 11]
