"""The format `auth0`: records of an Auth0 tenant's log, as a log stream or the Management API gives them."""

from typing import Any, Final
from urllib.parse import unquote

from flows.formats.auth0_events import CODES, MANAGEMENT, OPERATIONS, RESOURCES, Meaning
from flows.formats.members_of import Record, change, fields, members, normal, text, utc
from flows.formats.reads import Reads, paths
from flows.formats.source_format import SourceFormat

_OTHER: Final[Meaning] = ("other", "unknown", "")
_ABOUT_USER: Final = frozenset({"register", "profile_update", "email_change", "password_change"})
_CHANGED: Final = {"scu": "username", "sce": "email", "scpn": "phone_number", "sv": "email_verified"}
_FACTORS: Final = {"gd_send_pn": "push", "gd_send_sms": "sms", "gd_send_email": "email", "gd_send_voice": "voice"}
_SECRETS: Final = (
    ("details", "*", "password"),
    ("details", "request", "body", "password"),
    ("details", "request", "body", "client_secret"),
    ("details", "request", "body", "refresh_token"),
    ("details", "request", "body", "access_token"),
    ("details", "request", "body", "credentials"),
    ("details", "request", "body", "options", "client_secret"),
    ("details", "request", "body", "options", "configuration"),
    ("details", "request", "body", "verify_password"),
    ("details", "request", "body", "secrets"),
    ("details", "request", "headers", "authorization"),
    ("details", "request", "headers", "cookie"),
    ("details", "request", "query", "access_token"),
    ("details", "request", "query", "code"),
    ("details", "response", "body", "client_secret"),
    ("details", "response", "body", "access_token"),
    ("details", "response", "body", "refresh_token"),
    ("details", "response", "body", "id_token"),
    ("details", "response", "body", "signing_keys"),
    ("details", "response", "body", "ticket"),
    ("details", "response", "body", "invitation_url"),
    ("details", "response", "body", "ticket_id"),
    ("details", "response", "body", "*", "client_secret"),
    ("details", "response", "body", "*", "signing_keys"),
    ("details", "accessToken"),
    ("details", "access_token"),
    ("details", "refresh_token"),
    ("details", "code"),
    ("details", "link"),
)


class Auth0:
    """The log of an Auth0 tenant, with or without the log stream's envelope `data`.

    Of the Management API (`sapi`, `fapi`) the method and path say what was done, and who called is the actor. It
    **fails** to see an address where a rule or an action wrote the record, and the host name is never the tenant,
    because whoever fails a login may choose it.

    Examples
    --------
    >>> found = AUTH0.event({"log_id": "9", "data": {"type": "fu", "date": "2026-11-23T05:00:00Z",
    ...                      "ip": "203.0.113.7", "user_name": "Nobody@example.com"}})
    >>> found["action"], found["reason"], found["username"]
    ('login', 'unknown_user', 'nobody@example.com')
    """

    type = "auth0"
    secrets: tuple[tuple[str, ...], ...] = (*_SECRETS, *(("data", *path) for path in _SECRETS))
    reads: Reads | None = Reads(
        carried=(
            *paths("log_id tenant_name ip user_agent client_name client_id session_id user_id user_name"),
            *paths("country_code city_name latitude longitude", "location_info"),
            *paths("session_id elapsedTime request.auth.user.user_id request.auth.user.email", "details"),
        ),
        times=paths("date"),
        decisive=(
            *paths("type description strategy_type"),
            *paths("request.method request.path request.body response.statusCode response.body", "details"),
        ),
        refused=paths("data"),
    )

    def matches(self, record: Record) -> bool:
        """By `type` and `date` beside one of Auth0's own members, at the top or in `data`."""
        if "type" not in record or "date" not in record:
            record = members(record, "data")
        return "type" in record and "date" in record and ("log_id" in record or "client_id" in record)

    def event(self, record: Record) -> Record:
        """Canonical members of one record.

        Cost: 2 to 3 microseconds a login, 6 a call of the Management API.
        """
        log = record
        if "type" not in record:
            log = members(record, "data")
        kind = text(log, "type")
        action, outcome, reason = CODES.get(kind, _OTHER)
        event: Record = {"action": action, "outcome": outcome}
        if reason:
            event["reason"] = reason
            event["error_code"] = kind
            if (value := log.get("description")) is not None:
                event["error"] = value
        if (value := log.get("date")) is not None:
            event["time"] = utc(value)
        if (value := log.get("log_id")) is not None or (value := record.get("log_id")) is not None:
            event["id"] = value
        if (value := log.get("tenant_name")) is not None:
            event["tenant"] = value
        if (value := log.get("ip")) is not None:
            event["ip"] = value
        if (value := log.get("user_agent")) is not None:
            event["user_agent"] = value
        if (value := log.get("client_name") or log.get("client_id")) is not None:
            event["app"] = value
        if (value := log.get("session_id")) is not None:
            event["session"] = value
        place = members(log, "location_info")
        if place:
            _where(event, place)
        details = members(log, "details")
        if kind in MANAGEMENT:
            _call(event, log, details)
            return event
        if (value := log.get("user_id")) is not None and value != "":
            event["user"] = value
            if action == "account_delete":
                event["target"] = value
        if (value := log.get("user_name")) is not None and value != "":
            event["username"] = normal(value)
        if details:
            if (value := details.get("session_id")) is not None:
                event["session"] = value
            if (value := details.get("elapsedTime")) is not None:
                event["latency_ms"] = value
            if kind in _CHANGED:
                event["changes"] = [change(_CHANGED[kind])]
        if kind in _FACTORS:
            event["factor"] = _FACTORS[kind]
        elif log.get("strategy_type") == "database" and action == "login":
            event["factor"] = "password"
        return event


