"""What a SIEM is told of one published record, in the words that every target's encoder maps from."""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from flows.formats.proxied import address_of
from models.base import RISK_FLOOR

Kind = Literal["alert", "scored"]
"""What a line is: an alert of `audit.alerts`, or a scored event of `audit.scored`."""
Form = Literal["ocsf", "ecs", "cef", "leef", "syslog", "hec"]
"""What a record can be written as."""
Scalar = str | int | float | bool

LONGEST_MESSAGE: Final = 1023
"""Characters of a sentence; the least of what the targets allow."""
MOST_RELATED: Final = 20


class NoRecord(ValueError):
    """The bytes are none of Lapwing's records of that kind; says why in one line."""


class Technique(msgspec.Struct, frozen=True):
    """One of MITRE ATT&CK's, with its tactic; `sub` is empty where it has none."""

    tactic: tuple[str, str]
    technique: tuple[str, str]
    sub: tuple[str, str] = ("", "")


class SiemEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One record, its texts valid Unicode and cut, what is not known empty or None.

    `uid` is the message's own: the incident's with its `seq`, or the event's id. `signature` is what it is an instance
    of: the detection's id, or `event.` and the action. `severity` is OCSF's `severity_id`, for an event that of its
    risk, 0 while it has none. `user` is the id of whom it is about, `actor` of who did it. `details` are the scalar
    members that only this kind has, in order: names as in docs/outputs.md, `scores.ip.quantile` for a dimension's.
    """

    kind: Kind
    time: int  # epoch ms
    uid: str
    version: str
    tenant: str
    signature: str
    name: str
    message: str
    severity: int
    risk: int | None
    action: str = ""
    outcome: str = ""
    reason: str = ""
    user: str = ""
    username: str = ""
    actor: str = ""
    target: str = ""
    ip: str = ""
    network: str = ""
    country: str = ""
    city: str = ""
    lat: float | None = None
    lon: float | None = None
    asn: int | None = None
    user_agent: str = ""
    method: str = ""
    endpoint: str = ""
    status: int | None = None
    session: str = ""
    request_id: str = ""
    device: str = ""
    app: str = ""
    description: str = ""
    remediation: str = ""
    start: int | None = None
    end: int | None = None
    count: int | None = None
    incident: str = ""
    detection: str = ""
    techniques: tuple[Technique, ...] = ()
    ips: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    details: dict[str, Scalar] = {}

    @property
    def technique(self) -> str:
        """The ids of the ATT&CK techniques, the sub-technique's where there is one, parted by commas."""
        return ",".join(one.sub[0] or one.technique[0] for one in self.techniques)


def severity_of(risk: int | None) -> int:
    """The severity whose least risk it has reached: 1 below 40, 0 where it is not known.

    >>> severity_of(None), severity_of(39), severity_of(40), severity_of(95)
    (0, 1, 2, 5)
    """
    return 0 if risk is None else 1 + sum(risk >= least for least in RISK_FLOOR[2:])


def address(text: str) -> str:
    """The IP address in a text, without port, brackets or the IPv6 form of an IPv4 address; nothing if it is none.

    >>> address("::ffff:192.0.2.1"), address("192.0.2.1:443"), address("[2001:db8::1]:443"), address("-")
    ('192.0.2.1', '192.0.2.1', '2001:db8::1', '')
    """
    found = address_of(text)
    return "" if found is None else str(found)


def each(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once, at most `MOST_RELATED`, in their order."""
    return tuple(dict.fromkeys(name for name in names if name))[:MOST_RELATED]


def written(value: Scalar) -> str:
    """A value as the text forms write it.

    >>> written(False), written(2.5)
    ('false', '2.5')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)
