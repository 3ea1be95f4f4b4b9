"""`deliver`: results become records, each under what tells it again after a crash."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from importlib import metadata
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.connectors.kafka_limits import Limits, Record, record
from flows.connectors.kafka_sink import Item, sink_key
from flows.connectors.marker import Position
from flows.formats import dead_letter, ocsf, scored
from flows.formats.actions import ActionLimits, action
from flows.formats.window_rows import window_rows
from flows.kafka_block import Topics
from flows.steps.gather import Gathered
from flows.steps.packed import trimmed
from models.alert import Alert
from models.base import SEVERITIES, WATCHED
from models.event import DeadLetter, EventBatch, Headers, ScoredBatch
from models.rules import Rule, about
from models.windows.slice import ClosedWindows

JSON: Final = ("content-type", b"application/json")
ALERT_HEADERS: Final[Headers] = (
    JSON,
    ("ocsf", f"{ocsf.OCSF_VERSION}/2004".encode()),
    ("splunk.header.sourcetype", b"ocsf:detection_finding"),
    ("splunk.header.source", b"lapwing"),
)
_NAME_BYTES: Final = 12
_WINDOW_BYTES, _ALERT_BYTES = 512, 12_288
_PLAIN: Final = 4096
"""A record without headers that is so much smaller than the topic's limit fits for sure."""
_UNREAD: Final = ("entity", "names", "name_start", "name_length", "place", "target", "marks", "hashes", "numbers")
"""Columns of a batch that no record shows."""
_BODY_CUT: Final = "body left out: the letter would not fit the topic"


@dataclass(slots=True, frozen=True)
class Delivery:
    """What all records need to be made."""

    topics: Topics
    sinks: int
    body: dead_letter.Body
    config_hash: str
    more: tuple[str, ...] = ()
    """Topics that are read beside that of events."""


