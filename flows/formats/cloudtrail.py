"""The format `cloudtrail`: management, data and sign-in events of AWS CloudTrail."""

from functools import lru_cache
from typing import Any, Final

from flows.formats.cloudtrail_events import ACTORS, ERRORS, EVENTS, EXPORTS, READS
from flows.formats.members_of import Record, change, members, normal, text
from flows.formats.reads import Reads, paths
from flows.formats.source_format import SourceFormat

_ABOUT_USER: Final = frozenset({"register", "profile_update", "password_change", "password_reset"})
_OBJECTS: Final = (
    "userName", "roleName", "groupName", "policyArn", "accessKeyId", "instanceProfileName", "bucketName", "secretId",
    "name", "keyId", "trailName", "functionName", "groupId", "roleArn", "accountId",
)  # fmt: skip
"""Parameters that name a call's object; the first of these that is there counts."""
_SIGN_INS: Final = (
    "ConsoleLogin", "UserAuthentication", "CredentialVerification", "CredentialChallenge", "CheckMfa", "SwitchRole",
    "ExitRole", "RenewRole", "Logout", "SignOut", "GetSigninToken", "Federate", "Authenticate",
    "PasswordRecoveryRequested", "PasswordRecoveryCompleted",
)  # fmt: skip
"""Sign-in events that say how they went under their own names."""
_QUESTIONS: Final = frozenset({"CheckMfa", "CredentialChallenge"})
"""Sign-in events that ask, and that another one answers."""
_HIDDEN: Final = "HIDDEN_DUE_TO_SECURITY_REASONS"
_NO_USER: Final = "No username found in supplied account"
_TEMPORARY: Final = "ASIA"
"""With this begin the ids of keys that end with a session."""


@lru_cache(4096)
def _action(name: str) -> str:
    action = EVENTS.get(name)
    if action is not None:
        return action
    if name in EXPORTS:
        return "data_export"
    return "data_read" if name.startswith(READS) else "api_call"


@lru_cache(1024)
def _reason(error: str) -> str:
    bare = error.removeprefix("Client.").removeprefix("Server.")
    found = ERRORS.get(bare) or ERRORS.get(bare.partition(".")[0])
    if found is not None:
        return found
    if "NotFound" in bare or bare.startswith("NoSuch") or "DoesNotExist" in bare or bare.endswith("NotExist"):
        return "not_found"
    return "server_error" if error.startswith("Server.") else "other"


class Cloudtrail:
    """Calls that AWS CloudTrail records, sign-ins to the console and to IAM Identity Center among them.

    Reads (`Get...`, `List...`, `Describe...`) are `data_read`, what changes rights, keys or policies by name, all else
    `api_call`; the endpoint is the service and the call. What an AWS service calls has no address, because
    `sourceIPAddress` is the service's name then, and no user if nobody asked for it. It **cannot** know which user was
    typed at a failed console login of somebody unknown: AWS hides it.

    Examples
    --------
    >>> found = CLOUDTRAIL.event({"eventTime": "2026-11-23T05:00:00Z", "eventSource": "signin.amazonaws.com",
    ...     "eventName": "ConsoleLogin", "userIdentity": {"type": "IAMUser", "userName": "Sam"},
    ...     "responseElements": {"ConsoleLogin": "Failure"}, "errorMessage": "Failed authentication"})
    >>> found["action"], found["outcome"], found["reason"], found["username"]
    ('login', 'failure', 'bad_credentials', 'sam')
    """

    type = "cloudtrail"
    secrets: tuple[tuple[str, ...], ...] = (
        ("responseElements", "credentials", "sessionToken"),
        ("responseElements", "credentials", "secretAccessKey"),
        ("responseElements", "accessKey", "secretAccessKey"),
        ("responseElements", "SigninToken"),
        ("responseElements", "signinToken"),
        ("responseElements", "serviceSpecificCredential", "servicePassword"),
        ("responseElements", "keyMaterial"),
        ("responseElements", "value"),
        ("requestParameters", "password"),
        ("requestParameters", "newPassword"),
        ("requestParameters", "oldPassword"),
        ("requestParameters", "secretString"),
        ("requestParameters", "secretBinary"),
        ("requestParameters", "value"),
        ("requestParameters", "masterUserPassword"),
        ("requestParameters", "tokenCode"),
        ("requestParameters", "sAMLAssertion"),
        ("requestParameters", "webIdentityToken"),
        ("requestParameters", "X-Amz-Signature"),
        ("requestParameters", "X-Amz-Security-Token"),
    )

    reads: Reads | None = Reads(
        carried=(
            *paths("eventID requestID recipientAccountId userAgent errorMessage"),
            *paths("accountId arn principalId userName accessKeyId", "userIdentity"),
            *(("requestParameters", name) for name in (*_OBJECTS, "newUserName")),
        ),
        times=paths("eventTime"),
        addresses=paths("sourceIPAddress"),
        decisive=(
            *paths("eventName eventSource eventType errorCode userIdentity.type"),
            *paths("additionalEventData.MFAUsed serviceEventDetails.CredentialType"),
            *((above, name) for above in ("responseElements", "serviceEventDetails") for name in _SIGN_INS),
        ),
        words=(_HIDDEN.lower(), _NO_USER.lower()),
        heads=(_TEMPORARY,),
    )

    def matches(self, record: Record) -> bool:
        """By `eventSource`, `eventName` and `eventID` beside `userIdentity` or `eventType`."""
        return (
            "eventSource" in record
            and "eventName" in record
            and "eventID" in record
            and ("userIdentity" in record or "eventType" in record)
        )

    def event(self, record: Record) -> Record:
        """Canonical members of one event.

        Cost: about 4 microseconds.
        """
        name, source = text(record, "eventName"), text(record, "eventSource")
        action = _action(name) if len(name) <= 128 else "api_call"
        if action == "api_call" and record.get("eventType") == "AwsServiceEvent":
            action = "other"  # what a service did by itself: nobody called
        event: Record = {"action": action}
        if (value := record.get("eventTime")) is not None:
            event["time"] = value
        if (value := record.get("eventID")) is not None:
            event["id"] = value
        if (value := record.get("requestID")) is not None:
            event["request_id"] = value
        identity = members(record, "userIdentity")
        if (value := record.get("recipientAccountId") or identity.get("accountId")) is not None:
            event["tenant"] = value
        if name and source:
            event["endpoint"] = f"/{source}/{name}"
            event["app"] = source
        address = record.get("sourceIPAddress")
        if type(address) is not str:
            if address is not None:
                event["ip"] = address
        elif ":" in address or address[:1].isdigit():
            event["ip"] = address
        if (value := record.get("userAgent")) is not None:
            event["user_agent"] = value
        _people(event, record, identity, action)
        error = record.get("errorCode")
        if source == "signin.amazonaws.com" or source == "sso.amazonaws.com":
            _sign_in(event, record, name)
        elif error is None:
            event["outcome"] = "success"
        else:
            reason = _reason(error) if type(error) is str and len(error) <= 128 else "other"
            event["outcome"] = "blocked" if reason == "rate_limited" else "failure"
            event["reason"] = reason
            event["error_code"] = error
            if (value := record.get("errorMessage")) is not None:
                event["error"] = value
        return event


