"""Alerts, windows, dead letters, verdicts and actions as rows of the trail: each sealed for all whom it names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import pyarrow as pa

from flows.formats.members_of import under
from flows.trail.keys import KeyStore, Names
from flows.trail.schema import ABOUT_RECORD, RECORDS, day_of, leaf_hash
from flows.trail.seal import seal
from flows.trail.trees import Trees
from models.base import NONE_TIME

DEFAULT_TENANT: Final = "default"
_FIRST: Final = 946_684_800_000_000
_LAST: Final = 4_102_444_800_000_000
"""The years 2000 to 2100."""


class About(NamedTuple):
    """Whose a record is and when it was. `time` is microseconds UTC, NONE_TIME where the record has none."""

    tenant: str
    time: int
    uid: str | None = None
    user: str | None = None
    ip: str | None = None
    names: tuple[Names, ...] = ()


@dataclass(slots=True, frozen=True)
class Record:
    """A record on its way into the trail: `message` is its JSON. `received` is microseconds UTC or NONE_TIME."""

    offset: int
    index: int
    received: int
    about: About
    message: bytes


def record_table(records: Sequence[Record], log: str, keys: KeyStore, trees: Trees) -> pa.Table:
    """The rows of records, with their places in the trees of their tenants.

    Raises
    ------
    OutputError
        The key store cannot be written.
    """
    whom = [_whom(one.about) for one in records]
    subjects = keys.subjects(name for names in whom for name in names)
    rows: list[list[Any]] = []
    for one, names in zip(records, whom, strict=True):
        about = one.about
        tree, leaf = trees.next(about.tenant, log)
        whose = list(dict.fromkeys(subjects[name] for name in names))
        rows.append([
            tree, day_of(about.time), about.tenant, log, leaf, one.offset, one.index, about.time,
            one.received if one.received != NONE_TIME else None, about.uid,
            whose[0].id if about.user else None,
            keys.token(about.tenant, "ip", about.ip) if about.ip else None,
            [subject.id for subject in whose],
            seal([subject.key for subject in whose] or [keys.general], one.message, ABOUT_RECORD),
        ])  # fmt: skip
        rows[-1].append(leaf_hash(rows[-1]))
    columns = zip(*rows, strict=True) if rows else [()] * len(RECORDS)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, RECORDS, strict=True)], schema=RECORDS
    )


def of_alert(record: Mapping[str, Any]) -> About:
    """What an alert, an OCSF Detection Finding, is about: its entity, and all whom its events name."""
    tenant = _text(under(record, "metadata", "tenant_uid")) or DEFAULT_TENANT
    entities = _entities(under(record, "unmapped"))
    return About(
        tenant=tenant,
        time=_time(record.get("time"), 1000),
        uid=_text(under(record, "finding_info", "uid")),
        user=entities.get("user"),
        ip=entities.get("ip"),
        names=tuple(dict.fromkeys(_of_evidences(tenant, record.get("evidences")))),
    )


def of_entity(record: Mapping[str, Any]) -> About:
    """What a record is about that names its incident's tenant, dimension and entity: a verdict or an action."""
    return _about(record, _time(record.get("time"), 1000))


def of_window(record: Mapping[str, Any]) -> About:
    """What a closed window is about; its times are microseconds."""
    return _about(record, _time(record.get("end"), 1))


def of_dead_letter(record: Mapping[str, Any]) -> About:
    """What a dead letter is about: nobody knows, and it has no time but its record's."""
    return About(DEFAULT_TENANT, NONE_TIME)


OF: Final = {
    "alerts": of_alert, "windows": of_window, "dead_letters": of_dead_letter, "verdicts": of_entity,
    "actions": of_entity,
}  # fmt: skip


def _about(record: Mapping[str, Any], time: int) -> About:
    entities = _entities(record)
    tenant = _text(record.get("tenant")) or DEFAULT_TENANT
    return About(tenant, time, _text(record.get("uid")), entities.get("user"), entities.get("ip"))


def _whom(about: About) -> tuple[Names, ...]:
    """All whom a record names, its user first."""
    return ((about.tenant, "", about.user), *about.names) if about.user else about.names


def _entities(told: Any) -> dict[str, str]:
    """The entities of an incident by dimension."""
    found = {under(told, "dimension"): under(told, "entity")}
    both = under(told, "entities")
    found |= both if isinstance(both, dict) else {}
    return {str(dimension): text for dimension, name in found.items() if (text := _text(name))}


def _of_evidences(tenant: str, evidences: Any) -> Iterator[Names]:
    """All whom an alert's events name."""
    for one in evidences if isinstance(evidences, list) else ():
        user, name = _text(under(one, "user", "uid")), _text(under(one, "user", "name"))
        actor = _text(under(one, "actor", "user", "uid"))
        if user or name:
            yield tenant, user or "", name or ""
        if actor and actor not in (user, name):
            yield tenant, actor, ""
        resources = under(one, "resources")
        for resource in resources if isinstance(resources, list) else ():
            if (target := _text(under(resource, "uid"))) and target not in (user, name, actor):
                yield tenant, target, ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _time(value: Any, unit: int) -> int:
    """A number of microseconds or milliseconds as microseconds; NONE_TIME for what is no time of this century."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _FIRST <= value * unit < _LAST:
        return NONE_TIME
    return int(value * unit)
