"""Why a person cannot log in: one self-written stream for each cause, and one where nothing can be told."""

import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.trail.keys import KeyStore
from flows.troubleshoot.asked import of_user
from flows.troubleshoot.causes import CAUSES
from flows.troubleshoot.person import Diagnosis
from tests.command import command
from tests.small_trails import MINUTE, NOW, made, places, told

Events = list[dict[str, Any]]
_HOME = {"ip": "203.0.113.7", "device": "d-sam", "asn": 64511, "country": "NL"}
_SAM = {"user": "u-1", "username": "sam@example.com", "app": "web", "app_version": "4.2.0"} | _HOME
_CODES = {"bad_credentials": "966", "locked": "1022", "expired": "970", "server_error": "5000", "unknown_user": "938"}


def _fails(minute: float, reason: str, **more: Any) -> dict[str, Any]:
    members = _SAM | {"reason": reason, "error_code": _CODES.get(reason), "error": f"E {reason}"} | more
    return told(minute, outcome=members.pop("outcome", "failure"), request_id=f"r-{minute}", **members)


def _others(count: int, *, first: float = -30.0, share: float = 0.0, **more: Any) -> Events:
    """Attempts of so many others, a share of which fails."""
    made: Events = []
    for number in range(count):
        who = {"user": f"o-{more.get('app_version', '')}{more.get('asn', '')}{number}", "ip": f"192.0.2.{number}"}
        members = {"app": "web", "app_version": "4.2.0", "asn": 64500, "country": "DE"} | more
        bad = number < share * count
        reason = members.pop("reason", None) if bad else (members.pop("reason", None), None)[1]
        status = members.pop("status", None)
        made.append(
            told(first + number, outcome="failure" if bad else "success", reason=reason,
                 status=status if bad else 200, **who, **members)
        )  # fmt: skip
    return made


def wrong_password() -> Events:
    changed = told(-5, "password_change", **_SAM)
    return [told(-60, **_SAM), changed, *(_fails(at, "bad_credentials") for at in (0, 1, 2)), *_others(20)]


def taken_over() -> Events:
    thief = {"ip": "198.51.100.66", "device": "d-thief"}
    changes = [{"path": "email", "old": "sam@example.com", "new": "thief@example.com"}]
    guesses = [_fails(at / 10 - 30, "bad_credentials", **thief) for at in range(12)]
    taking = [told(-20, **_SAM | thief), told(-19, "email_change", **_SAM | thief, changes=changes),
              told(-18, "password_change", **_SAM | thief)]  # fmt: skip
    return [told(-60, **_SAM), *guesses, *taking, _fails(0, "bad_credentials"), *_others(20)]


def locked_by_attack() -> Events:
    guesses = [_fails(at / 10, "bad_credentials", ip=f"198.51.100.{at}", device=None) for at in range(12)]
    lock = told(2, "account_lock", user="u-1", username="sam@example.com")
    return [told(-60, **_SAM), *guesses, lock, _fails(30, "locked"), *_others(20)]


def locked_by_somebody() -> Events:
    lock = told(-9, "account_lock", user="u-1", username="sam@example.com", actor="admin-7")
    return [told(-60, **_SAM), lock, _fails(0, "locked")]


def locked() -> Events:
    return [told(-60, **_SAM), *(_fails(at, "bad_credentials") for at in range(6)), _fails(7, "locked")]


def deleted() -> Events:
    gone = told(-9, "account_delete", user="u-1", username="sam@example.com", actor="admin-7")
    return [told(-60, **_SAM), gone, _fails(0, "unknown_user")]


def expired() -> Events:
    return [told(-60, **_SAM), _fails(0, "expired"), _fails(1, "expired"), *_others(20)]


def factor_lost() -> Events:
    passed = told(-59, "mfa_challenge", factor="totp", **_SAM)
    changed = told(-20, "profile_update", **_SAM, changes=[{"path": "mfa.totp", "old": "d-1", "new": None}])
    tries = [event for at in (0, 2) for event in (told(at, outcome="challenge", **_SAM),
             _fails(at + 1, "mfa_failed", action="mfa_challenge"))]  # fmt: skip
    return [told(-60, outcome="challenge", **_SAM), passed, changed, *tries]


def factor_unanswered() -> Events:
    return [told(-60, **_SAM), *(told(at, outcome="challenge", **_SAM) for at in (0, 5, 9)), *_others(20)]


