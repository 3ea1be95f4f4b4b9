"""Every member of what Lapwing publishes: its path, type, unit and meaning, once, for docs, mappings and tests."""

from typing import Final, Literal, NamedTuple

Type = Literal["keyword", "text", "ip", "date", "long", "float", "boolean"]
"""As Elasticsearch names them. A keyword, a text and an address are JSON strings, a date and a long integers; a float
always has a decimal point. A float or `risk` of a scored event may be null: it is not known yet."""


class Field(NamedTuple):
    """One member. In a path `[]` stands for each element of a list; the example is JSON."""

    path: str
    type: Type
    example: str
    meaning: str
    unit: str = ""


JSON_TYPES: Final[dict[Type, str]] = {
    "keyword": "string", "text": "string", "ip": "string", "date": "integer", "long": "integer", "float": "number",
    "boolean": "boolean",
}  # fmt: skip


def _dimension(name: str) -> tuple[Field, ...]:
    at = f"lapwing.scores.{name}"
    return (
        Field(
            f"{at}.feature", "keyword", '"failures_1m"', f"what stood out most of the {name}, its window in the name"
        ),
        Field(f"{at}.score", "float", "3.21", "how strange; higher is stranger"),
        Field(f"{at}.quantile", "float", "0.999312", "the share of such windows that were less strange"),
        Field(f"{at}.z", "float", "12.4", "distance from the expected value; at quantile 0.9 and above"),
        Field(f"{at}.expected", "float", "1.3", "the baseline; at quantile 0.9 and above", "the feature's"),
        Field(f"{at}.observed", "float", "21.0", "the value seen; at quantile 0.9 and above", "the feature's"),
    )


SCORED: Final = (
    Field("lapwing.v", "long", "1", "version of this member's form"),
    Field("lapwing.time", "date", "1793585280000", "the event's time", "ms"),
    Field("lapwing.risk", "long", "74", "0 to 100; null while nothing is warm and no rule has crossed"),
    Field("lapwing.late", "boolean", "false", "older than its partition's watermark"),
    Field(
        "lapwing.alerts[]", "keyword", '"15464f0d298b876feaa7b36fdab7fab4"', "open incidents of its entities, at most 4"
    ),
    Field("lapwing.alerts_more", "long", "2", "how many more incidents there are"),
    *_dimension("ip"),
    *_dimension("endpoint"),
    *_dimension("user"),
    Field(
        "lapwing.jumped",
        "boolean",
        "true",
        "its time was far ahead and no other event confirmed it",
    ),
    Field("lapwing.id", "keyword", '"0c5d0f8cb3a94cf1d4a2a2f3c0a80c1e"', "the event's id, where the source gave none"),
    Field("lapwing.ignored[]", "keyword", '"ip"', "members that could not be read"),
    Field("lapwing.ignored_more", "long", "3", "how many more members were ignored"),
)
"""The member `lapwing` of a scored event; the rest of it is the source's own."""

