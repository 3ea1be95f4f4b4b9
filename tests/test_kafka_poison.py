"""Messages that nobody should send pass through the real broker, and none stops the flow, once or twice."""

import base64
import hashlib
from typing import Any

import pytest

from tests.kafka.endpoint import Endpoint
from tests.kafka_poison import (
    INPUT,
    POISON,
    SECRET,
    SETTINGS,
    named,
    produce_poison,
)
from tests.kafka_runs import Site


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
