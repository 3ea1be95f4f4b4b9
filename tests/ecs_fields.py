"""The fields of the Elastic Common Schema that Lapwing writes, each with its type, and what its lists allow."""

KEYWORD, LONG, FLOAT, DATE, IP, GEO, TEXT = "keyword", "long", "float", "date", "ip", "geo_point", "match_only_text"

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
