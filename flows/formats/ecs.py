"""The Elastic Common Schema."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from flows.formats.json_line import json_line
from flows.formats.siem_event import Kind, SiemEvent
from flows.formats.siem_read import read
from models.base import RISK_FLOOR

ECS_VERSION: Final = "9.0.0"
FRAMEWORK: Final = "MITRE ATT&CK"
_LAST: Final = 253402300799999  # the end of the year 9999, epoch ms

Class = tuple[tuple[str, ...], tuple[str, ...]]
CLASSES: Final[dict[str, Class]] = {
    "login": (("authentication",), ("start",)),
    "logout": (("authentication",), ("end",)),
    "token_issue": (("authentication",), ("info",)),
    "token_refresh": (("authentication",), ("info",)),
    "mfa_challenge": (("authentication",), ("info",)),
    "register": (("iam",), ("creation", "user")),
    "password_reset_request": (("iam",), ("info", "user")),
    "password_reset": (("iam",), ("change", "user")),
    "password_change": (("iam",), ("change", "user")),
    "email_change": (("iam",), ("change", "user")),
    "profile_update": (("iam",), ("change", "user")),
    "account_lock": (("iam",), ("change", "user")),
    "account_unlock": (("iam",), ("change", "user")),
    "account_delete": (("iam",), ("deletion", "user")),
    "role_change": (("iam",), ("admin", "change")),
    "policy_change": (("configuration",), ("change",)),
    "api_key_change": (("iam",), ("admin", "change")),
    "data_read": (("api",), ("access",)),
    "data_export": (("api",), ("access",)),
    "api_call": (("api",), ("info",)),
    "other": (("iam",), ("info",)),
}
"""`event.category` and `event.type` of every action."""
_ALERT: Final[Class] = (("intrusion_detection", "iam"), ("info",))
_OUTCOMES: Final = {"success": "success", "failure": "failure", "blocked": "failure"}


def encode(record: bytes, kind: Kind) -> bytes:
    """One record as one ECS document; what ECS has no field for stands under `lapwing`.

    `event.risk_score` and `event.severity` run from 0 to 100; the risk is left out while it is not known. Who acted is
    `user`, who it was done to `user.target`. A blocked try is a failure, a challenge has outcome unknown.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    event = read(record, kind)
    found = _common(event) | _who(event) | _where(event) | _alert(event)
    found |= {f"lapwing.{name}": value for name, value in event.details.items()}
    return json_line(nested(found))


def nested(flat: dict[str, Any]) -> dict[str, Any]:
    """Dotted names as objects, without what is empty or not known.

    >>> nested({"event.kind": "alert", "event.id": "", "message": "m"})
    {'event': {'kind': 'alert'}, 'message': 'm'}
    """
    whole: dict[str, Any] = {}
    for name, value in flat.items():
        if value is None or value in ("", (), []):
            continue
        *above, last = name.split(".")
        part = whole
        for step in above:
            part = part.setdefault(step, {})
        part[last] = value
    return whole


def _common(event: SiemEvent) -> dict[str, Any]:
    category, kind = _ALERT if event.kind == "alert" else CLASSES.get(event.action, CLASSES["other"])
    if event.outcome == "blocked" and category == ("api",):
        kind = ("denied",)
    return {
        "@timestamp": _time(event.time),
        "ecs.version": ECS_VERSION,
        "message": event.message,
        "event.kind": "alert" if event.kind == "alert" else "event",
        "event.category": category,
        "event.type": kind,
        "event.action": event.action,
        "event.outcome": _OUTCOMES.get(event.outcome, "unknown"),
        "event.reason": event.reason,
        "event.id": event.uid,
        "event.code": event.signature,
        "event.module": "lapwing",
        "event.dataset": f"lapwing.{event.kind}",
        "event.severity": RISK_FLOOR[event.severity],
        "event.risk_score": None if event.risk is None else float(event.risk),
        "event.start": _time(event.start),
        "event.end": _time(event.end),
        "organization.id": event.tenant,
        "observer.vendor": "Lapwing",
        "observer.product": "Lapwing",
        "observer.version": event.version if event.kind == "alert" else "",
        "observer.type": "ids",
        "related.ip": event.ips,
        "related.user": event.users,
        "lapwing.session": event.session,
        "lapwing.app": event.app,
        "lapwing.alerts": event.alerts,
    }


def _who(event: SiemEvent) -> dict[str, Any]:
    if event.actor and event.user and event.actor != event.user:
        return {
            "user.id": event.actor,
            "user.target.id": event.target or event.user,
            "user.target.name": event.username,
            "user.target.email": _email(event.username),
        }
    return {
        "user.id": event.actor or event.user,
        "user.name": event.username,
        "user.email": _email(event.username),
        "user.target.id": event.target,
    }


def _where(event: SiemEvent) -> dict[str, Any]:
    code = len(event.country) == 2 and event.country.isascii() and event.country.isalpha()
    location = None
    if event.lat is not None and event.lon is not None and abs(event.lat) <= 90 and abs(event.lon) <= 180:
        location = {"lat": event.lat, "lon": event.lon}
    return {
        "source.ip": event.ip,
        "source.geo.country_iso_code": event.country.upper() if code else "",
        "source.geo.country_name": "" if code else event.country,
        "source.geo.city_name": event.city,
        "source.geo.location": location,
        "source.as.number": event.asn,
        "user_agent.original": event.user_agent,
        "http.request.method": event.method,
        "http.request.id": event.request_id,
        "http.response.status_code": event.status,
        "url.path": event.endpoint,
        "device.id": event.device,
    }


def _alert(event: SiemEvent) -> dict[str, Any]:
    if event.kind != "alert":
        return {}
    known = [one for one in event.techniques if one.technique[0]]
    subs = [one.sub for one in known if one.sub[0]]
    return {
        "rule.id": event.detection,
        "rule.name": event.name,
        "rule.description": event.description,
        "rule.category": event.details.get("analytic"),
        "threat.framework": FRAMEWORK if known else "",
        "threat.tactic.id": _once(one.tactic[0] for one in known),
        "threat.tactic.name": _once(one.tactic[1] for one in known),
        "threat.technique.id": _once(one.technique[0] for one in known),
        "threat.technique.name": _once(one.technique[1] for one in known),
        "threat.technique.subtechnique.id": _once(sub[0] for sub in subs),
        "threat.technique.subtechnique.name": _once(sub[1] for sub in subs),
        "lapwing.incident": event.incident,
        "lapwing.network": event.network,
        "lapwing.count": event.count,
        "lapwing.remediation": event.remediation,
    }


def _once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))


def _email(name: str) -> str:
    return name if 0 < name.find("@") < len(name) - 1 else ""


def _time(ms: int | None) -> str | None:
    if ms is None:
        return None
    time = datetime.fromtimestamp(min(_LAST, max(0, ms)) / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
