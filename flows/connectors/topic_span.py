"""The records of a topic between two times, and where its partitions and a group stand: for commands that count."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.connectors.kafka_client import (
    PASSING,
    Failures,
    common,
    logger,
    made,
    missing,
    patient,
    reason,
    startup_s,
    topics,
    unreachable,
)
from flows.errors import InputError
from flows.kafka_block import Kafka


class Row(NamedTuple):
    """A committed record; `timestamp` is epoch ms."""

    partition: int
    offset: int
    timestamp: int
    value: bytes


class Standing(NamedTuple):
    """The offsets that a partition holds, `low` to before `high`, and the next that the group reads; -1: none yet."""

    low: int
    high: int
    committed: int


class TopicSpan:
    """A topic, of which records of a time are read once, in the order of each partition. Nothing is committed.

    Raises
    ------
    InputError
        No broker answers, there is no such topic, or it may not be read.
    """

    def __init__(self, block: Kafka, topic: str) -> None:
        found = topics(block, [topic]).get(topic)
        if found is None:
            raise InputError(missing([topic]))
        self._block, self._topic, self._count = block, topic, found.partitions
        self._failures = Failures()
        options: dict[str, Any] = common(block) | dict(block.consumer)
        options |= {
            "group.id": block.application, "auto.offset.reset": "earliest", "enable.auto.commit": False,
            "enable.partition.eof": True, "isolation.level": "read_committed", "error_cb": self._failures,
        }  # fmt: skip
        self._client = made(lambda: Consumer(options, logger=logger()))

    def standing(self) -> list[Standing]:
        """Of each partition."""
        places = [TopicPartition(self._topic, at) for at in range(self._count)]
        reached = patient(self._block, self._failures, lambda s: self._client.committed(places, timeout=s))
        ends = [
            patient(self._block, self._failures, lambda s, at=at: self._client.get_watermark_offsets(at, timeout=s))  # type: ignore[misc]
            for at in places
        ]
        return [
            Standing(int(low), int(high), max(-1, int(at.offset)))
            for (low, high), at in zip(ends, reached, strict=True)
        ]

    def rows(self, since_ms: int, until_ms: int) -> Iterator[Row]:
        """The records whose timestamps lie from one time to before the other, up to where partitions end now."""
        try:
            for partition in range(self._count):
                at = [TopicPartition(self._topic, partition, since_ms)]
                begin = patient(
                    self._block, self._failures, lambda s, at=at: self._client.offsets_for_times(at, timeout=s)  # type: ignore[misc]
                )  # fmt: skip
                self._client.assign(begin)
                yield from (row for row in self._to_the_end() if since_ms <= row.timestamp < until_ms)
        except KafkaException as error:
            raise InputError(f"topic {self._topic}: {reason(error)}") from None

    def close(self) -> None:
        """Leave the brokers."""
        self._client.close()

    def _to_the_end(self) -> Iterator[Row]:
        deadline = time.monotonic() + startup_s(self._block)
        while time.monotonic() < deadline:
            for message in self._client.consume(1000, 0.1):
                if (error := message.error()) is None:
                    deadline = time.monotonic() + startup_s(self._block)
                    at, offset, (_, stamp) = message.partition(), message.offset(), message.timestamp()
                    yield Row(int(at or 0), int(offset or 0), int(stamp), message.value() or b"")
                elif error.code() == error._PARTITION_EOF:
                    return
                elif error.code() not in PASSING:
                    raise KafkaException(error)
        raise unreachable(self._block, self._failures, TimeoutError("reading a topic"))
