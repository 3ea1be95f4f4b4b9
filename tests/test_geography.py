"""Where an address is: databases by path, in the detections and in what alerts show."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flows.config import config_hash, load
from flows.errors import ConfigError
from flows.formats.lapwing import Decoded, decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from flows.geo_block import geography
from models.rules.program import compile_rules
from models.rules.threshold import Threshold
from tests import mmdb
from tests.command import ROOT, command

WHERE = 'country == "NL" or asn == 64511 or (lat < 0 and city startswith "S")'
ABROAD = Threshold(id="abroad", by="user", where=WHERE, distinct="country", count=False, at_least=2)
ADDRESSES = {
    "192.0.2.7": "NL", "192.0.2.8:443": "NL", "198.51.100.1": "BR", "[2001:db8::5]:1": "NL", "203.0.113.1": None
}  # fmt: skip


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("geo")
    return [str(mmdb.city(folder / "city.mmdb")), str(mmdb.asn(folder / "asn.mmdb"))]


def event(ip: Any, **more: Any) -> bytes:
    return json.dumps({"time": 1_795_410_000, "user": "u", "ip": ip} | more, separators=(",", ":")).encode()


def marked(messages: list[bytes], known: Any) -> Decoded:
    return decode(raw_batch("s", messages), Limits(), compile_rules([ABROAD]), known)


def test_a_database_says_what_an_event_does_not(databases: list[str]) -> None:
    known = geography(databases)
    assert known is not None
    place = {"country": "NL", "city": "Amsterdam", "lat": 52.37, "lon": 4.9, "asn": 64_511}
    assert known.of("192.0.2.7") == place
    assert known.completed({"ip": "192.0.2.7", "country": "DE"}) == {"ip": "192.0.2.7", **place, "country": "DE"}
    assert [known.of(ip).get("country") for ip in ADDRESSES] == [*ADDRESSES.values()]
    assert known.of("no address") == known.of("x" * 100_000) == {}


def test_a_detection_sees_the_database_as_it_sees_the_event(databases: list[str]) -> None:
    known = geography(databases)
    assert known is not None
    bare = [event(ip) for ip in ADDRESSES]
    told = [event(ip, **known.of(ip)) for ip in ADDRESSES]
    slow = [event(ip, **{"endpoint": 5}) for ip in ADDRESSES]  # a bad member: read again in Python
    expected = marked(told, None)
    assert expected.marks.any()
    for messages in (bare, slow):
        found = marked(messages, known)
        assert found.marks.tolist() == expected.marks.tolist()
        assert found.hashes.tolist() == expected.hashes.tolist()
    assert not marked(bare, None).marks.any()


def test_an_event_that_says_where_it_is_is_believed(databases: list[str]) -> None:
    known = geography(databases)
    says = [event("198.51.100.1", country="NL"), event("192.0.2.7", country="FR", asn=1)]
    assert (
        marked(says, known).marks.tolist()
        == marked(
            [event("198.51.100.1", country="NL"), event("192.0.2.7", country="FR", asn=1, lat=52.37, city="A")], None
        ).marks.tolist()
    )


def test_the_output_is_the_source_whatever_is_looked_up(databases: list[str]) -> None:
    messages = [event(ip) for ip in ADDRESSES]
    with_it, without = marked(messages, geography(databases)), marked(messages, None)
    assert bytes(with_it.buffer) == bytes(without.buffer)
    assert with_it.start.tolist() == without.start.tolist()


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file: "), (b"", "Expected a database in MaxMind's format, got "), (b"x" * 99, "Expected a ")],
)
def test_a_database_that_cannot_be_used_is_a_fault(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "x.mmdb"
    if content is not None:
        path.write_bytes(content)
    good = mmdb.asn(tmp_path / "asn.mmdb")
    file = tmp_path / "config.toml"
    file.write_text(f"[input]\ngeo = ['{good}', '{path}']\n")
    with pytest.raises(ConfigError) as caught:
        load(str(file))
    [fault] = caught.value.faults
    assert fault.startswith(f"{file}: {says}")
    assert fault.endswith("- at $.input.geo[1]")
    assert str(path) in fault


def test_a_broken_part_stops_nothing(tmp_path: Path) -> None:
    whole = mmdb.city(tmp_path / "city.mmdb").read_bytes()
    at = whole.index(b"Utrecht")
    (tmp_path / "broken.mmdb").write_bytes(whole[: at - 1] + b"\x5d\xff" + whole[at + 1 :])
    known = geography(str(tmp_path / "broken.mmdb"))
    assert known is not None
    assert known.of("198.51.100.1")["country"] == "BR"
    assert "city" not in known.of("2001:db8::1")


def test_without_a_database_it_is_said_which_detections_are_off(tmp_path: Path, databases: list[str]) -> None:
    detection = "[[detection]]\ntype = 'threshold'\nid = 'abroad'\nby = 'user'\ndistinct = 'country'\nat_least = 3\n"
    off, on = tmp_path / "off.toml", tmp_path / "on.toml"
    off.write_text(detection)
    on.write_text(f"[input]\ngeo = {json.dumps(databases)}\n{detection}")
    said = "detection abroad: off for events that do not say their country, as [input] geo names no database"
    code, out, _ = command("check", off)
    assert (code, f"warning: {said}" in out) == (0, True)
    code, out, _ = command("check", on)
    assert (code, "warning" in out) == (0, False)
    assert config_hash(load(str(off))) != config_hash(load(str(on)))


def test_a_run_finds_who_is_in_two_countries(tmp_path: Path, databases: list[str]) -> None:
    agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6 like Mac OS X) Version/17.6 Mobile/15E148 Safari/604.1"
    events = [
        event(ip, time=1_795_410_000 + at, action="login", outcome="success", user_agent=agent)
        for at, ip in enumerate(["192.0.2.7", "198.51.100.1", "192.0.2.8"])
    ]
    source, config = tmp_path / "events.ndjson", tmp_path / "config.toml"
    source.write_bytes(b"\n".join(events) + b"\n")
    config.write_text(
        f"[input]\ngeo = {json.dumps(databases)}\nuser_agents = true\n"
        "[[detection]]\ntype = 'threshold'\nid = 'abroad'\nby = 'user'\n"
        "where = 'success'\ndistinct = 'country'\nat_least = 2\n"
    )
    code, _, said = command("detect", "--config", config, "--input", source, "--output", tmp_path / "out", "--quiet")
    assert (code, said) == (0, [])
    first = json.loads((tmp_path / "out" / "alerts.ndjson").read_text().splitlines()[0])
    schema = json.loads((ROOT / "tests" / "ocsf-1.8.0.schema.json").read_text())
    assert not [*jsonschema.Draft202012Validator(schema).iter_errors(first)]
    shown = {one["src_endpoint"]["ip"]: one for one in first["evidences"]}
    assert shown["198.51.100.1"]["src_endpoint"]["location"]["city"] == "S\u00e3o Paulo"
    assert shown["192.0.2.7"]["src_endpoint"]["autonomous_system"] == {"number": 64_511}
    assert shown["192.0.2.7"]["device"]["os"] == {"name": "iOS", "type_id": 301}
    assert shown["192.0.2.7"]["data"]["browser"] == "Mobile Safari"
    scored = (tmp_path / "out" / "scored.ndjson").read_bytes().splitlines()
    assert all(line.startswith(message[:-1]) for line, message in zip(scored, events, strict=True))
