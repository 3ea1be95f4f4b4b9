"""The format `cognito`: user authentication events of Amazon Cognito, from its API and from its log export."""

from typing import Any, Final

from flows.formats.members_of import Record, entries, members, normal, text, utc
from flows.formats.reads import Reads, each, paths
from flows.formats.source_format import SourceFormat

_ACTIONS: Final = {
    "SignIn": "login",
    "SignUp": "register",
    "ForgotPassword": "password_reset_request",
    "PasswordChange": "password_change",
    "ResendCode": "other",
}
_OUTCOMES: Final = {"Pass": "success", "Fail": "failure", "InProgress": "challenge"}
_BLOCKS: Final = frozenset({"Block", "BLOCK"})
_STEPS: Final = 4
"""Challenges of an ordinary sign-in, at most."""
_EXPORTED: Final = (
    ("id", "eventId"), ("user", "userSub"), ("username", "userName"), ("tenant", "userPoolId"), ("app", "clientId"),
    ("ip", "ipAddress"), ("device", "deviceName"), ("request_id", "requestId"), ("city", "city"),
    ("country", "country"),
)  # fmt: skip


class Cognito:
    """User authentication events of an Amazon Cognito user pool with threat protection.

    `InProgress` waits for a challenge and is no failure; a sign-in whose second factor failed is `mfa_challenge`. An
    event from `AdminListUserAuthEvents` **cannot** name its user, whom the caller of the API asked for; the log export
    does.

    Examples
    --------
    >>> found = COGNITO.event({"EventId": "e", "EventType": "SignIn", "CreationDate": 1795409999.871,
    ...     "EventResponse": "Fail", "EventContextData": {"IpAddress": "203.0.113.7"},
    ...     "ChallengeResponses": [{"ChallengeName": "Password", "ChallengeResponse": "Failure"}]})
    >>> found["action"], found["outcome"], found["reason"], found["ip"]
    ('login', 'failure', 'bad_credentials', '203.0.113.7')
    """

    type = "cognito"
    secrets: tuple[tuple[str, ...], ...] = ()

    reads: Reads | None = Reads(
        carried=(
            *paths("EventId logSourceId.userPoolId"),
            *paths("IpAddress DeviceName City Country", "EventContextData"),
            *(("message", name) for _, name in _EXPORTED),
        ),
        times=paths("CreationDate eventTimestamp"),
        decisive=(
            *paths("EventType EventResponse EventRisk.RiskDecision EventRisk.CompromisedCredentialsDetected"),
            *paths("eventType eventResponse riskDecision compromisedCredentialDetected", "message"),
            *each("ChallengeResponses", _STEPS, "ChallengeName ChallengeResponse"),
            *each("message.challenges", _STEPS),
        ),
    )

    def matches(self, record: Record) -> bool:
        """By `EventId` and `EventResponse`, or by the log export's `message` and `logSourceId`."""
        if "EventResponse" in record:
            return "EventId" in record and "EventType" in record
        return "logSourceId" in record and "message" in record and "eventTimestamp" in record

    def event(self, record: Record) -> Record:
        """Canonical members of one event.

        Cost: 2 to 3 microseconds.
        """
        if "logSourceId" in record:
            return _exported(record, members(record, "message"))
        context, risk = members(record, "EventContextData"), members(record, "EventRisk")
        steps = [
            (text(step, "ChallengeName"), text(step, "ChallengeResponse"))
            for step in entries(record, "ChallengeResponses")[:16]
            if type(step) is dict
        ]
        event = _judged(
            text(record, "EventType"), text(record, "EventResponse"), steps, risk.get("RiskDecision"),
            risk.get("CompromisedCredentialsDetected") is True,
        )  # fmt: skip
        if (value := record.get("EventId")) is not None:
            event["id"] = value
        if (value := record.get("CreationDate")) is not None:
            event["time"] = utc(value)
        if (value := context.get("IpAddress")) is not None:
            event["ip"] = value
        if (value := context.get("DeviceName")) is not None:
            event["device"] = value
        if (value := context.get("City")) is not None:
            event["city"] = value
        if (value := context.get("Country")) is not None:
            event["country"] = value
        return event


def _exported(record: Record, message: Record) -> Record:
    """An event of the log export: one member `message` with everything in it."""
    steps = []
    for step in entries(message, "challenges")[:16]:
        if type(step) is str:
            name, _, answer = step.partition(":")
            steps.append((name, answer))
    compromised = message.get("compromisedCredentialDetected")
    event = _judged(
        text(message, "eventType"), text(message, "eventResponse"), steps, message.get("riskDecision"),
        compromised is True or compromised == "true",
    )  # fmt: skip
    time = record.get("eventTimestamp")
    if type(time) is str and len(time) <= 19 and time.isascii() and time.isdigit():
        time = int(time)
    if time is not None:
        event["time"] = time
    for member, names in _EXPORTED:
        if (value := message.get(names)) is not None and value != "":
            event[member] = normal(value) if member == "username" else value
    return event


def _judged(kind: str, response: str, steps: list[tuple[str, str]], decision: Any, compromised: bool) -> Record:
    """What was done and how it went, by the event's type, its answer, its challenges and its risk."""
    action = _ACTIONS.get(kind, "other")
    outcome = _OUTCOMES.get(response, "unknown")
    event: Record = {"action": action, "outcome": outcome}
    if action == "login":
        event["factor"] = "password"
    for name, answer in steps:
        if name.lower() == "mfa" and action == "login":
            event["factor"] = "mfa"
            if outcome == "failure" and answer != "Success":
                event["action"] = "mfa_challenge"
                event["reason"] = "mfa_failed"
    if outcome != "failure":
        return event
    if type(decision) is str and decision in _BLOCKS:
        event["outcome"] = "blocked"
        event["reason"] = "forbidden"
        event["error_code"] = decision
    elif compromised:
        event["reason"] = "forbidden"
        event["error_code"] = "CompromisedCredentials"
    elif "reason" not in event:
        event["reason"] = "bad_credentials" if action == "login" else "other"
    return event


COGNITO: Final[SourceFormat] = Cognito()
