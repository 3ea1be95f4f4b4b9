"""Messages that nobody should send pass through the real broker, and none stops the flow, once or twice."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Found, Record
from tests.kafka_poison import (
    GOOD,
    INPUT,
    MOMENT_MS,
    POISON,
    SECRET,
    SETTINGS,
    event,
    named,
    produce_compressed,
    produce_poison,
)
from tests.kafka_runs import Site, eventually


def test_there_are_forty_kinds() -> None:
    assert len({poison.name for poison in POISON}) == len(POISON) >= 40


@pytest.fixture(scope="module")
def site(kafka: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site through which all poison has gone: half of it, the rest in a second run, and then a run without news."""
    site = Site(kafka, tmp_path_factory.mktemp("poison"), 1, config=INPUT, settings=SETTINGS)
    half = len(POISON) // 2
    produce_poison(kafka, site.events, POISON[:half])
    assert site.run().events == half
    produce_poison(kafka, site.events, POISON[half:])
    assert site.run().events == len(POISON) - half
    assert site.run().events == 0
    return site


@pytest.fixture(scope="module")
def letters(site: Site) -> dict[str, dict[str, Any]]:
    """Every dead letter by the name of its poison."""
    found = {POISON[letter["offset"]].name: letter for letter in site.values("dead_letters")}
    assert len(found) == len(site.read("dead_letters"))
    return found


def test_each_is_one_scored_event_or_one_dead_letter(site: Site, letters: dict[str, dict[str, Any]]) -> None:
    assert {name: letter["reason"] for name, letter in letters.items()} == {
        poison.name: poison.reason for poison in POISON if poison.reason
    }
    alive = [named(poison) for poison in POISON if not poison.reason]
    assert [found.key for found in site.read("scored")] == [poison.key for poison in alive]


def test_a_dead_letter_tells_of_its_message_what_it_can(site: Site, letters: dict[str, dict[str, Any]]) -> None:
    for offset, poison in enumerate(POISON):
        if not poison.reason:
            continue
        letter, value = letters[poison.name], poison.value or b""
        assert (letter["topic"], letter["partition"], letter["offset"]) == (site.events, "0", offset)
        if poison.reason != "output_too_large":
            assert (letter["size"], letter["sha256"]) == (len(value), hashlib.sha256(value).hexdigest())
        assert letter["size"] == len(value)
        if "not fit" not in letter["detail"]:
            assert base64.b64decode(letter["key"]) == (named(poison).key or b"")[:1024]


def test_what_does_not_fit_the_dead_letters_topic_leaves_its_body_out(letters: dict[str, dict[str, Any]]) -> None:
    large = letters["too large also as a dead letter"]
    assert (large["body"], large["detail"]) == ("", "body left out: the letter would not fit the topic")
    assert base64.b64decode(large["key"]) == b"too large also as a dead letter"
    many = letters["many headers of no event"]
    assert (many["key"], many["headers"], many["body"]) == (None, None, "")
    shown = letters["huge header of no event"]["headers"]
    assert [(len(header["name"]), len(base64.b64decode(header["value"]))) for header in shown] == [(1024, 1024)]
    assert len(base64.b64decode(letters["huge key of no event"]["key"])) == 1024


def test_secrets_do_not_leave_in_dead_letters(site: Site, letters: dict[str, dict[str, Any]]) -> None:
    letter = letters["secrets in headers"]
    values = {header["name"]: header["value"] for header in letter["headers"]}
    assert values == {
        "Authorization": None, "x-api-token": None, "Set-Cookie": None, "plain": base64.b64encode(b"shown").decode(),
    }  # fmt: skip
    assert base64.b64decode(letter["body"]) == b'{"password": "***"'
    for found in site.read("dead_letters"):
        assert SECRET not in found.value
        assert base64.b64encode(SECRET) not in found.value


def test_what_cannot_be_read_of_headers_is_marked(site: Site, letters: dict[str, dict[str, Any]]) -> None:
    scored = {found.key: found for found in site.read("scored")}
    assert scored[b"header name not UTF-8"].headers == (("lapwing-headers", b"unreadable"),)
    assert letters["header name not UTF-8 of no event"]["headers"][0]["name"] == "lapwing-headers"
    many = next(poison for poison in POISON if poison.name == "many headers")
    assert scored[b"many headers"].headers == tuple((name.decode(), value) for name, value in many.headers)


