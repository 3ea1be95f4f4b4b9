"""Exceptions: what they match, when they end, and which ones are refused."""

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.config import ConfigError, load
from flows.exception_block import warnings
from models.exceptions import AlertException, Exceptions, expires
from tests.findings import Life

ANSWERS = {"owner": "soc", "reason": "test", "expiry": "2027-01-01T00:00:00Z"}


def silences(life: Life, **keys: str) -> bool:
    return Exceptions([AlertException(id="x", **ANSWERS, **keys)]).by_name(life.alerts()[0]) == "x"


def address(text: str) -> Life:
    return Life("brute_force_ip", text, 0)


@pytest.mark.parametrize(
    ("cidr", "entity", "silent"),
    [
        ("203.0.113.0/24", "203.0.113.255", True), ("203.0.113.0/24", "203.0.114.0", False),
        ("203.0.113.7", "203.0.113.7", True), ("203.0.113.7/32", "203.0.113.8", False),
        ("::ffff:203.0.113.0/120", "203.0.113.9", True), ("203.0.113.0/24", "::ffff:203.0.113.9", True),
        ("2001:db8::/32", "2001:db8:1:2::/64", True), ("2001:db8::/32", "2001:db9::/64", False),
        ("2001:db8::/96", "2001:db8::/64", False), ("2001:db8::/64", "2001:db8::/64", True),
        ("::ffff:0:0/96", "192.0.2.1", True), ("::/1", "192.0.2.1", False), ("0.0.0.0/1", "2001:db8::/64", False),
        ("203.0.113.0/24", "not an address", False),
    ],
)  # fmt: skip
def test_a_network(cidr: str, entity: str, silent: bool) -> None:
    assert silences(address(entity), cidr=cidr) is silent


def test_a_network_concerns_addresses_only() -> None:
    assert not silences(Life("brute_force_user", "203.0.113.7", 0), cidr="203.0.113.0/24")


@pytest.mark.parametrize(
    ("keys", "silent"),
    [
        ({"user": "sam@example.com"}, True), ({"user": "SAM@example.com"}, True), ({"user": "*@example.com"}, True),
        ({"user": "sam"}, False), ({"user": "sam*", "tenant": "acme"}, True),
        ({"user": "sam*", "tenant": "other"}, False),
        ({"tenant": "ac*", "detection": "brute_force_*"}, True), ({"detection": "brute_force_ip"}, False),
        ({"endpoint": "sam@example.com"}, False), ({"user": "s.m@example.com"}, False),
    ],
)  # fmt: skip
def test_names(keys: dict[str, str], silent: bool) -> None:
    assert silences(Life("brute_force_user", "sam@example.com", 0), **keys) is silent


def test_a_source_is_no_endpoint() -> None:
    create = msgspec.structs.replace(
        Life("brute_force_ip", "shop/*", 0).alerts()[0], dimension="source", entity="shop/1"
    )
    for keys, silent in (({"source": "shop/*"}, True), ({"source": "bank/*"}, False), ({"endpoint": "shop/*"}, False)):
        assert bool(Exceptions([AlertException(id="x", **ANSWERS, **keys)]).by_name(create)) is silent
    assert not silences(Life("server_errors_endpoint", "shop/1", 0), source="shop/*")


def test_ids_keep_their_letters() -> None:
    assert silences(Life("brute_force_user", "U-17", 0), user="U-17")
    assert not silences(Life("brute_force_user", "U-17", 0), user="u-18")


def test_an_endpoint() -> None:
    assert silences(Life("traffic_spike_endpoint", "/health", 0), endpoint="/health")
    assert silences(Life("traffic_spike_endpoint", "/v1/a/b", 0), endpoint="/v1/*/b")


