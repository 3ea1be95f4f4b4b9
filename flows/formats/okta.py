"""The format `okta`: records of the Okta System Log, from its API, a log stream or an event hook."""

from functools import lru_cache
from typing import Any, Final

from flows.formats.members_of import Record, change, entries, members, normal, spelled, text, utc
from flows.formats.okta_events import ACTIONS, ACTORS, DECIDED, OUTCOMES, REASONS
from flows.formats.reads import ONLY, Reads, paths
from flows.formats.source_format import SourceFormat

_NAMES: Final = {
    name.lower(): name
    for name in (
        "eventType", "legacyEventType", "displayMessage", "authenticationContext", "securityContext", "debugContext",
    )
}  # fmt: skip
_OF_ONESELF: Final = frozenset({"login", "logout", "mfa_challenge", "token_issue", "token_refresh"})
_UNKNOWN: Final = frozenset({None, "", "unknown", "Unknown"})
_DEBUG_SECRETS: Final = ("url", "state", "stateToken", "sessionToken", "clientSecret", "privateKey", "cookie")


@lru_cache(2048)
def _action(kind: str) -> str:
    """The action of an event type: its own, or that of its longest prefix in the table."""
    for _ in range(8):
        if kind in ACTIONS:
            return ACTIONS[kind]
        kind = kind.rpartition(".")[0]
    return "other"


def _known(value: Any) -> bool:
    return type(value) is str and value not in _UNKNOWN


class Okta:
    """The Okta System Log. Whom an event is about is its first target of type User, of a login the actor.

    A login writes several records: `user.session.start` is the login, a factor's verification is `mfa_challenge`, the
    policy's verdict and delegated authentication are `other`; `request_id` is common to them. It **fails** to tell
    organisations apart, because the log does not name its own: give each its topic and a constant tenant.

    Examples
    --------
    >>> record = {"eventType": "user.session.start", "published": "2026-11-23T05:00:00Z",
    ...           "actor": {"id": "00u1", "type": "User", "alternateId": "Sam@example.com"},
    ...           "outcome": {"result": "FAILURE", "reason": "INVALID_CREDENTIALS"}}
    >>> found = OKTA.event(record)
    >>> found["action"], found["outcome"], found["reason"], found["username"]
    ('login', 'failure', 'bad_credentials', 'sam@example.com')
    """

    type = "okta"
    secrets: tuple[tuple[str, ...], ...] = (
        *(("debugContext", "debugData", name) for name in _DEBUG_SECRETS),
        *(("debugcontext", "debugData", name) for name in _DEBUG_SECRETS),
        ("target", "*", "detailEntry", "clientSecret"),
    )
    reads: Reads | None = Reads(
        carried=(
            *paths("uuid actor.id actor.alternateId client.ipAddress client.userAgent.rawUserAgent"),
            *paths("country city geolocation.lat geolocation.lon", "client.geographicalContext"),
            *paths("securityContext.asNumber authenticationContext.externalSessionId"),
            *paths("id detail.requestApiTokenId", "transaction"),
            *paths("dtHash deviceFingerprint requestUri", "debugContext.debugData"),
            *(("target", ONLY, name) for name in ("id", "alternateId", "displayName")),
        ),
        times=paths("published"),
        decisive=(
            *paths("eventType actor.type outcome.result outcome.reason securityContext.isProxy"),
            *paths("debugContext.debugData.factor"),
            ("target", ONLY, "type"),
        ),
        refused=paths("eventtype actorId sourceIP"),
        words=("unknown",),
        whole=frozenset({"profile_update", "email_change"}),
    )

    def matches(self, record: Record) -> bool:
        """By `eventType` and `actor`, in Okta's spelling, in lower case, or flattened (`actorId`)."""
        if "eventType" in record:
            return "actor" in record or "actorId" in record
        return "eventtype" in record and "actor" in record

    def event(self, record: Record) -> Record:
        """Canonical members of one record.

        Cost: about 4 microseconds.
        """
        if "eventType" not in record and "eventtype" in record:
            record = spelled(record, _NAMES)
        elif "actorId" in record or "sourceIP" in record:
            record = _nested(record)
        kind = text(record, "eventType")
        action = _action(kind) if len(kind) <= 128 else "other"
        debug = members(members(record, "debugContext"), "debugData")
        factor = debug.get("factor")
        if action == "mfa_challenge" and factor == "PASSWORD_AS_FACTOR":
            action = "other"  # the first step of the login that `user.session.start` records
        event: Record = {"action": action}
        if (value := record.get("published")) is not None:
            event["time"] = utc(value)
        if (value := record.get("uuid")) is not None:
            event["id"] = value
        _people(event, record, action)
        _result(event, record, kind)
        client = members(record, "client")
        if (value := client.get("ipAddress")) is not None:
            event["ip"] = value
        if (value := members(client, "userAgent").get("rawUserAgent")) is not None:
            event["user_agent"] = value
        place = members(client, "geographicalContext")
        if place:
            _where(event, place)
        security = members(record, "securityContext")
        if security:
            if (value := security.get("asNumber")) is not None:
                event["asn"] = value
            if security.get("isProxy") is True:
                event["ip_type"] = "proxy"
        session = members(record, "authenticationContext").get("externalSessionId")
        if session is not None and session != "unknown":
            event["session"] = session
        transaction = members(record, "transaction")
        if (value := transaction.get("id")) is not None:
            event["request_id"] = value
        if (value := members(transaction, "detail").get("requestApiTokenId")) is not None:
            event["api_key"] = value
        if debug:
            if (value := debug.get("dtHash") or debug.get("deviceFingerprint")) is not None:
                event["device"] = value
            if (value := debug.get("requestUri")) is not None:
                event["endpoint"] = value
            if factor is not None:
                event["factor"] = factor
            attributes = debug.get("changedAttributes")
            if type(attributes) is str and action in ("profile_update", "email_change"):
                event["changes"] = [change(path.strip()) for path in attributes.split(",")[:64]]
        return event


