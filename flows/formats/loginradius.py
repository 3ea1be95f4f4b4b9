"""The format `loginradius`: webhooks of LoginRadius, its consent log, and records of calls in its spelling."""

from typing import Any, Final

from flows.formats.members_of import Record, code, entries, fields, members, normal, text, utc
from flows.formats.reads import Reads, each, paths
from flows.formats.source_format import SourceFormat

_ACTIONS: Final = {
    "login": "login",
    "logout": "logout",
    "register": "register",
    "registration": "register",
    "updateprofile": "profile_update",
    "resetpassword": "password_reset",
    "forgotpassword": "password_reset_request",
    "changepassword": "password_change",
    "setpassword": "password_change",
    "changeemail": "email_change",
    "addemail": "email_change",
    "removeemail": "email_change",
    "emailverification": "profile_update",
    "verifyphonenumber": "profile_update",
    "linkaccount": "profile_update",
    "unlinkaccount": "profile_update",
    "createcustomobject": "profile_update",
    "updatecustomobject": "profile_update",
    "deletecustomobject": "profile_update",
    "invalidateemailverification": "profile_update",
    "blockaccount": "account_lock",
    "unblockaccount": "account_unlock",
    "deleteaccount": "account_delete",
    "assignroles": "role_change",
    "unassignroles": "role_change",
    "removerolecontext": "role_change",
    "mfa": "mfa_challenge",
    "twofactorauthentication": "mfa_challenge",
    "refreshtoken": "token_refresh",
    "revoketoken": "logout",
}
"""Names of hooks and events, in lower case."""

_ERRORS: Final = {"966": "bad_credentials", "938": "unknown_user", "991": "locked"}
_SECRETS: Final = (
    "Password", "PasswordHash", "OldPassword", "NewPassword", "SecurityQuestionAnswer", "PIN", "AccessToken",
    "access_token", "RefreshToken", "refresh_token", "ProviderAccessToken", "ProviderAccessCredential",
    "ProviderRefreshToken", "VerificationToken", "ResetToken", "vtoken", "sott", "OTP", "ApiSecret",
)  # fmt: skip
_TIMES: Final = ("Time", "Timestamp", "LoggedOnDate", "CreatedDate", "Date")
_ADDRESSES: Final = ("IP", "IPAddress", "IpAddress", "ClientIP")
_NAMES: Final = ("Event", "EventType", "EventName", "Action", "UpdateType")
_MEMBERS: Final[dict[str, tuple[str, ...]]] = {
    "ip": _ADDRESSES,
    "user_agent": ("UserAgent",),
    "endpoint": ("Endpoint", "EndPoint", "ApiEndPoint", "Path", "Url"),
    "method": ("Method", "HttpMethod"),
    "status": ("StatusCode", "ResponseCode", "HttpStatusCode"),
    "country": ("Country", "CountryCode"),
    "city": ("City",),
}
_EMAILS: Final = 4
"""Addresses of an ordinary account, at most."""


