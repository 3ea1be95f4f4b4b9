"""What is forwarded: a line that Lapwing has written, and what a destination has to know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from flows.formats.json_line import one_line

DEFAULT_TENANT: Final = "default"


class Message(NamedTuple):
    """A line or record as it was read. `source` is a file's name or `topic/partition`, `offset` where it lies there."""

    source: str
    offset: int
    value: bytes
    key: bytes | None = None


class Record(NamedTuple):
    """A message as it is sent, and what filters ask for.

    `id` is the same however often it is sent and however it was read again: for an alert its uid and its number in the
    incident, else a hash of where it lies and of its bytes. `uid` and `seq` are the alert's, empty and 0 for others.
    `time` is epoch ms, None where the message is no one's but the source's; `risk` is None where it is not known.
    `body` has no line break.
    """

    id: str
    uid: str
    seq: int
    time: int | None
    severity: int
    risk: int | None
    tenant: str
    detection: str
    body: bytes
    message: Message


@dataclass(slots=True, frozen=True)
class Read:
    """Messages of one poll, and for each source the offset behind them: all up to there has been read."""

    messages: Sequence[Message]
    reached: Mapping[str, int]


@dataclass(slots=True, frozen=True)
class Selected:
    """The records of one poll, the messages that nobody can read, each with the reason, and where the poll ended."""

    records: Sequence[Record]
    unreadable: Sequence[tuple[Message, str]]
    reached: Mapping[str, int]
    messages: int


class Unreadable(ValueError):
    """The message cannot be forwarded to anybody: it is no JSON object, or not what it should be."""


_Moment = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]


class _Finding(msgspec.Struct):
    uid: str


class _Metadata(msgspec.Struct):
    uid: str
    sequence: int
    tenant_uid: str = DEFAULT_TENANT
    event_code: str = ""


class _Alert(msgspec.Struct):
    time: _Moment
    severity_id: Annotated[int, Meta(ge=0)]
    finding_info: _Finding
    metadata: _Metadata
    risk_score: int | None = None


class _Added(msgspec.Struct):
    time: _Moment
    risk: int | None = None


class _Scored(msgspec.Struct):
    lapwing: _Added
    tenant: msgspec.Raw = msgspec.Raw(b"null")


class _Event(msgspec.Struct):
    tenant: msgspec.Raw = msgspec.Raw(b"null")


_ALERT: Final = msgspec.json.Decoder(_Alert)
_SCORED: Final = msgspec.json.Decoder(_Scored)
_EVENT: Final = msgspec.json.Decoder(_Event)


def record(kind: str, message: Message) -> Record:
    """A line of alerts, scored events or events, and what there is to know of it.

    Raises
    ------
    Unreadable
        It is none.

    >>> record("scored", Message("scored.ndjson", 0, b'{"user":"u-1","lapwing":{"v":1,"time":5,"risk":70}}')).risk
    70
    """
    try:
        return _of_alert(message) if kind == "alerts" else _of_event(kind, message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"not one of {kind}: {error}") from None


def _of_alert(message: Message) -> Record:
    alert = _ALERT.decode(message.value)
    about = alert.metadata
    return Record(
        id=about.uid, uid=alert.finding_info.uid, seq=about.sequence, time=alert.time, severity=alert.severity_id,
        risk=alert.risk_score, tenant=about.tenant_uid, detection=about.event_code, body=one_line(message.value),
        message=message,
    )  # fmt: skip


def _of_event(kind: str, message: Message) -> Record:
    time, risk = None, None
    if kind == "scored":
        scored = _SCORED.decode(message.value)
        time, risk, tenant = scored.lapwing.time, scored.lapwing.risk, scored.tenant
    else:
        tenant = _EVENT.decode(message.value).tenant
    return Record(
        id=place_id(message), uid="", seq=0, time=time, severity=0, risk=risk, tenant=_tenant(tenant), detection="",
        body=one_line(message.value), message=message,
    )  # fmt: skip


def _tenant(raw: msgspec.Raw) -> str:
    found = msgspec.json.decode(raw)
    return found if isinstance(found, str) and found else DEFAULT_TENANT


def place_id(message: Message) -> str:
    """32 hex digits that follow from where a message lies and what it is: two messages never share them.

    >>> len(place_id(Message("audit.scored/3", 17, b"{}")))
    32
    """
    return blake2b(f"{message.source}\n{message.offset}\n".encode() + message.value, digest_size=16).hexdigest()
