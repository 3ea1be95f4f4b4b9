"""Reading results: windows, entities, incidents and actions of an output directory, for commands and notebooks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.connectors.output_directory import ACTIONS, ALERTS, SCORED
from flows.errors import InputError
from flows.formats.actions import Action
from flows.formats.limits import Limits
from flows.formats.mapped import Choice, Mapped
from flows.formats.raw import raw_batch
from flows.formats.source_formats import FORMATS
from flows.formats.windows import SCHEMA
from flows.result_lines import LONGEST, lines, scored
from models.base import DIMENSIONS

WINDOWS = "windows.parquet"
ANY_FORMAT = Choice(FORMATS)
_CREATE, _CLOSE = 1, 3
_BLOCK = 1 << 22
_EVENT = msgspec.json.Decoder(dict[str, Any])


class _FindingInfo(msgspec.Struct):
    uid: str
    title: str
    first_seen_time: int


class _Metadata(msgspec.Struct):
    tenant_uid: str = "default"
    correlation_uid: str = ""


class _Remediation(msgspec.Struct):
    desc: str = ""


class _Unmapped(msgspec.Struct):
    seq: int
    detection: str
    dimension: str
    entity: str
    entities: dict[str, str] = {}
    value: float | None = None
    limit: float | None = None
    expected: float | None = None
    failed_users: int | None = None
    succeeded_users: int | None = None


class AlertLine(msgspec.Struct):
    """An alert as it was written, as far as it is asked for."""

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
    remediation: _Remediation = msgspec.field(default_factory=_Remediation)
    evidences: list[dict[str, Any]] = []
    activity_name: str = ""
    status_detail: str = ""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident as its last message tells it. Times are epoch milliseconds of the events.

    `crossed` is the end of the first crossing pane, `start` and `end` span the counted events, `severity` is OCSF's
    `severity_id`. `value` and `limit` are the rule's measure and the least that crosses. `attack` is the uid of the
    first incident of the attack that it belongs to, its own where it stands alone; `front` whether it is the attack's
    entry in the queue, `kept_back` what keeps it out, if anything does. `expected` is a baseline, where one was
    learned; the users are the most who failed and succeeded at an address, where somebody counted them.
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
    expected: float | None = None
    failed_users: int | None = None
    succeeded_users: int | None = None
    entities: dict[str, str] = {}
    kept_back: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One message of an incident. `created` is event time in epoch milliseconds, `evidences` are OCSF's."""

    seq: int
    created: int
    activity: str
    severity: int
    count: int
    value: float | None
    message: str
    advice: str
    evidences: list[dict[str, Any]]


class BusyEntity(msgspec.Struct, frozen=True):
    """An entity and what is kept of it: `events` is an estimate, since ordinary windows are kept as a sample."""

    tenant: str
    entity: str
    windows: int
    events: float


class Lane(NamedTuple):
    """An entity, its incidents and its kept windows."""

    tenant: str
    entity: str
    incidents: list[Incident]
    windows: pa.Table


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
    for alert in lines(path, AlertLine, "no alert"):
        told = alert.unmapped
        names = [(told.dimension, told.entity), *told.entities.items()]
        about = ((alert.metadata.tenant_uid, *name) for name in names)
        if any(all(want in (None, has) for want, has in zip(wanted, one, strict=True)) for one in about):
            uid = alert.finding_info.uid
            found[uid] = incident_of(alert, found.get(uid))
    return sorted(found.values(), key=lambda incident: (-incident.severity, incident.crossed, incident.uid))


def strangest(directory: str, dimension: str, most: int = 20) -> list[Lane]:
    """The entities of a dimension that stood out most: by the gravest incident, then by the highest score.

    Raises
    ------
    InputError
        As `windows` and `incidents`.
    """
    graves: dict[tuple[str, str], list[Incident]] = {}
    for one in incidents(directory, dimension=dimension):
        if one.dimension == dimension:
            graves.setdefault((one.tenant, one.entity), []).append(one)
    rows = windows(directory, dimension=dimension)
    best = rows.group_by(["tenant", "entity"]).aggregate([("score", "max")]).to_pylist()
    score = {(row["tenant"], row["entity"]): row["score_max"] or 0.0 for row in best}
    score |= dict.fromkeys((name for name in graves if name not in score), 0.0)

    def rank(name: tuple[str, str]) -> tuple[int, float, tuple[str, str]]:
        return -max((one.severity for one in graves.get(name, ())), default=0), -score[name], name

    return [
        Lane(tenant, entity, graves.get((tenant, entity), []), _of(rows, tenant, entity))
        for tenant, entity in sorted(score, key=rank)[:most]
    ]