def glob(pattern: str, text: str) -> bool:
    """Whether a pattern of `*` matches, by looking at every way to split the text."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(glob(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and text[0] == pattern[0] and glob(pattern[1:], text[1:])


@given(st.text("ab*\n.", min_size=1, max_size=7), st.text("ab\n.", max_size=9))
def test_stars_match_as_everywhere(pattern: str, text: str) -> None:
    life = Life("traffic_spike_endpoint", text, 0)
    assert silences(life, endpoint=pattern) is glob(pattern, text)


def test_a_pattern_of_stars_cannot_be_made_to_take_for_ever() -> None:
    assert not silences(Life("traffic_spike_endpoint", "a" * 2000, 0), endpoint="*a" * 200 + "b")


@pytest.mark.parametrize(
    "text", ["2026-12-01T00:00:00", "2026-12-01", "soon", "2026-13-01T00:00:00Z", "", "²026-12-01T00:00:00Z"]
)
def test_an_expiry_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"RFC 3339|month|day"):
        expires(text)


def test_the_first_that_needs_no_evidence_counts() -> None:
    both = Exceptions([
        AlertException(id="agent", user_agent="Bot", **ANSWERS), AlertException(id="name", user="sam", **ANSWERS),
        AlertException(id="again", user="s*", **ANSWERS),
    ])  # fmt: skip
    create = Life("brute_force_user", "sam", 0, evidences=({"user_agent": "Bot"},)).alerts()[0]
    assert both.by_name(create) == "name"
    assert both.may_depend(create)
    assert both.by_evidence(create, create.evidences) == "agent"
    assert both.by_evidence(create, ({"user_agent": "Bot"}, {"user_agent": 5})) is None


def faults_of(tmp_path, text: str) -> list[str]:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load(str(path))
    return [re.sub(r"^.*?: ", "", fault, count=1) for fault in raised.value.faults]


def test_every_fault_of_a_configuration_at_once(tmp_path) -> None:
    found = faults_of(tmp_path, """
[output]
never_block = ["198.51.100.1/24"]
[[exception]]
owner = "soc"
reason = "-"
expiry = 2027-01-01T00:00:00Z
[[exception]]
id = "twice"
cidr = "0.0.0.0/0"
user_agent = "**"
owner = " "
[[exception]]
id = "twice"
detection = "brute_force"
cidr = "10.0.0.0/8"
user = "sam"
owner = "soc"
reason = "-"
expiry = "tomorrow"
[[exception]]
cidr = 5
users = "sam"
""")  # fmt: skip
    keys = "cidr, user, endpoint, source, user_agent, tenant, detection"
    assert found == [
        f"It matches everything: expected at least one of {keys} - at $.exception[0]",
        "Missing key owner - at $.exception[1]",
        "Missing key reason - at $.exception[1]",
        "Missing key expiry - at $.exception[1]",
        f"It matches everything: expected at least one of {keys} - at $.exception[1]",
        'Expected an RFC 3339 time such as "2026-12-31T00:00:00Z", got "tomorrow" - at $.exception[2].expiry',
        'No detection "brute_force", did you mean "brute_force_ip"? - at $.exception[2].detection',
        "No detection watches cidr and user together: expected one of them - at $.exception[2]",
        'Duplicate id "twice", first at $.exception[1].id - at $.exception[2].id',
        "Expected str, got int - at $.exception[3].cidr",
        'Unknown key "users", did you mean "user"? - at $.exception[3]',
        'Expected a network such as "10.0.0.0/8", got "198.51.100.1/24" - at $.output.never_block[0]',
    ]


@pytest.mark.parametrize("rows", ["exception = 5", "exception = [5]", "[exception]\nid = 'x'"])
def test_a_list_that_is_none(tmp_path, rows: str) -> None:
    [fault] = faults_of(tmp_path, rows)
    assert fault.startswith("Expected a")


def test_what_deserves_a_look() -> None:
    def said(**keys: str) -> list[str]:
        return warnings([AlertException(id="x", **(ANSWERS | keys))], expires("2026-11-23T00:00:00Z"))

    assert said(user="sam") == []
    assert said(user="sam", expiry="2026-11-23T00:00:00Z") == [
        "exception x: has expired at 2026-11-23T00:00:00Z, so it does nothing any more"
    ]
    assert said(user_agent="Bot", tenant="acme") == [
        "exception x: matches whoever sends this user agent; add cidr, user or detection"
    ]
    assert said(user_agent="Bot", detection="brute_force_ip") == []
    assert "every incident" in said(detection="*_ip")[0]