@dataclass(slots=True, frozen=True)
class Rows:
    """The scored events and dead letters of a batch, in the lane of its source partition."""

    batch: ScoredBatch
    delivery: Delivery
    lane: str
    position: Position

    @property
    def size(self) -> int:
        """The messages, and as much again for their columns."""
        return 2 * len(self.batch.batch.buffer)

    def records(self, after: Position, limits: Limits) -> Iterator[Record]:
        """Key, headers, timestamp and, with equal counts, partition are those of the source's own records."""
        topics, batch = self.delivery.topics, self.batch.batch
        for letter in batch.dead:
            if (letter.offset, letter.index) > after:
                yield dead_record(letter, self.delivery, limits)
        if not len(batch):
            return
        data, ends = scored.encode(self.batch)
        lines, begin = data.tobytes(), 0
        partition = _partition(batch.source, batch.sources, limits.partitions[topics.scored])
        room, topic = limits.most_bytes[topics.scored] - _PLAIN, topics.scored
        keys, carried, stamps = _carried(batch)
        rows = zip(
            ends.tolist(), batch.offset.tolist(), batch.index.tolist(), keys, carried,
            limits.dated(topic, stamps).tolist(), strict=True,
        )  # fmt: skip
        for row, (end, offset, index, key, headers, stamp) in enumerate(rows):
            value, begin = lines[begin : end - 1], end
            if (offset, index) <= after:
                continue
            one: Record = (topic, value, key, partition, None, None, stamp, list(headers) if headers else None)
            if (not headers and len(value) + len(key or b"") < room) or limits.fits(one):
                yield one
            else:
                limits.counts.too_large += 1
                yield dead_record(_too_large(batch, row, key, headers, stamp), self.delivery, limits)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes what records are made of, not what lies beside it in memory."""
        batch = self.batch.batch
        texts = np.concatenate((batch.start, batch.note_start)), np.concatenate((batch.length, batch.note_length))
        start, buffer = trimmed(batch.buffer, *texts)
        columns = {name: getattr(batch, name)[..., :0] for name in _UNREAD}
        columns |= {"start": start[: len(batch)].astype(np.int64), "note_start": start[len(batch) :].astype(np.int64)}
        envelopes, row = batch.envelopes, batch.row
        if envelopes is not None:
            envelopes, row = envelopes.take(row), np.arange(len(batch))
        bare = replace(batch, buffer=buffer, envelopes=envelopes, row=row, **columns)
        return Rows, (replace(self.batch, batch=bare), self.delivery, self.lane, self.position)


@dataclass(slots=True, frozen=True)
class Windows:
    """The windows that a shard has closed at the end of a minute, in the lane of the shard."""

    closed: ClosedWindows
    delivery: Delivery
    lane: str
    position: Position

    @property
    def size(self) -> int:
        """Two columns of floats for each feature, and names."""
        return _WINDOW_BYTES * len(self.closed)

    def records(self, after: Position, limits: Limits) -> Iterator[Record]:
        """One record for each window; none if the minute lies behind."""
        if self.position > after:
            topic = self.delivery.topics.windows
            stamp = limits.date(topic, self.closed.end // 1000)
            for key, value in window_rows(self.closed, self.delivery.config_hash):
                one = record(topic, key, value, (JSON,), stamp)
                if limits.fits(one):
                    yield one


@dataclass(slots=True, frozen=True)
class Told:
    """Alerts, and what is proposed to do about them. `at` is epoch ms."""

    alerts: Sequence[Alert]
    rules: Mapping[str, Rule]
    actions: ActionLimits
    topics: Topics
    version: str
    at: int

    @property
    def size(self) -> int:
        """Five events at most, each of two KiB."""
        return _ALERT_BYTES * len(self.alerts)

    def named(self, limits: Limits) -> Iterator[tuple[bytes, list[Record]]]:
        """Each alert's records by a name that a replay gives it again."""
        for alert in self.alerts:
            kept_back = bool(alert.suppressed_by)
            name = f"{alert.uid}/{alert.seq}/{alert.activity}/{kept_back:d}"
            records = [*self._records(alert, kept_back, limits)]
            yield blake2b(name.encode(), digest_size=_NAME_BYTES).digest(), [r for r in records if limits.fits(r)]

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.alerts:
            return Beat, ()
        return Told, (self.alerts, self.rules, self.actions, self.topics, self.version, self.at)

    def _records(self, alert: Alert, kept_back: bool, limits: Limits) -> Iterator[Record]:
        rule = self.rules[alert.detection]
        value = ocsf.encode_alert(alert, about(rule), rule, self.at, self.version)
        key = alert.uid.encode()
        headers: Headers = (
            *ALERT_HEADERS,
            ("lapwing-uid", key),
            ("lapwing-tenant", alert.tenant.encode("utf-8", "replace")),
            ("lapwing-severity", SEVERITIES[alert.severity].encode()),
        )
        for topic in (self.topics.suppressed,) if kept_back else (self.topics.alerts, self.topics.latest):
            yield record(topic, key, value, headers, limits.date(topic, alert.time // 1000))
        proposed = action(alert, about(rule), self.actions)
        if proposed is not None:
            topic = self.topics.actions
            yield record(topic, key, proposed, (JSON,), limits.date(topic, alert.time // 1000))


@dataclass(slots=True, frozen=True)
class Beat:
    """Nothing: it only touches a sink partition, so that no state of a failed epoch stays there."""

    size = 0

    def named(self, limits: Limits) -> Iterable[tuple[bytes, Sequence[Record]]]:
        """Nothing."""
        return ()


def deliver(item: tuple[str, Gathered], delivery: Delivery) -> list[tuple[str, Item]]:
    """What a batch has brought, for the sink partitions that it belongs to; a heartbeat reaches them all."""
    _, gathered = item
    batch, sinks = gathered.scored.batch, delivery.sinks
    out: list[tuple[str, Item]] = []
    if len(batch) or batch.dead:
        rows = Rows(gathered.scored, delivery, batch.source, batch.reached)
        out.append((sink_key(batch.source, sinks), rows))
    else:
        out += [(str(sink), Beat()) for sink in range(sinks)]
    for closed in gathered.windows:
        lane = f"{WATCHED[closed.dimension]}/{closed.shard}"
        out.append((sink_key(lane, sinks), Windows(closed, delivery, lane, (closed.end, 0))))
    return out


def tell(
    item: tuple[str, list[Alert]], delivery: Delivery, rules: Mapping[str, Rule], actions: ActionLimits
) -> tuple[str, Item]:
    """Alerts, for the sink partition that has them all."""
    lane, alerts = item
    told = Told(alerts, rules, actions, delivery.topics, _version(), int(time.time() * 1000))
    return sink_key(lane, delivery.sinks), told


@lru_cache(maxsize=1)
def _version() -> str:
    """Ours: looked up in a file, which takes a third of a millisecond, and asked for with every heartbeat."""
    return metadata.version("lapwing")


def dead_record(letter: DeadLetter, delivery: Delivery, limits: Limits) -> Record:
    """A dead letter's record: without its body, and at last without its headers and key, where it would not fit."""
    topic, events = delivery.topics.dead_letters, delivery.topics.events
    stamp = limits.date(topic, letter.timestamp)
    for bare in (letter, _without(letter), _without(letter, headers=True)):
        value = dead_letter.encode(bare, came_from(bare.source, events, delivery.more), delivery.body)
        one = record(topic, letter.key and letter.key[:1024], value, (JSON,), stamp)
        if limits.fits(one):
            break
    return one


def came_from(source: str, events: str, more: Sequence[str]) -> str:
    """The topic of a source: one of those that are read beside that of events, or this.

    >>> came_from("okta.log/3", "audit.events", ["okta.log"]), came_from("a.ndjson", "audit.events", [])
    ('okta.log', 'audit.events')
    """
    topic = source.rpartition("/")[0]
    return topic if topic in more else events


def _without(letter: DeadLetter, headers: bool = False) -> DeadLetter:
    bare = replace(letter, body=b"", detail=_BODY_CUT)
    return replace(bare, headers=(), key=None) if headers else bare


def _carried(batch: EventBatch) -> tuple[list[bytes | None], list[Headers], NDArray[np.int64]]:
    """Key, headers and timestamp of each row's record; the event's time where a file had none."""
    envelopes, n = batch.envelopes, len(batch)
    if envelopes is None:
        return [None] * n, [()] * n, batch.time // 1000
    at, keys, headers = batch.row.tolist(), envelopes.keys, envelopes.headers
    stamps = envelopes.timestamp[batch.row]
    return [keys[k] for k in at], [()] * n if headers is None else [headers[k] for k in at], stamps


def _too_large(batch: EventBatch, row: int, key: bytes | None, headers: Headers, stamp: int) -> DeadLetter:
    place = batch.source, int(batch.offset[row]), int(batch.index[row])
    letter = dead_letter.bury("output_too_large", *place, batch.message(row), stage="encode")
    return replace(letter, key=key, headers=headers, timestamp=stamp)


def _partition(source: str, sources: Sequence[str], count: int) -> int:
    """The partition of the scored topic: the source's own number where one topic is read that has as many."""
    topic, _, number = source.rpartition("/")
    equal = count == len(sources) and all(one.rpartition("/")[0] == topic for one in sources)
    return int(number) if equal and number.isdecimal() else -1