def _nested(record: Record) -> Record:
    """A record whose members a query has made flat, as the System Log has it."""
    return {
        "actor": {"alternateId": record.get("actorId"), "type": "User"},
        "client": {"ipAddress": record.get("sourceIP"), "userAgent": {"rawUserAgent": record.get("userAgent")}},
        "outcome": {"result": record.get("result")},
        **record,
    }


def _people(event: Record, record: Record, action: str) -> None:
    """Whom the event is about, who did it, and the object of the call."""
    actor = members(record, "actor")
    identity, name = actor.get("id"), normal(actor.get("alternateId"))
    kind = actor.get("type")
    about: Record | None = None
    other: Record | None = None
    for target in entries(record, "target"):
        if type(target) is not dict:
            continue
        if target.get("type") == "User":
            about = about or target
        else:
            other = other or target
            if target.get("type") == "AppInstance" and (shown := target.get("displayName")) is not None:
                event["app"] = shown
    if about is None or action == "login":
        if kind == "User" or kind is None:
            if identity is not None and identity != "unknown":
                event["user"] = identity
            if _known(name):
                event["username"] = name
    else:
        if (value := about.get("id")) is not None:
            event["user"] = value
        if _known(value := normal(about.get("alternateId"))):
            event["username"] = value
    if action not in _OF_ONESELF:
        target = about or other
        if target is not None and (value := target.get("id")) is not None:
            event["target"] = value
    by = name if _known(name) else identity
    if by is not None and by != "unknown":
        event["actor"] = by
        if kind is not None:
            event["actor_type"] = ACTORS.get(kind, "service") if type(kind) is str else kind


def _result(event: Record, record: Record, kind: str) -> None:
    """How it went and why."""
    outcome = members(record, "outcome")
    result, said = outcome.get("result"), outcome.get("reason")
    word = OUTCOMES.get(result, "unknown") if type(result) is str else "unknown"
    reason = REASONS.get(said, "other") if type(said) is str else ""
    if kind in DECIDED:
        word, decided = DECIDED[kind]
        reason = decided or reason
    event["outcome"] = word
    if word == "success" or word == "unknown" or word == "challenge":
        return
    if event["action"] == "mfa_challenge":
        reason = reason if reason == "mfa_denied" or reason == "locked" or reason == "expired" else "mfa_failed"
    elif event["action"] == "login" and "user" not in event and reason in ("bad_credentials", "other"):
        reason = "unknown_user"  # Okta names an actor whom it does not know "unknown"
    elif result == "RATE_LIMIT":
        reason = "rate_limited"
    elif word == "blocked" and not reason:
        reason = "forbidden"
    event["reason"] = reason or "other"
    if said is not None:
        event["error_code"] = said


def _where(event: Record, place: Record) -> None:
    if (value := place.get("country")) is not None:
        event["country"] = value
    if (value := place.get("city")) is not None:
        event["city"] = value
    point = members(place, "geolocation")
    if (value := point.get("lat")) is not None:
        event["lat"] = value
    if (value := point.get("lon")) is not None:
        event["lon"] = value


OKTA: Final[SourceFormat] = Okta()
