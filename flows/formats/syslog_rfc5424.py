"""Syslog as RFC 5424 has it: one message, without the framing that a transport puts around it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from flows.formats.evidence import clean, shown
from flows.formats.siem_event import LONGEST_MESSAGE, Kind, Scalar, SiemEvent, written
from flows.formats.siem_read import read

FACILITY: Final = 13
"""Log audit."""
SEVERITIES: Final = (6, 6, 5, 4, 3, 2)
"""Syslog's severity (informational to critical) by OCSF's `severity_id`."""
SD_ID: Final = "lapwing@32473"
"""Of the structured data. 32473 is the number that RFC 5612 keeps for examples: Lapwing has none of its own."""
LONGEST: Final = 1023
"""Characters of a parameter's value before it is escaped."""
_BOM: Final = "\ufeff"
_LAST: Final = 253402300799999  # the end of the year 9999, epoch ms


def encode(record: bytes, kind: Kind) -> bytes:
    """One record as one message: its fields as structured data, the sentence as the text.

    In a parameter `"`, `\\` and `]` are escaped; what moves a cursor, hides or reorders is its code, such as
    `\\u000a`. A text that is not ASCII begins with a byte order mark, as the RFC has it. HOSTNAME and APP-NAME are
    `lapwing`, MSGID the kind. Octet counting is for the sender.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    event = read(record, kind)
    pairs = ((key, value) for key, value in _pairs(event) if value not in (None, ""))
    data = "".join(f' {key}="{_value(written(value))}"' for key, value in pairs)
    text = shown(event.message, LONGEST_MESSAGE)
    return f"{_header(event)} [{SD_ID}{data}] {'' if text.isascii() else _BOM}{text}".encode()


def _header(event: SiemEvent) -> str:
    time = datetime.fromtimestamp(min(_LAST, max(0, event.time)) / 1000, UTC).isoformat(timespec="milliseconds")
    return (
        f"<{FACILITY * 8 + SEVERITIES[event.severity]}>1 {time.replace('+00:00', 'Z')} lapwing lapwing - {event.kind}"
    )


def _pairs(event: SiemEvent) -> Iterator[tuple[str, Scalar | None]]:
    yield from (
        ("uid", event.uid), ("signature", event.signature), ("name", event.name), ("tenant", event.tenant),
        ("risk", event.risk), ("severity", event.severity), ("action", event.action), ("outcome", event.outcome),
        ("reason", event.reason), ("ip", event.ip), ("network", event.network), ("user", event.user),
        ("username", event.username), ("actor", event.actor), ("target", event.target), ("method", event.method),
        ("endpoint", event.endpoint), ("status_code", event.status), ("user_agent", event.user_agent),
        ("country", event.country), ("city", event.city), ("asn", event.asn), ("session", event.session),
        ("request_id", event.request_id), ("device", event.device), ("app", event.app), ("incident", event.incident),
        ("start", event.start), ("end", event.end), ("count", event.count),
        ("technique", event.technique),
        ("alerts", ",".join(event.alerts)),
    )  # fmt: skip
    yield from event.details.items()


def _value(text: str) -> str:
    plain = clean(shown(text, LONGEST), LONGEST)
    return plain.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
