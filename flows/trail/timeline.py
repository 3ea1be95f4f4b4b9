"""The timeline: what happened to a person, from an address, in a session or in a request, in its exact order."""

from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from typing import Any, Final

import msgspec

from flows.trail.keys import KeyStore
from flows.trail.own import Owner
from flows.trail.reader import Trail, TrailEvent, TrailRecord, uids_of
from flows.trail.schema import stamp
from flows.trail.versions import ABSENT, readable

Proof = Callable[[str, str, str, int], str]
"""Of (kind, tree, log, leaf): "covered" by a signed checkpoint, "pending" until the next, or "none" where there is no
checkpoint at all."""
Subject = dict[str, str]
"""One of "user", "ip", "session" and "request", and its value."""
_KINDS: Final = ("alerts", "actions", "verdicts")
_IN_PLACE: Final = ("time", "tenant", "id")
_MOST_UIDS: Final = 100_000


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a timeline.

    `kind` is "event", "change" (one field's of the event above it), "incident" (a message of one), "action" or
    "verdict". (`time`, `log`, `offset`, `index`) is the order, (`table`, `tree`, `log`, `leaf`) the place in the
    proofs. `members` are an event's, or what there is of a change or record. `sealed` records name an erased person:
    all that is left is that they were there. `erased` are those of "user", "actor", "target" whose key is gone.
    """

    time: str
    kind: str
    table: str
    tenant: str
    tree: str
    log: str
    offset: int
    index: int
    leaf: int
    proof: str
    id: str | None = None
    received: str | None = None
    risk: int | None = None
    scores: dict[str, Any] | None = None
    alerts: list[str] = []
    erased: tuple[str, ...] = ()
    sealed: bool = False
    members: dict[str, Any] = {}


def timeline(
    trail: Trail,
    subject: Subject,
    proof: Proof,
    *,
    tenant: str | None = None,
    start: int | None = None,
    end: int | None = None,
) -> Iterator[Row]:
    """The rows about a subject, in the order of event time; at one time by source, in the source's order.

    A person's incidents are those of the person, and those that the person's events are part of (whose uids they
    carry), also what was told of them before; of the latter nothing is told that is another's. An address has its own
    too; sessions and requests have those of their events. Memory is a few megabytes, whatever comes; the events' uids
    are read first, and all alerts of the tenant in the range.

    Raises
    ------
    InputError
        The trail cannot be read.
    """
    (by, value) = next(iter(subject.items()))
    if trail.keys is None:
        raise ValueError("a timeline takes the trail's keys")
    owner = Owner(trail.keys, value) if by == "user" else None
    span: dict[str, Any] = {"tenant": tenant, "start": start, "end": end}
    asked: dict[str, Any] = dict(subject)
    ours = asked if by in ("user", "ip") else {}
    own = {
        _key(record)
        for kind in ("alerts",) if ours and trail.has(kind)
        for record in trail.records(kind, **ours, **span)
    }  # fmt: skip
    streams: list[Iterator[tuple[tuple[Any, ...], TrailEvent | TrailRecord]]] = [
        ((_order(0, one), one) for one in trail.events(**asked, **span))
    ]
    for rank, kind in enumerate(_KINDS, 1):
        if trail.has(kind) and (ours or kind == "alerts"):
            told = trail.records(kind, **span) if kind == "alerts" else trail.records(kind, **ours, **span)
            streams.append((_order(rank, one), one) for one in told)
    linked: set[str] = set()
    if trail.has("alerts"):
        for uid in trail.alerted(**asked, **span):
            if len(linked) >= _MOST_UIDS:
                break
            linked.add(uid)
    for _, one in merge(*streams, key=lambda pair: pair[0]):
        if isinstance(one, TrailEvent):
            row = _event(one, owner, proof)
            yield row
            yield from _changes(row, one, owner)
        elif one.kind != "alerts" or one.uid in linked or _key(one) in own:
            yield _record(one, owner, proof)


def _order(rank: int, one: TrailEvent | TrailRecord) -> tuple[Any, ...]:
    return one.time, rank, one.log, one.offset, one.index, one.tree


def _key(record: TrailRecord) -> tuple[str, str, int]:
    return record.tree, record.log, record.leaf


def _event(event: TrailEvent, owner: Owner | None, proof: Proof) -> Row:
    members = event.event if owner is None else owner.members(event)
    lapwing = event.lapwing or {}
    is_alone = owner is None or members == event.event
    return Row(
        **_place(event, "events", proof), kind="event", id=event.id, risk=lapwing.get("risk"),
        scores=lapwing.get("scores") if is_alone else None,
        alerts=uids_of(lapwing),
        erased=event.erased,
        members={name: value for name, value in members.items() if name not in _IN_PLACE and value != ""},
    )  # fmt: skip


def _changes(row: Row, event: TrailEvent, owner: Owner | None) -> Iterator[Row]:
    """A row for each field that an event has changed."""
    told = msgspec.structs.replace(event, event=row.members) if owner else event
    for change in readable(told):
        values = {"old": change.old, "new": change.new}
        members = {"path": change.path} | {name: value for name, value in values.items() if value is not ABSENT}
        yield msgspec.structs.replace(row, kind="change", members=members, risk=None, scores=None, alerts=[])


def _record(record: TrailRecord, owner: Owner | None, proof: Proof) -> Row:
    place = _place(record, record.kind, proof)
    kind = {"alerts": "incident", "actions": "action", "verdicts": "verdict"}[record.kind]
    if record.record is None:
        return Row(**place, kind=kind, id=record.uid, sealed=True)
    told = record.record
    members = _incident(told, record.tenant, owner) if kind == "incident" else _told(told, record.tenant, owner)
    return Row(**place, kind=kind, id=record.uid, members=members)


def _incident(told: Mapping[str, Any], tenant: str, owner: Owner | None) -> dict[str, Any]:
    """What a timeline tells of an incident; a person's own says whom it is about only where it is that person."""
    info, unmapped = _object(told, "finding_info"), _object(told, "unmapped")
    found = {
        "detection": unmapped.get("detection"), "title": info.get("title"), "activity": told.get("activity_name"),
        "severity": told.get("severity"), "count": told.get("count"), "dimension": unmapped.get("dimension"),
        "start": _ms(told.get("start_time")), "end": _ms(told.get("end_time")),
    }  # fmt: skip
    if owner is None:
        found |= {"entity": unmapped.get("entity"), "message": told.get("message")}
    elif _is_owners(unmapped, tenant, owner):
        found["entity"] = unmapped.get("entity")
    return {name: value for name, value in found.items() if value is not None}


def _told(told: Mapping[str, Any], tenant: str, owner: Owner | None) -> dict[str, Any]:
    """An action or a verdict; a person's own without who judged, and what that one wrote."""
    names = ("action", "verdict", "detection", "dimension", "entity", "ttl", "risk", "reason", "author", "note")
    left_out = ("author", "note", *(() if owner is None or _is_owners(told, tenant, owner) else ("entity",)))
    return {
        name: told[name]
        for name in names
        if told.get(name) is not None and not (owner is not None and name in left_out)
    }


def _is_owners(told: Mapping[str, Any], tenant: str, owner: Owner) -> bool:
    entity = told.get("entity")
    return told.get("dimension") == "user" and isinstance(entity, str) and owner.is_owner(tenant, entity)


def _place(one: TrailEvent | TrailRecord, table: str, proof: Proof) -> dict[str, Any]:
    return {
        "time": stamp(one.time), "table": table, "tenant": one.tenant, "tree": one.tree, "log": one.log,
        "offset": one.offset, "index": one.index, "leaf": one.leaf,
        "received": None if one.received is None else stamp(one.received),
        "proof": proof(table, one.tree, one.log, one.leaf),
    }  # fmt: skip


def _object(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = told.get(name)
    return value if isinstance(value, dict) else {}


def _ms(value: Any) -> str | None:
    return stamp(value * 1000) if isinstance(value, int) and 0 <= value < 4_102_444_800_000 else None


def known(keys: KeyStore, tenants: list[str], name: str) -> list[str]:
    """The tenants in which a name leads to somebody."""
    return [tenant for tenant in tenants if keys.find(tenant, name)]
