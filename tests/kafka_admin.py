"""What an administrator may do to topics while Lapwing is away, or while it runs."""

from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from tests.kafka.endpoint import Endpoint
from tests.kafka_runs import eventually


def _done(client: AdminClient, asked: dict[Any, Future[Any]]) -> Any:
    """The one answer, with the client at hand until it is there."""
    (answer,) = asked.values()
    return answer.result(60)


def cut(kafka: Endpoint, topic: str, partition: int, offset: int) -> None:
    """Remove the records before an offset, as retention does."""
    client = AdminClient(kafka.client())
    _done(client, client.delete_records([TopicPartition(topic, partition, offset)]))


def deleted(kafka: Endpoint, *topics: str) -> None:
    """Delete topics, and wait until nobody knows them."""
    client = AdminClient(kafka.client())
    for answer in client.delete_topics([*topics]).values():
        answer.result(60)
    eventually(lambda: not {*topics} & {*client.list_topics(timeout=10).topics}, "the topics are gone")


def remade(kafka: Endpoint, topic: str, partitions: int) -> None:
    """Delete a topic and make it again."""
    deleted(kafka, topic)
    client = AdminClient(kafka.client())

    def made() -> bool:
        try:
            _done(client, client.create_topics([NewTopic(topic, partitions)]))
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False  # the broker forgets it some time after it has said so
        return True

    eventually(made, f"{topic} is made again")
    _led(client, topic, partitions)


def grown(kafka: Endpoint, topic: str, partitions: int) -> None:
    """Add partitions to a topic."""
    client = AdminClient(kafka.client())
    _done(client, client.create_partitions([NewPartitions(topic, partitions)]))
    _led(client, topic, partitions)


def group_offsets(kafka: Endpoint, group: str, topic: str) -> dict[int, int]:
    """A consumer group's committed offsets by partition."""
    client = AdminClient(kafka.client())
    found = _done(client, client.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))
    return {at.partition: at.offset for at in found.topic_partitions if at.topic == topic and at.offset >= 0}


def move_group(kafka: Endpoint, group: str, topic: str, partition: int, offset: int) -> None:
    """Put a consumer group somewhere else."""
    client = AdminClient(kafka.client())
    there = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, partition, offset)])
    _done(client, client.alter_consumer_group_offsets([there]))


def _led(client: AdminClient, topic: str, partitions: int) -> None:
    def led() -> bool:
        known = client.list_topics(topic, timeout=10).topics[topic].partitions
        return len(known) == partitions and all(each.leader >= 0 for each in known.values())

    eventually(led, "every partition has a leader")


def configured(kafka: Endpoint, topic: str, name: str, value: str) -> None:
    """Change a setting of a topic."""
    client = AdminClient(kafka.client())
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    _done(
        client,
        client.incremental_alter_configs([ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])]),
    )