def test_timestamps_that_a_topic_refuses_become_the_time_of_writing(site: Site) -> None:
    dated = {found.key: found.timestamp for found in site.read("scored")}
    ages = {poison.name.encode(): poison.timestamp for poison in POISON if poison.name.startswith("timestamp")}
    assert {key: dated[key] for key in ages if key in dated}.keys() == {
        b"timestamp -1", b"timestamp below", b"timestamp of another age", b"timestamp of the end",
    }  # fmt: skip
    for key in ages.keys() & dated.keys():
        assert dated[key] != ages[key]
        assert MOMENT_MS - 86_400_000 < dated[key] < 2**42
    assert dated[b"byte order mark"] == MOMENT_MS


def test_batches_of_every_codec(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, config=INPUT, settings=SETTINGS)
    written = produce_compressed(kafka, site.events)
    assert site.run().events == len(written) == 15
    reasons = {written[letter["offset"]].name: letter["reason"] for letter in site.values("dead_letters")}
    assert reasons == {poison.name: poison.reason for poison in written if poison.reason}
    assert [found.key for found in site.read("scored")] == [p.name.encode() for p in written if not p.reason]


def test_what_was_aborted_is_not_seen_and_markers_of_transactions_are_passed(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, config=INPUT)
    producer = Producer(kafka.client(**{"transactional.id": site.events}))
    producer.init_transactions(60)
    for part, commit in (("a", True), ("b", False), ("c", True), ("d", False)):
        producer.begin_transaction()
        for value in (GOOD, b"no event"):
            producer.produce(site.events, value, part.encode(), 0)
        producer.flush()
        (producer.commit_transaction if commit else producer.abort_transaction)(60)
    offsets = [found.offset for found in site.read("events")]
    assert offsets == [0, 1, 6, 7]
    assert site.run().events == 4
    assert site.run().events == 0
    assert [found.key for found in site.read("scored")] == [b"a", b"c"]
    assert [letter["offset"] for letter in site.values("dead_letters")] == [1, 7]


def test_an_open_transaction_holds_back_what_is_behind_it_and_loses_nothing(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, config=INPUT)
    producer = Producer(kafka.client(**{"transactional.id": site.events}))
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(site.events, GOOD, b"in it", 0)
    producer.flush()
    site.produce([Record(GOOD, b"behind it", (), MOMENT_MS, 0)])
    assert site.run().events == 0
    producer.commit_transaction(60)
    assert site.run().events == 2
    assert [found.key for found in site.read("scored")] == [b"in it", b"behind it"]


def test_a_compacted_topic_has_gaps_that_are_none(kafka: Endpoint, tmp_path: Path) -> None:
    compacted = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.0", "segment.ms": "100"}
    site = Site(kafka, tmp_path, 1, config=INPUT, settings={"events": compacted})
    for turn in range(3):
        site.produce(Record(GOOD, b"k%d" % k, (), None, 0) for k in range(turn, 40, 3 if turn else 1))
    site.produce([Record(None, b"k5", (), None, 0)])

    def has_gaps() -> list[Found] | None:
        site.produce([Record(GOOD, b"last", (), None, 0)])  # the newest segment is never compacted
        found = site.read("events")
        return found if len(found) <= found[-1].offset else None

    found = eventually(has_gaps, "the topic is compacted")
    assert found[0].offset == 0
    assert site.run().events == len(site.read("events"))
    assert [each.key for each in site.read("scored")] == [each.key for each in site.read("events") if each.value]
    assert site.run().events == 0


def test_killed_amid_poison_it_goes_on_and_doubles_nothing(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, config=INPUT + "batch_rows = 1\n", settings=SETTINGS)
    produce_poison(kafka, site.events, POISON)
    with site.running("--start", "earliest") as process:
        eventually(lambda: len(site.read("dead_letters", committed=False)) > 3 or process.poll(), "it is amid them")
        process.kill()
    site.run()
    alive = [named(poison) for poison in POISON if not poison.reason]
    assert [found.key for found in site.read("scored")] == [poison.key for poison in alive]
    dead = [offset for offset, poison in enumerate(POISON) if poison.reason]
    assert [letter["offset"] for letter in site.values("dead_letters")] == dead


def test_a_producer_told_to_take_less_than_the_topic_makes_dead_letters_too(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, keys={"producer": {"message.max.bytes": 5000}})
    site.produce(Record(event(note="x" * size), b"%d" % size, (), MOMENT_MS, 0) for size in (10, 100_000, 4000, 20))
    assert site.run().events == 4
    assert [found.key for found in site.read("scored")] == [b"10", b"20"]
    assert [(one["offset"], one["reason"]) for one in site.values("dead_letters")] == [
        (1, "output_too_large"), (2, "output_too_large"),
    ]  # fmt: skip
