"""A whole topic, from its beginning to its end: for commands that look something up."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Message, TopicPartition

from flows.connectors.kafka_client import (
    PASSING,
    Failures,
    Topic,
    common,
    logger,
    made,
    missing,
    reason,
    startup_s,
    topics,
    unreachable,
)
from flows.errors import InputError
from flows.kafka_block import Kafka


def values(block: Kafka, topic: str) -> Iterator[bytes]:
    """The values of a topic's committed records, one partition after the other, each in the order of its offsets.

    It ends where each partition ends when it gets there. Nothing is committed; a record without value is passed over.

    Raises
    ------
    InputError
        As `records`.
    """
    for message in records(block, topic):
        if (value := message.value()) is not None:
            yield value


def records(block: Kafka, topic: str) -> Iterator[Message]:
    """The records of a topic, as `values`.

    Raises
    ------
    InputError
        There is no such topic, it may not be read, or brokers are silent for `startup_timeout`.
    """
    found = there(block, topic)
    with reading(block) as (client, failures):
        try:
            for partition in range(found.partitions):
                client.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
                yield from to_the_end(client, block, failures)
        except KafkaException as error:
            raise InputError(f"topic {topic}: {reason(error)}") from None


def there(block: Kafka, topic: str) -> Topic:
    """The topic as it is.

    Raises
    ------
    InputError
        There is none, or brokers do not answer.
    """
    found = topics(block, [topic])
    if topic not in found:
        raise InputError(missing([topic]))
    return found[topic]


def reader(block: Kafka, failures: Failures, more: Mapping[str, Any] | None = None) -> Consumer:
    """A consumer of committed records that is told what to read, and commits nothing; `more` are other options."""
    options: dict[str, Any] = common(block) | dict(block.consumer)
    options |= {
        "group.id": block.application, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "enable.partition.eof": True, "isolation.level": "read_committed", "error_cb": failures,
    }  # fmt: skip
    return made(lambda: Consumer(options | dict(more or {}), logger=logger()))


@contextmanager
def reading(block: Kafka) -> Iterator[tuple[Consumer, Failures]]:
    """As `reader`, and closed at the end."""
    failures = Failures()
    client = reader(block, failures)
    try:
        yield client, failures
    finally:
        client.close()


def to_the_end(client: Consumer, block: Kafka, failures: Failures) -> Iterator[Message]:
    """The records of what is assigned, one partition, to where it ends when it gets there.

    Raises
    ------
    InputError
        Brokers are silent for `startup_timeout`.
    KafkaException
        They refuse.
    """
    deadline = time.monotonic() + startup_s(block)
    while time.monotonic() < deadline:
        for message in client.consume(1000, 0.1):
            if (error := message.error()) is None:
                deadline = time.monotonic() + startup_s(block)
                yield message
            elif error.code() == error._PARTITION_EOF:
                return
            elif error.code() not in PASSING:
                raise KafkaException(error)
    raise unreachable(block, failures, TimeoutError("reading a topic"))
