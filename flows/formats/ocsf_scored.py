"""A scored event as its native OCSF 1.8.0 class: Authentication, Account Change or API Activity."""

from typing import Any, Final

from flows.formats.evidence import clean, evidence
from flows.formats.json_line import json_line
from flows.formats.ocsf import OCSF_VERSION, RISK_LEVELS
from flows.formats.scored_record import Scored, read_scored
from flows.formats.siem_event import severity_of
from models.base import RISK_FLOOR, SEVERITIES

AUTHENTICATION, API_ACTIVITY, ACCOUNT_CHANGE = 3002, 6003, 3001
_CLASSES: Final = {
    AUTHENTICATION: (3, "Identity & Access Management", "Authentication"),
    ACCOUNT_CHANGE: (3, "Identity & Access Management", "Account Change"),
    API_ACTIVITY: (6, "Application Activity", "API Activity"),
}
_NATIVE: Final = {
    "login": (AUTHENTICATION, 1, "Logon"),
    "logout": (AUTHENTICATION, 2, "Logoff"),
    "token_issue": (AUTHENTICATION, 3, "Authentication Ticket"),
    "token_refresh": (AUTHENTICATION, 99, ""),
    "mfa_challenge": (AUTHENTICATION, 99, ""),
    "register": (ACCOUNT_CHANGE, 1, "Create"),
    "password_reset_request": (ACCOUNT_CHANGE, 99, ""),
    "password_reset": (ACCOUNT_CHANGE, 4, "Password Reset"),
    "password_change": (ACCOUNT_CHANGE, 3, "Password Change"),
    "email_change": (ACCOUNT_CHANGE, 99, ""),
    "profile_update": (ACCOUNT_CHANGE, 99, ""),
    "account_lock": (ACCOUNT_CHANGE, 9, "Lock"),
    "account_unlock": (ACCOUNT_CHANGE, 12, "Unlock"),
    "account_delete": (ACCOUNT_CHANGE, 6, "Delete"),
    "role_change": (ACCOUNT_CHANGE, 99, ""),
    "policy_change": (API_ACTIVITY, 3, "Update"),
    "api_key_change": (API_ACTIVITY, 3, "Update"),
    "data_read": (API_ACTIVITY, 2, "Read"),
    "data_export": (API_ACTIVITY, 2, "Read"),
}
_BY_METHOD: Final = {
    "POST": (1, "Create"), "GET": (2, "Read"), "HEAD": (2, "Read"), "PUT": (3, "Update"), "PATCH": (3, "Update"),
    "DELETE": (4, "Delete"),
}  # fmt: skip
_STATUSES: Final = {"success": (1, "Success"), "failure": (2, "Failure"), "unknown": (0, "Unknown")}
_DISPOSITIONS: Final = {"challenge": (23, "Challenge"), "blocked": (2, "Blocked")}
_SAID: Final = ("time", "action", "outcome", "error", "error_code")  # by attributes of every class
_UNKNOWN: Final = "unknown"
_PARTS: Final = {
    AUTHENTICATION: ("actor", "user", "src_endpoint", "http_request", "http_response", "api", "device"),
    ACCOUNT_CHANGE: ("actor", "user", "src_endpoint", "http_request", "http_response", "api"),
    API_ACTIVITY: ("actor", "src_endpoint", "http_request", "http_response", "api", "resources"),
}


def encode(record: bytes) -> bytes:
    """One scored event as one OCSF object, valid against the schema, with profile `security_control`.

    `risk_score` is left out while it is not known. Each dimension of `scores` is one of `enrichments`. What the class
    demands and the event does not say is called `unknown`. The source's own members that are not canonical are not in
    it; canonical ones that the class has no attribute for, and the rest of `lapwing`, stand under `unmapped`.

    Raises
    ------
    NoRecord
        The bytes are no scored event.
    """
    return json_line(_event(read_scored(record)))


