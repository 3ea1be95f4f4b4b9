"""Alerts as OCSF 1.8.0 Detection Findings (class 2004)."""

import math
from functools import lru_cache
from typing import Any, Final

import msgspec

from flows.formats.evidence import clean, evidence
from flows.formats.explain import described, meaning, message, number, span, title
from models.alert import CLOSE, CREATE, UPDATE, Alert, Reason, Related
from models.base import RISK_FLOOR, SEVERITIES
from models.features.minute import MEANING as COUNTED
from models.rules import Rule, threshold
from models.rules.base import LEARNING, About, Attack
from models.rules.base_detection import BaseDetection
from models.rules.describe import sentence
from models.rules.threshold import Threshold

OCSF_VERSION: Final = "1.8.0"
ATTACK_VERSION: Final = "17.1"
MOST_EVIDENCES: Final = 5
MOST_OBSERVABLES: Final = 40
SHOWN_AGAIN: Final = 4096
"""So many events that alerts have shown are kept ready: an incident's updates show most of them again."""

_MEDIUM = SEVERITIES.index("medium")
_ACTIVITIES = {CREATE: "Create", UPDATE: "Update", CLOSE: "Close"}
_STATUSES = {CREATE: (1, "New"), UPDATE: (2, "In Progress"), CLOSE: (4, "Resolved")}
_SUPPRESSED = (3, "Suppressed")
_ANALYTICS = {1: "Rule", 2: "Behavioral", 3: "Statistical", LEARNING: "Learning (ML/DL)"}
RISK_LEVELS = ("Info", "Low", "Medium", "High", "Critical")
_TARGETS = {"ip": "IP Address", "user": "User", "endpoint": "Endpoint", "tenant": "Tenant", "source": "Source"}
_OBSERVABLES = {2: "IP Address", 4: "User Name", 10: "Resource UID", 12: "Subnet"}


class _Same:
    """An event's members as they are shared by the alerts that show it, told apart by which object they are."""

    __slots__ = ("members",)

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members

    def __hash__(self) -> int:
        return id(self.members)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.members is other.members


@lru_cache(maxsize=SHOWN_AGAIN)
def _evidence(event: _Same, tenant: str) -> dict[str, Any]:
    """An event's evidence, made once for all alerts that show it: it is most of the work of encoding one."""
    return evidence(event.members, tenant)


