"""ArcSight's Common Event Format, version 0."""

from collections.abc import Iterator
from typing import Final

from flows.formats.evidence import clean, shown
from flows.formats.siem_event import Kind, Scalar, SiemEvent, written
from flows.formats.siem_read import read

SEVERITIES: Final = (0, 1, 3, 5, 8, 10)
"""CEF's severity by OCSF's `severity_id`."""
LONGEST_ID: Final = 40
"""Characters of `externalId`; a longer id of an event stands in `cs5`."""
LONGEST: Final = 1023
"""Characters of a value before it is escaped."""

_CUSTOM: Final[dict[Kind, tuple[tuple[str, str], ...]]] = {
    "alert": (
        ("cs1", "detection"), ("cs2", "incident"), ("cs3", "entity"), ("cs4", "activity"), ("cs5", "technique"),
        ("cs6", "tenant"), ("cn1", "risk"), ("cn2", "seq"), ("cn3", "window_s"), ("cfp1", "value"), ("cfp2", "limit"),
        ("cfp3", "expected"), ("cfp4", "z"),
    ),
    "scored": (
        ("cs1", "scores.ip.feature"), ("cs2", "scores.user.feature"), ("cs3", "scores.endpoint.feature"),
        ("cs4", "alerts"), ("cs5", "id"), ("cs6", "tenant"), ("cn1", "risk"), ("cn2", "status"), ("cn3", "asn"),
        ("cfp1", "scores.ip.quantile"), ("cfp2", "scores.user.quantile"), ("cfp3", "scores.endpoint.quantile"),
    ),
}  # fmt: skip


def encode(record: bytes, kind: Kind) -> bytes:
    """One record as one line of CEF.

    In the header `\\` and `|` are escaped, in the extension `\\` and `=`; line breaks of a value are `\\n` and `\\r`,
    whatever else moves a cursor, hides or reorders is its code, such as `\\u202e`. A value has at most 1,023
    characters; one that was longer ends with an ellipsis. What is not known is left out.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    event = read(record, kind)
    head = (event.version or "0", event.signature, event.name or event.signature, str(SEVERITIES[event.severity]))
    header = "|".join(("CEF:0", "Lapwing", "Lapwing", *map(_header, head)))
    extension = " ".join(f"{key}={_value(written(value))}" for key, value in _pairs(event) if value not in (None, ""))
    return f"{header}|{extension}".encode()


def _pairs(event: SiemEvent) -> Iterator[tuple[str, Scalar | None]]:
    six = ":" in event.ip
    short = len(event.uid) <= LONGEST_ID
    yield from (
        ("rt", event.time), ("start", event.start), ("end", event.end), ("externalId", event.uid if short else ""),
        ("cat", event.kind), ("act", event.action), ("outcome", event.outcome), ("reason", event.reason),
        ("cnt", event.count), ("src", "" if six else event.ip), ("suser", event.username),
        ("suid", event.actor or event.user),
        ("duid", event.target or ("" if event.user == event.actor else event.user)),
        ("requestMethod", event.method), ("request", event.endpoint), ("requestClientApplication", event.user_agent),
        ("sourceServiceName", event.app), ("msg", event.message),
    )  # fmt: skip
    if six:
        yield from (("c6a2", event.ip), ("c6a2Label", "Source IPv6 Address"))
    named: dict[str, Scalar | None] = {
        **event.details, "detection": event.detection, "incident": event.incident, "tenant": event.tenant,
        "risk": event.risk, "status": event.status, "asn": event.asn, "alerts": ",".join(event.alerts),
        "technique": event.technique,
        "id": "" if short else event.uid,
    }  # fmt: skip
    for key, label in _CUSTOM[event.kind]:
        if (value := named.get(label)) not in (None, ""):
            yield from ((key, value), (f"{key}Label", label))


def _header(text: str) -> str:
    return shown(text).replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    coded = "\n".join("\r".join(shown(part, LONGEST) for part in line.split("\r")) for line in text.split("\n"))
    return clean(coded, LONGEST).replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n").replace("\r", "\\r")
