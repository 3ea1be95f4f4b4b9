"""Every form a SIEM takes, by name, and what is asked of a record before it is encoded.

A record is the bytes of one line or message as Lapwing publishes it, without its LF.
"""

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from flows.formats import cef, ecs, leef, ocsf_scored, splunk_hec, syslog_rfc5424
from flows.formats.json_line import json_line, one_line
from flows.formats.scored_record import read_scored
from flows.formats.siem_event import Form, Kind, NoRecord
from flows.formats.siem_read import read

DETECTION_FINDING: Final = 2004
Encode = Callable[[bytes, Kind], bytes]
"""One record to one line of a target, UTF-8, without LF and with no LF in it.

Raises `NoRecord` where the bytes are no record of that kind.
"""


def ocsf(record: bytes, kind: Kind) -> bytes:
    """OCSF 1.8.0: an alert as it is, a scored event as its native class.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    if kind == "scored":
        return ocsf_scored.encode(record)
    read(record, kind)
    return one_line(record)


ENCODERS: Final[dict[Form, Encode]] = {
    "ocsf": ocsf,
    "ecs": ecs.encode,
    "cef": cef.encode,
    "leef": leef.encode,
    "syslog": syslog_rfc5424.encode,
    "hec": splunk_hec.encode,
}


class _RiskOfEvent(msgspec.Struct, frozen=True):
    risk: int | None


class _Scored(msgspec.Struct, frozen=True):
    lapwing: _RiskOfEvent


class _Alert(msgspec.Struct, frozen=True):
    class_uid: Literal[2004]
    risk_score: int | None = None


class _Either(msgspec.Struct, frozen=True):
    lapwing: msgspec.Raw = msgspec.Raw()
    class_uid: int | None = None


_SCORED: Final = msgspec.json.Decoder(_Scored)
_ALERT: Final = msgspec.json.Decoder(_Alert)
_EITHER: Final = msgspec.json.Decoder(_Either)
_BAD: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def kind_of(record: bytes) -> Kind:
    """Which of the two a record is, by its own members.

    Raises
    ------
    NoRecord
        It is neither.

    Examples
    --------
    >>> kind_of(b'{"class_uid":2004}')
    'alert'
    """
    try:
        found = _EITHER.decode(record)
    except _BAD as error:
        raise NoRecord(f"neither alert nor scored event ({error})") from None
    if bytes(found.lapwing).startswith(b"{"):
        return "scored"
    if found.class_uid == DETECTION_FINDING:
        return "alert"
    raise NoRecord("neither alert nor scored event: no member lapwing, and no OCSF class 2004")


def risk(record: bytes, kind: Kind) -> int | None:
    """The record's risk, 0 to 100; None while it is not known. A few microseconds: the rest is not read.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.

    Examples
    --------
    >>> risk(b'{"class_uid":2004,"risk_score":60}', "alert")
    60
    """
    try:
        return _ALERT.decode(record).risk_score if kind == "alert" else _SCORED.decode(record).lapwing.risk
    except _BAD as error:
        raise NoRecord(f"no {'alert' if kind == 'alert' else 'scored event'} ({error})") from None


def at_least(record: bytes, kind: Kind, min_risk: int) -> bool:
    """Whether the record has that risk or more; one whose risk is not known has none, so only 0 lets it pass.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    return (risk(record, kind) or 0) >= min_risk


def slim(record: bytes) -> bytes:
    """A scored event with its ids and scores only: `id`, `time` (epoch ms), `tenant` and the member `lapwing`.

    It names no user and no address, and is a scored event again, so every encoder takes it.

    Raises
    ------
    NoRecord
        The bytes are no scored event.
    """
    scored = read_scored(record)
    return json_line(
        {
            "time": scored.own.time,
            "id": scored.uid,
            "tenant": scored.tenant,
            "lapwing": {
                name: value for name, value in scored.lapwing.items() if name not in ("ignored", "ignored_more")
            },
        }
    )
