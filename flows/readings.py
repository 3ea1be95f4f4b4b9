"""What the meters of a process show, as plain numbers, and what those of several processes show together."""

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from flows.config import Config
from flows.connectors.kafka import KafkaSource
from flows.parts import Source
from flows.totals import Totals
from models.alert import CLOSE, CREATE, UPDATE
from models.base import NONE_TIME, SEVERITIES, WATCHED
from models.detectors.ewma import EwmaParams
from models.kernels.layout import COUNTERS

ACTIVITIES: Final = {CREATE: "create", UPDATE: "update", CLOSE: "close"}
_ANSWERED_S: Final = 15.0
"""Brokers that have been silent for so long are not reachable: while all is well they answer twice a second."""

Key = tuple[str, tuple[str, ...]]
"""A counter and the values of its labels."""


class Table(msgspec.Struct):
    """What `shards` of a dimension have counted, by the names of `COUNTERS`; `warm` is the sum of their ratios."""

    shards: int = 0
    counts: dict[str, int] = {}
    warm: float = 0.0


class Reading(msgspec.Struct):
    """What a process shows of itself. `begun` and `turned` are monotonic seconds, which a machine has in common.

    Of the source partitions that were `built` some are `over`. `spoken`: a batch has passed all shards. `answered` is
    when a broker last did (0 never, None where there is none). `mark` is the least watermark of the partitions that
    are not idle, `watermark` the last one that was known, `lag` what waits in each partition. Of `epochs`, None where
    nothing is kept, the last was found durable at `durable` (epoch seconds). `drifted` is the event time of the last
    drift of a dimension's scores.
    """

    compiled: bool = False
    begun: float = 0.0
    spoken: bool = False
    built: int = 0
    over: int = 0
    turned: float = 0.0
    answered: float | None = None
    counts: list[tuple[str, tuple[str, ...], int]] = []
    newest: int = NONE_TIME
    mark: int | None = None
    watermark: int = NONE_TIME
    lag: dict[str, int] = {}
    epochs: int | None = None
    durable: float = 0.0
    tables: dict[str, Table] = {}
    memory: int | None = None
    drifted: dict[str, int] = {}

    @property
    def moment(self) -> float:
        """Since when the flow may have stood still."""
        return max(self.turned, self.begun)

    def awaited(self, config: Config, alone: bool = True) -> str:
        """What is still to come before the flow does its work; empty when it is at it.

        One that is not `alone` may have no partition to read.
        """
        if not self.compiled:
            return "compiled code is being loaded, or compiled"
        if not self.begun:
            return "the input is being opened"
        if not self.spoken and (self.built or alone):
            return "the first heartbeat is under way"
        if self.answered is not None and self.built > self.over:
            silent = time.monotonic() - self.answered
            if silent > _ANSWERED_S:
                seconds = f"for {silent:.0f} s" if self.answered else "yet"
                return f"no broker at {config.kafka.bootstrap} has answered {seconds}"
        return ""


def read(config: Config, source: Source, totals: Totals, kept: bool, begun: float) -> Reading:
    """What a flow shows that is about to run or does. A thread of its own may ask; nothing is counted for it."""
    pulse, marks = source.board.pulse, list(totals.marks.values())
    kafka = source if isinstance(source, KafkaSource) else None
    return Reading(
        compiled=True,
        begun=begun,
        spoken=bool(totals.heads),
        built=pulse.built,
        over=pulse.over,
        turned=pulse.turned,
        answered=max(0.0, kafka.answered) if kafka else None,
        counts=[("read_bytes", (), source.bytes_read), *_counts(totals)],
        newest=source.event_time,
        mark=min(marks, default=None),
        watermark=totals.watermark,
        lag={name: count for name, count in kafka.lag.items() if count >= 0} if kafka else {},
        epochs=pulse.epochs if kept and pulse.built else None,
        durable=pulse.durable if kept else 0.0,
        tables=_tables(config, totals),
        memory=sum(array.nbytes for shard in list(totals.shards) for array in shard.s),
        drifted=dict(totals.drifted),
    )


