"""Declared mappings: what is read is what was declared, whatever comes, and no forged hop moves the client."""

import json
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.commands.config import as_toml
from flows.config import load
from flows.errors import ConfigError
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.mapped import Choice, Mapped
from flows.formats.mapping import MAPPED, DeclaredMapping
from flows.formats.paths import MOST_ANY, getter, parse, spell
from flows.formats.proxied import MOST_HOPS, client_of
from flows.formats.raw import raw_batch
from flows.formats.timestamps import reader, zone
from flows.mapping_block import MappingBlock, compiled
from models.exceptions import network

GOLDEN = Path(__file__).parent / "golden" / "mapping"
TRUSTED = ("10.0.0.0/8", "2001:db8:10::/48")
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**80), 2**80), st.floats(), st.text(max_size=8),
    st.sampled_from(["2026-11-23T05:00:00Z", "23/Nov/2026:07:00:00 +0200", "10.0.0.1, 203.0.113.9", "SIGNIN", ""]),
)  # fmt: skip
NAMES = st.sampled_from(["a", "b", "c.d", "", "e f", "*"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=24
)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=6)
STEPS = st.lists(NAMES | st.integers(-3, 3) | st.none(), min_size=1, max_size=4).filter(
    lambda steps: steps.count(None) <= MOST_ANY
)
PATHS = STEPS.map(lambda steps: spell(tuple(steps)))
WORD = {"action": "login", "outcome": "failure", "reason": "locked"}


@st.composite
def candidates(draw: st.DrawFn, name: str) -> Any:
    """Anything that a member may be mapped to."""
    path = draw(PATHS | st.lists(PATHS, min_size=1, max_size=3))
    word = WORD.get(name, 200 if name in ("status", "asn", "lat", "lon", "latency_ms") else "w")
    match draw(st.integers(0, 4)):
        case 1 if name in ("time", "received"):
            form = draw(st.sampled_from(["rfc3339", "epoch_s", "epoch_ms", "%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M"]))
            return {"path": path, "format": form, "timezone": "Europe/Berlin"}
        case 1 if name == "ip":
            return {"path": path, "forwarded": True, "peer": draw(PATHS)}
        case 1 if name == "changes":
            return {"path": path, "each": {"path": draw(PATHS), "old": draw(PATHS)}}
        case 2 if name not in ("time", "received", "changes"):
            return {"path": path, "table": {"SIGNIN": word, "true": word, "1": word}, "default": word}
        case 3 if name not in ("time", "received", "changes"):
            return {"constant": word}
        case 4 if isinstance(path, list):
            return path
    return {"path": path}


@st.composite
def blocks(draw: st.DrawFn) -> MappingBlock:
    """Any valid mapping."""
    names = draw(st.sets(st.sampled_from(MAPPED), max_size=8)) | {"time", "user"}
    when = dict.fromkeys(draw(st.lists(PATHS, max_size=2)), "*")
    return MappingBlock(
        trusted_proxies=TRUSTED, when=when, member={name: draw(candidates(name)) for name in sorted(names)}
    )


def made(**keys: Any) -> DeclaredMapping:
    """A mapping without faults."""
    faults: list[str] = []
    found = compiled(MappingBlock(**keys), "$", faults)
    assert not faults, faults
    return found


@settings(max_examples=60, deadline=None)
@given(block=blocks(), records=st.lists(RECORDS, min_size=1, max_size=4))
def test_no_object_makes_a_mapping_raise(block: MappingBlock, records: list[dict[str, Any]]) -> None:
    faults: list[str] = []
    mapping = compiled(block, "$", faults)
    assert not faults
    for record in records:
        before = repr(record)
        event = mapping.event(record)
        assert {*event} <= {*block.member}
        assert None not in event.values()
        assert repr(mapping.event(record)) == repr(event)
        assert isinstance(mapping.matches(record), bool)
        assert repr(record) == before


@settings(max_examples=100)
@given(STEPS)
def test_a_path_is_read_as_it_is_spelled(steps: list[Any]) -> None:
    assert parse(spell(tuple(steps))) == tuple(steps)


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[0]b", 'a."', "a b", "a.[1]", "*.*.*"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expected a path"):
        parse(text)


def test_a_path_finds_the_first_value_that_there_is() -> None:
    record = {"a": [{"b": ""}, {"b": None}, {"b": 5}], "c.d": {"e": [1, 2, 3]}, "m": {"x": {"n": 1}, "y": {"id": 7}}}
    steps: dict[str, Any] = {
        "a[*].b": 5, "a[2].b": 5, "a[-1].b": 5, "a[9].b": None, '"c.d".e[-1]': 3, "c.d": None, "m.*.id": 7, "a.b": None,
        "a[0].b": None, "m.x.n": 1, "m.x.n.z": None,
    }  # fmt: skip
    assert {text: getter(parse(text))(record) for text in steps} == steps


