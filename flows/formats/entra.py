"""The format `entra`: sign-in and audit logs of Microsoft Entra ID, from diagnostic settings or Microsoft Graph."""

from typing import Any, Final

from flows.formats.entra_events import ACTIVITIES, CATEGORIES, RESULTS, SECOND_FACTOR, SIGN_INS
from flows.formats.members_of import (
    MOST_CHANGES,
    Record,
    change,
    code,
    entries,
    members,
    normal,
    parsed,
    plain,
    spelled,
    text,
    utc,
)
from flows.formats.reads import LAST, Reads, paths
from flows.formats.source_format import SourceFormat

_NAMES: Final = {
    name.lower(): name
    for name in (
        "callerIpAddress", "correlationId", "operationName", "resourceId", "resultType", "resultSignature",
        "resultDescription", "tenantId", "durationMs",
    )
}  # fmt: skip
_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_ABOUT_ACTOR: Final = frozenset({"role_change", "policy_change", "api_key_change", "data_export", "other"})
_SECRET_KEYS: Final = ("SecretKey", "OathSecretKey", "DeviceToken", "Password")
_AUDIT_OUTCOMES: Final = {
    "success": "success", "failure": "failure", "failed": "failure", "timeout": "failure", "clienterror": "failure",
}  # fmt: skip


class Entra:
    """Sign-ins (users', services', managed identities') and the audit log of Microsoft Entra ID.

    A sign-in is judged by its code: 50126 is a wrong password, 50074 asks for a second factor and is no failure. What
    nobody sat before (non-interactive, service principals) is `token_issue`. It **fails** to name the user where Entra
    hides what was typed, and audit records of applications have no address.

    Examples
    --------
    >>> record = {"time": "2026-11-23T05:00:00Z", "category": "SignInLogs", "operationName": "Sign-in activity",
    ...           "resultType": "50126", "properties": {"userPrincipalName": "Sam@example.com"}}
    >>> found = ENTRA.event(record)
    >>> found["action"], found["outcome"], found["reason"], found["username"]
    ('login', 'failure', 'bad_credentials', 'sam@example.com')
    """

    type = "entra"
    secrets: tuple[tuple[str, ...], ...] = tuple(
        (*before, "targetResources", "*", "modifiedProperties", "*", value, *into, name)
        for before in ((), ("properties",))
        for value in ("oldValue", "newValue")
        for into in ((), ("*",))
        for name in _SECRET_KEYS
    )
    reads: Reads | None = Reads(
        carried=(
            *paths("callerIpAddress resultDescription"),
            *paths("tenantId id correlationId ipAddress userPrincipalName userId servicePrincipalId", "", "properties"),
            *paths("appDisplayName servicePrincipalName appId userAgent sessionId", "", "properties"),
            *paths("autonomousSystemNumber deviceDetail.deviceId status.failureReason", "", "properties"),
            *paths("countryOrRegion city geoCoordinates.latitude", "location", "properties.location"),
            *paths("geoCoordinates.longitude", "location", "properties.location"),
            *((*path, LAST, "authenticationMethod") for path in paths("authenticationDetails", "", "properties")),
        ),
        times=paths("time createdDateTime properties.createdDateTime"),
        decisive=paths("resultType category status.errorCode properties.status.errorCode"),
        refused=(
            *paths("operationname"),
            *paths("initiatedBy activityDisplayName targetResources", "", "properties"),
        ),
        words=(_NOBODY,),
    )

    def matches(self, record: Record) -> bool:
        """By the envelope of a diagnostic setting, or by the members of Graph's `signIn` and `directoryAudit`."""
        if "properties" in record:
            return ("operationName" in record or "operationname" in record) and "category" in record
        if "activityDisplayName" in record:
            return "initiatedBy" in record
        return "createdDateTime" in record and "appId" in record and "status" in record

    def event(self, record: Record) -> Record:
        """Canonical members of one record.

        Cost: 3 to 4 microseconds a sign-in, 5 an audit record.
        """
        if "operationname" in record:
            record = spelled(record, _NAMES)
        properties = members(record, "properties") or record
        event: Record = {}
        if (value := record.get("tenantId") or properties.get("tenantId")) is not None:
            event["tenant"] = value
        if (value := properties.get("id")) is not None:
            event["id"] = value
        if (value := properties.get("correlationId") or record.get("correlationId")) is not None:
            event["request_id"] = value
        if "initiatedBy" in properties or "activityDisplayName" in properties or "targetResources" in properties:
            _audit(event, record, properties)
        else:
            _sign_in(event, record, properties)
        return event


