"""The life of an incident: opened by its first crossing pane, carried on, updated, closed by watermark.

A pane crosses if the rule's condition holds over the window that ends with it, and, while no incident is open, one of
its own events counts (a traffic spike: began the run of panes). An incident's value is the largest at a crossing pane,
its count that of the counted events up to the last crossing pane's end. It is updated at a pane end where the count
has doubled since the last message, or five minutes have passed, and ends `quiet` after its last crossing pane.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alert import CLOSE, CREATE, UPDATE, Alert, Reason
from models.base import FEATURES, SEVERITIES, WATCHED
from models.kernels.baseline import count_z
from models.kernels.close import (
    BEFORE,
    COUNT,
    END,
    HOLDS,
    KIND,
    MEAN,
    OLDEST,
    OPEN,
    PANE,
    RULE,
    SLOT,
    VALUE,
    VARIANCE,
)
from models.kernels.layout import LEARNED_RULE, METERED, MINUTE, PANE_US, SPIKE, RuleArrays
from models.rules import Rule, severity, threshold
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.success_after_attack import SuccessAfterAttack
from models.windows.evidence import Evidence, Witness, ends
from models.windows.joint import entities
from models.windows.recent import Recent

REPORT_US = 300_000_000


class Incident(msgspec.Struct):
    """One open incident. Panes are in the rule's own grid; `count` runs to the end of the last crossing pane."""

    uid: str
    rule: int
    slot: int
    owner: int
    tenant: str
    entity: str
    first: int
    last: int
    start: int
    before: int
    count: int
    created: int
    value: float
    early: bool
    pending: int = 0
    reference: int = 0
    seq: int = 0
    reports: int = 0
    expected: float | None = None
    z: float | None = None
    witnesses: list[Witness] = []
    reasons: tuple[Reason, ...] = ()


