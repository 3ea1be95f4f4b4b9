"""Every alert of a real run is what OCSF 1.8.0 calls a Detection Finding, and no incident's life has a gap."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.command import ROOT


@pytest.fixture
def alerts(detected: Path) -> list[dict[str, Any]]:
    lines = (detected / "out" / "alerts.ndjson").read_bytes().splitlines()
    return [json.loads(line) for line in lines]


def test_every_alert_is_a_detection_finding(alerts: list[dict[str, Any]]) -> None:
    schema = json.loads((ROOT / "tests" / "ocsf-1.8.0.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for alert in alerts:
        validator.validate(alert)
        assert (alert["class_uid"], alert["type_uid"]) == (2004, 200400 + alert["activity_id"])
        assert alert["metadata"]["version"] == "1.8.0"
        assert all(value is not None for value in alert.values())
    assert {alert["finding_info"]["types"][0] for alert in alerts} >= {
        "brute_force_user", "brute_force_ip", "password_spray_ip", "deletion_surge", "traffic_spike",
    }  # fmt: skip


def test_an_incident_opens_once_and_closes_once(alerts: list[dict[str, Any]]) -> None:
    lives = defaultdict(list)
    for alert in alerts:
        lives[alert["finding_info"]["uid"]].append(alert)
    for life in lives.values():
        assert [alert["unmapped"]["seq"] for alert in life] == list(range(len(life)))
        activities = [alert["activity_id"] for alert in life]
        assert activities == [1, *[2] * (len(life) - 2), 3]
        times = [alert["time"] for alert in life]
        assert times == sorted(times)
        counts = [alert["count"] for alert in life]
        assert counts == sorted(counts)
        first = {(alert["start_time"], alert["unmapped"]["entity"], alert["unmapped"]["detection"]) for alert in life}
        assert len(first) == 1


def test_evidences_are_events_of_the_entity(alerts: list[dict[str, Any]], detected: Path) -> None:
    with (detected / "events.ndjson").open() as file:
        events = {event["id"]: event for event in map(json.loads, file)}
    for alert in alerts:
        about = alert["unmapped"]
        assert 1 <= len(alert["evidences"]) <= 5
        for evidence in alert["evidences"]:
            event = events[evidence["uid"]]
            if about["dimension"] == "ip":
                assert event["ip"] == about["entity"]
            if about["dimension"] == "user":
                assert about["entity"] in (event.get("username"), event.get("actor"), event.get("user"))


def test_scored_events_name_the_incidents(alerts: list[dict[str, Any]], detected: Path) -> None:
    """An event names only incidents that exist, and each incident is named by an event.

    Unless it opens when a minute (of behaviour) or five (of a slow spray) have ended: there may be no further event.
    """
    uids = {alert["finding_info"]["uid"] for alert in alerts}
    after = {
        alert["finding_info"]["uid"]
        for alert in alerts
        if alert["metadata"]["event_code"].startswith(("behaviour", "slow_spray"))
    }
    named = set()
    with (detected / "out" / "scored.ndjson").open() as file:
        for line in file:
            named.update(json.loads(line)["lapwing"]["alerts"])
    assert named <= uids
    assert uids - named <= after, "every other one is named, too"