def _people(event: Record, record: Record, identity: Record, action: str) -> None:
    """Who called, with which key, and whom or what it is about."""
    kind = identity.get("type")
    name = identity.get("userName")
    if name == _HIDDEN:
        name = None
    elif name is None and kind == "Root":
        name = "root"
    name = normal(name)
    principal = identity.get("arn") or identity.get("principalId")
    if (by := name or principal) is not None:
        event["actor"] = by
    if kind is not None:
        event["actor_type"] = ACTORS.get(kind, "user") if type(kind) is str else kind
    key = identity.get("accessKeyId")
    if type(key) is str and key:
        event["session" if key.startswith(_TEMPORARY) else "api_key"] = key
    asked = members(record, "requestParameters")
    if action in _ABOUT_USER and (about := asked.get("userName")) is not None:
        event["username"] = normal(about)
        if (value := asked.get("newUserName")) is not None:
            event["changes"] = [change("userName", about, value)]
    else:
        if principal is not None:
            event["user"] = principal
        if name is not None:
            event["username"] = name
    if asked and action != "data_read" and action != "login":
        for member in _OBJECTS:
            if member in asked:
                event["target"] = asked[member]
                break


def _sign_in(event: Record, record: Record, name: str) -> None:
    """How a sign-in went: AWS says it among the response's elements, under the event's own name."""
    details = members(record, "serviceEventDetails")
    told: Any = None
    if name in _SIGN_INS:
        told = members(record, "responseElements").get(name)
        told = details.get(name) if told is None else told
    message: Any = record.get("errorMessage")
    factor = details.get("CredentialType")
    if factor is not None:
        event["factor"] = factor
        if factor != "PASSWORD" and name == "CredentialVerification":
            event["action"] = "mfa_challenge"
        elif told == "Success" and name == "CredentialVerification":
            event["action"] = "other"  # `UserAuthentication` is the login
    elif name == "ConsoleLogin":
        event["factor"] = "mfa" if members(record, "additionalEventData").get("MFAUsed") == "Yes" else "password"
    if told == "Success" or (told is None and message is None and record.get("errorCode") is None):
        event["outcome"] = "challenge" if name in _QUESTIONS else "success"
        return
    event["outcome"] = "failure"
    if event["action"] == "mfa_challenge":
        event["reason"] = "mfa_failed"
    elif message == _NO_USER:
        event["reason"] = "unknown_user"
    else:
        event["reason"] = "bad_credentials"
    if (value := record.get("errorCode") or message) is not None:
        event["error_code"] = value
    if message is not None:
        event["error"] = message


CLOUDTRAIL: Final[SourceFormat] = Cloudtrail()