_EVIDENCE: Final = (
    Field("evidences[].uid", "keyword", '"e3-24114"', "the counted event's id"),
    Field("evidences[].name", "keyword", '"login"', "its action"),
    Field("evidences[].actor.user.uid", "keyword", '"u-2867"', "who did it"),
    Field("evidences[].actor.user.type", "keyword", '"admin"', "the actor's type"),
    Field("evidences[].actor.session.uid", "keyword", '"s-14c94000000"', "the session"),
    Field("evidences[].actor.session.credential_uid", "keyword", '"key-1"', "the API key's id"),
    Field("evidences[].actor.app_name", "keyword", '"web"', "the application"),
    Field("evidences[].user.uid", "keyword", '"u-2867"', "whom it is about"),
    Field("evidences[].user.name", "keyword", '"sam@example.com"', "the name that was typed"),
    Field("evidences[].src_endpoint.ip", "ip", '"203.0.113.7"', "the client's address"),
    Field("evidences[].src_endpoint.autonomous_system.number", "long", "64721", "its network's number"),
    Field("evidences[].src_endpoint.location.country", "keyword", '"NL"', "its country"),
    Field("evidences[].src_endpoint.location.city", "keyword", '"Amsterdam"', "its city"),
    Field("evidences[].src_endpoint.location.lat", "float", "52.37", "its latitude", "degrees"),
    Field("evidences[].src_endpoint.location.long", "float", "4.9", "its longitude", "degrees"),
    Field("evidences[].api.operation", "keyword", '"POST /v2/auth/login"', "what was called"),
    Field("evidences[].http_request.http_method", "keyword", '"POST"', "the method"),
    Field("evidences[].http_request.url.path", "keyword", '"/v2/auth/login"', "the path"),
    Field("evidences[].http_request.user_agent", "keyword", '"Go-http-client/2.0"', "the user agent"),
    Field("evidences[].http_request.uid", "keyword", '"r-de073e8f1b"', "the request's id"),
    Field("evidences[].http_response.code", "long", "401", "the status"),
    Field("evidences[].http_response.latency", "long", "181", "how long the answer took", "ms"),
    Field("evidences[].device.uid", "keyword", '"d-10001002"', "the device"),
    Field("evidences[].device.type_id", "long", "0", "always 0"),
    Field("evidences[].device.type", "keyword", '"Unknown"', "always Unknown"),
    Field("evidences[].resources[].uid", "keyword", '"u-1789"', "the object of an administrative call"),
    Field("evidences[].resources[].type", "keyword", '"account"', "always account"),
    Field("evidences[].data.time", "keyword", '"2026-11-02T02:06:42.159Z"', "the event's time as its source wrote it"),
    Field("evidences[].data.received", "keyword", '"2026-11-02T02:06:43Z"', "when the source received it"),
    Field("evidences[].data.action", "keyword", '"login"', "the action"),
    Field("evidences[].data.outcome", "keyword", '"failure"', "the outcome"),
    Field("evidences[].data.reason", "keyword", '"bad_credentials"', "the reason"),
    Field("evidences[].data.error_code", "keyword", '"966"', "the source's code"),
    Field("evidences[].data.error", "keyword", '"Invalid credentials"', "the source's words"),
    Field("evidences[].data.factor", "keyword", '"password"', "the factor tried"),
    Field("evidences[].data.ip_type", "keyword", '"hosting"', "the kind of network"),
    Field("evidences[].data.app_version", "keyword", '"5.2.0"', "the application's version"),
    Field("evidences[].data.tenant", "keyword", '"globex"', "the event's tenant, where it is not the alert's"),
    Field("evidences[].data.changed[]", "keyword", '"email"', "paths of changed members, never their values"),
    Field("evidences[].data.ip", "keyword", '"203.0.113"', "an address that is none"),
    Field("evidences[].data.actor_type", "keyword", '"service"', "the actor's type, where nobody is named"),
)

