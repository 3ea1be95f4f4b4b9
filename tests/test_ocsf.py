"""Alerts: every one is a valid OCSF 1.8.0 Detection Finding, whatever stands in it."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.formats.evidence import evidence
from flows.formats.explain import message
from flows.formats.ocsf import encode_alert
from models.alert import CLOSE, CREATE, UPDATE, Alert
from models.base import FEATURES, RISK_FLOOR
from models.rules import Rule, about, default_rules, dimension

SCHEMA = jsonschema.Draft202012Validator(json.loads((Path(__file__).parent / "ocsf-1.8.0.schema.json").read_text()))
START = 1_795_410_000_000_000

EVENT: dict[str, Any] = {
    "time": "2026-11-23T05:00:00.123Z", "id": "evt-1", "received": "2026-11-23T05:00:00.300Z", "tenant": "acme",
    "action": "login", "outcome": "failure", "reason": "bad_credentials", "error_code": "966",
    "error": "Invalid credentials", "user": "u-17", "username": "sam@example.com", "actor": "u-18",
    "actor_type": "user", "target": "u-99", "session": "s-5", "api_key": "key-3", "request_id": "r-9",
    "factor": "password", "ip": "203.0.113.7", "ip_type": "hosting", "asn": 64511, "country": "NL",
    "city": "Amsterdam", "lat": 52.37, "lon": 4.90, "device": "d-3", "user_agent": "Mozilla/5.0", "app": "web",
    "app_version": "4.2.0", "method": "POST", "endpoint": "/identity/v2/auth/login", "status": 401,
    "latency_ms": 12.5, "changes": [{"path": "email", "old": "a@x", "new": "b@x"}],
}  # fmt: skip

STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=12), st.just("x" * 5000),
    st.just("\ud800"), st.just("-"), st.just(""), st.just([{"path": 5}, 3, {"path": "\udfff"}]), st.just({"a": 1}),
)  # fmt: skip
ENTITY = st.text(st.characters(), min_size=1, max_size=128) | st.sampled_from(
    ["203.0.113.7", "2001:db8::/64", "sam@example.com", "a\r\nb\x00", "\u202egnp.exe", "\ud800", '"},{"', "{id}"]
)
FINITE = st.floats(-1e12, 1e12, allow_nan=False)


def alert_of(rule: Rule, **members: Any) -> Alert:
    usual: dict[str, Any] = {
        "uid": "ab" * 16, "seq": 1, "activity": CREATE, "tenant": "acme", "detection": rule.id,
        "dimension": dimension(rule), "entity": "203.0.113.7", "severity": 3, "time": START + 60_000_000,
        "created": START + 65_000_000, "first_seen": START + 1_022_000, "start": START, "end": START + 60_000_000,
        "count": 412, "feature": "failures_10m", "window_s": 600, "value": 412.0, "limit": 10.0,
    }  # fmt: skip
    return Alert(**(usual | members))


def encoded(rule: Rule, alert: Alert) -> dict[str, Any]:
    line = encode_alert(alert, about(rule), rule, 1_795_410_070_000, "0.1.0")
    assert b"\n" not in line
    found: dict[str, Any] = json.loads(line)
    SCHEMA.validate(found)
    return found


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(default_rules()),
    st.fixed_dictionaries({
        "activity": st.sampled_from([CREATE, UPDATE, CLOSE]), "seq": st.integers(1, 2**40), "tenant": ENTITY,
        "entity": ENTITY, "severity": st.integers(1, 5), "count": st.integers(0, 2**40),
        "feature": st.sampled_from(FEATURES), "window_s": st.sampled_from([5, 60, 90, 600, 900, 3600, 86400]),
        "value": FINITE, "limit": FINITE, "expected": st.none() | FINITE, "z": st.none() | st.floats(),
        "end": st.integers(START, START + 10**9),
        "evidences": st.lists(
            st.dictionaries(st.sampled_from([*EVENT, "password", "x"]), STRANGE | st.sampled_from([*EVENT.values()])),
            max_size=7,
        ).map(tuple),
    }),
)  # fmt: skip
def test_every_alert_is_valid(rule: Rule, members: dict[str, Any]) -> None:
    alert = alert_of(rule, **members)
    found = encoded(rule, alert)
    assert next(iter(found)) == "time"
    assert found["type_uid"] == 200400 + alert.activity
    assert found["is_alert"] is True
    assert len(found["evidences"]) == min(5, len(alert.evidences))
    assert len(found["observables"]) <= 40
    assert all(ord(char) >= 32 for char in found["message"])


def test_an_alert_in_full() -> None:
    rule = default_rules()[1]
    found = encoded(rule, alert_of(rule, evidences=(EVENT,), expected=3.14159, z=131.4))
    assert found["message"] == (
        "Brute force from one IP: 412 failed logins from 203.0.113.7 in 10 minutes (expected 3.142, limit 10), "
        "since 2026-11-23 05:00:00 UTC; e.g. account sam@example.com; not at 9 or fewer, nor for 5 accounts or more"
    )
    assert (found["time"], found["start_time"], found["end_time"]) == (
        START // 1000 + 60_000,
        START // 1000,
        START // 1000 + 60_000,
    )
    assert found["duration"] == 60_000
    finding = found["finding_info"]
    assert finding["uid"] == "ab" * 16
    assert finding["desc"] == "At least 20 failed logins from one IP within 10 minutes, for fewer than 5 accounts."
    assert finding["types"] == ["brute_force_ip"]
    assert finding["created_time"] == START // 1000 + 65_000
    assert finding["first_seen_time"] == START // 1000 + 1022
    assert finding["analytic"]["type"] == "Rule"
    assert finding["attacks"][0]["sub_technique"]["uid"] == "T1110.001"
    assert finding["attacks"][0]["version"] == "17.1"
    assert found["metadata"]["tenant_uid"] == "acme"
    assert found["metadata"]["event_code"] == "brute_force_ip"
    assert found["metadata"]["processed_time"] == 1_795_410_070_000
    assert found["unmapped"] == {
        "seq": 1, "detection": "brute_force_ip", "dimension": "ip", "entity": "203.0.113.7",
        "feature": "failures_10m", "window_s": 600, "value": 412.0, "limit": 10.0, "expected": 3.14159, "z": 131.4,
    }  # fmt: skip
    [analysis] = found["anomaly_analyses"]
    assert analysis["baselines"][0]["observations"] == [{"value": "3.142"}]
    assert analysis["anomalies"][0]["observations"] == [{"value": "412"}]
    values = {(seen["type"], seen["value"]) for seen in found["observables"]}
    assert {("IP Address", "203.0.113.7"), ("User Name", "sam@example.com"), ("Resource UID", "u-99")} <= values


def test_every_observable_stands_where_its_name_says() -> None:
    rule = default_rules()[0]
    other = EVENT | {"ip": "2001:db8::7", "username": "kim@example.com", "user": "u-20", "target": "u-21"}
    found = encoded(rule, alert_of(rule, entity="sam@example.com", evidences=(EVENT, other)))
    assert len(found["observables"]) > 6
    for seen in found["observables"]:
        at: Any = found
        for step in seen["name"].replace("[", ".").replace("]", "").split("."):
            at = at[int(step)] if step.isdigit() else at[step]
        assert at == seen["value"]
    pairs = [(seen["type_id"], seen["value"]) for seen in found["observables"]]
    assert len(set(pairs)) == len(pairs)


def test_an_evidence_keeps_every_member_of_the_format() -> None:
    found = json.dumps(evidence(EVENT, "acme"))
    gone = {
        name
        for name, value in EVENT.items()
        if name not in ("tenant", "changes", "latency_ms") and str(value) not in found
    }
    assert gone == set()
    assert json.loads(found)["data"]["changed"] == ["email"]
    assert "a@x" not in found
    assert json.loads(found)["http_response"] == {"code": 401, "latency": 12}
    assert evidence(EVENT, "other")["data"]["tenant"] == "acme"


def test_an_evidence_has_no_other_member() -> None:
    assert evidence({"password": "hunter2", "x": 1, "lapwing": {}}, "acme") == {"data": {}}


def test_an_address_that_is_none_is_kept_as_data() -> None:
    found = evidence({"ip": "203.0.113", "time": 5}, "acme")
    assert found == {"data": {"ip": "203.0.113", "time": "5"}}


@pytest.mark.parametrize(
    ("ip", "is_shown"),
    [("203.0.113.7:443", "203.0.113.7"), ("[2001:DB8::1]:443", "2001:db8::1"), ("::ffff:1.2.3.4", "1.2.3.4")],
)
def test_an_address_is_shown_as_the_entity_is(ip: str, is_shown: str) -> None:
    assert evidence({"ip": ip}, "acme") == {"src_endpoint": {"ip": is_shown}, "data": {}}


@pytest.mark.parametrize(
    ("endpoint", "is_shown"),
    [("/reset?token=8f3a", "/reset"), ("https://x.example/in?code=1?2", "https://x.example/in"), ("?pin=77", "/")],
)
def test_what_is_asked_with_a_path_is_not_shown(endpoint: str, is_shown: str) -> None:
    found = evidence({"endpoint": endpoint, "method": "GET"}, "acme")
    assert found["http_request"]["url"] == {"path": is_shown}
    assert found["api"] == {"operation": f"GET {is_shown}"}


@pytest.mark.parametrize(
    ("activity", "status", "begin"),
    [(CREATE, "New", "Brute force on one account: "), (UPDATE, "In Progress", "Brute force on one account continues: "),
     (CLOSE, "Resolved", "Brute force on one account is over: ")],
)  # fmt: skip
def test_the_life_of_an_incident(activity: int, status: str, begin: str) -> None:
    rule = default_rules()[0]
    found = encoded(rule, alert_of(rule, activity=activity))
    assert found["status"] == status
    assert found["message"].startswith(begin)


def test_one_is_singular_in_every_rule() -> None:
    texts = {rule.id: message(alert_of(rule, value=1.0, entity="x"), about(rule), rule) for rule in default_rules()}
    assert "1 failed login for x in 10 minutes" in texts["brute_force_user"]
    assert "1 account with failed logins from x in 10 minutes" in texts["password_spray_ip"]
    assert "1 account deleted by x" in texts["deletion_surge_user"]
    assert "1 account deleted from x" in texts["deletion_surge_ip"]
    assert "1 event a minute in tenant x (" in texts["traffic_spike_tenant"]
    assert "1 event a minute on x (" in texts["traffic_spike_endpoint"]


def test_who_writes_a_name_cannot_write_the_message() -> None:
    rule = default_rules()[0]
    found = encoded(rule, alert_of(rule, entity="sam\r\n\x1b[2J\u202e\u2028"))
    assert "for sam\\u000d\\u000a\\u001b[2J\\u202e\\u2028 in" in found["message"]
    assert found["unmapped"]["entity"] == "sam\r\n\x1b[2J\u202e\u2028"


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_what_was_only_learned_is_at_most_medium(severity: int) -> None:
    rule = next(rule for rule in default_rules() if rule.id == "traffic_spike_ip")
    alert = alert_of(rule, severity=severity)
    learned = msgspec.structs.replace(about(rule), analytic_type=4)
    found = json.loads(encode_alert(alert, learned, rule, 0, "0"))
    SCHEMA.validate(found)
    assert found["severity_id"] == min(severity, 3)
    assert found["risk_score"] == RISK_FLOOR[min(severity, 3)]
    assert found["finding_info"]["analytic"]["type"] == "Learning (ML/DL)"
    assert encoded(rule, alert)["severity_id"] == severity


@pytest.mark.parametrize(("severity", "risk", "level"), [(2, 40, 1), (3, 60, 2), (4, 80, 3), (5, 95, 4)])
def test_risk_follows_severity(severity: int, risk: int, level: int) -> None:
    rule = default_rules()[0]
    found = encoded(rule, alert_of(rule, severity=severity))
    assert (found["risk_score"], found["risk_level_id"]) == (risk, level)


def test_the_same_alert_is_the_same_bytes() -> None:
    rule = default_rules()[2]
    alert = alert_of(rule, evidences=(EVENT, EVENT))
    first, second = (encode_alert(alert, about(rule), rule, 7, "0.1.0") for _ in range(2))
    assert first == second
