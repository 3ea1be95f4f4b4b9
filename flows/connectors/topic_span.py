"""The records of a topic between two times, and where its partitions and a group stand: for commands that count."""

from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import KafkaException, TopicPartition

from flows.connectors.kafka_client import Failures, patient, reason
from flows.connectors.kafka_offsets import at_time, watermarks
from flows.connectors.kafka_topic import reader, there, to_the_end
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
        self._block, self._topic, self._partitions = block, topic, range(there(block, topic).partitions)
        self._failures = Failures()
        self._client = reader(block, self._failures)

    def standing(self) -> list[Standing]:
        """Of each partition."""
        places = [TopicPartition(self._topic, at) for at in self._partitions]
        reached = patient(self._block, self._failures, lambda s: self._client.committed(places, timeout=s))
        low, high = (watermarks(self._block, self._topic, self._partitions, side) for side in (0, 1))
        return [Standing(low[at.partition], high[at.partition], max(-1, int(at.offset))) for at in reached]

    def rows(self, since_ms: int, until_ms: int) -> Iterator[Row]:
        """The records whose timestamps lie from one time to before the other, up to where partitions end now."""
        begin = at_time(self._block, self._topic, self._partitions, since_ms)
        try:
            for at in self._partitions:
                self._client.assign([TopicPartition(self._topic, at, begin[at])])
                for message in to_the_end(self._client, self._block, self._failures):
                    (_, stamp), value = message.timestamp(), message.value() or b""
                    if since_ms <= stamp < until_ms:
                        yield Row(at, int(message.offset() or 0), int(stamp), value)
        except KafkaException as error:
            raise InputError(f"topic {self._topic}: {reason(error)}") from None

    def close(self) -> None:
        """Leave the brokers."""
        self._client.close()
