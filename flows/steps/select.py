"""`select`: the messages that a destination is to get, as it is to get them."""

from flows.formats.forwarded import Message, Read, Record, Selected, Unreadable, record
from flows.formats.siem import ENCODERS, slim
from flows.formats.siem_event import NoRecord
from flows.forward_block import HEC, Destination


def select(read: Read, one: Destination) -> Selected:
    """What the destination's filters let through."""
    records: list[Record] = []
    unreadable: list[tuple[Message, str]] = []
    for message in read.messages:
        try:
            found = record(one.kind, message)
        except Unreadable as error:
            unreadable.append((message, str(error)))
            continue
        if not wanted(found, one):
            continue
        try:
            records.append(formed(found, one))
        except NoRecord as error:
            unreadable.append((message, str(error)))
    return Selected(records, unreadable, read.reached, len(read.messages))


def wanted(found: Record, one: Destination) -> bool:
    """Whether the filters let a record through."""
    return (
        (one.kind != "alerts" or found.severity >= one.severity_id)
        and (one.kind == "events" or (found.risk or 0) >= one.min_risk)
        and (not one.detections or found.detection in one.detections)
        and (not one.tenants or found.tenant in one.tenants)
    )


def formed(found: Record, one: Destination) -> Record:
    """A record in the destination's form: its own bytes where it names none, and in an envelope, which clients make.

    Raises
    ------
    NoRecord
        The encoder does not take it.
    """
    body = slim(found.body) if one.slim else found.body
    if one.form and one.form != HEC:
        body = ENCODERS[one.form](body, "alert" if one.kind == "alerts" else "scored")
    return found._replace(body=body)
