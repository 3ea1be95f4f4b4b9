"""The format `keycloak`: user events and admin events of Keycloak, as its event listeners write them."""

from typing import Any, Final

from flows.formats.keycloak_events import ERRORS, FACTORS, RESOURCES, SUB_RESOURCES, TYPES
from flows.formats.members_of import MOST_CHANGES, Record, change, fields, members, normal, parsed, text
from flows.formats.reads import Reads, paths
from flows.formats.source_format import SourceFormat

_FAILURES_OF_FACTOR: Final = frozenset({"invalid_user_credentials", "invalid_token", "invalid_code"})


class Keycloak:
    """User events (`type`) and admin events (`operationType`) of Keycloak.

    An unknown user has no `userId`: then `details.username` is what was typed. Of an admin event `authDetails` is who
    did it and `resourcePath` to what; `representation` says what it was set to. It **cannot** know a user agent, a
    country or, of an admin, the name: Keycloak writes none of them, so an administrator is an id.

    Examples
    --------
    >>> found = KEYCLOAK.event({"time": 1795409999871, "type": "LOGIN_ERROR", "realmId": "demo", "userId": None,
    ...                         "error": "user_not_found", "details": {"username": "Nobody"}})
    >>> found["action"], found["outcome"], found["reason"], found["username"]
    ('login', 'failure', 'unknown_user', 'nobody')
    """

    type = "keycloak"
    secrets: tuple[tuple[str, ...], ...] = (
        ("representation", "credentials"),
        ("representation", "value"),
        ("representation", "secret"),
        ("representation", "secretData"),
        ("representation", "password"),
        ("representation", "registrationAccessToken"),
        ("representation", "config", "clientSecret"),
        ("representation", "config", "bindCredential"),
        ("representation", "config", "privateKey"),
        ("representation", "smtpServer", "password"),
        ("representation", "attributes", "client.secret.rotated"),
        ("representation", "*", "credentials"),
        ("representation", "*", "secret"),
        ("representation", "*", "value"),
        ("details", "code"),
        ("details", "token"),
        ("details", "refresh_token"),
        ("details", "access_token"),
        ("details", "client_secret"),
    )
    reads: Reads | None = Reads(
        carried=(
            *paths("time id realmName realmId userId ipAddress clientId sessionId"),
            *paths("username impersonator code_id", "details"),
        ),
        times=(),
        decisive=paths("type error details.credential_type"),
        refused=paths("operationType"),
        whole=frozenset({"profile_update", "email_change"}),
    )

    def matches(self, record: Record) -> bool:
        """By `realmId` or `realmName` beside `type` (a user event) or `operationType` (an admin event)."""
        return ("realmId" in record or "realmName" in record) and (
            "operationType" in record or ("type" in record and "time" in record)
        )

    def event(self, record: Record) -> Record:
        """Canonical members of one event.

        Cost: below 2 microseconds a user event, 3 to 8 an admin event, by its representation.
        """
        event: Record = {}
        if (value := record.get("time")) is not None:
            event["time"] = value
        if (value := record.get("id")) is not None:
            event["id"] = value
        if (value := record.get("realmName") or record.get("realmId")) is not None:
            event["tenant"] = value
        error = text(record, "error")
        if error:
            event["reason"] = ERRORS.get(error, "other")
            event["error_code"] = error
        if "operationType" in record:
            event["outcome"] = "failure" if error else "success"
            _administration(event, record)
        else:
            _user_event(event, record, error)
        return event


def _user_event(event: Record, record: Record, error: str) -> None:
    kind = text(record, "type")
    failed = kind.endswith("_ERROR")
    done = kind.removesuffix("_ERROR")
    action = TYPES.get(done, "other")
    details = members(record, "details")
    if not failed and not error:
        event["outcome"] = "success"
    else:
        event["outcome"] = "failure"
        event.setdefault("reason", "other")
    factor = details.get("credential_type")
    if factor is not None:
        event["factor"] = factor
        if action == "login" and failed and type(factor) is str and factor in FACTORS:
            action = "mfa_challenge"
            if error in _FAILURES_OF_FACTOR:
                event["reason"] = "mfa_failed"
    event["action"] = action
    identity = record.get("userId")
    if identity is not None:
        event["user"] = identity
        if action == "account_delete":
            event["target"] = identity
    if (value := details.get("username")) is not None:
        event["username"] = normal(value)
    if done == "IMPERSONATE" and (value := details.get("impersonator")) is not None:
        event["actor"] = normal(value)
    if action == "token_issue" and done == "CLIENT_LOGIN":
        event["actor_type"] = "service"
    if (value := record.get("ipAddress")) is not None:
        event["ip"] = value
    if (value := record.get("clientId")) is not None:
        event["app"] = value
    if (value := record.get("sessionId")) is not None:
        event["session"] = value
    if (value := details.get("code_id")) is not None:
        event["request_id"] = value
    if details and (action == "profile_update" or action == "email_change"):
        changes = _updated(details)
        if changes:
            event["changes"] = changes


def _updated(details: Record) -> list[Record]:
    """The changes among an event's details: `previous_email` and `updated_email` are one."""
    old: Record = {}
    new: Record = {}
    for name, value in details.items():
        if name.startswith("previous_"):
            old[name[9:]] = value
        elif name.startswith("updated_"):
            new[name[8:]] = value
        if len(old) + len(new) >= MOST_CHANGES:
            break
    return [change(path, old.get(path), new.get(path)) for path in {**old, **new}]


def _administration(event: Record, record: Record) -> None:
    """An admin event: who did what to which resource, and what it was set to."""
    caller = members(record, "authDetails")
    if (value := caller.get("userId")) is not None:
        event["actor"] = value
        event["actor_type"] = "admin"
    if (value := caller.get("ipAddress")) is not None:
        event["ip"] = value
    if (value := caller.get("clientId")) is not None:
        event["app"] = value
    operation = text(record, "operationType")
    resource = text(record, "resourceType") or text(record, "resourceTypeAsString")
    path = text(record, "resourcePath")[:1024].split("/")
    target = path[1] if len(path) > 1 else path[0]
    representation = parsed(record.get("representation"))
    action = _administered(operation, resource, path, representation)
    event["action"] = action
    if target:
        event["target"] = target
    if path[0] == "users" and len(path) > 1:
        event["user"] = target
        name = representation.get("username") if type(representation) is dict and len(path) == 2 else None
        if name is not None:
            event["username"] = normal(name)
    elif (value := caller.get("userId")) is not None:
        event["user"] = value
    changes = _set_to(representation)
    if changes and operation != "DELETE":
        event["changes"] = changes


def _administered(operation: str, resource: str, path: list[str], representation: Any) -> str:
    sub = SUB_RESOURCES.get(path[2]) if len(path) > 2 else None
    if sub is not None:
        return sub
    if resource == "USER" and len(path) <= 2:
        if operation == "CREATE":
            return "register"
        if operation == "DELETE":
            return "account_delete"
        if type(representation) is dict and representation.get("enabled") is False:
            return "account_lock"
    return RESOURCES.get(resource, "api_call")


def _set_to(representation: Any) -> list[Record]:
    """A representation as changes; of a list (roles given, for example) the names."""
    if type(representation) is list:
        named = (entry.get("name") for entry in representation[:MOST_CHANGES] if type(entry) is dict)
        return [change("name", None, name) for name in named if type(name) is str]
    return fields(representation)


KEYCLOAK: Final[SourceFormat] = Keycloak()
