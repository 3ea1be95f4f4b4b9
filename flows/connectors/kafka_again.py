"""Records once more: read where they stood, and written in one transaction with the note that they were."""

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaException, Message, Producer, TopicPartition

from flows.connectors.kafka_client import PASSING, Failures, common, failed_output, logger, made, startup_s, unreachable
from flows.connectors.kafka_topic import reading
from flows.durations import microseconds
from flows.errors import InputError
from flows.kafka_block import Kafka

_SEEK: Final = 5_000
"""Offsets that are read over rather than jumped."""


class Again(NamedTuple):
    """A record to be written; partition -1 leaves the choice to the key."""

    topic: str
    value: bytes
    key: bytes | None
    partition: int = -1
    headers: Sequence[tuple[str, bytes | None]] = ()


class Once:
    """A producer whose transactions have one id: whoever opens a second one ends the first, which then fails.

    Raises
    ------
    OutputError
        A broker refuses, or another one has been opened.
    """

    def __init__(self, block: Kafka, purpose: str) -> None:
        options: dict[str, Any] = common(block) | dict(block.producer) | {"error_cb": Failures()}
        options |= {
            "transactional.id": f"{block.application}-{purpose}", "enable.idempotence": True,
            "transaction.timeout.ms": microseconds(block.transaction_timeout) // 1000,
        }  # fmt: skip
        self._producer = made(lambda: Producer(options, logger=logger()))
        try:
            self._producer.init_transactions(startup_s(block))
        except KafkaException as error:
            raise failed_output(error, f"transaction {block.application}-{purpose}") from None

    def write(self, records: Sequence[Again]) -> None:
        """Write all of them, or none that anybody sees who reads what is committed."""
        try:
            self._producer.begin_transaction()
            for one in records:
                self._produce(one)
            self._producer.commit_transaction()
        except KafkaException as error:
            raise failed_output(error, f"topic {records[0].topic}") from None

    def _produce(self, one: Again) -> None:
        while True:
            try:
                return self._producer.produce(
                    one.topic, one.value, one.key, one.partition, headers=[*one.headers] or None
                )
            except BufferError:
                self._producer.poll(0.1)


def records_at(block: Kafka, topic: str, partition: int, offsets: Sequence[int]) -> dict[int, Message]:
    """The records at these offsets of a partition, in ascending order; one that is no more there is left out.

    Memory is that of the records.

    Raises
    ------
    InputError
        Brokers are silent for `startup_timeout`, or refuse.
    """
    waiting, found = [*reversed(offsets)], dict[int, Message]()
    with reading(block) as (client, failures):
        try:
            client.assign([TopicPartition(topic, partition, waiting[-1])])
            deadline = time.monotonic() + startup_s(block)
            while waiting:
                if time.monotonic() > deadline:
                    raise unreachable(block, failures, TimeoutError("reading a topic"))
                for message in client.consume(1000, 0.1):
                    if (error := message.error()) is None:
                        deadline = time.monotonic() + startup_s(block)
                        at = message.offset() or 0
                        while waiting and waiting[-1] < at:
                            waiting.pop()  # retention or compaction has taken it
                        if waiting and waiting[-1] == at:
                            found[waiting.pop()] = message
                    elif error.code() == error._PARTITION_EOF:
                        return found
                    elif error.code() not in PASSING:
                        raise KafkaException(error)
                if found and waiting and waiting[-1] - max(found) > _SEEK:
                    client.assign([TopicPartition(topic, partition, waiting[-1])])
        except KafkaException as error:
            raise InputError(f"topic {topic}: {error.args[0].str()}") from None
    return found