def encode_alert(alert: Alert, about: About, rule: Rule, processed_ms: int, product_version: str) -> bytes:
    """One alert as one JSON object, without LF.

    The same alert gives the same bytes but for `metadata.processed_time`. `message` alone is enough to act on. A
    detection that learned (analytic type 4) is at most Medium, whatever the alert says. Names come from outside:
    control and reordering characters are written as codes in `message`, evidences hold at most five events of
    canonical members, each string at most 256 characters. `is_alert` is false for an incident that another one stands
    for in the queue (`metadata.correlation_uid`, `finding_info.related_events`), and for one that is suppressed.

    Parameters
    ----------
    alert
        Times in microseconds UTC.
    about, rule
        The detection, and its configuration as it crossed.
    processed_ms
        Wall clock, epoch ms.
    product_version
        Lapwing's own.
    """
    severity = min(alert.severity, _MEDIUM) if about.analytic_type == LEARNING else alert.severity
    risk = RISK_FLOOR[severity]
    level = sum(risk >= least for least in RISK_FLOOR[2:])
    confidence = 1 + (about.confidence >= 34) + (about.confidence >= 67)
    status_id, status = _SUPPRESSED if alert.suppressed_by else _STATUSES[alert.activity]
    evidences = [_evidence(_Same(members), alert.tenant) for members in alert.evidences[:MOST_EVIDENCES]]
    return msgspec.json.encode({
        "time": _ms(alert.time),
        "activity_id": alert.activity,
        "activity_name": _ACTIVITIES[alert.activity],
        "category_uid": 2,
        "category_name": "Findings",
        "class_uid": 2004,
        "class_name": "Detection Finding",
        "type_uid": 200400 + alert.activity,
        "type_name": f"Detection Finding: {_ACTIVITIES[alert.activity]}",
        "severity_id": severity,
        "severity": SEVERITIES[severity].capitalize(),
        "status_id": status_id,
        "status": status,
        **({"status_detail": clean(alert.suppressed_by)} if alert.suppressed_by else {}),
        "message": message(alert, about, rule),
        "is_alert": alert.front and not alert.suppressed_by,
        "action_id": 3,
        "action": "Observed",
        "disposition_id": 19,
        "disposition": "Alert",
        "confidence_id": confidence,
        "confidence": ("", "Low", "Medium", "High")[confidence],
        "confidence_score": about.confidence,
        "risk_score": risk,
        "risk_level_id": level,
        "risk_level": RISK_LEVELS[level],
        "count": alert.count,
        "start_time": _ms(alert.start),
        "end_time": _ms(alert.end),
        "duration": max(0, _ms(alert.end) - _ms(alert.start)),
        "timezone_offset": 0,
        "finding_info": _finding(alert, about, rule, product_version),
        **({"evidences": evidences} if evidences or not alert.digest else {}),
        "anomaly_analyses": [_analysis(alert)],
        "observables": _observables(alert, evidences),
        "remediation": {
            "desc": about.remediation,
            "references": [_address(attack.sub_technique or attack.technique) for attack in about.attacks],
        },
        "metadata": {
            "version": OCSF_VERSION,
            "uid": f"{alert.uid}-{alert.seq}",
            "product": {"name": "Lapwing", "vendor_name": "Lapwing", "version": product_version},
            "profiles": ["security_control"],
            "tenant_uid": clean(alert.tenant),
            "event_code": clean(alert.detection),
            "correlation_uid": alert.incident or alert.uid,
            "sequence": alert.seq,
            "processed_time": processed_ms,
        },
        "unmapped": _finite(
            seq=alert.seq, detection=clean(alert.detection), dimension=alert.dimension, entity=clean(alert.entity),
            entities={dimension: clean(entity) for dimension, entity in alert.joint} or None,
            feature=alert.feature, window_s=alert.window_s, value=alert.value, limit=alert.limit,
            expected=alert.expected, z=alert.z,
            failed_users=alert.failed_users, succeeded_users=alert.succeeded_users,
            related=alert.related_count or None, digest=alert.digest or None,
            reasons=[msgspec.structs.asdict(one) for one in alert.reasons] or None,
        ),
    })  # fmt: skip


def _finding(alert: Alert, about: About, rule: Rule, product_version: str) -> dict[str, Any]:
    return {
        "uid": alert.uid,
        "title": title(alert, about),
        "desc": _description(rule) or about.title,
        "types": [_type(rule)],
        "created_time": _ms(alert.created),
        "modified_time": _ms(alert.time),
        "first_seen_time": _ms(alert.first_seen),
        "last_seen_time": _ms(alert.end),
        "analytic": {
            "uid": clean(alert.detection),
            "name": clean(alert.detection),
            "type_id": about.analytic_type,
            "type": _ANALYTICS[about.analytic_type],
            "version": product_version,
            "category": "identity",
            "algorithm": _type(rule),
        },
        "attacks": [_attack(attack) for attack in about.attacks],
        "related_events_count": alert.count,
        "tags": [{"name": "tenant", "value": clean(alert.tenant)}],
        **({"related_events": [_related(one) for one in alert.related]} if alert.related else {}),
    }


def _related(one: Related) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "type": "Detection Finding",
        "type_uid": 200401,
        "title": clean(one.entity),
        "desc": f"{clean(one.detection)} ({one.dimension})",
        "count": one.count,
    }


def _type(rule: Rule) -> str:
    return str(rule.__struct_config__.tag)


def _description(rule: Rule) -> str:
    """The rule's own first sentence, with the configured numbers in place of their names."""
    if isinstance(rule, Threshold | BaseDetection) and (found := threshold(rule)):
        return clean(sentence(found))
    return described(rule)


