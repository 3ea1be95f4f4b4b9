"""Simulated attacks hit the tenants, accounts and endpoints of a platform, and their labels say whom."""

import json

from flows.format_block import members_of
from flows.formats.simulated import simulate
from flows.recast import Range, relabelled

PLATFORM = [
    json.dumps(event).encode() + b"\n"
    for event in (
        {
            "tenant": "big",
            "action": "login",
            "username": "Ada@big",
            "endpoint": "/in/8f3a00000000ad1a",
        },
        {
            "tenant": "big",
            "action": "login",
            "username": "sam@big",
            "endpoint": "/in/8f3a00000000ad1b",
        },
        {"tenant": "big", "action": "account_delete", "user": "eve@big", "endpoint": "/rm"},
        {"action": "login", "user": "alone", "endpoint": "/sign-in"},
        {"tenant": 7, "action": ["login"], "user": {"a": 1}, "username": None, "endpoint": 5},
    )
] + [b"no event\n", b'{"tenant": "\xff"}\n']


OWN = ("Ada@big", "sam@big", "eve@big", "alone")


def attacked(kind: str, whom: Range) -> tuple[list[dict], list[bytes], list, list]:
    lines, truth = [], []
    for chunk in simulate(20_000, 3, attacks=(kind,), attack_count=3):
        lines += chunk.lines.splitlines(keepends=True)
        truth += chunk.truth
    names = {name for one in truth for name in one.events}
    before = [line for line in lines if json.loads(line)["id"] in names]
    after = [whom.recast(line) for line in before]
    return [json.loads(line) for line in after], before, truth, relabelled(truth, before, after)


def test_attacks_are_on_the_platforms_own() -> None:
    events, before, truth, labels = attacked("brute_force", Range(PLATFORM, 1))
    assert {event["user"].lower() for event in events} <= {name.lower() for name in OWN}
    assert {event.get("tenant") for event in events} <= {"big", None}
    assert all(event["endpoint"].startswith(("/in/", "/sign-in")) for event in events if event["action"] == "login")
    for line, event in zip(before, events, strict=True):
        old = json.loads(line)
        same = set(old) - {"tenant", "user", "username", "endpoint"}
        assert {key: old[key] for key in same} == {key: event[key] for key in same}
    for was, one in zip(truth, labels, strict=True):
        assert one.entities["ip"] == was.entities["ip"]
        assert one.events == was.events
        hit = {event["user"].lower() for event in events if event["id"] in set(was.events)}
        assert set(one.entities["user"]) == hit


def test_a_platforms_own_names_are_found_in_its_format() -> None:
    own = [
        {"eventType": "user.session.start", "actor": {"alternateId": f"{name}@big", "type": "User"}, "uuid": name,
         "published": "2026-11-23T05:00:00Z", "debugContext": {"debugData": {"requestUri": "/api/v1/authn"}}}
        for name in ("ada", "sam")
    ]  # fmt: skip
    lines = [json.dumps(one).encode() for one in own]
    events, *_ = attacked("brute_force", Range(lines, 1, members_of("okta", ())))
    logins = [event for event in events if event["action"] == "login"]
    assert {event["user"] for event in logins} <= {"ada@big", "sam@big"}
    assert {event["endpoint"] for event in logins} == {"/api/v1/authn"}


def test_one_simulated_account_is_one_account_and_another_another() -> None:
    own = [json.dumps({"tenant": "t", "action": "login", "username": f"u{n}"}).encode() for n in range(900)]
    events, before, _, labels = attacked("password_spray", Range(own, 1))
    pairs = {(json.loads(line).get("user"), event.get("user")) for line, event in zip(before, events, strict=True)}
    assert len(pairs) == len({old for old, _ in pairs}) == len({new for _, new in pairs}) > 20
    assert any(old is None and new is None for old, new in pairs)  # who does not exist stays so
    assert all(len(one.entities["user"]) > 5 for one in labels)


def test_a_deletion_names_its_object_and_who_did_it() -> None:
    events, _, truth, labels = attacked("deletion_surge", Range(PLATFORM, 1))
    deleted = [event for event in events if event["action"] == "account_delete"]
    assert deleted
    mine = {name.lower() for name in OWN}
    assert {event[member].lower() for event in deleted for member in ("target", "actor") if member in event} <= mine
    assert {event["endpoint"] for event in deleted if event.get("tenant") == "big"} <= {"/rm"}
    assert truth != labels
    assert {name.lower() for one in labels for name in one.entities["user"]} <= {
        event["actor"].lower() for event in events if "actor" in event
    }


def test_a_platform_without_names_leaves_attacks_as_they_are() -> None:
    events, before, truth, labels = attacked("brute_force", Range([], 1))
    assert [json.loads(line) for line in before] == events
    assert truth == labels