def broken_release() -> Events:
    new = {"app_version": "4.3.0"}
    bad = _others(15, share=0.8, reason="server_error", status=500, **new)
    return [told(-60, **_SAM), *_others(30), *bad, *(_fails(at, "server_error", status=500, **new) for at in (0, 1))]


def blocked_network() -> Events:
    mobile = {"asn": 64999, "ip": "198.51.100.7", "device": "d-sam"}
    bad = _others(12, share=1.0, reason="forbidden", status=403, asn=64999)
    return [told(-60, **_SAM), *_others(30), *bad, *(_fails(at, "forbidden", status=403, **mobile) for at in (0, 1))]


def blocked() -> Events:
    return [told(-60, **_SAM), _fails(0, "forbidden", status=403, outcome="blocked")]


def outage() -> Events:
    return [told(-60, **_SAM), *_others(20, share=0.7, reason="server_error", status=503),
            *(_fails(at, "server_error", status=503) for at in (0, 1))]  # fmt: skip


def server_error() -> Events:
    return [told(-60, **_SAM), *_others(40), *(_fails(at, "server_error", status=500) for at in (0, 1))]


def unknown_user() -> Events:
    name = {"user": None, "username": "samm@example.com"}
    return [*(_fails(at, "unknown_user", **name) for at in (0, 1)), *_others(20)]


def attacked() -> Events:
    guesses = [_fails(at, "bad_credentials", ip=f"198.51.100.{at}", device=None) for at in range(9)]
    return [told(-60, **_SAM), *guesses, *_others(20)]


STREAMS: list[tuple[Callable[[], Events], str]] = [
    (stream, stream.__name__)
    for stream in (taken_over, wrong_password, locked_by_attack, locked_by_somebody, locked, deleted, expired,
                   factor_lost, broken_release, blocked_network, blocked, outage, server_error, unknown_user, attacked)
] + [(factor_unanswered, "factor_lost")]  # fmt: skip


def _diagnosed(folder: Path, events: Events, user: str = "sam@example.com", **more: Any) -> Diagnosis:
    trail = made(folder, events)
    asked = {"tenant": "acme", "start": None, "end": NOW + 120 * MINUTE, "elsewhere": []} | more
    return of_user(trail, user, **asked)


@pytest.mark.parametrize(("stream", "name"), STREAMS, ids=[stream.__name__ for stream, _ in STREAMS])
def test_each_cause_is_found_in_its_stream(tmp_path: Path, stream: Callable[[], Events], name: str) -> None:
    user = "samm@example.com" if name == "unknown_user" else "sam@example.com"
    told = _diagnosed(tmp_path, stream(), user)
    assert told.cause is not None
    assert (told.state, told.cause.name) == ("failing", name)
    assert told.cause.evidence
    assert told.sentence.endswith(told.cause.sentence)
    assert told.cause.likely == (name != "blocked")


def test_every_cause_has_a_stream() -> None:
    found = {name for _, name in STREAMS}
    for cause in CAUSES:
        names = set(re.findall(r'\bname="(\w+)"', inspect.getsource(cause)))
        assert names, cause.__name__
        assert names <= found, cause.__name__


def test_the_numbers_of_a_sentence_are_those_of_the_stream(tmp_path: Path) -> None:
    told = _diagnosed(tmp_path, broken_release())
    assert told.sentence.startswith(
        "Version web 4.3.0 does not let people in: of the others who tried with it 12 of 15 (55 to 93 %) never got in, "
        "with other versions 0 of 30 (0 to 11 %); the error is the same (server_error)."
    )
    assert [one.what for one in told.changes] == ["first attempt with web 4.3.0 (before: web 4.2.0)"]
    assert told.errors == [("server_error code 5000 E server_error", 2)]
    assert [one.request_id for one in told.attempts[-2:]] == ["r-0", "r-1"]


def test_few_others_prove_no_release(tmp_path: Path) -> None:
    new = {"app_version": "4.3.0"}
    events = [told(-60, **_SAM), *_others(30), *_others(2, share=1.0, reason="other", **new), _fails(0, "other", **new)]
    found = _diagnosed(tmp_path, events)
    assert (found.cause, found.state) == (None, "failing")
    assert found.sentence.startswith("Cannot tell: 1 failures since the person last got in at 2026-11-02 07:00:00 UTC")