def _call(event: Record, log: Record, details: Record) -> None:
    """A call of the Management API: who called, what it did, to whom."""
    request, response = members(details, "request"), members(details, "response")
    method, path = text(request, "method").upper(), text(request, "path")
    status = response.get("statusCode")
    if status is not None:
        event["status"] = status
        if type(status) is int and event["outcome"] != "unknown":
            _judge(event, status)
    if method:
        event["method"] = method
    if path:
        event["endpoint"] = path
    caller = members(members(request, "auth"), "user")
    identity, name = log.get("user_id") or caller.get("user_id"), normal(caller.get("email") or log.get("user_name"))
    if (by := name or identity or log.get("client_id")) is not None:
        event["actor"] = by
        event["actor_type"] = "user" if name else "service"
    action, target = _done(method, path, members(request, "body"))
    action = OPERATIONS.get(text(log, "description"), action)
    event["action"] = action
    body = request.get("body")
    if target:
        event["target"] = target
    if action in _ABOUT_USER:
        made = members(response, "body")
        if (value := target or made.get("user_id")) is not None:
            event["user"] = event["target"] = value
        if (value := members(request, "body").get("email") or made.get("email")) is not None:
            event["username"] = normal(value)
    else:
        if identity is not None:
            event["user"] = identity
        if name is not None:
            event["username"] = name
    if method in ("PATCH", "PUT", "POST") and (changes := fields(body)):
        event["changes"] = changes


def _judge(event: Record, status: int) -> None:
    """The answer's status before the code: Auth0 calls a refused call a success of its API now and then."""
    if status < 400:
        event["outcome"] = "success"
        event.pop("reason", None)
        event.pop("error_code", None)
        event.pop("error", None)
        return
    event["outcome"] = "blocked" if status == 429 else "failure"
    event["reason"] = _REASONS.get(status, "server_error" if status >= 500 else "other")


_REASONS: Final = {401: "bad_credentials", 403: "forbidden", 404: "not_found", 429: "rate_limited"}


def _done(method: str, path: str, body: Record) -> tuple[str, Any]:
    """What a call does, and the identifier of its object."""
    segments = path.strip("/").split("/", 8) if len(path) <= 1024 else []
    while segments and segments[0] in ("api", "v2"):
        segments = segments[1:]
    if not segments:
        return "api_call", None
    if method == "GET" or method == "HEAD":
        return "data_read", None
    resource = segments[0]
    identity = unquote(segments[1]) if len(segments) > 1 else None
    for part in segments[1:4]:
        if (action := RESOURCES.get((resource, part))) is not None:
            return action, identity if part != segments[1] else None
    action = RESOURCES.get((resource,), "api_call")
    if resource == "users":
        if method == "DELETE" and len(segments) == 2:
            return "account_delete", identity
        if method == "POST" and len(segments) == 1:
            return "register", None
        if "blocked" in body:
            return "account_lock" if body["blocked"] else "account_unlock", identity
        if "password" in body:
            return "password_change", identity
        if "email" in body:
            return "email_change", identity
    return action, identity


def _where(event: Record, place: Record) -> None:
    for name, member in (
        ("country", "country_code"), ("city", "city_name"), ("lat", "latitude"), ("lon", "longitude"),
    ):  # fmt: skip
        if (value := place.get(member)) is not None:
            event[name] = value


AUTH0: Final[SourceFormat] = Auth0()
