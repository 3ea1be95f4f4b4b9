"""The fields of the Elastic Common Schema that Lapwing writes, each with its type, and what its lists allow.

Self-written from the schema's reference. The index template of the form `ecs` is made of it too.
"""

from itertools import product
from typing import Any

KEYWORD, LONG, FLOAT, DATE, IP, GEO, TEXT = "keyword", "long", "float", "date", "ip", "geo_point", "match_only_text"
BOOLEAN = "boolean"

FIELDS = {
    "@timestamp": DATE, "message": TEXT, "ecs.version": KEYWORD, "device.id": KEYWORD,
    "event.kind": KEYWORD, "event.category": [KEYWORD], "event.type": [KEYWORD], "event.action": KEYWORD,
    "event.outcome": KEYWORD, "event.reason": KEYWORD, "event.id": KEYWORD, "event.code": KEYWORD,
    "event.module": KEYWORD, "event.dataset": KEYWORD, "event.severity": LONG, "event.risk_score": FLOAT,
    "event.start": DATE, "event.end": DATE, "organization.id": KEYWORD, "observer.vendor": KEYWORD,
    "observer.product": KEYWORD, "observer.version": KEYWORD, "observer.type": KEYWORD,
    "related.ip": [IP], "related.user": [KEYWORD], "user.id": KEYWORD, "user.name": KEYWORD, "user.email": KEYWORD,
    "user.target.id": KEYWORD, "user.target.name": KEYWORD, "user.target.email": KEYWORD,
    "source.ip": IP, "source.geo.country_iso_code": KEYWORD, "source.geo.country_name": KEYWORD,
    "source.geo.city_name": KEYWORD, "source.geo.location": GEO, "source.as.number": LONG,
    "user_agent.original": KEYWORD, "http.request.method": KEYWORD, "http.request.id": KEYWORD,
    "http.response.status_code": LONG, "url.path": KEYWORD,
    "rule.id": KEYWORD, "rule.name": KEYWORD, "rule.description": KEYWORD, "rule.category": KEYWORD,
    "threat.framework": KEYWORD, "threat.tactic.id": [KEYWORD], "threat.tactic.name": [KEYWORD],
    "threat.technique.id": [KEYWORD], "threat.technique.name": [KEYWORD],
    "threat.technique.subtechnique.id": [KEYWORD], "threat.technique.subtechnique.name": [KEYWORD],
}  # fmt: skip
"""A list of one type: the field is normalised as an array."""

TYPES_OF = {
    "authentication": {"end", "info", "start"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
    "api": {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user"},
    "intrusion_detection": {"allowed", "denied", "info"},
}
"""The event types that ECS expects in each category."""

OWN = {
    "lapwing.activity": KEYWORD, "lapwing.state": KEYWORD, "lapwing.is_alert": BOOLEAN, "lapwing.analytic": KEYWORD,
    "lapwing.confidence": LONG, "lapwing.correlation_uid": KEYWORD, "lapwing.seq": LONG, "lapwing.dimension": KEYWORD,
    "lapwing.entity": KEYWORD, "lapwing.feature": KEYWORD, "lapwing.window_s": LONG, "lapwing.value": FLOAT,
    "lapwing.limit": FLOAT, "lapwing.expected": FLOAT, "lapwing.z": FLOAT, "lapwing.failed_users": LONG,
    "lapwing.succeeded_users": LONG, "lapwing.related": LONG, "lapwing.digest": LONG, "lapwing.session": KEYWORD,
    "lapwing.app": KEYWORD, "lapwing.alerts": [KEYWORD], "lapwing.incident": KEYWORD, "lapwing.network": KEYWORD,
    "lapwing.count": LONG, "lapwing.remediation": TEXT, "lapwing.late": BOOLEAN,
}  # fmt: skip
"""What stands beside ECS's own fields."""
for _dimension, _name in product(("ip", "endpoint", "user"), ("score", "quantile", "z", "expected", "observed")):
    OWN[f"lapwing.scores.{_dimension}.{_name}"] = FLOAT
    OWN[f"lapwing.scores.{_dimension}.feature"] = KEYWORD


def properties() -> dict[str, Any]:
    """An Elasticsearch mapping of all of them."""
    whole: dict[str, Any] = {}
    for name, kind in (FIELDS | OWN).items():
        *above, last = name.split(".")
        part = whole
        for step in above:
            part = part.setdefault(step, {"properties": {}})["properties"]
        only = kind[0] if isinstance(kind, list) else kind
        part[last] = {"type": only} | ({"ignore_above": 1024} if only == KEYWORD else {})
    return whole