def _attack(attack: Attack) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "version": ATTACK_VERSION,
        "tactic": {"uid": attack.tactic, "name": attack.tactic_name},
        "technique": {
            "uid": attack.technique, "name": attack.technique_name, "src_url": _address(attack.technique),
        },
    }  # fmt: skip
    if attack.sub_technique:
        address = _address(attack.sub_technique)
        parts["sub_technique"] = {"uid": attack.sub_technique, "name": attack.sub_technique_name, "src_url": address}
    return parts


def _address(technique: str) -> str:
    return f"https://attack.mitre.org/techniques/{technique.replace('.', '/')}/"


def _analysis(alert: Alert) -> dict[str, Any]:
    pattern = f"limit {number(alert.limit)}" + ("" if alert.z is None else f", z {number(alert.z)}")
    observed = {
        "observation_parameter": alert.feature,
        "observation_type": f"observed in {span(alert.window_s)}",
        "observations": [{"value": number(alert.value)}],
        "observed_pattern": pattern,
    }
    analysis: dict[str, Any] = {
        "analysis_targets": [
            {"name": clean(entity), "type": _TARGETS[dimension]} for dimension, entity in alert.entities
        ],
        "anomalies": [observed, *map(_reason, alert.reasons)],
    }
    if alert.reasons:
        analysis["baselines"] = [
            {
                "observation_parameter": _parameter(one),
                "observation_type": "exponentially weighted mean",
                "observations": [{"value": number(one.typical)}],
            }
            for one in alert.reasons
        ]
    if alert.expected is not None:
        analysis["baselines"] = [{
            "observation_parameter": alert.feature,
            "observation_type": "exponentially weighted mean",
            "observations": [{"value": number(alert.expected)}],
        }]  # fmt: skip
    return analysis


def _parameter(one: Reason) -> str:
    return one.feature if one.feature in COUNTED else f"behaviour.{one.feature}"


def _reason(one: Reason) -> dict[str, Any]:
    return {
        "observation_parameter": _parameter(one),
        "observation_type": "events in 1 minute" if one.feature in COUNTED else "feature from 0 (usual) to 1",
        "observations": [{"value": number(one.observed)}],
        "observed_pattern": f"{meaning(one)}; the score falls by {number(one.drop)} without it",
    }


def _observables(alert: Alert, evidences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entity, what the evidences show, and the entities of related incidents, each once."""
    found = {
        (_kind(dimension, entity), clean(entity)): f"anomaly_analyses[0].analysis_targets[{i}].name"
        for i, (dimension, entity) in enumerate(alert.entities)
    }
    paths = ((2, "src_endpoint", "ip"), (4, "user", "name"), (10, "user", "uid"), (10, "resources", "uid"))
    for i, event in enumerate(evidences):
        for type_id, name, member in paths:
            part = event.get(name, {})
            place = f"evidences[{i}].{name}"
            if isinstance(part, list):
                part, place = part[0], f"{place}[0]"
            if member in part:
                found.setdefault((type_id, part[member]), f"{place}.{member}")
    for i, one in enumerate(alert.related):
        key = _kind(one.dimension, one.entity), clean(one.entity)
        found.setdefault(key, f"finding_info.related_events[{i}].title")
    return [
        {"name": name, "type_id": type_id, "type": _OBSERVABLES[type_id], "value": value}
        for (type_id, value), name in list(found.items())[:MOST_OBSERVABLES]
    ]


def _kind(dimension: str, entity: str) -> int:
    return {"ip": 12 if "/" in entity else 2, "user": 4}.get(dimension, 10)


def _finite(**members: Any) -> dict[str, Any]:
    """The members that are known: None and what is not finite are left out, so that none ever changes its type."""
    return {k: v for k, v in members.items() if v is not None and not (isinstance(v, float) and not math.isfinite(v))}


def _ms(time: int) -> int:
    return time // 1000
