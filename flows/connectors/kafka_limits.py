"""What topics take: how large a record may be, how old, and in how many partitions."""

import time
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.connectors.kafka_client import missing, topics
from flows.errors import OutputError
from flows.kafka_block import RESULTS, Kafka
from models.event import Headers

_MARGIN: Final = 1024
"""Bytes of a record batch that are not its one record's key, value and headers, generously."""
_LEAST: Final = {"scored": 0, "dead_letters": 4096, "markers": 1 << 19, "forward_dead_letters": 1 << 18}
_LEAST_RESULT: Final = 1 << 16
"""Bytes that a topic must take: where a scored event does not fit it becomes a dead letter, and what else is made fits
for sure."""
_CLOCKS_MS: Final = 60_000
"""The broker's clock may differ so much from ours, with the time until a record gets there."""
_ANY_SIZE: Final = 1 << 62


Record = tuple[str, bytes | None, bytes | None, int, None, None, int, list[tuple[str, str | bytes | None]] | None]
"""(topic, value, key, partition, None, None, timestamp in epoch ms, headers): what `Producer.produce` takes, so that a
scored event costs one tuple. Partition -1 leaves the choice to the key, timestamp 0 is now."""


@dataclass(slots=True)
class Counts:
    """What the sinks of a process have done; `too_large` are the scored events that became dead letters."""

    records: int = 0
    delivery_errors: int = 0
    too_large: int = 0


class Limits(NamedTuple):
    """What the topics take: partitions, bytes of the largest record batch, and timestamps how far from now (ms)."""

    partitions: dict[str, int]
    most_bytes: dict[str, int]
    spans: dict[str, tuple[int, int]]
    counts: Counts

    def fits(self, record: Record) -> bool:
        """Whether a record is small enough for its topic, uncompressed."""
        topic, value, key, _, _, _, _, headers = record
        size = len(key or b"") + len(value or b"")
        size += sum(len(name) * 4 + len(content or b"") + 8 for name, content in headers or ())
        return size + _MARGIN <= self.most_bytes[topic]

    def dated(self, topic: str, stamps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Timestamps as the topic takes them: 0, which is now, where the broker would refuse one as too far from it."""
        now = time.time_ns() // 1_000_000
        before, after = self.spans[topic]
        oldest, newest = max(0, now - max(0, before - _CLOCKS_MS)), now + max(0, after - _CLOCKS_MS)
        return np.where((stamps < oldest) | (stamps > newest), 0, stamps)

    def date(self, topic: str, stamp: int) -> int:
        """As `dated`, of one."""
        return int(self.dated(topic, np.array([stamp]))[0])


def record(
    topic: str, key: bytes | None, value: bytes | None, headers: Headers = (), timestamp: int = 0, partition: int = -1
) -> Record:
    """One record."""
    return (topic, value, key, partition, None, None, timestamp, list(headers) or None)


def least_bytes(key: str) -> int:
    """The least that a topic must take, by its key in the configuration.

    >>> least_bytes("alerts"), least_bytes("scored")
    (65536, 0)
    """
    return _LEAST.get(key, _LEAST_RESULT)


def limits_of(block: Kafka, marked: bool) -> Limits:
    """What the topics are like; all that are missing are named at once."""
    names = [getattr(block.topics, key) for key in RESULTS]
    names += [block.topics.markers] if marked else []
    found = topics(block, names)
    if lacking := [name for name in names if name not in found]:
        raise OutputError(missing(lacking))
    keys = {getattr(block.topics, key): key for key in block.topics.__struct_fields__}
    if small := [one for one in found.values() if one.most_bytes < least_bytes(keys[one.name])]:
        raise OutputError(
            "; ".join(
                f"topic {one.name} takes messages of {one.most_bytes} bytes at most, and needs "
                f"{least_bytes(keys[one.name])} (max.message.bytes)"
                for one in small
            )
        )
    markers = found.get(block.topics.markers)
    if markers is not None and markers.partitions < block.sinks:
        raise OutputError(
            f"topic {markers.name} has {markers.partitions} partitions, and kafka.sinks = {block.sinks} needs as many"
        )
    chosen = (dict(block.options) | dict(block.producer)).get("message.max.bytes", "")
    most = int(chosen) if str(chosen).isdecimal() else _ANY_SIZE
    return Limits(
        {name: one.partitions for name, one in found.items()},
        {name: min(one.most_bytes, most) for name, one in found.items()},
        {name: (one.before_ms, one.after_ms) for name, one in found.items()},
        Counts(),
    )