def _event(scored: Scored) -> dict[str, Any]:
    members = scored.members
    action, method = (str(members.get(name, "")) for name in ("action", "method"))
    uid, activity_id, activity = _NATIVE.get(action) or (API_ACTIVITY, *_BY_METHOD.get(method.upper(), (99, "")))
    category, category_name, class_name = _CLASSES[uid]
    activity = activity or clean(action) or "other"
    risk = scored.own.risk
    severity = severity_of(risk)
    status_id, status = _STATUSES.get(scored.outcome, (99, scored.outcome.capitalize()))
    disposition_id, disposition = _DISPOSITIONS.get(scored.outcome, (17, "Logged"))
    parts = evidence(members, scored.tenant)
    kept, unmapped = _parts(uid, parts, scored.tenant)
    return {
        "time": scored.own.time,
        "activity_id": activity_id,
        "activity_name": activity,
        "category_uid": category,
        "category_name": category_name,
        "class_uid": uid,
        "class_name": class_name,
        "type_uid": uid * 100 + activity_id,
        "type_name": f"{class_name}: {activity if activity_id != 99 else 'Other'}",
        "severity_id": severity,
        "severity": SEVERITIES[severity].capitalize(),
        "status_id": status_id,
        "status": status,
        **_texts(parts["data"]),
        "is_alert": False,
        "action_id": 3,
        "action": "Observed",
        "disposition_id": disposition_id,
        "disposition": disposition,
        **_risk(risk),
        "timezone_offset": 0,
        **kept,
        "enrichments": _enrichments(scored, kept),
        "metadata": {
            "version": OCSF_VERSION,
            "uid": clean(scored.uid),
            "product": {"name": "Lapwing", "vendor_name": "Lapwing"},
            "profiles": ["security_control"],
            "tenant_uid": clean(scored.tenant),
            **_original(members.get("time")),
            "event_code": clean(action) or "other",
            **({"correlation_uid": clean(scored.own.alerts[0])} if scored.own.alerts else {}),
        },
        "unmapped": unmapped | {"lapwing": {k: v for k, v in scored.lapwing.items() if k not in ("risk", "scores")}},
    }


def _texts(data: dict[str, Any]) -> dict[str, Any]:
    named = (("status_code", data.get("error_code")), ("status_detail", data.get("error") or data.get("reason")))
    return {name: value for name, value in named if value}


def _original(time: object) -> dict[str, Any]:
    return {"original_time": clean(str(time))} if isinstance(time, str | int | float) else {}


def _risk(risk: int | None) -> dict[str, Any]:
    if risk is None:
        return {}
    level = sum(risk >= least for least in RISK_FLOOR[2:])
    return {"risk_score": risk, "risk_level_id": level, "risk_level": RISK_LEVELS[level]}


def _parts(uid: int, parts: dict[str, Any], tenant: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The class's own attributes, what it demands among them, and the members that it has no place for."""
    kept = {name: parts[name] for name in _PARTS[uid] if name in parts}
    left = {name: value for name, value in parts.items() if name not in kept and name not in ("data", "uid", "name")}
    left |= {name: value for name, value in parts["data"].items() if name not in _SAID}
    if uid == API_ACTIVITY:
        kept.setdefault("actor", {"user": parts.get("user") or {"name": _UNKNOWN}})
        kept.setdefault("src_endpoint", {"name": _UNKNOWN})
        kept.setdefault("api", {"operation": _UNKNOWN})
    else:
        kept.setdefault("user", kept.get("actor", {}).get("user") or {"name": _UNKNOWN})
    if uid == AUTHENTICATION:
        kept["service"] = {"name": kept.get("actor", {}).get("app_name", "identity"), "uid": clean(tenant)}
    return kept, left


def _enrichments(scored: Scored, kept: dict[str, Any]) -> list[dict[str, Any]]:
    user, actor = (part.get("user", {}) for part in (kept, kept.get("actor", {})))
    values = {
        "ip": ("src_endpoint.ip", kept.get("src_endpoint", {}).get("ip")),
        "endpoint": ("http_request.url.path", kept.get("http_request", {}).get("url", {}).get("path")),
        "user": ("user.name", user["name"]) if "name" in user else ("user.uid", user.get("uid")),
    }
    if "name" not in user and "uid" not in user:
        values["user"] = ("actor.user.uid", actor.get("uid"))
    found = []
    for dimension, scores in scored.own.scores.items():
        name, value = values.get(dimension, (clean(dimension), None))
        found.append(
            {
                "name": name,
                "value": value or _UNKNOWN,
                "type": "score",
                "provider": "lapwing",
                "short_desc": clean(str(scores.get("feature", ""))),
                "data": scores,
            }
        )
    return found
