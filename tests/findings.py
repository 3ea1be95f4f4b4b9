"""Findings by hand: lives of incidents, and the items in which they come to `decide`, in any order that may happen."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import numpy as np

from flows.config import Config
from flows.steps.decide import Decide, policy
from flows.steps.gather import Gathered
from models.alert import CLOSE, CREATE, UPDATE, Alert
from models.base import END_OF_TIME
from models.event import ScoredBatch
from models.exceptions import AlertException
from models.kernels.layout import PANE_US
from models.rules import Rule, WholeRule, default_rules, dimension, opens_early, threshold
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.span import pane_of
from models.windows.incidents import feature_of, incident_uid
from models.windows.slice import Finding
from tests.batches import batch

START = 1_795_410_000_000_000
"""2026-11-23T05:00:00Z, the beginning of an hour."""
SECOND = 1_000_000
MINUTE = 60 * SECOND
RULES: dict[str, Rule] = {rule.id: rule for rule in default_rules() if not isinstance(rule, WholeRule)}


@cache
def width_of(rule: str) -> int:
    """Pane width in us."""
    found = threshold(RULES[rule])
    if isinstance(RULES[rule], BehaviourAnomaly):
        return MINUTE
    return pane_of(found.window_us) if found else PANE_US


def limit_of(rule: Rule) -> float:
    return rule.least_score if isinstance(rule, BehaviourAnomaly) else float(rule.at_least)


@dataclass
class Life:
    """An incident: `at` seconds after START it crosses, then it is updated `updates` times and closes."""

    rule: str
    entity: str
    at: float
    updates: int = 1
    tenant: str = "acme"
    every: int = 300
    count: int = 30
    evidences: tuple[dict[str, Any], ...] = ()
    close: bool = True
    failed: int | None = None
    succeeded: int | None = None
    severity: int = 3

    @property
    def early(self) -> bool:
        return opens_early(RULES[self.rule])

    @property
    def uid(self) -> str:
        return incident_uid(self.tenant, self.rule, self.entity, self._first)

    @property
    def _first(self) -> int:
        width = width_of(self.rule)
        return (START + int(self.at * SECOND)) // width * width

    def alerts(self) -> list[Alert]:
        width, (feature, window) = width_of(self.rule), feature_of(RULES[self.rule])
        crossed = self._first + width
        times = [crossed + k * self.every * SECOND for k in range(self.updates + 1)]
        times = [time // width * width for time in times]
        if self.close:
            times.append(times[-1] + 600 * SECOND)
        last = len(times) - 1
        return [
            Alert(
                uid=self.uid, seq=seq, activity=CREATE if seq == 0 else CLOSE if self.close and seq == last else UPDATE,
                tenant=self.tenant, detection=self.rule, dimension=dimension(RULES[self.rule]), entity=self.entity,
                severity=self.severity, time=time, created=time, first_seen=self._first, start=self._first, end=time,
                count=self.count + seq, feature=feature, window_s=window,
                value=0.9912 if feature == "behaviour" else float(self.count), limit=limit_of(RULES[self.rule]),
                evidences=self.evidences,
                failed_users=self.failed, succeeded_users=self.succeeded,
            )
            for seq, time in enumerate(times)
        ]  # fmt: skip

    def findings(self, rng: random.Random) -> list[Finding]:
        """As a shard might say them: an early create names a base pane of its own, and knows less."""
        found = []
        for alert in self.alerts():
            pane = alert.time // PANE_US - 1
            if alert.activity == CREATE and self.early:
                pane = rng.randrange(self._first // PANE_US, pane + 1)
                some = rng.sample(alert.evidences, rng.randint(0, len(alert.evidences)))
                alert = msgspec.structs.replace(
                    alert, count=int(alert.limit) + rng.randrange(9), evidences=tuple(some), created=pane * PANE_US
                )
            found.append(Finding(pane, alert))
        return found


def item(
    findings: list[Finding], passed: int, source: str = "p", sources: tuple[str, ...] = ("p",), ended: bool = False
) -> Gathered:
    """What one batch without rows brings."""
    empty = batch(source, sources, 0, [], 0, 0, END_OF_TIME if ended else 0)
    none, nobody = np.empty((4, 0)), np.empty(0, np.int64)
    scored = ScoredBatch(
        empty, none.astype(np.uint8), none, none, none, none, none, np.empty(0, np.int16), np.zeros(1, np.int64),
        np.empty(0, np.uint8), nobody.astype(np.int32),
    )  # fmt: skip
    return Gathered(scored, passed, findings, [], {})


def items(lives: Iterable[Life], rng: random.Random, end: bool = True) -> list[Gathered]:
    """All findings in steps of event time of random length, each finding where a shard might bring it.

    Never later than every shard can have passed its pane without it; sometimes before, as other shards lag.
    """
    findings = [finding for life in lives for finding in life.findings(rng)]
    first = min(finding.pane for finding in findings) - 1
    last = max(finding.alert.time for finding in findings) // PANE_US
    passed = [first]
    while passed[-1] <= last:
        passed.append(passed[-1] + rng.choice((1, 1, 2, 3, 7, 60)))
    steps: list[list[Finding]] = [[] for _ in passed]
    for finding in findings:
        latest = next(i for i, p in enumerate(passed) if p > finding.pane)
        steps[rng.randint(max(0, latest - 2), latest)].append(finding)
    for step in steps:
        rng.shuffle(step)
    out = [item(step, p) for step, p in zip(steps, passed, strict=True)]
    if not end:
        return out
    # How far the clock comes before the end ends it, hangs on which partition is the last.
    cut = rng.randint(0, len(steps))
    return [*out[:cut], item([finding for step in steps[cut:] for finding in step], 2**62, ended=True)]


def configured(
    most: int = 1_000_000, exceptions: Sequence[AlertException] = (), rules: tuple[Rule, ...] = default_rules()
) -> Config:
    config = Config(detection=rules, exception=tuple(exceptions))
    return msgspec.structs.replace(config, output=msgspec.structs.replace(config.output, max_incidents_per_hour=most))


def decided(
    steps: list[Gathered], config: Config, rng: random.Random | None = None, snapshots: list[int] | None = None
) -> list[Alert]:
    """What comes out; with `rng` in batches of random size, and at random with all but the snapshot forgotten."""
    step = Decide(policy(config), False, None)
    out: list[Alert] = []
    at = 0
    while at < len(steps):
        size = rng.randint(1, 4) if rng else 1
        for alerts in step.on_batch(steps[at : at + size])[0]:
            out += alerts
        at += size
        if snapshots is not None:
            snapshots.append(len(step.snapshot()))
        if rng and rng.random() < 0.4:
            step = Decide(policy(config), False, step.snapshot())
    assert step.on_eof()[0] == []
    return out
