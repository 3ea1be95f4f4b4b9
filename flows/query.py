"""Reading results: windows, entities, incidents and actions of an output directory, for commands and notebooks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.errors import InputError
from flows.formats.actions import Action
from flows.formats.windows import SCHEMA

ACTIONS, ALERTS, WINDOWS = "actions.ndjson", "alerts.ndjson", "windows.parquet"
_CREATE, _CLOSE = 1, 3
_LONGEST_LINE = 1 << 22
_Line = TypeVar("_Line", bound=msgspec.Struct)


class _FindingInfo(msgspec.Struct):
    uid: str
    title: str
    first_seen_time: int


class _Metadata(msgspec.Struct):
    tenant_uid: str = "default"
    correlation_uid: str = ""


class _Unmapped(msgspec.Struct):
    seq: int
    detection: str
    dimension: str
    entity: str
    entities: dict[str, str] = {}
    value: float | None = None
    limit: float | None = None


class _AlertLine(msgspec.Struct):
    time: int
    activity_id: int
    severity_id: int
    message: str
    count: int
    start_time: int
    end_time: int
    finding_info: _FindingInfo
    metadata: _Metadata
    unmapped: _Unmapped
    is_alert: bool = True


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as its last message tells it. Times are epoch milliseconds of the events.

    `crossed` is the end of the first crossing pane, `start` and `end` span the counted events, `severity` is OCSF's
    `severity_id`. `value` and `limit` are the rule's measure and the least that crosses. `attack` is the uid of the
    first incident of the attack that it belongs to, its own where it stands alone; `front` whether it is the attack's
    entry in the queue.
    """

    uid: str
    tenant: str
    detection: str
    title: str
    dimension: str
    entity: str
    severity: int
    closed: bool
    messages: int
    crossed: int
    first_seen: int
    start: int
    end: int
    count: int
    value: float | None
    limit: float | None
    message: str
    attack: str
    front: bool


class BusyEntity(msgspec.Struct, frozen=True):
    """An entity and what is kept of it: `events` is an estimate, since ordinary windows are kept as a sample."""

    tenant: str
    entity: str
    windows: int
    events: float


def windows(
    directory: str,
    tenant: str | None = None,
    dimension: str | None = None,
    entity: str | None = None,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """The kept windows of a directory, in the order of their end; `columns` of them, or all.

    Ordinary windows are a sample: each stands for `sample_weight` of its kind, so a gap between two rows is no
    silence. Row groups that cannot match are passed over. While a run is going on its windows are not here yet.

    Raises
    ------
    InputError
        The table is missing, or is no table of windows.
    """
    path = _present(directory, WINDOWS)
    wanted = [("tenant", "==", tenant), ("dimension", "==", dimension), ("entity", "==", entity)]
    filters = [condition for condition in wanted if condition[2] is not None]
    names = list(SCHEMA.names if columns is None else columns)
    try:
        schema = pq.read_schema(path)
        present = [name for name in dict.fromkeys([*names, "end"]) if name in schema.names]  # older tables have fewer
        rows = pq.read_table(path, columns=present, filters=filters or None)
        return rows.sort_by("end").select([name for name in names if name in present])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a table of windows ({str(error).splitlines()[0]})") from error


def entities(directory: str, dimension: str, most: int = 100) -> list[BusyEntity]:
    """The busiest entities of a dimension, at most so many: by events a minute added up over the kept windows.

    Raises
    ------
    InputError
        As `windows`.
    """
    rows = windows(directory, dimension=dimension, columns=["tenant", "entity", "events_1m", "sample_weight"])
    events = pc.multiply(rows["events_1m"], rows["sample_weight"])
    grouped = rows.append_column("events", events).group_by(["tenant", "entity"])
    busy = grouped.aggregate([("events", "sum"), ("events", "count")])
    order = [("events_sum", "descending"), ("tenant", "ascending"), ("entity", "ascending")]
    return [
        BusyEntity(row["tenant"], row["entity"], row["events_count"], row["events_sum"])
        for row in busy.sort_by(order).slice(0, most).to_pylist()
    ]


def incidents(
    directory: str, tenant: str | None = None, dimension: str | None = None, entity: str | None = None
) -> list[Incident]:
    """The incidents of a directory, each as its last message tells it: the gravest first, then the earliest.

    Memory is one struct an incident.

    Raises
    ------
    InputError
        There are no alerts, or a line is none.
    """
    path = _present(directory, ALERTS)
    found: dict[str, Incident] = {}
    wanted = tenant, dimension, entity
    for alert in _lines(path, _AlertLine, "no alert"):
        told = alert.unmapped
        names = [(told.dimension, told.entity), *told.entities.items()]
        about = ((alert.metadata.tenant_uid, *name) for name in names)
        if any(all(want in (None, has) for want, has in zip(wanted, one, strict=True)) for one in about):
            uid = alert.finding_info.uid
            found[uid] = _told(alert, found.get(uid))
    return sorted(found.values(), key=lambda incident: (-incident.severity, incident.crossed, incident.uid))


def actions(source: str, tenant: str | None = None) -> Iterator[Action]:
    """The block candidates of a directory, or of a file of them, in the order of the file.

    Raises
    ------
    InputError
        There are none, or a line is none.
    """
    path = _present(source, ACTIONS) if Path(source).is_dir() else Path(source)
    for action in _lines(path, Action, "no action"):
        if tenant in (None, action.tenant):
            yield action


def _told(alert: _AlertLine, before: Incident | None) -> Incident:
    """The incident after one more of its messages."""
    unmapped = alert.unmapped
    return Incident(
        uid=alert.finding_info.uid,
        tenant=alert.metadata.tenant_uid,
        detection=unmapped.detection,
        title=alert.finding_info.title,
        dimension=unmapped.dimension,
        entity=unmapped.entity,
        severity=alert.severity_id,
        closed=alert.activity_id == _CLOSE,
        messages=1 + (before.messages if before else 0),
        crossed=before.crossed if before and alert.activity_id != _CREATE else alert.time,
        first_seen=alert.finding_info.first_seen_time,
        start=alert.start_time,
        end=alert.end_time,
        count=alert.count,
        value=unmapped.value,
        limit=unmapped.limit,
        message=alert.message,
        attack=alert.metadata.correlation_uid or alert.finding_info.uid,
        front=alert.is_alert,
    )


def _present(directory: str, name: str) -> Path:
    path = Path(directory) / name
    if not path.is_file():
        raise InputError(f"{path}: no such file; `lapwing detect --output {directory}` writes it")
    return path


def _lines(path: Path, kind: type[_Line], what: str) -> Iterator[_Line]:
    decoder = msgspec.json.Decoder(kind)
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                try:
                    yield decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise InputError(f"{path}: line {number} is {what} ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
