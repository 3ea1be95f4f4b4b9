"""IBM QRadar's Log Event Extended Format, version 2.0."""

from collections.abc import Iterator
from typing import Final

from flows.formats.evidence import clean, shown
from flows.formats.siem_event import Kind, Scalar, SiemEvent, written
from flows.formats.siem_read import read

SEVERITIES: Final = (1, 1, 3, 5, 8, 10)
"""LEEF's severity, 1 to 10, by OCSF's `severity_id`."""
DELIMITER: Final = "^"
"""Printable, because relays rewrite a tab."""
LONGEST: Final = 1023
"""Characters of a value."""


def encode(record: bytes, kind: Kind) -> bytes:
    """One record as one line of LEEF, its attributes parted by `^`.

    LEEF has no escapes: what would end a field (`|` in the header, `^` in a value), what moves a cursor, hides or
    reorders is written as its code, such as `\\u005e`. A value has at most 1,023 characters; one that was longer
    ends with an ellipsis. What is not known is left out.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    event = read(record, kind)
    head = (_without("|", text) for text in (event.version or "0", event.signature))
    header = "|".join(("LEEF:2.0", "Lapwing", "Lapwing", *head, DELIMITER))
    known = ((key, value) for key, value in _pairs(event) if value is not None and value != "")
    return f"{header}|{DELIMITER.join(f'{key}={_without(DELIMITER, written(value))}' for key, value in known)}".encode()


def _pairs(event: SiemEvent) -> Iterator[tuple[str, Scalar | None]]:
    yield from (
        ("devTime", event.time), ("sev", SEVERITIES[event.severity]), ("cat", event.kind), ("src", event.ip),
        ("usrName", event.username or event.user or event.actor), ("accountName", event.target),
        ("url", event.endpoint),
        ("eventId", event.uid), ("name", event.name), ("action", event.action), ("outcome", event.outcome),
        ("reason", event.reason), ("tenant", event.tenant), ("risk", event.risk), ("userId", event.user),
        ("actorId", event.actor), ("method", event.method), ("status", event.status), ("userAgent", event.user_agent),
        ("country", event.country), ("city", event.city), ("asn", event.asn), ("session", event.session),
        ("requestId", event.request_id), ("device", event.device), ("app", event.app), ("incident", event.incident),
        ("startTime", event.start), ("endTime", event.end), ("count", event.count),
        ("technique", event.technique),
        ("alerts", ",".join(event.alerts)),
    )  # fmt: skip
    yield from event.details.items()
    yield from (("msg", event.message), ("remediation", event.remediation))


def _without(end: str, text: str) -> str:
    return clean(shown(text, LONGEST).replace(end, f"\\u{ord(end):04x}"), LONGEST)
