"""Whole topics as lists: write some records, read all there is."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

_READ_S = 120.0
Header = tuple[str, bytes | None]


class Record(NamedTuple):
    """A record to be written; what is absent is left to Kafka."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[Header, ...] = ()
    timestamp: int | None = None
    """Milliseconds since the epoch."""
    partition: int | None = None


class Found(NamedTuple):
    """A record as a consumer sees it."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


def produce(client: Mapping[str, Any], topic: str, records: Iterable[Record]) -> None:
    """Write records in order, with acknowledgement from all replicas. Raises the first failure as `KafkaException`."""
    failures: list[KafkaError] = []
    producer = Producer({"enable.idempotence": True, "linger.ms": 5, **client})
    for record in records:
        send(producer, topic, record, failures)
    producer.flush()
    if failures:
        raise KafkaException(failures[0])


def send(producer: Producer, topic: str, record: Record, failures: list[KafkaError]) -> None:
    """Hand one record to a producer, waiting where its queue is full; a failed delivery is added to `failures`."""

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failures.append(error)

    more: dict[str, Any] = {}
    if record.timestamp is not None:
        more["timestamp"] = record.timestamp
    if record.partition is not None:
        more["partition"] = record.partition
    while True:
        try:
            producer.produce(
                topic, record.value, record.key, headers=list(record.headers), on_delivery=delivered, **more
            )
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def read(client: Mapping[str, Any], topic: str, *, committed: bool = True) -> list[Found]:
    """All records of a topic up to its end as it is now, in the order of partition and offset.

    With `committed` the end is that of the last finished transaction, and what was aborted is left out. Raises
    `KafkaException`, and `TimeoutError` if the end is not reached within two minutes.
    """
    consumer = Consumer({
        **client,
        "group.id": "lapwing-tests-read",
        "enable.auto.commit": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 50,
        "isolation.level": "read_committed" if committed else "read_uncommitted",
    })  # fmt: skip
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
        found: list[Found] = []
        open_, end = set(partitions), time.monotonic() + _READ_S
        while open_:
            if time.monotonic() > end:
                raise TimeoutError(f"the end of {topic}, partitions {sorted(open_)}, was not reached")
            for message in consumer.consume(10_000, timeout=0.1):
                error = message.error()
                if error is None:
                    found.append(_found(message))
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_.discard(message.partition())
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()
    return sorted(found, key=lambda each: (each.partition, each.offset))


def ends(client: Mapping[str, Any], topic: str) -> dict[int, tuple[int, int]]:
    """The first offset and the one behind the last, of each partition; waits where a leader is being elected."""
    consumer = Consumer({**client, "group.id": "lapwing-tests-ends"})
    try:
        give_up = time.monotonic() + _READ_S
        while True:
            try:
                partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
                return {at: consumer.get_watermark_offsets(TopicPartition(topic, at), timeout=30) for at in partitions}
            except KafkaException:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)
    finally:
        consumer.close()


def settle(client: Mapping[str, Any], topic: str) -> None:
    """Wait until every transaction has ended: a commit returns before its markers are in all partitions."""
    give_up = time.monotonic() + _READ_S
    while ends({**client, "isolation.level": "read_committed"}, topic) != ends(
        {**client, "isolation.level": "read_uncommitted"}, topic
    ):
        if time.monotonic() > give_up:
            raise TimeoutError(f"a transaction in {topic} does not end")
        time.sleep(0.1)


def _found(message: Message) -> Found:
    headers = tuple(message.headers() or ())
    return Found(message.partition(), message.offset(), message.timestamp()[1], message.key(), message.value(), headers)
