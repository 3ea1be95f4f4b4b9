"""The platforms' formats: golden pairs, what each recognises, and that no object and no secret gets through."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.formats.auth0 import AUTH0
from flows.formats.cloudtrail import CLOUDTRAIL
from flows.formats.cognito import COGNITO
from flows.formats.entra import ENTRA
from flows.formats.keycloak import KEYCLOAK
from flows.formats.loginradius import LOGINRADIUS
from flows.formats.ocsf_events import OCSF
from flows.formats.okta import OKTA
from flows.formats.source_format import SourceFormat
from models.base import ACTIONS, OUTCOMES, REASONS
from models.kernels.scan import KINDS, NUMBER_KIND, STRING_KIND

GOLDEN: Final = Path(__file__).parent / "golden" / "formats"
PLATFORMS: Final[tuple[SourceFormat, ...]] = (
    OKTA, AUTH0, ENTRA, KEYCLOAK, CLOUDTRAIL, COGNITO, LOGINRADIUS, OCSF,
)  # fmt: skip
BY_TYPE: Final = {platform.type: platform for platform in PLATFORMS}
FILES: Final = sorted(GOLDEN.glob("*/*.json"))
RECORDS: Final = {path: json.loads(path.read_text())["record"] for path in FILES}
MARK: Final = "s3cret-value"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_golden(path: Path, request: pytest.FixtureRequest) -> None:
    """A record of a platform and its canonical members."""
    event = BY_TYPE[path.parent.name].event(RECORDS[path])
    if request.config.getoption("--update-golden"):
        pair = {"record": RECORDS[path], "event": event}
        path.write_text(json.dumps(pair, indent=2, ensure_ascii=False) + "\n")
    assert event == json.loads(path.read_text())["event"]
    assert event["action"] in ACTIONS
    assert event.get("outcome", "unknown") in OUTCOMES
    assert event.get("reason", "other") in REASONS
    assert event.keys() <= KINDS.keys() - {"lapwing"}
    for name, value in event.items():  # a record in the platform's own types gives members of the right types
        if name != "changes":
            assert KINDS[name] & (STRING_KIND if type(value) is str else NUMBER_KIND), name
            assert type(value) in (str, int, float), name


def test_every_platform_has_pairs() -> None:
    """At least eight pairs a platform, failures and successes among them."""
    for platform in PLATFORMS:
        outcomes = [platform.event(RECORDS[path]).get("outcome") for path in FILES if path.parent.name == platform.type]
        assert len(outcomes) >= 8, platform.type
        assert {"success", "failure"} <= {*outcomes}, platform.type


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_one_format_matches(path: Path) -> None:
    """`auto` can tell whose a record is."""
    assert [platform.type for platform in PLATFORMS if platform.matches(RECORDS[path])] == [path.parent.name]


def test_lapwing_and_strangers_match_nothing() -> None:
    """The canonical format itself, a finding, an S3 notification and a web server's line are nobody's."""
    strangers: list[dict[str, Any]] = [
        {
            "time": "2026-11-23T05:00:00Z",
            "action": "login",
            "user": "u-1",
            "ip": "203.0.113.7",
            "id": "e",
            "app": "web",
        },
        {"class_uid": 2004, "activity_id": 1, "time": 1, "metadata": {"version": "1.8.0"}},
        {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "eventTime": "x", "userIdentity": {}},
        {"remote_addr": "203.0.113.7", "status": 200, "type": "access", "date": "x"},
        {},
    ]
    for record in strangers:
        assert not [platform.type for platform in PLATFORMS if platform.matches(record)], record


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    inner = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
    for key, of in inner:
        yield from _paths(of, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if type(value) is dict else list(value)
    copy[path[0]] = _replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def damaged(draw: st.DrawFn) -> tuple[SourceFormat, Any]:
    """A golden record of some platform in which a few members hold anything."""
    path = draw(st.sampled_from(FILES))
    record: Any = RECORDS[path]
    for _ in range(draw(st.integers(1, 4))):
        places = [*_paths(record)]
        if places:
            record = _replaced(record, draw(st.sampled_from(places)), draw(JSON))
    return BY_TYPE[path.parent.name], record


@given(damaged())
def test_no_object_raises(case: tuple[SourceFormat, Any]) -> None:
    """Members of any type: an event all the same, and all of it JSON."""
    platform, record = case
    for one in (platform, OKTA, KEYCLOAK):
        one.matches(record)
        event = one.event(record)
        assert msgspec.json.decode(msgspec.json.encode(event)).keys() == event.keys()
        assert event["action"] in ACTIONS
        assert "time" not in event or event["time"] is not None


def _with_secret(path: tuple[str, ...]) -> Any:
    """An object that holds a secret at the path."""
    value: Any = MARK
    for step in reversed(path):
        value = [value] if step == "*" else {step: value}
    return value


def _merged(record: Any, secret: Any) -> Any:
    if type(record) is dict and type(secret) is dict:
        return {**record, **{name: _merged(record.get(name), value) for name, value in secret.items()}}
    if type(record) is str and type(secret) is dict:  # JSON inside a string
        return json.dumps(_merged(json.loads(record), secret))
    return secret


SECRETIVE: Final = [platform for platform in PLATFORMS if platform.secrets]


def test_only_cognito_writes_no_secrets() -> None:
    """Its events have neither passwords nor tokens in any field."""
    assert [platform.type for platform in PLATFORMS if platform not in SECRETIVE] == ["cognito"]


@pytest.mark.parametrize("platform", SECRETIVE, ids=lambda platform: platform.type)
def test_no_secret_becomes_a_member(platform: SourceFormat) -> None:
    """Even before it is blanked, what stands at a secret path is not in the canonical members."""
    for path in (path for path in FILES if path.parent.name == platform.type):
        for secret in platform.secrets:
            event = platform.event(_merged(RECORDS[path], _with_secret(secret)))
            assert MARK not in json.dumps(event), (path.name, secret)


def test_passwords_of_the_golden_records_are_gone() -> None:
    """The golden records hold passwords, hashes and tokens; their events do not."""
    for path in FILES:
        event = json.dumps(BY_TYPE[path.parent.name].event(RECORDS[path]))
        assert not [word for word in ("hunter2", "s3cret", "$2a$", "*****") if word in event], path.name


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("login_bad_password", "sign_on_policy_denied"),
        ("login_bad_password", "password_as_first_factor"),
        ("login_bad_password", "delegated_to_directory"),
    ],
)
def test_one_okta_login_fails_once(first: str, second: str) -> None:
    """Okta writes several records of one login, which share its transaction: one of them is a failed login."""
    events = [OKTA.event(RECORDS[GOLDEN / "okta" / f"{name}.json"]) for name in (first, second)]
    assert [event["action"] for event in events] == ["login", "other"]
    assert events[0]["request_id"] == events[1]["request_id"]
    assert events[0]["session"] == events[1]["session"]