def test_one_who_retries_is_one_of_the_others(tmp_path: Path) -> None:
    new = {"app_version": "4.3.0"}
    stubborn = [told(-20 + at / 10, outcome="failure", reason="server_error", user="o-1", app="web", **new)
                for at in range(60)]  # fmt: skip
    events = [told(-60, **_SAM), *_others(30), *stubborn, *_others(8, **new), _fails(0, "server_error", **new)]
    found = _diagnosed(tmp_path, events)
    assert "broken_release" not in [one.name for one in (found.cause, *found.also) if one]


def test_a_takeover_shows_before_the_person_comes_and_is_over_when_the_person_is_back(tmp_path: Path) -> None:
    events = taken_over()
    before = [one for one in events if one["time"] < "2026-11-02T08:00"]
    found = _diagnosed(tmp_path / "before", before)
    assert found.cause is not None
    assert (found.state, found.cause.name) == ("let in", "taken_over")
    back = [told(10, "password_reset", **_SAM), told(11, **_SAM), _fails(12, "bad_credentials")]
    after = _diagnosed(tmp_path / "after", [*events, *back])
    assert after.cause is not None
    assert after.cause.name == "wrong_password"


def test_a_lock_that_was_lifted_is_no_lock(tmp_path: Path) -> None:
    of = {"user": "u-1", "username": "sam@example.com"}
    events = [told(-60, **_SAM), told(-20, "account_lock", **of), told(-10, "account_unlock", **of)]
    found = _diagnosed(tmp_path, [*events, *(_fails(at, "bad_credentials") for at in (0, 1))])
    assert found.cause is not None
    assert found.cause.name == "wrong_password"


def test_no_attempts_while_others_get_in_do_not_arrive(tmp_path: Path) -> None:
    found = _diagnosed(tmp_path, [told(-60, **_SAM), *_others(20)])
    assert found.cause is not None
    assert (found.state, found.cause.name) == ("let in", "no_attempts")
    assert "while 20 others tried in the 24 hours before 2026-11-02 10:00:00 UTC and 20 got in" in found.sentence


def test_no_attempts_of_anybody_is_an_outage(tmp_path: Path) -> None:
    found = _diagnosed(tmp_path, [told(-60, **_SAM), *_others(20)], end=NOW + 3000 * MINUTE)
    assert found.cause is not None
    assert (found.state, found.cause.name) == ("let in", "outage")
    assert "its last event is of 2026-11-02 07:49:00 UTC" in found.sentence


def test_too_few_others_tell_nothing_of_missing_attempts(tmp_path: Path) -> None:
    found = _diagnosed(tmp_path, [told(-60, "api_call", **_SAM), *_others(2)])
    assert (found.state, found.cause, found.also[0].name) == ("no attempts", None, "no_attempts")
    assert found.sentence.startswith(
        "Cannot tell: no attempt of sam@example.com to get in is here (1 other events are)"
    )


def test_a_name_that_never_came_and_one_of_another_tenant(tmp_path: Path) -> None:
    made(tmp_path, [*_others(20), told(0, **_SAM) | {"tenant": "globex"}])
    words = (*places(tmp_path), "--to", "2026-11-02T10:00:00Z", "--json")
    never = json.loads(command("troubleshoot", "user", "zoe", "--tenant", "acme", *words)[1])
    assert (never["state"], never["cause"]["name"]) == ("never seen", "no_attempts")
    other = json.loads(command("troubleshoot", "user", "u-1", "--tenant", "acme", *words)[1])
    assert (other["state"], other["cause"]["name"]) == ("never seen", "wrong_tenant")
    assert "globex" in other["sentence"]
    code, _, err = command("troubleshoot", "user", "zoe", *words)
    assert (code, "nobody is known as zoe" in err[0]) == (1, True)
    assert command("troubleshoot", "user", "zoe", "--tenant", "nowhere", *words)[0] == 1


def test_an_erased_person_is_as_one_who_never_came(tmp_path: Path) -> None:
    made(tmp_path, [told(0, **_SAM), *_others(20)])
    with KeyStore.open(tmp_path / "keys") as keys:
        keys.destroy("acme", "u-1")
    words = ("--tenant", "acme", *places(tmp_path), "--to", "2026-11-02T10:00:00Z", "--json")
    found = json.loads(command("troubleshoot", "user", "sam@example.com", *words)[1])
    assert found["state"] == "never seen"