HOPS = st.ip_addresses(v=4).map(str) | st.sampled_from(
    ["unknown", "", "10.9.9.9", "203.0.113.9", "a" * 300, "::1", "["]
)


@settings(max_examples=200)
@given(
    forged=st.lists(HOPS, max_size=40), proxies=st.lists(st.sampled_from(["10.1.1.1", "2001:db8:10::7"]), max_size=3)
)
@example(forged=["10.9.9.9"] * 40, proxies=[])
def test_a_forged_hop_changes_nothing(forged: list[str], proxies: list[str]) -> None:
    client = client_of([network(text) for text in TRUSTED])
    chain = [*forged, "203.0.113.50", *proxies]
    assert client(", ".join(chain), None) == "203.0.113.50"
    assert client(chain, None) == "203.0.113.50"
    assert client(", ".join(f"for={hop}" for hop in chain if hop), None) == "203.0.113.50"
    assert client(", ".join(forged), "203.0.113.50") == "203.0.113.50"


def test_the_client_of_odd_chains() -> None:
    client = client_of([network("10.0.0.0/8")])
    assert client("10.0.0.5, 10.0.0.6", None) == "10.0.0.5"
    assert client("203.0.113.9, unknown, 10.0.0.6", None) is None
    assert client(None, "203.0.113.9:443") == "203.0.113.9"
    assert client("", None) is client(5, None) is client([], None) is None
    assert client([5, "10.0.0.1"], None) is None
    assert client(["10.0.0.1"] * 10_000, None) == client("10.0.0.1," * 10_000, None) == "10.0.0.1"
    assert client("203.0.113.9," + "10.0.0.1," * MOST_HOPS, None) == "10.0.0.1"
    assert client_of([])("203.0.113.9, 198.51.100.7", None) == "198.51.100.7"


@pytest.mark.parametrize(
    ("form", "within", "value", "expected"),
    [
        ("%Y-%m-%d %H:%M:%S", "Europe/Berlin", "2026-07-01 12:00:00", "2026-07-01T12:00:00+02:00"),
        ("%Y-%m-%d %H:%M:%S", "Europe/Berlin", "2026-10-25 02:30:00", "2026-10-25T02:30:00+02:00"),
        ("rfc3339", "America/New_York", "2026-11-23 00:00:00.5", "2026-11-23T00:00:00.500000-05:00"),
        ("rfc3339", "", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("rfc3339", "", "20261123T000000Z", "2026-11-23T00:00:00+00:00"),
        ("rfc3339", "", "2026-02-29T00:00:00Z", None),
        ("rfc3339", "", "2026-11-23T00:00:00", None),
        ("epoch_s", "", 1795410000.25, "2026-11-23T05:00:00.250000+00:00"),
        ("epoch_ms", "", "1795410000250", 1795410000250),
        ("epoch_ms", "", 1795410000, "1970-01-21T18:43:30+00:00"),
        ("epoch_us", "", 5, "1970-01-01T00:00:00.000005+00:00"),
        ("epoch_s", "", 10**40, None),
        ("epoch_s", "", float("nan"), None),
        ("epoch_s", "", True, None),
        ("%d/%b/%Y:%H:%M:%S %z", "", "99/Nov/2026:07:00:00 +0200", None),
        ("%Y-%m-%d %H:%M:%S", "UTC", ["2026"], None),
    ],
)
def test_times_by_format(form: str, within: str, value: Any, expected: str | None) -> None:
    assert reader(form, zone(within) if within else None)(value) == expected


FORMS = ["%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S.%f%z", "%d.%m.%Y %H:%M"]


@settings(max_examples=150)
@given(
    st.sampled_from(FORMS),
    st.datetimes(datetime(1, 1, 1), timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30))])),
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from("0123456789:/. +-Zn\u0660")), max_size=2),
)
def test_a_format_reads_what_strptime_reads(form: str, moment: datetime, typos: list[tuple[int, str]]) -> None:
    berlin = zone("Europe/Berlin")
    text = moment.strftime(form)
    for at, c in typos:
        text = text[:at] + c + text[at + 1 :]
    try:
        expected = datetime.strptime(text, form)
        expected = expected if expected.tzinfo else expected.replace(tzinfo=berlin)
        offset = expected.utcoffset()
        assert offset is not None
        whole = expected if not offset % timedelta(minutes=1) else expected.astimezone(UTC)
    except (ValueError, OverflowError):
        assert reader(form, berlin)(text) is None
    else:
        assert reader(form, berlin)(text) == whole.isoformat()