def incident_uid(tenant: str, detection: str, entity: str, pane_start: int) -> str:
    """BLAKE2b-128 in hex over (tenant, detection id, entity, start of the first crossing pane in us), length-prefixed.

    >>> incident_uid("acme", "brute_force_user", "sam@example.com", 1795410000000000)
    '8e97019742e29a99c4fcdba5576db33b'
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (tenant.encode(), detection.encode(), entity.encode(), str(pane_start).encode()):
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.hexdigest()


def feature_of(rule: Rule) -> tuple[str, int]:
    """What a rule measures, by the name of a learned feature where there is one, and its window in seconds.

    >>> from models.rules import BruteForceUser, PasswordSprayIp, TrafficSpike
    >>> feature_of(BruteForceUser()), feature_of(PasswordSprayIp()), feature_of(TrafficSpike())
    (('failures_10m', 600), ('distinct_failed_users_15m', 900), ('events_1m', 60))
    """
    found = threshold(rule)
    if isinstance(rule, SuccessAfterAttack):
        return rule.id, 900
    if isinstance(rule, BehaviourAnomaly):
        return "behaviour", 60 * rule.windows
    if found is None:
        return "events_1m", 60
    window = found.window_us // 1_000_000
    words = {"failure": "failures", "deletion": "deletions", "reset": "resets", "": "events"}
    what = words.get(found.where, "")
    if found.distinct:
        name = f"distinct_{'failed_' if what == 'failures' and found.distinct == 'user' else ''}{found.distinct}s"
        if found.where not in ("", "failure", "deletion"):
            name = ""
    else:
        name = what if found.count else ""
    name = f"{name}_{found.window}"
    return (name if name in FEATURES else rule.id), window


class Incidents:
    """The open incidents of one shard, and the alerts that the steps of its kernels make of them."""

    def __init__(
        self,
        dimension: int,
        rules: tuple[Rule, ...],
        arrays: RuleArrays,
        evidence: Evidence,
        recent: Recent,
        canonical: Callable[[bytes], dict[str, Any]],
    ) -> None:
        self.dimension = dimension
        self.rules = rules
        self.arrays = arrays
        self.evidence = evidence
        self.recent = recent
        self.canonical = canonical
        self.features = [feature_of(rule) for rule in rules]
        self.open: dict[tuple[int, int], Incident] = {}
        self._live = {at for at, rule in enumerate(rules) if rule.mode == "live"}
        self._uids: tuple[NDArray[np.int64], NDArray[np.uint8]] | None = None

    def uids(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """The open incidents but those in shadow: their rings, in order, and the uid of each, of shape (n, 16)."""
        if self._uids is None:
            shown = sorted((slot, one.uid) for (slot, rule), one in self.open.items() if rule in self._live)
            uids = np.frombuffer(bytes.fromhex("".join(uid for _, uid in shown)), np.uint8)
            self._uids = np.array([slot for slot, _ in shown], np.int64), uids.reshape(-1, 16)
        return self._uids

    def restore(self, incident: Incident) -> None:
        """Go on with an incident that was open."""
        self.open[incident.slot, incident.rule] = incident
        self._uids = None

    def take(
        self,
        step: list[int],
        numbers: list[float],
        owner: int,
        name: tuple[str, str],
        created: int,
        reasons: tuple[Reason, ...] = (),
    ) -> Alert | None:
        """Follow one step of an incident; the alert that it calls for, if any.

        `name` is (tenant, entity), used when the incident opens; `created` the stream's watermark plus lateness;
        `reasons` are those of a learned rule's step.
        """
        rule, slot, pane = int(step[RULE]), int(step[SLOT]), int(step[PANE])
        width = int(self.arrays.grid[rule]) * PANE_US
        if step[KIND] == OPEN:
            return self._create(rule, slot, pane, width, step, numbers, owner, name, created, reasons)
        incident = self.open[slot, rule]
        end = (pane + 1) * width
        if step[KIND] == END:
            del self.open[slot, rule]
            self._uids = None
            return self._alert(incident, CLOSE, end)
        if step[HOLDS] and numbers[VALUE] > incident.value:
            incident.value, incident.reasons = numbers[VALUE], reasons
        if incident.early and pane == incident.first:
            incident.early = False
            incident.count = incident.before + int(step[COUNT])
            incident.reference = incident.count
            incident.value = numbers[VALUE]
            incident.witnesses = []
            self._witness(incident, incident.start, end)
            return None
        incident.pending += int(step[COUNT])
        if step[HOLDS]:
            if incident.pending:
                self._witness(incident, (incident.last + 1) * width, end)
            incident.count, incident.pending, incident.last = incident.count + incident.pending, 0, pane
        periods = (end - (incident.first + 1) * width) // REPORT_US
        due = periods > incident.reports
        incident.reports = max(incident.reports, periods)
        if not due and incident.count < 2 * incident.reference:
            return None
        incident.reference = incident.count
        return self._alert(incident, UPDATE, end)

    def _create(
        self,
        rule: int,
        slot: int,
        pane: int,
        width: int,
        step: list[int],
        numbers: list[float],
        owner: int,
        name: tuple[str, str],
        created: int,
        reasons: tuple[Reason, ...],
    ) -> Alert:
        early = bool(step[COUNT] < 0)
        count = int(step[BEFORE]) + abs(int(step[COUNT]))
        tenant, entity = name
        incident = Incident(
            uid=incident_uid(tenant, self.rules[rule].id, entity, pane * width),
            rule=rule,
            slot=slot,
            owner=owner,
            tenant=tenant,
            entity=entity,
            first=pane,
            last=pane,
            start=int(step[OLDEST]) * width,
            before=int(step[BEFORE]),
            count=count,
            created=created,
            value=numbers[VALUE],
            early=early,
            reference=count,
            reasons=reasons,
        )
        if numbers[MEAN] >= 0.0:
            incident.expected = numbers[MEAN]
            incident.z = float(count_z(numbers[VALUE], numbers[MEAN], numbers[VARIANCE]))
        self.open[slot, rule] = incident
        self._uids = None
        self._witness(incident, incident.start, (pane + 1) * width)
        return self._alert(incident, CREATE, (pane + 1) * width)

    def _witness(self, incident: Incident, start: int, end: int) -> None:
        """Choose anew, with the events of a crossing pane and those before it, as far back as events are kept."""
        rule = incident.rule
        kind, width = int(self.arrays.kind[rule]), int(self.arrays.grid[rule]) * PANE_US
        if kind == SPIKE:
            # The run of panes that led to the first crossing one: in that itself there may be no event any more.
            panes = int(self.arrays.extra[rule]) if start == incident.start else 1
            found = self.recent.witnesses(incident.owner, end // width - panes, end // width - 1)
        elif kind == LEARNED_RULE:
            # Those of the minute that crosses: before it began, a crossing was to be expected, so they were kept.
            found = self.recent.witnesses(incident.owner, end // PANE_US - MINUTE, end // PANE_US - 1)
        else:
            mark = int(self.arrays.mark[self.arrays.counted[rule]])
            counted = 1 << mark if mark >= 0 else 0
            start = max(start, end - int(self.arrays.window[rule]) * width)
            found = self.evidence.witnesses(incident.owner, counted, start, end)
        incident.witnesses = ends(sorted(incident.witnesses + found))

    def _alert(self, incident: Incident, activity: int, time: int) -> Alert:
        rule = self.rules[incident.rule]
        kind = int(self.arrays.kind[incident.rule])
        width = int(self.arrays.grid[incident.rule]) * PANE_US
        witnesses = incident.witnesses
        parts = entities(self.dimension, incident.entity)
        alert = Alert(
            uid=incident.uid,
            seq=incident.seq,
            activity=activity,
            tenant=incident.tenant,
            detection=rule.id,
            dimension=WATCHED[self.dimension],
            entity=", ".join(name for _, name in parts),
            joint=parts if len(parts) > 1 else (),
            severity=SEVERITIES.index(severity(rule)),
            time=time,
            created=incident.created,
            first_seen=max(incident.start, witnesses[0].time) if witnesses and kind == METERED else incident.start,
            start=incident.start,
            end=(incident.last + 1) * width,
            count=incident.count,
            feature=self.features[incident.rule][0],
            window_s=self.features[incident.rule][1],
            value=incident.value,
            limit=float(self.arrays.at_least[incident.rule]),
            expected=incident.expected,
            z=incident.z,
            reasons=incident.reasons,
            evidences=tuple(self.canonical(w.message) for w in witnesses if w.message),
        )
        incident.seq += 1
        return alert