def _counts(totals: Totals) -> list[tuple[str, tuple[str, ...], int]]:
    """What has come out."""
    sent = totals.sent
    reasons = dict(totals.reasons) | {"output_too_large": sent.too_large}
    told = dict(totals.told)
    return [
        ("events", (), totals.scored),
        ("late_events", (), totals.late),
        ("windows", (), totals.windows),
        ("delivered_records", (), sent.records),
        ("delivery_errors", (), sent.delivery_errors),
        *(("dead_letters", (reason,), count) for reason, count in reasons.items()),
        *(("alerts", (name, SEVERITIES[grade], ACTIVITIES[at]), count) for (name, grade, at), count in told.items()),
        *(("kept_back_alerts", (by,), count) for by, count in dict(totals.kept_back).items()),
        *(("muted_incidents", (name,), count) for name, count in dict(totals.muted).items()),
        *(("suppressed_incidents", (name,), count) for name, count in dict(totals.suppressed).items()),
        *(
            ("shadow_incidents", (name, SEVERITIES[grade]), count)
            for (name, grade), count in dict(totals.shadow).items()
        ),
        *(("score_drifts", (name,), count) for name, count in totals.drifts.items()),
    ]


def _tables(config: Config, totals: Totals) -> dict[str, Table]:
    """What is remembered by the shards that are here."""
    warm_up = next(row.warm_up for row in config.detector if isinstance(row, EwmaParams))
    tables: dict[str, Table] = {}
    for shard in list(totals.shards):
        head = shard.s.head
        counts = {name: sum(int(head[place]) for place in places) for name, places in COUNTERS.items()}
        one = Table(1, counts, min(1.0, counts["seen"] / warm_up))
        name = WATCHED[shard.dimension]
        tables[name] = _joined(tables.get(name, Table()), one)
    return dict(sorted(tables.items()))


def _joined(one: Table, other: Table) -> Table:
    counts = {name: one.counts.get(name, 0) + count for name, count in other.counts.items()}
    return Table(one.shards + other.shards, counts, one.warm + other.warm)


def together(readings: Sequence[Reading]) -> Reading:
    """What several processes that share a run show as one: of each of them the last reading, all must have begun.

    Counters are summed. Of points in time the least counts, for none is further than its slowest, but for the newest
    event; who has no partition to read, or none any more, has none.

    >>> one = Reading(built=1, turned=7.0, counts=[("events", (), 3)], mark=50, newest=60, lag={"t/0": 2}, epochs=4)
    >>> other = Reading(built=1, turned=9.0, counts=[("events", (), 2)], mark=40, newest=70, lag={"t/1": 1}, epochs=5)
    >>> both = together([one, other, Reading()])
    >>> both.counts, both.mark, both.newest, both.lag, both.epochs, both.turned
    ([('events', (), 5)], 40, 70, {'t/0': 2, 't/1': 1}, 4, 7.0)
    """
    counts = summed(readings)
    tables: dict[str, Table] = {}
    for reading in readings:
        for name, table in reading.tables.items():
            tables[name] = _joined(tables.get(name, Table()), table)
    drifted: dict[str, int] = {}
    for reading in readings:
        drifted |= {name: max(moment, drifted.get(name, moment)) for name, moment in reading.drifted.items()}
    read = at_work(readings)
    epochs = [one.epochs for one in read if one.epochs is not None]
    answers = [one.answered for one in read if one.answered is not None]
    return Reading(
        compiled=all(one.compiled for one in readings),
        begun=max(one.begun for one in readings),
        spoken=all(one.spoken for one in read),
        built=sum(one.built for one in readings),
        over=sum(one.over for one in readings),
        turned=min((one.turned for one in read), default=0.0),
        answered=min(answers, default=None),
        counts=[(name, labels, count) for (name, labels), count in counts.items()],
        newest=max(one.newest for one in readings),
        mark=min((one.mark for one in readings if one.mark is not None), default=None),
        lag={name: count for one in readings for name, count in one.lag.items()},
        epochs=min(epochs, default=None),
        durable=min((one.durable for one in read), default=0.0),
        tables=dict(sorted(tables.items())),
        memory=sum(one.memory or 0 for one in readings),
        drifted=drifted,
    )


def summed(readings: Sequence[Reading]) -> dict[Key, int]:
    """Counters of several processes, or of one that has begun again."""
    counts: dict[Key, int] = {}
    for reading in readings:
        for name, labels, count in reading.counts:
            counts[name, labels] = counts.get((name, labels), 0) + count
    return counts


def at_work(readings: Sequence[Reading]) -> list[Reading]:
    """Those that have partitions to read; when all are at their end, those that had."""
    return [one for one in readings if one.built > one.over] or [one for one in readings if one.built]
