"""What a run has done, and how far it has come."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows import log
from flows.connectors.kafka_limits import Counts
from flows.drift import Drift
from flows.steps.gather import Gathered
from models.alert import CREATE, MUTE, SHADOW, Alert
from models.base import DIMENSIONS, LATE, NONE_TIME
from models.kernels.layout import COUNTERS
from models.windows.shard import Shard


@dataclass(slots=True)
class Totals:
    """What a running flow has done since it started; other threads read it while it runs.

    `reasons` counts dead letters by reason, `told` alerts by (detection, severity, activity), `kept_back` those
    that went nowhere but to what is suppressed, by what kept them: an exception, a digest, the history, a shadow, a
    mute. `shadow` counts incidents of detections in shadow by (detection, severity), `muted` those that were muted
    by detection. `marks` has the last watermark of each source partition that is not idle. `sent` is what Kafka's
    sinks have done. `drifts` counts drifts of a dimension's scores, `drifted` has the event time of the last;
    `tell` says each in one line, `on_first` is told that a first batch has come through.
    """

    scored: int = 0
    dead_letters: int = 0
    alerts: int = 0
    incidents: int = 0
    merged: int = 0
    digested: int = 0
    suppressed: dict[str, int] = field(default_factory=dict)
    shadow: dict[tuple[str, int], int] = field(default_factory=dict)
    muted: dict[str, int] = field(default_factory=dict)
    windows: int = 0
    late: int = 0
    heads: dict[tuple[int, int], NDArray[np.int64]] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    told: dict[tuple[str, int, int], int] = field(default_factory=dict)
    kept_back: dict[str, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    watermark: int = NONE_TIME
    shards: list[Shard] = field(default_factory=list)
    sent: Counts = field(default_factory=Counts)
    drifts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIMENSIONS, 0))
    drifted: dict[str, int] = field(default_factory=dict)
    tell: log.Say = log.silent
    on_first: Callable[[], None] = lambda: None

    def see(self, gathered: Gathered) -> Gathered:
        """Count a batch on its way out."""
        if not self.heads:
            self.on_first()
        batch = gathered.scored.batch
        self.scored += len(batch)
        self.dead_letters += len(batch.dead)
        self.late += int(np.count_nonzero(batch.flags & LATE))
        self.windows += sum(len(closed) for closed in gathered.windows)
        self.heads |= gathered.heads
        for reason, count in Counter(letter.reason for letter in batch.dead).items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count
        if batch.idle:
            self.marks.pop(batch.source, None)
        else:
            self.marks[batch.source] = batch.watermark
        self.watermark = max(self.watermark, min(self.marks.values(), default=NONE_TIME))
        return gathered

    def see_alerts(self, alerts: list[Alert]) -> list[Alert]:
        """Count alerts on their way out."""
        for alert in alerts:
            if by := alert.suppressed_by.partition(" ")[0]:
                self.kept_back[by] = self.kept_back.get(by, 0) + 1
                continue
            self.alerts += 1
            key = alert.detection, alert.severity, alert.activity
            self.told[key] = self.told.get(key, 0) + 1
        for create in (alert for alert in alerts if alert.activity == CREATE and not alert.digest):
            by, _, name = create.suppressed_by.partition(" ")
            self.incidents += not by
            self.merged += not by and not create.front
            self.digested += by == "digest"
            if by == "exception":
                self.suppressed[name] = self.suppressed.get(name, 0) + 1
            if by == MUTE:
                self.muted[create.detection] = self.muted.get(create.detection, 0) + 1
            if by == SHADOW:
                at = create.detection, create.severity
                self.shadow[at] = self.shadow.get(at, 0) + 1
        return alerts

    def see_drift(self, drift: Drift) -> None:
        """Count a drift, and tell of it."""
        self.drifts[drift.dimension] += 1
        self.drifted[drift.dimension] = drift.since
        self.tell(str(drift), "drift", "warning", dimension=drift.dimension)

    def share(self) -> "Share":
        """All of it as plain values, for another process."""
        return Share(
            self.scored, self.dead_letters, self.alerts, self.incidents, self.merged, self.digested,
            dict(self.suppressed), [(*at, count) for at, count in dict(self.shadow).items()], self.windows, self.late,
            [(*at, head.tolist()) for at, head in list(self.heads.items())], dict(self.muted),
        )  # fmt: skip

    def add(self, share: "Share") -> None:
        """Add what another process has done. Each shard's counters came to several: the latest are the greatest."""
        for name in ("scored", "dead_letters", "alerts", "incidents", "merged", "digested", "windows", "late"):
            setattr(self, name, getattr(self, name) + getattr(share, name))
        for name, count in share.suppressed.items():
            self.suppressed[name] = self.suppressed.get(name, 0) + count
        for detection, severity, count in share.shadow:
            self.shadow[detection, severity] = self.shadow.get((detection, severity), 0) + count
        for detection, count in share.muted.items():
            self.muted[detection] = self.muted.get(detection, 0) + count
        for dimension, shard, values in share.heads:
            at, head = (dimension, shard), np.array(values, np.int64)
            self.heads[at] = np.maximum(self.heads.get(at, head), head)

    def sum(self, counter: str) -> int:
        """A counter over all shards."""
        return sum(int(head[place]) for head in list(self.heads.values()) for place in COUNTERS[counter])


class Share(msgspec.Struct, array_like=True):
    """What one process has done, as plain values; `heads` are (dimension, shard, counters), `shadow` (detection,
    severity, incidents).
    """

    scored: int
    dead_letters: int
    alerts: int
    incidents: int
    merged: int
    digested: int
    suppressed: dict[str, int]
    shadow: list[tuple[str, int, int]]
    windows: int
    late: int
    heads: list[tuple[int, int, list[int]]]
    muted: dict[str, int]


class Progress(msgspec.Struct):
    """How far a run has come."""

    events: int
    alerts: int
    dead_letters: int
    event_time: int
    bytes_read: int
    bytes_total: int | None


class RunResult(msgspec.Struct, frozen=True):
    """What a run has done. `events` are the messages read: always `scored` + `dead_letters`.

    `incidents` are those told one by one, `merged` the ones among them that another stands for. Besides, `digested`
    were told of in digests only, and `suppressed` counts those that each exception kept silent, `shadow`
    those of each detection in shadow, `muted` those that somebody had muted. After `restarts` of
    several processes the counts are those since the last one.
    """

    events: int
    scored: int
    dead_letters: int
    alerts: int
    incidents: int
    merged: int
    digested: int
    suppressed: dict[str, int]
    shadow: dict[str, int]
    muted: int
    windows: int
    late: int
    overtaken: int
    evictions: int
    overflowed: int
    seconds: float
    files: list[str]
    interrupted: bool
    restarts: int = 0

    def after(self, earlier: "RunResult") -> "RunResult":
        """What this run and the one before it, on whose state it went on, have done together."""
        sums = {name: getattr(self, name) + getattr(earlier, name) for name in _SUMMED}
        for key in ("suppressed", "shadow"):
            counts, before = getattr(self, key), getattr(earlier, key)
            sums[key] = {name: count + before.get(name, 0) for name, count in counts.items()}
        return msgspec.structs.replace(self, **sums)


_SUMMED: Final = (
    "events", "scored", "dead_letters", "alerts", "incidents", "merged", "digested", "muted", "windows", "late",
    "seconds",
)  # fmt: skip
"""What a run counts by itself; the others are the state's."""