def _sign_in(event: Record, record: Record, properties: Record) -> None:
    category = text(record, "category")
    status = members(properties, "status")
    found = code(record, "resultType") or code(status, "errorCode")
    event["action"] = "mfa_challenge" if found in SECOND_FACTOR else SIGN_INS.get(category, "login")
    event["outcome"], reason = RESULTS.get(found, ("failure", "other"))
    if reason:
        event["reason"] = reason
        event["error_code"] = found
        if (value := status.get("failureReason") or record.get("resultDescription")) is not None:
            event["error"] = value
    if (value := properties.get("createdDateTime") or record.get("time")) is not None:
        event["time"] = utc(value)
    if (value := properties.get("ipAddress") or record.get("callerIpAddress")) is not None:
        event["ip"] = value
    name = properties.get("userPrincipalName")
    if name is None or name == "":
        if (value := properties.get("userId") or properties.get("servicePrincipalId")) is not None:
            event["user"] = value
        if "servicePrincipalId" in properties and not properties.get("userId"):
            event["actor_type"] = "service"
    else:
        event["username"] = normal(name)
        if (value := properties.get("userId")) is not None and value != "" and value != _NOBODY:
            event["user"] = value
    app = properties.get("appDisplayName") or properties.get("servicePrincipalName") or properties.get("appId")
    if app is not None:
        event["app"] = app
    if (value := properties.get("userAgent")) is not None:
        event["user_agent"] = value
    if (value := properties.get("sessionId")) is not None:
        event["session"] = value
    if (value := properties.get("autonomousSystemNumber")) is not None:
        event["asn"] = value
    if (value := members(properties, "deviceDetail").get("deviceId")) is not None and value != "":
        event["device"] = value
    place = members(properties, "location")
    if place:
        _where(event, place)
    if (value := _factor(properties)) is not None:
        event["factor"] = value


def _factor(properties: Record) -> Any:
    """The method of the last step, as Entra names it."""
    for step in reversed(entries(properties, "authenticationDetails")):
        return step.get("authenticationMethod") if type(step) is dict else None
    return None


def _where(event: Record, place: Record) -> None:
    if (value := place.get("countryOrRegion")) is not None:
        event["country"] = value
    if (value := place.get("city")) is not None:
        event["city"] = value
    point = members(place, "geoCoordinates")
    if (value := point.get("latitude")) is not None:
        event["lat"] = value
    if (value := point.get("longitude")) is not None:
        event["lon"] = value


def _audit(event: Record, record: Record, properties: Record) -> None:
    activity = text(record, "operationName") or text(properties, "activityDisplayName")
    category = text(properties, "category") or text(record, "category")
    action = ACTIVITIES.get(activity.lower()) or CATEGORIES.get(category, "other")
    event["action"] = action
    outcome = _AUDIT_OUTCOMES.get(text(properties, "result").lower(), "unknown")
    event["outcome"] = outcome
    if outcome == "failure":
        event["reason"] = "other"
        if (value := properties.get("resultReason")) is not None:
            event["error"] = value
    if (value := properties.get("activityDateTime") or record.get("time")) is not None:
        event["time"] = utc(value)
    initiator = members(properties, "initiatedBy")
    person, program = members(initiator, "user"), members(initiator, "app")
    more = _additional(properties)
    if (value := person.get("ipAddress") or record.get("callerIpAddress") or more.get("ipaddr")) is not None:
        event["ip"] = value
    name, identity = normal(person.get("userPrincipalName")), person.get("id")
    by = name or identity or program.get("servicePrincipalId") or program.get("displayName")
    if by is not None:
        event["actor"] = by
        event["actor_type"] = "user" if person else "service"
    if (value := program.get("displayName")) is not None:
        event["app"] = value
    about: Record | None = None
    first: Record | None = None
    changes: list[Record] = []
    for target in entries(properties, "targetResources"):
        if type(target) is not dict:
            continue
        first = first or target
        if target.get("type") == "User" and about is None:
            about = target
        if len(changes) < MOST_CHANGES:
            _changes(changes, entries(target, "modifiedProperties"))
    if changes:
        event["changes"] = changes
    target = about or first
    if target is not None and (value := target.get("id")) is not None:
        event["target"] = value
    if about is not None and action not in _ABOUT_ACTOR:
        if (value := about.get("id")) is not None:
            event["user"] = value
        value = about.get("userPrincipalName") or more.get("invitedUserEmailAddress")
        if value is not None and action != "account_delete":  # a deleted user's name has its id before it
            event["username"] = normal(value)
    else:
        if identity is not None:
            event["user"] = identity
        if name is not None and name != "":
            event["username"] = name


def _additional(properties: Record) -> Record:
    """The additional details by their keys."""
    return {
        entry["key"]: entry.get("value")
        for entry in entries(properties, "additionalDetails")[:64]
        if type(entry) is dict and type(entry.get("key")) is str
    }


def _changes(changes: list[Record], properties: list[Any]) -> None:
    for modified in properties[: MOST_CHANGES - len(changes)]:
        if type(modified) is dict and (path := text(modified, "displayName")):
            old, new = parsed(modified.get("oldValue")), parsed(modified.get("newValue"))
            changes.append(change(path, plain(old), plain(new)))


ENTRA: Final[SourceFormat] = Entra()