def test_candidates_are_asked_in_their_order() -> None:
    mapping = made(
        member={
            "time": [{"path": "at", "format": "epoch_s"}, {"path": "when"}],
            "user": ["u.id", "u.name"],
            "outcome": [{"path": "ok", "table": {"true": "success", "false": "failure"}}, {"constant": "unknown"}],
            "status": "code",
            "changes": {"path": "diff[*]", "each": {"path": "f", "new": "to"}},
        }
    )
    assert mapping.event({"at": 1_795_410_000, "u": {"id": 7}, "ok": False}) == {
        "time": 1_795_410_000, "user": "7", "outcome": "failure"
    }  # fmt: skip
    odd = {"at": "soon", "when": "2026-11-23T05:00:00Z", "u": {"id": {}, "name": "sam"}, "ok": "maybe", "code": [1]}
    assert mapping.event(odd) == {
        "time": "2026-11-23T05:00:00Z", "user": "sam", "outcome": "unknown", "status": {}
    }  # fmt: skip
    assert mapping.event({"at": "soon", "u": {"id": []}}) == {"time": "soon", "user": {}, "outcome": "unknown"}
    listed = made(member={"time": "t", "user": "u", "changes": {"path": "d", "each": {"path": "f", "new": "to"}}})
    assert listed.event({"d": [{"f": "mail", "to": "x"}, 5]})["changes"] == [
        {"path": "mail", "new": "x"}, {"path": None, "new": None}
    ]  # fmt: skip


def test_a_part_of_a_string() -> None:
    table = {"up": "login", "down": "logout"}
    mapping = made(
        member={
            "time": "t",
            "user": [{"path": "url", "after": "/users/", "until": "/"}, {"path": "who", "until": "@"}],
            "action": {"path": "evt", "after": ".", "table": table, "default": "other"},
            "received": {"path": "log", "after": "at ", "until": ";", "format": "%Y-%m-%d %H:%M", "timezone": "UTC"},
        }
    )
    assert mapping.event({"t": 1, "url": "https://x/users/sam/up?users=/users/eve/", "evt": "a.up"}) == {
        "time": 1, "user": "sam", "action": "login"
    }  # fmt: skip
    assert mapping.event({"url": "/users/sam", "log": "came at 2026-11-23 05:00; ok"}) == {
        "user": "sam", "action": "other", "received": "2026-11-23T05:00:00+00:00"
    }  # fmt: skip
    for url in ("/user/sam", "/users/", "/users//up", 17, None, ["/users/sam"]):
        assert mapping.event({"url": url, "who": "kim@x"})["user"] == "kim"
    assert mapping.unlisted({"evt": "a.side"}) == [("action", ("evt",), "side")]


def test_a_part_is_each_records_own() -> None:
    form = made(member={"time": "t", "user": {"path": "url", "after": "/users/", "until": "/"}})
    mapped = Mapped(Choice((form,), fixed=True), Limits())
    lines = [f'{{"t":1795410000,"url":"/users/{name}/up"}}'.encode() for name in ("sam", "kim", "eve", "ada")]
    for _ in range(3):
        decoded = mapped.decode(raw_batch("", lines))
        shown = [*zip(decoded.shown_start.tolist(), decoded.shown_length.tolist(), strict=True)]
        users = [json.loads(decoded.buffer[at : at + size].tobytes())["user"] for at, size in shown]
        assert users == ["sam", "kim", "eve", "ada"]


def test_when_recognises_records() -> None:
    mapping = made(when={"kind": ["auth", 5], '"a.b"': "*"}, member={"time": "t", "user": "u"})
    assert mapping.matches({"kind": "auth", "a.b": 0})
    assert mapping.matches({"kind": 5, "a.b": False})
    assert not mapping.matches({"kind": "auth"})
    assert not mapping.matches({"kind": "other", "a.b": 1})
    assert not mapping.matches({"kind": ["auth"], "a.b": 1})
    assert not made(member={"time": "t", "user": "u"}).matches({"t": 1, "u": 2})


BAD = """
[[format]]
type = "mapping"
id = "idp"
secrets = ["login.password", "keys[0]"]
trusted_proxies = ["10.0.0.0/8", "10.0.0.1/8"]
surprise = 1
[format.when]
"event kind" = "auth"
event.kind = "auth"
[format.member]
usernme = "user.mail"
user = "login.password"
session = "login"
action = {path = "evt", table = {SIGNIN = "logn"}, default = "othr", tabel = {}}
outcome = [{constant = "success"}, "res"]
status = {path = "code", forwarded = true}
tenant = {constant = 5}
received = {path = "at", format = "%d %b %H:%M", timezone = "Europe/Berlinn"}
target = {}
city = "a..b"
changes = {path = "diff", each = {old = "x"}}
app = {path = "a", constant = "b"}
error = {path = "e", after = "", until = 5}
"""

