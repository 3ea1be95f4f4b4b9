"""The format `ocsf`: events of the Open Cybersecurity Schema Framework 1.x that are about identities and calls."""

from typing import Any, Final

from flows.formats.members_of import Record, code, entries, members, normal, text, utc
from flows.formats.reads import ONLY, Reads, each, paths
from flows.formats.source_format import SourceFormat

_ACTIONS: Final[dict[int, dict[int, str]]] = {
    3001: {
        1: "register", 2: "account_unlock", 3: "password_change", 4: "password_reset", 5: "account_lock",
        6: "account_delete", 7: "role_change", 8: "role_change", 9: "account_lock", 10: "profile_update",
        11: "profile_update", 12: "account_unlock",
    },
    3002: {
        1: "login", 2: "logout", 3: "token_issue", 4: "token_issue", 5: "token_refresh", 6: "login", 7: "login",
    },
    3003: {1: "role_change", 2: "role_change"},
    3004: {
        1: "register", 2: "data_read", 3: "profile_update", 4: "account_delete", 5: "other", 8: "account_unlock",
        9: "account_lock", 10: "account_unlock", 11: "account_lock", 12: "account_lock", 13: "account_unlock",
    },
    3005: {1: "role_change", 2: "role_change"},
    3006: {1: "role_change", 2: "role_change", 3: "role_change", 4: "role_change", 5: "role_change", 6: "role_change"},
    6003: {2: "data_read"},
    6005: {1: "data_read", 4: "data_read", 8: "data_read"},
}  # fmt: skip
"""By class and activity; any other activity of 6003 and 6005 is `api_call`, of the rest `other`."""

_CALLS: Final = frozenset({6003, 6005})
_REASONS: Final = (
    ("unknown user", "unknown_user"), ("user not found", "unknown_user"), ("no such user", "unknown_user"),
    ("does not exist", "unknown_user"), ("invalid user", "unknown_user"), ("credential", "bad_credentials"),
    ("password", "bad_credentials"), ("locked", "locked"), ("disabled", "locked"), ("expired", "expired"),
    ("mfa", "mfa_failed"), ("denied", "forbidden"), ("unauthorized", "forbidden"), ("throttl", "rate_limited"),
    ("rate", "rate_limited"),
)  # fmt: skip
"""What `status_detail` or `status_code` says, in the order in which it is looked for."""
_ACTORS: Final = {1: "user", 2: "admin", 3: "system", 4: "service"}


class OcsfEvents:
    """OCSF 1.x events in: Authentication, Account Change, Authorize Session, Entity, User Access and Group Management,
    API and Datastore Activity.

    OCSF has no closed list of reasons: they are read from `status_detail` or `status_code`, and it **fails** where a
    source writes neither, or in another language. A wrong user name can then not be told from a wrong password.

    Examples
    --------
    >>> found = OCSF.event({"class_uid": 3002, "activity_id": 1, "status_id": 2, "time": 1795409999871,
    ...     "status_detail": "Invalid credentials", "user": {"name": "Sam", "uid": "u-1"},
    ...     "src_endpoint": {"ip": "203.0.113.7"}, "metadata": {"version": "1.3.0"}})
    >>> found["action"], found["outcome"], found["reason"], found["username"]
    ('login', 'failure', 'bad_credentials', 'sam')
    """

    type = "ocsf"
    secrets: tuple[tuple[str, ...], ...] = (
        ("session", "credential_uid"),
        ("actor", "session", "credential_uid"),
        ("http_request", "http_headers", "*", "value"),
        ("api", "request", "data", "password"),
        ("api", "response", "data", "password"),
    )

    reads: Reads | None = Reads(
        carried=(
            *paths("metadata.uid metadata.tenant_uid metadata.correlation_uid cloud.account.uid message"),
            *paths("uid email_addr name", "user", "actor.user", "entity.data"),
            *paths("actor.user.app.name session.uid actor.session.uid device.uid service.name"),
            *paths("ip autonomous_system.number location.country location.city", "src_endpoint"),
            *paths("location.lat location.long", "src_endpoint"),
            *each("src_endpoint.location.coordinates", 2),
            *paths("user_agent http_method url.path", "http_request"),
            *paths("api.request.uid api.response.code api.response.error http_response.code http_response.error"),
            ("resources", ONLY, "uid"),
            ("resources", ONLY, "name"),
            ("auth_factors", ONLY, "factor_type"),
        ),
        times=paths("time"),
        decisive=paths(
            "class_uid activity_id status_id disposition_id action_id status_detail status_code entity.type "
            "actor.user.type_id api.operation api.service.name"
        ),
    )

    def matches(self, record: Record) -> bool:
        """By `class_uid`, of the classes that are read, and `activity_id` or `type_uid`."""
        kind = record.get("class_uid")
        return type(kind) is int and kind in _ACTIONS and ("activity_id" in record or "type_uid" in record)

    def event(self, record: Record) -> Record:
        """Canonical members of one event.

        Cost: 3 to 4 microseconds.
        """
        kind, activity = record.get("class_uid"), record.get("activity_id")
        kind = kind if type(kind) is int else 0
        action = _ACTIONS.get(kind, {}).get(activity if type(activity) is int else 0)
        if kind == 3004 and members(record, "entity").get("type") not in _USERS:
            action = "data_read" if action == "data_read" else "api_call"
        event: Record = {"action": action or ("api_call" if kind in _CALLS else "other")}
        if (value := record.get("time")) is not None:
            event["time"] = utc(value)
        metadata = members(record, "metadata")
        if (value := metadata.get("uid")) is not None:
            event["id"] = value
        tenant = metadata.get("tenant_uid") or members(members(record, "cloud"), "account").get("uid")
        if tenant is not None:
            event["tenant"] = tenant
        if (value := metadata.get("correlation_uid")) is not None:
            event["request_id"] = value
        _people(event, record)
        _place(event, members(record, "src_endpoint"))
        request = members(record, "http_request")
        if (value := request.get("user_agent")) is not None:
            event["user_agent"] = value
        if (value := request.get("http_method")) is not None:
            event["method"] = value
        _call(event, record, members(request, "url"))
        _outcome(event, record)
        for factor in entries(record, "auth_factors")[:1]:
            if type(factor) is dict and (value := factor.get("factor_type")) is not None:
                event["factor"] = value
        return event