class Loginradius:
    """Webhooks of LoginRadius (`HookName`, `Data`), its consent log, and records of calls in the same spelling.

    A webhook tells only what succeeded, and it **cannot** tell the address: detections by IP need the stream that
    LoginRadius sends to a SIEM. The names in that stream are not public: the usual ones are read here (`Uid`, `Email`,
    `IP`, `UserAgent`, `Event`, `Endpoint`, `Method`, `StatusCode`, `ErrorCode`), others by a declared mapping.

    Examples
    --------
    >>> found = LOGINRADIUS.event({"HookName": "Login", "Time": "2026-11-23T05:00:00Z", "HookId": "h-1",
    ...     "Data": {"Uid": "u1", "Email": [{"Type": "Primary", "Value": "Sam@example.com"}], "Password": "x"}})
    >>> found["action"], found["outcome"], found["user"], found["username"]
    ('login', 'success', 'u1', 'sam@example.com')
    """

    type = "loginradius"
    secrets: tuple[tuple[str, ...], ...] = (
        *(("Data", name) for name in _SECRETS),
        *(("Data", "*", "*", name) for name in ("AccessToken", "AccessCredential", "Password")),
        *((name,) for name in _SECRETS),
    )

    reads: Reads | None = Reads(
        carried=(
            *paths("Id EventId RequestId Description Message"),
            *paths("Uid ID Email UserName PhoneId AppName Host", "", "Data"),
            *each("Email", _EMAILS, "Value"),
            *each("Data.Email", _EMAILS, "Value"),
            *((name,) for member, names in _MEMBERS.items() if member != "status" for name in names),
        ),
        times=tuple((name,) for name in _TIMES),
        decisive=(
            *paths("HookName ErrorCode"),
            *((name,) for name in (*_NAMES, *_MEMBERS["status"])),
            *each("Email", _EMAILS, "Type"),
            *each("Data.Email", _EMAILS, "Type"),
        ),
        whole=frozenset({"profile_update"}),
    )

    def matches(self, record: Record) -> bool:
        """By `HookName` and `Data`, or by `Uid` beside an address or an event's name."""
        if "HookName" in record:
            return "Data" in record
        return "Uid" in record and not record.keys().isdisjoint(_MARKS)

    def event(self, record: Record) -> Record:
        """Canonical members of one record.

        Cost: about 3 microseconds, an updated profile more by its size.
        """
        hook = text(record, "HookName")
        data = members(record, "Data") if hook else record
        name = hook or text(record, _present(record, _NAMES))
        action = _ACTIONS.get(name.lower().replace("_", "").replace(" ", ""))
        event: Record = {"action": action or ("other" if hook else "api_call")}
        if (value := _first(record, _TIMES)) is not None:
            event["time"] = utc(value)
        if (value := record.get("Id") or record.get("EventId") or record.get("RequestId")) is not None:
            event["id"] = value
        if (value := data.get("Uid") or data.get("ID")) is not None:
            event["user"] = value
            if action == "account_delete":
                event["target"] = value
        if (value := _email(data) or data.get("UserName") or data.get("PhoneId")) is not None:
            event["username"] = normal(value)
        if (value := data.get("AppName") or data.get("Host") or record.get("AppName")) is not None:
            event["app"] = value
        if hook:
            event["outcome"] = "success"
            if hook == "UpdateProfile" and (changes := fields(data)):
                event["changes"] = changes
        else:
            _call(event, record)
        return event


def _first(record: Record, names: tuple[str, ...]) -> Any:
    for name in names:
        if (value := record.get(name)) is not None:
            return value
    return None


def _present(record: Record, names: tuple[str, ...]) -> str:
    for name in names:
        if name in record:
            return name
    return names[0]


def _email(data: Record) -> Any:
    """The primary address, or the first; a record of a call has it as a string."""
    found: Any = None
    for entry in entries(data, "Email"):
        if type(entry) is dict and (value := entry.get("Value")) is not None:
            if entry.get("Type") == "Primary":
                return value
            found = found or value
    return found or (text(data, "Email") or None)


def _call(event: Record, record: Record) -> None:
    """What only a record of a call says: from where, how, and with which answer."""
    for member, names in _MEMBERS.items():
        if (value := _first(record, names)) is not None:
            event[member] = value
    error = code(record, "ErrorCode")
    status = event.get("status")
    if error and error != "0":
        event["error_code"] = error
        event["outcome"] = "blocked" if status == 429 else "failure"
        event["reason"] = _ERRORS.get(error, "rate_limited" if status == 429 else "other")
        if (value := record.get("Description") or record.get("Message")) is not None:
            event["error"] = value


_MARKS: Final = frozenset((*_ADDRESSES, *_NAMES, "ConsentLogs"))

LOGINRADIUS: Final[SourceFormat] = Loginradius()