FAULTS = """
Unknown key "surprise" (known: type, id, topics, secrets, trusted_proxies, when, member) - at $.format[0]
Expected [*] for the elements of a list, as all of them are secret - at $.format[0].secrets[1]
Expected a network such as "10.0.0.0/8", got "10.0.0.1/8" - at $.format[0].trusted_proxies[1]
Unknown member "usernme", did you mean "username"? - at $.format[0].member
login.password reads the secret login.password: expected another path - at $.format[0].member.user
login reads the secret login.password: expected another path - at $.format[0].member.session
Unknown key "tabel", did you mean "table"? - at $.format[0].member.action
Expected one of the action values, got "logn", did you mean "login"? - at $.format[0].member.action.table.SIGNIN
Expected one of the action values, got "othr", did you mean "other"? - at $.format[0].member.action.default
What follows is never asked, as this always has a value - at $.format[0].member.outcome[0]
Expected forwarded only in ip - at $.format[0].member.status.forwarded
Expected a string, got 5 - at $.format[0].member.tenant.constant
Expected an IANA time zone such as "Europe/Berlin", got "Europe/Berlinn" - at $.format[0].member.received.timezone
Expected either path or constant - at $.format[0].member.target
Expected a path such as client.ip, targets[0].id or "a.b".c at character 2, got "a..b" - at $.format[0].member.city
Expected a table such as { path = "field", old = "from", new = "to" } - at $.format[0].member.changes.each
Expected either path or constant - at $.format[0].member.app
Expected a text such as "/users/", got "" - at $.format[0].member.error.after
Expected a text such as "/users/", got 5 - at $.format[0].member.error.until
No time is mapped: expected the member time - at $.format[0].member
Expected a path such as client.ip, targets[0].id or "a.b".c at character 6, got "event kind"
 - at $.format[0].when."event kind"
Expected a value: a path with dots stands in quotes, such as "event.kind" = ... - at $.format[0].when.event
"""


def test_every_fault_at_once(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(BAD)
    with pytest.raises(ConfigError) as caught:
        load(str(path))
    expected = FAULTS.strip().replace("\n - at", " - at").split("\n")
    assert [fault.removeprefix(f"{path}: ") for fault in caught.value.faults] == expected


@pytest.mark.parametrize(
    ("time", "says"),
    [
        ({"path": "t", "format": "%Y-%m-%d %H:%M"}, "Expected %z in it, or a timezone beside it"),
        ({"path": "t", "format": "%d %b %H:%M", "timezone": "UTC"}, "Expected a format with year, month, day"),
        ({"path": "t", "format": "%Y-%m-%d %I:%M %z"}, "Expected a format with year, month, day"),
        ({"path": "t", "format": "%Y %Q %z"}, "Expected a format that can be read"),
        ({"path": "t", "format": "unix"}, "Expected rfc3339, epoch_s, epoch_ms, epoch_us, or a format"),
        ({"path": "t", "format": 5}, "Expected a format such as"),
        ({"constant": "2026"}, "Expected no fixed value for time"),
        ({"path": []}, "Expected 1 to 16 paths"),
        ([], "Expected 1 to 16 candidates"),
        (5, "Expected a path such as client.ip, got 5"),
    ],
)
def test_a_time_that_cannot_be_one(time: Any, says: str) -> None:
    faults: list[str] = []
    compiled(MappingBlock(member={"user": "u", "time": time}), "$", faults)
    assert faults[0].startswith(says)


def test_a_mapping_without_entity_is_a_fault() -> None:
    faults: list[str] = []
    compiled(MappingBlock(member={"time": "t", "action": "a"}), "$", faults)
    assert faults == ["No entity is mapped: expected at least one of ip, user, username, actor, endpoint - at $.member"]


def test_the_golden_pair(golden: Callable[[str, bytes], None]) -> None:
    config = load(str(GOLDEN / "config.toml"))
    [block] = config.format
    mapping = block.made()
    records = [json.loads(line) for line in (GOLDEN / "gate.ndjson").read_text().splitlines()]
    events = [mapping.event(record) for record in records]
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    golden("mapping/gate.canonical.ndjson", text.encode())
    decoded = decode(raw_batch("golden", [json.dumps(event).encode() for event in events]), Limits())
    assert [letter.reason for letter in decoded.dead] == ["bad_time"]


def test_a_configuration_is_shown_as_one_that_loads(tmp_path: Path) -> None:
    config = load(str(GOLDEN / "config.toml"))
    text = as_toml(config, every=True)
    again = tmp_path / "again.toml"
    again.write_text(text)
    assert load(str(again)).format == config.format
    assert tomllib.loads(text)["format"][0]["member"]["time"]["path"] == "ts"
