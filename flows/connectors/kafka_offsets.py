"""Where the partitions of a topic begin and end, and where they were at a time."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.connectors.kafka_client import Failures, common, logger, made, patient
from flows.kafka_block import EARLIEST, LATEST, Kafka, moment_ms


def watermarks(block: Kafka, topic: str, partitions: Iterable[int], side: int) -> dict[int, int]:
    """The low (0) or high (1) end of each partition as it is now.

    Raises
    ------
    InputError
        No broker answers.
    """
    return _asked(
        block, topic, partitions, lambda client, at, timeout: client.get_watermark_offsets(at, timeout=timeout)[side]
    )


def at_time(block: Kafka, topic: str, partitions: Iterable[int], moment_ms: int) -> dict[int, int]:
    """The first offset at or after a record timestamp; the end where there is none.

    Raises
    ------
    InputError
        No broker answers.
    """
    numbers = list(partitions)
    ends = watermarks(block, topic, numbers, 1)

    def first(client: Consumer, at: TopicPartition, timeout: float) -> int:
        wanted = TopicPartition(at.topic, at.partition, moment_ms)
        found = client.offsets_for_times([wanted], timeout=timeout)[0]
        if found.error is not None:
            raise KafkaException(found.error)
        return int(found.offset)

    found = _asked(block, topic, numbers, first)
    return {number: offset if offset >= 0 else ends[number] for number, offset in found.items()}


def offsets(block: Kafka, topic: str, partitions: Iterable[int], moment: str) -> dict[int, int]:
    """Of each partition the offset of a moment: `earliest`, `latest`, or a time in RFC 3339.

    Raises
    ------
    InputError
        No broker answers.
    """
    if moment in (EARLIEST, LATEST):
        return watermarks(block, topic, partitions, 0 if moment == EARLIEST else 1)
    return at_time(block, topic, partitions, moment_ms(moment))


def group_options(block: Kafka) -> dict[str, Any]:
    """Options of a consumer that only asks and commits."""
    return common(block) | dict(block.consumer) | {"group.id": block.application, "enable.auto.commit": False}


def _asked(
    block: Kafka, topic: str, partitions: Iterable[int], ask: Callable[[Consumer, TopicPartition, float], int]
) -> dict[int, int]:
    failures = Failures()
    client = made(lambda: Consumer(group_options(block) | {"error_cb": failures}, logger=logger()))
    try:
        return {
            number: patient(block, failures, partial(ask, client, TopicPartition(topic, number)))
            for number in partitions
        }
    finally:
        client.close()