ALERT: Final = (
    Field("time", "date", "1793585280000", "end of the pane that crossed, or of the change", "ms"),
    Field("activity_id", "long", "1", "1 create, 2 update, 3 close"),
    Field("activity_name", "keyword", '"Create"', "the same in words"),
    Field("category_uid", "long", "2", "always 2"),
    Field("category_name", "keyword", '"Findings"', "always Findings"),
    Field("class_uid", "long", "2004", "always 2004"),
    Field("class_name", "keyword", '"Detection Finding"', "always Detection Finding"),
    Field("type_uid", "long", "200401", "class and activity"),
    Field("type_name", "keyword", '"Detection Finding: Create"', "the same in words"),
    Field("severity_id", "long", "3", "1 informational, 2 low, 3 medium, 4 high, 5 critical"),
    Field("severity", "keyword", '"Medium"', "the same in words"),
    Field("status_id", "long", "1", "1 new, 2 in progress, 3 suppressed, 4 resolved"),
    Field("status", "keyword", '"New"', "the same in words"),
    Field("status_detail", "keyword", '"exception pentest"', "what keeps it out of the queue"),
    Field(
        "message", "text", '"Brute force on one account: 10 failed logins ..."', "one sentence that is enough to act on"
    ),
    Field("is_alert", "boolean", "true", "whether it is an entry of the queue"),
    Field("action_id", "long", "3", "always 3"),
    Field("action", "keyword", '"Observed"', "always Observed"),
    Field("disposition_id", "long", "19", "always 19"),
    Field("disposition", "keyword", '"Alert"', "always Alert"),
    Field("confidence_id", "long", "3", "1 low, 2 medium, 3 high"),
    Field("confidence", "keyword", '"High"', "the same in words"),
    Field("confidence_score", "long", "80", "0 to 100"),
    Field("risk_score", "long", "60", "0 to 100"),
    Field("risk_level_id", "long", "2", "0 info, 1 low, 2 medium, 3 high, 4 critical"),
    Field("risk_level", "keyword", '"Medium"', "the same in words"),
    Field("count", "long", "10", "events counted since it opened"),
    Field("start_time", "date", "1793585190000", "start of what was counted", "ms"),
    Field("end_time", "date", "1793585280000", "its end", "ms"),
    Field("duration", "long", "90000", "from start to end", "ms"),
    Field("timezone_offset", "long", "0", "always 0: times are UTC", "min"),
    Field(
        "finding_info.uid", "keyword", '"15464f0d298b876feaa7b36fdab7fab4"', "the incident, the same after any replay"
    ),
    Field("finding_info.title", "keyword", '"Brute force on one account"', "what a list shows; it names nobody"),
    Field("finding_info.desc", "text", '"At least 10 failed logins for one user within 10 minutes."', "the detection"),
    Field("finding_info.types[]", "keyword", '"brute_force_user"', "the detection's type"),
    Field("finding_info.created_time", "date", "1793585255665", "the stream's time when it opened", "ms"),
    Field("finding_info.modified_time", "date", "1793585280000", "the same as `time`", "ms"),
    Field("finding_info.first_seen_time", "date", "1793585202159", "the first event counted", "ms"),
    Field("finding_info.last_seen_time", "date", "1793585280000", "the same as `end_time`", "ms"),
    Field("finding_info.analytic.uid", "keyword", '"brute_force_user"', "the detection's id"),
    Field("finding_info.analytic.name", "keyword", '"brute_force_user"', "the same"),
    Field("finding_info.analytic.type_id", "long", "1", "1 rule, 2 behavioral, 3 statistical, 4 learning"),
    Field("finding_info.analytic.type", "keyword", '"Rule"', "the same in words"),
    Field("finding_info.analytic.version", "keyword", '"0.1.0"', "Lapwing's version"),
    Field("finding_info.analytic.category", "keyword", '"identity"', "always identity"),
    Field("finding_info.analytic.algorithm", "keyword", '"brute_force_user"', "the detection's type"),
    Field("finding_info.attacks[].version", "keyword", '"17.1"', "version of MITRE ATT&CK"),
    Field("finding_info.attacks[].tactic.uid", "keyword", '"TA0006"', "the tactic"),
    Field("finding_info.attacks[].tactic.name", "keyword", '"Credential Access"', "its name"),
    Field("finding_info.attacks[].technique.uid", "keyword", '"T1110"', "the technique"),
    Field("finding_info.attacks[].technique.name", "keyword", '"Brute Force"', "its name"),
    Field(
        "finding_info.attacks[].technique.src_url",
        "keyword",
        '"https://attack.mitre.org/techniques/T1110/"',
        "its page",
    ),
    Field("finding_info.attacks[].sub_technique.uid", "keyword", '"T1110.001"', "the sub-technique"),
    Field("finding_info.attacks[].sub_technique.name", "keyword", '"Password Guessing"', "its name"),
    Field(
        "finding_info.attacks[].sub_technique.src_url",
        "keyword",
        '"https://attack.mitre.org/techniques/T1110/001/"',
        "its page",
    ),
    Field("finding_info.related_events_count", "long", "10", "the same as `count`"),
    Field(
        "finding_info.related_events[].uid",
        "keyword",
        '"15464f0d298b876feaa7b36fdab7fab4"',
        "an incident of the same attack",
    ),
    Field("finding_info.related_events[].type", "keyword", '"Detection Finding"', "always Detection Finding"),
    Field("finding_info.related_events[].type_uid", "long", "200401", "always 200401"),
    Field("finding_info.related_events[].title", "keyword", '"sam@example.com"', "its entity"),
    Field("finding_info.related_events[].desc", "keyword", '"brute_force_user (user)"', "its detection and dimension"),
    Field("finding_info.related_events[].count", "long", "10", "its events"),
    Field("finding_info.tags[].name", "keyword", '"tenant"', "always tenant"),
    Field("finding_info.tags[].value", "keyword", '"acme"', "the tenant"),
    *_EVIDENCE,
    Field(
        "anomaly_analyses[].analysis_targets[].name",
        "keyword",
        '"sam@example.com"',
        "the entity, or both of two dimensions",
    ),
    Field("anomaly_analyses[].analysis_targets[].type", "keyword", '"User"', "what it is"),
    Field("anomaly_analyses[].anomalies[].observation_parameter", "keyword", '"failures_10m"', "the feature"),
    Field("anomaly_analyses[].anomalies[].observation_type", "keyword", '"observed in 10 minutes"', "the window"),
    Field("anomaly_analyses[].anomalies[].observations[].value", "keyword", '"10"', "what was seen"),
    Field("anomaly_analyses[].anomalies[].observed_pattern", "keyword", '"limit 10"', "limit and distance"),
    Field("anomaly_analyses[].baselines[].observation_parameter", "keyword", '"events_1m"', "the feature"),
    Field(
        "anomaly_analyses[].baselines[].observation_type",
        "keyword",
        '"exponentially weighted mean"',
        "how it was learned",
    ),
    Field("anomaly_analyses[].baselines[].observations[].value", "keyword", '"1.209"', "what was expected"),
    Field("observables[].name", "keyword", '"evidences[0].src_endpoint.ip"', "where it stands"),
    Field("observables[].type_id", "long", "2", "2 address, 4 user name, 10 id, 12 network"),
    Field("observables[].type", "keyword", '"IP Address"', "the same in words"),
    Field("observables[].value", "keyword", '"203.0.113.7"', "an address, account or id to pivot on"),
    Field("remediation.desc", "text", '"1. Ask the account for a second factor ..."', "what to do"),
    Field(
        "remediation.references[]", "keyword", '"https://attack.mitre.org/techniques/T1110/001/"', "where to read on"
    ),
    Field("metadata.version", "keyword", '"1.8.0"', "OCSF's version"),
    Field("metadata.uid", "keyword", '"15464f0d298b876feaa7b36fdab7fab4-0"', "this message: incident and seq"),
    Field("metadata.product.name", "keyword", '"Lapwing"', "always Lapwing"),
    Field("metadata.product.vendor_name", "keyword", '"Lapwing"', "always Lapwing"),
    Field("metadata.product.version", "keyword", '"0.1.0"', "Lapwing's version"),
    Field("metadata.profiles[]", "keyword", '"security_control"', "always security_control"),
    Field("metadata.tenant_uid", "keyword", '"acme"', "the tenant"),
    Field("metadata.event_code", "keyword", '"brute_force_user"', "the detection's id"),
    Field(
        "metadata.correlation_uid",
        "keyword",
        '"15464f0d298b876feaa7b36fdab7fab4"',
        "the incident that stands for the attack",
    ),
    Field("metadata.sequence", "long", "0", "number of the message in the incident's life"),
    Field("metadata.processed_time", "date", "1796023263167", "wall clock", "ms"),
    Field("unmapped.seq", "long", "0", "the same as `metadata.sequence`"),
    Field("unmapped.detection", "keyword", '"brute_force_user"', "the detection's id"),
    Field("unmapped.dimension", "keyword", '"user"', "ip, user, endpoint, tenant, source, or two of them"),
    Field("unmapped.entity", "keyword", '"sam@example.com"', "the entity"),
    Field("unmapped.entities.ip", "keyword", '"203.0.113.7"', "the address of an entity of two dimensions"),
    Field("unmapped.entities.user", "keyword", '"sam@example.com"', "its user"),
    Field("unmapped.entities.endpoint", "keyword", '"/v2/auth/login"', "its endpoint"),
    Field("unmapped.feature", "keyword", '"failures_10m"', "what was measured"),
    Field("unmapped.window_s", "long", "600", "its window", "s"),
    Field("unmapped.value", "float", "10.0", "the value at the crossing", "the feature's"),
    Field("unmapped.limit", "float", "10.0", "the least value that crosses", "the feature's"),
    Field("unmapped.expected", "float", "1.208572506904602", "the baseline, where one was learned", "the feature's"),
    Field("unmapped.z", "float", "35.29", "distance from it"),
    Field("unmapped.failed_users", "long", "1", "distinct accounts that failed there"),
    Field("unmapped.succeeded_users", "long", "0", "distinct accounts that succeeded there"),
    Field("unmapped.related", "long", "1", "how many incidents the attack has besides"),
    Field("unmapped.digest", "long", "12", "how many incidents a digest stands for"),
    Field("unmapped.reasons[].feature", "keyword", '"calls"', "what made behaviour strange"),
    Field("unmapped.reasons[].observed", "float", "0.98", "from 0 (usual) to 1"),
    Field("unmapped.reasons[].typical", "float", "0.02", "what is typical"),
    Field("unmapped.reasons[].drop", "float", "0.31", "by how much the score falls without it"),
)
"""An alert: an OCSF 1.8.0 Detection Finding."""
