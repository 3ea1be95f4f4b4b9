"""What comes into topics of results from a moment on, for commands that wait for something."""

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException, TopicPartition

from flows.connectors.kafka_client import PASSING, Failures, reason
from flows.connectors.kafka_offsets import at_time
from flows.connectors.kafka_topic import reader, there
from flows.errors import InputError
from flows.kafka_block import Kafka


class TopicTail:
    """The values of a topic's committed records, from the first of a time (epoch ms) on. Nothing is committed.

    Raises
    ------
    InputError
        No broker answers, there is no such topic, or it may not be read.
    """

    def __init__(self, block: Kafka, topic: str, since_ms: int) -> None:
        begin = at_time(block, topic, range(there(block, topic).partitions), since_ms)
        self._topic, self._failures = topic, Failures()
        self._client = reader(
            block, self._failures, {"auto.offset.reset": "latest", "enable.partition.eof": False}
        )  # fmt: skip
        self._client.assign([TopicPartition(topic, at, offset) for at, offset in begin.items()])

    def take(self, seconds: float) -> list[bytes]:
        """What has come, waiting so long for it at most; brokers that are away are waited for."""
        try:
            found = self._client.consume(1000, seconds)
        except KafkaException as failed:
            raise InputError(f"topic {self._topic}: {reason(failed)}") from None
        if self._failures.fatal is not None:
            raise InputError(f"topic {self._topic}: {self._failures.fatal.str()}")
        values = []
        for message in found:
            if (error := message.error()) is None:
                if (value := message.value()) is not None:
                    values.append(value)
            elif error.code() not in PASSING and not error.retriable():
                raise InputError(f"topic {self._topic}: {error.str()}")
        return values

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()