def _of(rows: pa.Table, tenant: str, entity: str) -> pa.Table:
    return rows.filter(pc.and_(pc.equal(rows["tenant"], tenant), pc.equal(rows["entity"], entity)))


def told(directory: str, uid: str) -> list[Told]:
    """All messages of one incident, in their order; none, if there is no such incident.

    Raises
    ------
    InputError
        As `incidents`.
    """
    alerts = lines(_present(directory, ALERTS), AlertLine, "no alert")
    return [message_of(alert) for alert in alerts if alert.finding_info.uid == uid]


def message_of(alert: AlertLine) -> Told:
    """An alert as a message of its incident."""
    return Told(
        seq=alert.unmapped.seq,
        created=alert.time,
        activity=alert.activity_name,
        severity=alert.severity_id,
        count=alert.count,
        value=alert.unmapped.value,
        message=alert.message,
        advice=alert.remediation.desc,
        evidences=alert.evidences,
    )


def linked(found: Sequence[Incident], one: Incident) -> list[Incident]:
    """Other incidents of the same attack, or of the same entity, as they came; `found` is what `incidents` gives."""
    attack = one.attack or one.uid
    whose = one.tenant, one.dimension, one.entity
    close = [
        other
        for other in found
        if other.uid != one.uid
        and ((other.attack or other.uid) == attack or (other.tenant, other.dimension, other.entity) == whose)
    ]
    return sorted(close, key=lambda other: (other.crossed, other.uid))


def events(
    directory: str,
    tenant: str,
    dimension: str,
    entity: str,
    start: int,
    end: int,
    most: int = 200,
    formats: Choice = ANY_FORMAT,
) -> list[dict[str, Any]]:
    """Scored events of an entity with `start` <= time < `end` (epoch ms), the first `most` of them in the file's order.

    An event belongs to the entities that it was scored for. One pass over the file; memory is what is returned.
    Of what is no dimension of events, such as a source, there are none. `formats` are those that the events may have
    beside `lapwing`; a layout that a configuration declares has to be given (`flows.format_block.choice`).

    Raises
    ------
    InputError
        There are no scored events, or not one in a block of them can be read.
    """
    path = _present(directory, SCORED)
    if dimension not in DIMENSIONS:
        return []
    at = DIMENSIONS.index(dimension)
    names = [(0, tenant.encode()), (at, entity.encode())]
    found: list[dict[str, Any]] = []
    read_as = Mapped(formats, Limits(max_message_bytes=LONGEST))
    try:
        with path.open("rb") as file:
            while len(found) < most and (read := file.readlines(_BLOCK)):
                came = [one for one in map(scored, read) if one]
                if not came:
                    raise InputError(f"{path}: not one of {len(read)} lines is a scored event")
                # Most are of another time, and need not be read as events.
                near = [one for one in came if start <= one.time < end]
                if not near:
                    continue
                seen = read_as.decode(raw_batch(SCORED, [one.event for one in near]))
                if not len(seen):
                    raise InputError(f"{path}: {seen.dead[0].reason} ({seen.dead[0].detail})")
                hit = np.ones(len(seen), bool)
                for place, name in names:
                    hit &= seen.name_length[place] == len(name)
                for row in np.flatnonzero(hit).tolist():
                    begins = [(name, int(seen.name_start[place, row])) for place, name in names]
                    if all(seen.names[begin : begin + len(name)].tobytes() == name for name, begin in begins):
                        found.append(_EVENT.decode(near[int(seen.row[row])].line))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return found[:most]


def actions(source: str, tenant: str | None = None) -> Iterator[Action]:
    """The block candidates of a directory, or of a file of them, in the order of the file.

    Raises
    ------
    InputError
        There are none, or a line is none.
    """
    path = _present(source, ACTIONS) if Path(source).is_dir() else Path(source)
    for action in lines(path, Action, "no action"):
        if tenant in (None, action.tenant):
            yield action


def incident_of(alert: AlertLine, before: Incident | None) -> Incident:
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
        expected=unmapped.expected,
        failed_users=_most(unmapped.failed_users, before.failed_users if before else None),
        succeeded_users=_most(unmapped.succeeded_users, before.succeeded_users if before else None),
        entities=unmapped.entities,
        kept_back=alert.status_detail,
    )


def _most(now: int | None, before: int | None) -> int | None:
    """The most that any message has told: a close counts a window in which nobody is left."""
    return max((count for count in (now, before) if count is not None), default=None)


def _present(directory: str, name: str) -> Path:
    path = Path(directory) / name
    if not path.is_file():
        raise InputError(f"{path}: no such file; `lapwing detect --output {directory}` writes it")
    return path
