"""Attacks in the spelling of four platforms, through the real flow: silent at N-1, an incident at N."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from flows.config import load
from tests.flow_under_test import run
from tests.test_golden import incidents

GOLDEN: Final = Path(__file__).parent / "golden" / "formats"
BEGIN: Final = datetime(2026, 11, 23, 5, tzinfo=UTC).timestamp()

Record = dict[str, Any]
Failed = Callable[[str, str, bool], Record]
"""A failed login by user name and address, of a user whom the platform knows or not."""
Deleted = Callable[[str, str, str], Record]
"""A deletion by administrator, address and deleted account."""


def _golden(platform: str, name: str) -> Record:
    record: Record = json.loads((GOLDEN / platform / f"{name}.json").read_text())["record"]
    return copy.deepcopy(record)


def _okta_failed(user: str, address: str, known: bool) -> Record:
    record = _golden("okta", "login_bad_password" if known else "login_unknown_user")
    record["actor"]["alternateId"] = user
    record["client"]["ipAddress"] = address
    return record


def _okta_deleted(by: str, address: str, account: str) -> Record:
    record = _golden("okta", "user_deleted")
    record["actor"]["alternateId"], record["client"]["ipAddress"] = by, address
    record["target"][0]["id"] = account
    return record


def _auth0_failed(user: str, address: str, known: bool) -> Record:
    record = _golden("auth0", "login_bad_password" if known else "login_unknown_user")
    record["data"] |= {"user_name": user, "ip": address, "user_id": f"auth0|{user}" if known else ""}
    return record


def _auth0_deleted(by: str, address: str, account: str) -> Record:
    record = _golden("auth0", "api_user_deleted")
    record["data"]["ip"] = address
    request = record["data"]["details"]["request"]
    request["auth"]["user"]["email"], request["path"] = by, f"/api/v2/users/auth0%7C{account}"
    return record


def _entra_failed(user: str, address: str, known: bool) -> Record:
    record = _golden("entra", "sign_in_bad_password" if known else "sign_in_unknown_user")
    record["callerIpAddress"] = record["properties"]["ipAddress"] = address
    record["properties"]["userPrincipalName"] = user
    return record


def _entra_deleted(by: str, address: str, account: str) -> Record:
    record = _golden("entra", "audit_user_deleted")
    record["properties"]["initiatedBy"]["user"] |= {"userPrincipalName": by, "ipAddress": address}
    record["properties"]["targetResources"][0]["id"] = account
    return record


def _keycloak_failed(user: str, address: str, known: bool) -> Record:
    record = _golden("keycloak", "login_bad_password" if known else "login_unknown_user")
    record["ipAddress"], record["details"]["username"] = address, user
    return record


def _keycloak_deleted(by: str, address: str, account: str) -> Record:
    record = _golden("keycloak", "admin_user_deleted")
    record["authDetails"] |= {"userId": by, "ipAddress": address}
    record["resourcePath"] = f"users/{account}"
    return record


PLATFORMS: Final[dict[str, tuple[Failed, Deleted]]] = {
    "okta": (_okta_failed, _okta_deleted),
    "auth0": (_auth0_failed, _auth0_deleted),
    "entra": (_entra_failed, _entra_deleted),
    "keycloak": (_keycloak_failed, _keycloak_deleted),
}


def _at(platform: str, second: float, record: Record) -> Record:
    """The record with its times moved, and with an identifier of its own."""
    text = datetime.fromtimestamp(BEGIN + second, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if platform == "okta":
        return record | {"published": text, "uuid": f"id-{second}"}
    if platform == "auth0":
        return record | {"log_id": f"id-{second}", "data": record["data"] | {"date": text, "log_id": f"id-{second}"}}
    if platform == "entra":
        times = {"createdDateTime": text, "activityDateTime": text, "id": f"id-{second}"}
        return record | {"time": text, "properties": record["properties"] | times}
    return record | {"time": int((BEGIN + second) * 1000), "id": f"id-{second}"}


def _attacks(failed: Failed, deleted: Deleted) -> Iterator[tuple[float, Record]]:
    """Each attack at N, and at N-1 against other entities, an hour apart."""
    for i in range(10):
        yield 30.0 * i, failed("Guessed@example.com", f"192.0.2.{i}", True)
        if i < 9:
            yield 30.0 * i + 1, failed("spared@example.com", f"192.0.2.{20 + i}", True)
    for i in range(15):
        yield 3600 + 40.0 * i, failed(f"sprayed{i}@example.com", "198.51.100.1", True)
        if i < 14:
            yield 3600 + 40.0 * i + 1, failed(f"dry{i}@example.com", "198.51.100.2", True)
    for i in range(25):
        yield 7200 + 30.0 * i, failed(f"listed{i % 15}@example.com", "203.0.113.1", i % 5 > 0)
        if i < 24:
            yield 7200 + 30.0 * i + 1, failed(f"unlisted{i % 15}@example.com", "203.0.113.2", i % 5 > 0)
    for i in range(5):
        yield 10800 + 60.0 * i, deleted("rogue@example.com", "203.0.113.66", f"gone-{i}")
        if i < 4:
            yield 10800 + 60.0 * i + 1, deleted("clerk@example.com", "203.0.113.67", f"left-{i}")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_attacks_in_a_platforms_own_spelling(platform: str, tmp_path: Path) -> None:
    """Guessing, spraying, a list of stolen credentials, and a surge of deletions."""
    rows = [(second, _at(platform, second, record)) for second, record in _attacks(*PLATFORMS[platform])]
    rows.sort(key=lambda row: row[0])
    (tmp_path / "in.ndjson").write_text("".join(json.dumps(record) + "\n" for _, record in rows))
    (tmp_path / "config.toml").write_text(f'[input]\nformat = "{platform}"\n')
    run(load(str(tmp_path / "config.toml")), tmp_path / "in.ndjson", tmp_path / "out")
    assert (tmp_path / "out" / "dead-letters.ndjson").read_text() == ""
    raised = {
        detection: [(entity, count) for _, entity, _, count in incidents(tmp_path / "out", detection)]
        for detection in ("brute_force_user", "credential_stuffing_ip", "deletion_surge_user", "deletion_surge_ip")
    }
    assert raised == {
        "brute_force_user": [("guessed@example.com", 10)],
        "credential_stuffing_ip": [("203.0.113.1", 25)],
        "deletion_surge_user": [("rogue@example.com", 5)],
        "deletion_surge_ip": [("203.0.113.66", 5)],
    }
    sprayed = {entity for _, entity, _, _ in incidents(tmp_path / "out", "password_spray_ip")}
    assert "198.51.100.1" in sprayed
    assert "198.51.100.2" not in sprayed