_USERS: Final = ("User", "user", "Account", "account")


def _people(event: Record, record: Record) -> None:
    """`user` is whom it is about, `actor.user` who did it."""
    by = members(members(record, "actor"), "user")
    about = members(record, "user") or members(members(record, "entity"), "data") or by
    session = members(record, "session") or members(members(record, "actor"), "session")
    if (value := about.get("uid")) is not None:
        event["user"] = value
        if by and about is not by:
            event["target"] = value
    if (value := about.get("email_addr") or about.get("name")) is not None:
        event["username"] = normal(value)
    if (value := by.get("email_addr") or by.get("name") or by.get("uid")) is not None:
        event["actor"] = normal(value)
    kind = by.get("type_id")
    if type(kind) is int and kind in _ACTORS:
        event["actor_type"] = _ACTORS[kind]
    if (value := session.get("uid")) is not None:
        event["session"] = value
    if (value := members(record, "device").get("uid")) is not None:
        event["device"] = value
    if (value := members(record, "service").get("name") or members(by, "app").get("name")) is not None:
        event["app"] = value


def _place(event: Record, source: Record) -> None:
    """Where it came from; `coordinates` are longitude and latitude, in this order."""
    if not source:
        return
    if (value := source.get("ip")) is not None:
        event["ip"] = value
    if (value := members(source, "autonomous_system").get("number")) is not None:
        event["asn"] = value
    place = members(source, "location")
    if (value := place.get("country")) is not None:
        event["country"] = value
    if (value := place.get("city")) is not None:
        event["city"] = value
    lat, lon = place.get("lat"), place.get("long")
    coordinates = entries(place, "coordinates")
    if lat is None and len(coordinates) == 2:
        lon, lat = coordinates
    if lat is not None and lon is not None:
        event["lat"], event["lon"] = lat, lon


def _call(event: Record, record: Record, url: Record) -> None:
    """The operation, and how it was answered."""
    api = members(record, "api")
    operation = api.get("operation")
    service = members(api, "service").get("name")
    if (value := url.get("path")) is not None:
        event["endpoint"] = value
    elif type(operation) is str:
        event["endpoint"] = f"/{service}/{operation}" if type(service) is str else f"/{operation}"
    if (value := members(api, "request").get("uid")) is not None:
        event["request_id"] = value
    response = members(api, "response") or members(record, "http_response")
    if (value := response.get("code")) is not None:
        event["status"] = value
    if (value := response.get("error")) is not None:
        event["error_code"] = value
    for resource in entries(record, "resources")[:1]:
        if type(resource) is dict and (value := resource.get("uid") or resource.get("name")) is not None:
            event["target"] = value


def _outcome(event: Record, record: Record) -> None:
    status, disposition = record.get("status_id"), record.get("disposition_id")
    if disposition == 2 or record.get("action_id") == 2:
        event["outcome"] = "blocked"
    elif status == 1:
        event["outcome"] = "success"
        return
    elif status == 2:
        event["outcome"] = "failure"
    else:
        if "status" not in event:
            event["outcome"] = "unknown"
        return
    detail, number = text(record, "status_detail"), code(record, "status_code")
    said = f"{detail[:256]} {number[:64]}".lower()
    event["reason"] = next((reason for word, reason in _REASONS if word in said), "other")
    if number:
        event["error_code"] = number
    message: Any = detail or record.get("message")
    if message is not None:
        event["error"] = message


OCSF: Final[SourceFormat] = OcsfEvents()
