"""Alerts, windows, dead letters, verdicts and actions as rows of the trail: each sealed for all whom it names."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from flows.trail.keys import KeyStore, Names
from flows.trail.rows import days
from flows.trail.schema import ABOUT_RECORD, RECORDS, leaf_hash
from flows.trail.seal import seal
from flows.trail.trees import Trees
from models.base import NONE_TIME

DEFAULT_TENANT: Final = "default"
_pack = msgspec.msgpack.Encoder().encode


class Record(NamedTuple):
    """A record on its way into the trail. Times are microseconds UTC; `user` and `ip` are what it is found by."""

    offset: int
    index: int
    tenant: str
    time: int
    received: int
    uid: str | None
    user: str | None
    ip: str | None
    names: tuple[Names, ...]
    record: Mapping[str, Any]


def record_table(records: Sequence[Record], log: str, keys: KeyStore, trees: Trees) -> pa.Table:
    """The rows of records, with their places in the trees of their tenants.

    Raises
    ------
    OutputError
        The key store cannot be written.
    """
    users = [(one.tenant, "", one.user) if one.user else None for one in records]
    subjects = keys.subjects(
        [name for one, user in zip(records, users, strict=True) for name in (*one.names, *((user,) if user else ()))]
    )
    rows = []
    for one, user in zip(records, users, strict=True):
        tree, leaf = trees.next(one.tenant, log)
        whose = dict.fromkeys([subjects[name] for name in (*((user,) if user else ()), *one.names)])
        rows.append([
            tree, None, one.tenant, log, leaf, one.offset, one.index, one.time,
            one.received if one.received != NONE_TIME else None, one.uid, subjects[user].id if user else None,
            keys.token(one.tenant, "ip", one.ip) if one.ip else None,
            [subject.id for subject in whose],
            seal([subject.key for subject in whose] or [keys.general], _pack(one.record), ABOUT_RECORD),
        ])  # fmt: skip
    for row, day in zip(rows, days(np.array([one.time for one in records], np.int64)), strict=True):
        row[1] = day
        row.append(leaf_hash(row))
    columns = zip(*rows, strict=True) if rows else [()] * len(RECORDS)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, RECORDS, strict=True)], schema=RECORDS
    )


def of_alert(record: dict[str, Any]) -> tuple[str, int, str | None, str | None, str | None, tuple[Names, ...]]:
    """Tenant, time, uid, user, ip and names of an alert, an OCSF Detection Finding."""
    tenant = _text(_at(record, "metadata", "tenant_uid")) or DEFAULT_TENANT
    told = _at(record, "unmapped") or {}
    entities = {told.get("dimension"): told.get("entity"), **(told.get("entities") or {})}
    names = tuple(dict.fromkeys(_of_evidences(tenant, record.get("evidences") or [])))
    uid = _text(_at(record, "finding_info", "uid"))
    return tenant, _milliseconds(record.get("time")), uid, _text(entities.get("user")), _text(entities.get("ip")), names


def of_entity(record: dict[str, Any]) -> tuple[str, int, str | None, str | None, str | None, tuple[Names, ...]]:
    """The same of a record that names its incident's tenant, dimension and entity: a verdict or an action."""
    entities = {record.get("dimension"): record.get("entity"), **(record.get("entities") or {})}
    return (
        _text(record.get("tenant")) or DEFAULT_TENANT,
        _milliseconds(record.get("time")),
        _text(record.get("uid")),
        _text(entities.get("user")),
        _text(entities.get("ip")),
        (),
    )


def of_window(record: dict[str, Any]) -> tuple[str, int, str | None, str | None, str | None, tuple[Names, ...]]:
    """The same of a closed window, whose times are a table's microseconds or a message's text."""
    entities = {record.get("dimension"): record.get("entity")}
    end = record.get("end")
    time = end if isinstance(end, int) else _written(end)
    return (
        _text(record.get("tenant")) or DEFAULT_TENANT,
        time,
        None,
        _text(entities.get("user")),
        _text(entities.get("ip")),
        (),
    )


def of_dead_letter(record: dict[str, Any]) -> tuple[str, int, str | None, str | None, str | None, tuple[Names, ...]]:
    """The same of a dead letter: nobody knows whom it is about, and it has no time but its record's."""
    return DEFAULT_TENANT, NONE_TIME, None, None, None, ()


OF: Final = {
    "alerts": of_alert, "windows": of_window, "dead_letters": of_dead_letter, "verdicts": of_entity,
    "actions": of_entity,
}  # fmt: skip


def _of_evidences(tenant: str, evidences: list[Any]) -> Iterator[Names]:
    """All whom an alert's events name."""
    for one in evidences:
        user, actor = _text(_at(one, "user", "uid")), _text(_at(one, "actor", "user", "uid"))
        name = _text(_at(one, "user", "name"))
        if user or name:
            yield tenant, user or "", name or ""
        if actor and actor not in (user, name):
            yield tenant, actor, ""
        for resource in _at(one, "resources") or []:
            if (target := _text(_at(resource, "uid"))) and target not in (user, name, actor):
                yield tenant, target, ""


def _at(record: Any, *path: str) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return record


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _milliseconds(value: Any) -> int:
    return int(value) * 1000 if isinstance(value, int | float) and not isinstance(value, bool) else NONE_TIME


def _written(value: Any) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return NONE_TIME
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
