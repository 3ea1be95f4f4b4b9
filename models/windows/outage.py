"""The life of an incident of a source, which no shard's arrays know: opened, updated, closed at pane ends."""

import msgspec

from models.alert import CLOSE, CREATE, UPDATE, Alert
from models.base import SEVERITIES
from models.kernels.layout import PANE_US, PER30
from models.windows.evidence import Witness, ends
from models.windows.incidents import incident_uid

PANE30_US = PANE_US * PER30
NO_TENANT = ""
"""The tenant of what concerns a whole source: it carries events of any."""


class Outage(msgspec.Struct):
    """One open incident. Panes are of 30 s.

    `start` is the pane in which it began, `last` that of its last crossing; `told` is what was told of it last,
    `pending` what was counted after `last`. `witnesses` are what is shown of it, by position.
    """

    uid: str
    first: int
    start: int
    created: int
    count: int = 0
    pending: int = 0
    value: float = 0.0
    limit: float = 0.0
    expected: float = 0.0
    last: int = 0
    told: float = 0.0
    seq: int = 0
    witnesses: list[Witness] = []


class Subject(msgspec.Struct, frozen=True):
    """Whose outage, and of which detection."""

    tenant: str
    dimension: str
    entity: str
    detection: str
    severity: str
    window_s: int


def begin(subject: Subject, pane: int, start: int, created: int) -> Outage:
    """An outage that crosses with 30 s pane `pane`."""
    uid = incident_uid(subject.tenant, subject.detection, subject.entity, pane * PANE30_US)
    return Outage(uid=uid, first=pane, start=start, created=created, last=pane)


def alert_of(outage: Outage, subject: Subject, activity: int, time: int) -> Alert:
    """The next message of an outage, decided at `time` (microseconds)."""
    assert activity in (CREATE, UPDATE, CLOSE)
    outage.seq += activity != CREATE
    shown = ends(outage.witnesses)
    return Alert(
        uid=outage.uid,
        seq=outage.seq,
        activity=activity,
        tenant=subject.tenant,
        detection=subject.detection,
        dimension=subject.dimension,
        entity=subject.entity,
        severity=SEVERITIES.index(subject.severity),
        time=time,
        created=outage.created,
        first_seen=outage.start * PANE30_US,
        start=outage.start * PANE30_US,
        end=(outage.last + 1) * PANE30_US,
        count=outage.count,
        feature=subject.detection,
        window_s=subject.window_s,
        value=outage.value,
        limit=outage.limit,
        expected=outage.expected,
        evidences=tuple(msgspec.json.decode(one.message) for one in shown),
    )
