"""An incident as the trail has it: from its alert records, and the events of its entities in its time."""

import ipaddress
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pyarrow.compute as pc

from flows.errors import InputError, UsageError
from flows.formats.evidence import shown
from flows.formats.members_of import under
from flows.trail.paths import templated
from flows.trail.reader import Trail, TrailEvent
from flows.verdicts import LEAST_PREFIX

_DIMENSIONS: Final = ("user", "ip", "endpoint", "tenant")


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What an incident was about, and when: `start` is inclusive, `end` exclusive, microseconds UTC.

    `entities` are (dimension, entity); `subjects` the ids of all whom its alerts name.
    """

    uid: str
    tenant: str
    detection: str
    title: str
    severity: str
    entities: tuple[tuple[str, str], ...]
    start: int
    end: int
    subjects: tuple[bytes, ...]

    def of(self, dimension: str) -> list[str]:
        """Its entities of a dimension."""
        return [entity for of, entity in self.entities if of == dimension]


def incident(trail: Trail, uid: str, tenant: str | None = None) -> Incident:
    """An incident by its uid, or by a prefix of at least eight characters that no other has.

    Raises
    ------
    InputError
        The trail has no alert of it, or none that can be read any more.
    UsageError
        Several incidents begin so, or the prefix is too short.
    """
    uid = _whole(trail, uid.strip().lower(), tenant)
    records = list(trail.records("alerts", uid=uid, tenant=tenant))
    told = [record.record for record in records if record.record is not None]
    if not told:
        raise InputError(f"the alerts of incident {uid} cannot be read: somebody whom they name was erased")
    last = max(told, key=lambda record: _number(under(record, "unmapped", "seq")))
    starts = [_number(record.get("start_time")) for record in told if record.get("start_time")]
    ends = [_number(record.get("end_time") or record.get("time")) for record in told]
    unmapped = last.get("unmapped") or {}
    found = {str(unmapped.get("dimension")): unmapped.get("entity"), **(unmapped.get("entities") or {})}
    return Incident(
        uid=uid,
        tenant=records[-1].tenant,
        detection=str(unmapped.get("detection", "")),
        title=str(under(last, "finding_info", "title") or ""),
        severity=str(last.get("severity", "")),
        entities=tuple((of, str(found[of])) for of in _DIMENSIONS if found.get(of)),
        start=min(starts or ends) * 1000,
        end=max(ends) * 1000 + 1,
        subjects=tuple(sorted({id_ for record in records for id_ in record.subjects})),
    )


def events(trail: Trail, found: Incident, start: int, end: int) -> Iterator[TrailEvent]:
    """The events of an incident's entities in a range of time: of its users and addresses where it has any, else of
    its endpoints, else of its tenant. Each event once.
    """
    seen: set[tuple[str, str, int]] = set()
    for event in _events(trail, found, start, end):
        place = (event.tree, event.log, event.leaf)
        if place not in seen:
            seen.add(place)
            yield event


def addresses(trail: Trail, tenant: str, entity: str, start: int, end: int) -> list[str]:
    """The addresses that an entity stands for: itself, or those of an IPv6 network that came in that time."""
    if "/" not in entity:
        return [entity]
    network = ipaddress.ip_network(entity, strict=False)
    came = {str(event.event.get("ip")) for event in trail.events(tenant=tenant, start=start, end=end)}
    return sorted(text for text in came if _inside(text, network))


def _events(trail: Trail, found: Incident, start: int, end: int) -> Iterator[TrailEvent]:
    for name in found.of("user"):
        yield from trail.events(tenant=found.tenant, user=name, start=start, end=end)
    for entity in found.of("ip"):
        for address in addresses(trail, found.tenant, entity, start, end):
            yield from trail.events(tenant=found.tenant, ip=address, start=start, end=end)
    if not found.of("user") and not found.of("ip"):
        paths = set(found.of("endpoint"))
        for event in trail.events(tenant=found.tenant, start=start, end=end):
            if not paths or templated(str(event.event.get("endpoint", ""))) in paths:
                yield event


def _whole(trail: Trail, begun: str, tenant: str | None) -> str:
    """The uid that begins so."""
    if len(begun) < LEAST_PREFIX:
        raise UsageError(f"a uid has 32 hex digits; at least the first {LEAST_PREFIX} of them are needed")
    found: set[str] = set()
    for batch in trail.table("alerts", ["uid"], tenant=tenant) if trail.has("alerts") else ():
        uids = batch.column("uid")
        found.update(uids.filter(pc.starts_with(uids, begun)).unique().to_pylist())
    if not found:
        raise InputError(f"no alert of incident {shown(begun)} in {trail.place}")
    if begun not in found and len(found) > 1:
        raise UsageError(f"{len(found)} incidents of {trail.place} begin so; give more of the uid")
    return begun if begun in found else found.pop()


def _inside(text: str, network: Any) -> bool:
    try:
        return ipaddress.ip_address(text) in network
    except ValueError:
        return False


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0