def test_what_senders_wrote_moves_no_cursor(tmp_path: Path) -> None:
    made(tmp_path, [told(-9, **_SAM), _fails(0, "bad_credentials", error="\x1b[2J\u202e", app_version="\x1b]0;x\x07")])
    code, out, _ = command("troubleshoot", "user", "u-1", *places(tmp_path))
    assert code == 0
    assert not any(char in out for char in "\x1b\u202e\x07")
    assert "\\u001b[2J" in out


def _calls(version: str, minutes: range, errors: int, endpoint: str = "/v1/cart", status: int = 500) -> Events:
    return [
        told(at, "api_call", outcome=None, user=f"c-{at}", app="web", app_version=version, method="GET",
             endpoint=endpoint, status=status if number < errors else 200)
        for number, at in enumerate(minutes)
    ]  # fmt: skip


def test_a_release_is_compared_with_what_was_before_and_beside_it(tmp_path: Path) -> None:
    made(tmp_path, [
        *_calls("4.2.0", range(-60, 0), 1), *_calls("4.3.0", range(60), 30), *_calls("4.2.0", range(60), 1),
        *_calls("4.2.0", range(-60, 0), 1, "/v1/pay"), *_calls("4.3.0", range(60), 30, "/v1/pay"),
        *_calls("4.2.0", range(60), 30, "/v1/pay"), *_calls("4.3.0", range(3), 3, "/v1/new"),
    ])  # fmt: skip
    words = ("troubleshoot", "release", "4.3.0", *places(tmp_path))
    code, out, _ = command(*words, "--users", "2", "--json")
    found = json.loads(out)
    assert code == 0
    assert {one["endpoint"]: one["verdict"] for one in found["endpoints"]} == {
        "GET /v1/cart": "worse", "GET /v1/pay": "worse everywhere", "GET /v1/new": "cannot tell",
    }  # fmt: skip
    worst = found["endpoints"][0]
    assert (worst["with_it"]["found"], worst["with_it"]["of"], worst["statuses"]) == (30, 60, {"500": 30})
    assert (found["people"], found["users"], found["first"]) == (30, ["c-0", "c-1"], "2026-11-02T08:00:00.000000Z")
    assert found["sentence"].startswith("4.3.0 breaks GET /v1/cart: 30 of 60 (38 to 62 %) fail with it")
    assert "GET /v1/cart" in command(*words)[1]
    without = json.loads(command(*words[:3], "--trail", tmp_path / "trail", "--json")[1])
    assert (without["users"], without["people"]) == ([], 30)
    code, _, err = command("troubleshoot", "release", "9.9", *places(tmp_path))
    assert (code, "version 9.9 was never seen there" in err[0]) == (1, True)


def test_a_release_of_few_calls_cannot_be_judged(tmp_path: Path) -> None:
    made(tmp_path, [*_calls("4.2.0", range(-60, 0), 1), *_calls("4.3.0", range(5), 5)])
    out = command("troubleshoot", "release", "4.3.0", *places(tmp_path))[1]
    assert out.startswith("Cannot tell: of no endpoint there are 20 calls with 4.3.0")


def test_the_client_that_calls_an_endpoint_wrongly_stands_out(tmp_path: Path) -> None:
    path, concrete = "/v1/users/{id}/cart", "/v1/users/8f3a9c2e-0000-4000-8000-000000000000/cart"
    made(tmp_path, [
        *_calls("4.2.0", range(60), 1, concrete, 404), *_calls("4.3.0", range(40), 25, concrete, 422),
        *_calls("4.1.0", range(3), 3, concrete, 400), *_calls("4.2.0", range(60), 60, "/v1/else", 404),
    ])  # fmt: skip
    place = ("--trail", tmp_path / "trail")
    for asked in (path, concrete):
        found = json.loads(command("troubleshoot", "endpoint", asked, *place, "--json")[1])
        assert (found["endpoint"], found["calls"], found["wrong"]) == (path, 103, 29)
        assert {one["version"]: one["stands_out"] for one in found["clients"]} == {
            "4.3.0": True, "4.2.0": False, "4.1.0": None,
        }  # fmt: skip
    assert found["sentence"].startswith(f"web 4.3.0 calls GET {path} wrongly: 25 of 40")
    assert "cannot tell" in command("troubleshoot", "endpoint", path, *place)[1]
    code, _, err = command("troubleshoot", "endpoint", "/nowhere", *place)
    assert (code, "/nowhere was never called there" in err[0]) == (1, True)
