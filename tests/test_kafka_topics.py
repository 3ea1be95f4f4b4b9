"""Several topics, each in its own format, through one flow."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from flows.errors import InputError, Refused, UsageError
from tests.command import command, said
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record, produce
from tests.kafka_admin import cut, group_offsets, grown
from tests.kafka_runs import Site, eventually
from tests.scrape import Scraper
from tests.test_kafka_start import MOMENT_MS, events
from tests.test_unwrap import okta, text


def messages(names: range, each: int = 5, partition: int = 0) -> list[Record]:
    """Records of Okta, several in a message, every other message compressed."""
    out = []
    for first in range(names.start, names.stop, each):
        value = text([okta(k) for k in range(first, min(first + each, names.stop))])
        value = gzip.compress(value) if first // each % 2 else value
        out.append(Record(value, b"k%d" % first, (), MOMENT_MS + 1000 * first, partition))
    return out


class Both:
    """A site whose flow also reads a topic of Okta's."""

    def __init__(self, kafka: Endpoint, folder: Path, partitions: int = 1, **more: object) -> None:
        self.site = Site(kafka, folder, 2, **more)  # type: ignore[arg-type]
        self.kafka, self.okta = kafka, f"{self.site.prefix}.okta"
        kafka.make(self.okta, partitions, {})
        self.read(self.okta)

    def read(self, *names: str) -> None:
        blocks = f'[[format]]\ntype = "okta"\ntopics = {json.dumps(names)}\n' if names else ""
        self.site.config = blocks + "[input]\nbatch_rows = 7\n"
        self.site.write()

    def produce(self, records: list[Record]) -> None:
        produce(self.kafka.client(), self.okta, records)

    def scored(self) -> Counter[str]:
        return Counter(one.get("uuid") or one["id"] for one in self.site.values("scored"))


def test_a_run_killed_between_topics_of_two_formats_gives_every_event_once(kafka: Endpoint, tmp_path: Path) -> None:
    both = Both(kafka, tmp_path)
    site = both.site
    site.produce([*events(range(200), 0), *events(range(200, 400), 1)])
    both.produce([*messages(range(300)), Record(b"{", None, (), MOMENT_MS, 0)])
    with site.running("--start", "earliest") as process:
        eventually(lambda: site.read("scored"), "the first come out")
        process.kill()
        process.wait()
    before = sum(both.scored().values())
    site.produce(events(range(400, 410), 1))
    both.produce(messages(range(300, 310)))
    done = site.lapwing("--until", "end", "--processes", "2")
    assert done.returncode == 0, done.stderr
    assert before <= 720
    assert both.scored() == Counter([f"e{k}" for k in range(410)] + [f"id-{k}" for k in range(310)])
    (dead,) = site.values("dead_letters")
    assert (dead["topic"], dead["partition"], dead["reason"]) == (both.okta, "0", "malformed_json")


def test_a_gap_in_one_of_the_topics_is_told_or_passed(kafka: Endpoint, tmp_path: Path) -> None:
    both = Both(kafka, tmp_path)
    both.site.produce(events(range(5)))
    both.produce(messages(range(10)))
    both.site.run()
    both.produce(messages(range(10, 30)))
    cut(kafka, both.okta, 0, 4)
    with pytest.raises(InputError, match=rf"{both.okta}/0: offsets 2 to 3 \(2 messages\) were removed by retention"):
        both.site.run()
    both.site.produce(events(range(5, 10)))
    both.site.run(on_gap="earliest")
    names = [*range(10), *range(20, 30)]
    assert both.scored() == Counter([f"e{k}" for k in range(10)] + [f"id-{k}" for k in names])


def test_each_topic_begins_grows_and_counts_for_itself(kafka: Endpoint, tmp_path: Path) -> None:
    both = Both(kafka, tmp_path, keys={"new_partitions": "500ms"})
    site = both.site
    both.read()
    site.produce(events(range(5)))
    site.run()
    both.read(both.okta)
    both.produce(messages(range(10)))
    with pytest.raises(UsageError, match=f"first run over topic {both.okta} needs"):
        site.run(start="")
    log = tmp_path / "stderr"
    with log.open("wb") as stderr, site.running("--start", "latest", "--metrics", "0", stderr=stderr) as process:
        seen = Scraper(log, process)
        seen.ready()
        both.produce(messages(range(10, 20)))
        eventually(lambda: sum(both.scored().values()) == 15, "the new topic begins at its end")
        eventually(lambda: group_offsets(kafka, site.prefix, both.okta) == {0: 4}, "its progress is shown")
        grown(kafka, both.okta, 2)
        both.produce(messages(range(20, 25), partition=1))
        eventually(lambda: sum(both.scored().values()) == 20, "and of its new partition from the beginning")
        lags = {(topic, partition) for partition, topic in seen.values("consumer_lag_messages")}
        assert lags == {(name, at) for name in (site.events, both.okta) for at in ("0", "1")}
        process.terminate()
        assert process.wait(60) == 0
    told = [line for line in said(log.read_bytes()) if "partitions now" in line]
    assert told[0].startswith(f"lapwing: topic {both.okta} has 2 partitions now, 1 of them new")
    assert both.scored() == Counter([f"e{k}" for k in range(5)] + [f"id-{k}" for k in range(10, 25)])
    both.read()
    with pytest.raises(Refused, match=f"the state has read {both.okta}/0, {both.okta}/1"):
        site.run()


def test_check_connects_to_every_topic_that_is_read(kafka: Endpoint, tmp_path: Path) -> None:
    both = Both(kafka, tmp_path, 3)
    elsewhere = f"{both.site.prefix}.not-there"
    both.read(both.okta, elsewhere)
    code, shown, _ = command("check", str(both.site.path), "--connect", "--json")
    found = json.loads(shown)["connect"]
    assert code == 3
    assert found["topics"][both.okta] == 3
    (lack,) = [lack for lack in found["missing"] if both.okta in lack["what"] or elsewhere in lack["what"]]
    assert lack["what"] == f"no topic {elsewhere}"
    assert f"--create --topic {elsewhere}" in lack["command"]
    with pytest.raises(InputError, match=elsewhere):
        both.site.run()
