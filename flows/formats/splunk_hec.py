"""The envelope of Splunk's HTTP Event Collector, the record in it as Lapwing published it."""

from typing import Final

import msgspec

from flows.formats.json_line import one_line
from flows.formats.siem_event import Kind
from flows.formats.siem_read import read

SOURCE_TYPES: Final[dict[Kind, str]] = {"alert": "ocsf:detection_finding", "scored": "lapwing:scored"}
"""Splunk's `sourcetype` of each kind, as `deploy/siem/splunk/props.conf` knows them."""


def encode(record: bytes, kind: Kind) -> bytes:
    """One record as the JSON object that `/services/collector/event` takes.

    `time` is the event's, in seconds; `fields` are indexed: kind, tenant, severity, risk and uid, never a name.

    Raises
    ------
    NoRecord
        The bytes are no record of that kind.
    """
    event = read(record, kind)
    fields = {"tenant": event.tenant, "severity_id": str(event.severity), "uid": event.uid}
    if event.risk is not None:
        fields["risk"] = str(event.risk)
    return one_line(
        msgspec.json.encode(
            {
                "time": event.time / 1000,
                "host": "lapwing",
                "source": "lapwing",
                "sourcetype": SOURCE_TYPES[kind],
                "event": msgspec.Raw(record),
                "fields": fields,
            }
        )
    )
