"""The envelope of Splunk's HTTP Event Collector."""

from typing import Final

import msgspec

from flows.formats.json_line import one_line
from flows.formats.siem_event import Kind, severity_of
from flows.formats.siem_read import read

SOURCE_TYPES: Final[dict[Kind, str]] = {"alert": "ocsf:detection_finding", "scored": "lapwing:scored"}
"""Splunk's `sourcetype` of each kind, as `deploy/siem/splunk/props.conf` knows them."""


def envelope(
    body: msgspec.Raw | str,
    sourcetype: str,
    *,
    time: int | None,
    id: str,
    tenant: str,
    severity: int,
    risk: int | None,
    **about: str,
) -> bytes:
    """The JSON object that `/services/collector/event` takes, with a record, or a text that was made of it, in it.

    `time` is epoch ms; `about` are `host`, `source` and `index`. What is empty or not known is left out. `fields` are
    indexed: id, tenant, severity (OCSF's number, that of the risk where it is 0) and risk, never a name.

    >>> envelope("x", "t", time=5, id="a-1", tenant="acme", severity=0, risk=None, host="h", index="")
    b'{"time":0.005,"host":"h","sourcetype":"t","event":"x","fields":{"lapwing_id":"a-1","tenant":"acme"}}'
    """
    fields = {"lapwing_id": id, "tenant": tenant}
    if known := severity or severity_of(risk):
        fields["severity_id"] = str(known)
    if risk is not None:
        fields["risk"] = str(risk)
    found: dict[str, object] = {} if time is None else {"time": time / 1000}
    found |= {key: text for key, text in about.items() if text}
    return one_line(msgspec.json.encode(found | {"sourcetype": sourcetype, "event": body, "fields": fields}))


def encode(record: bytes, kind: Kind) -> bytes:
    """One record, as Lapwing published it, in its envelope.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    event = read(record, kind)
    return envelope(
        msgspec.Raw(record), SOURCE_TYPES[kind], time=event.time, id=event.uid, tenant=event.tenant,
        severity=event.severity, risk=event.risk, host="lapwing", source="lapwing",
    )  # fmt: skip
