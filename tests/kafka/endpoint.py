"""Where a Kafka is, and what a client needs to be let in."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]  # its stub forgets it

_SOON = (
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC, KafkaError._NOENT, KafkaError.UNKNOWN_LEADER_EPOCH,
)  # fmt: skip
"""What a topic that has just been made may say of itself."""


class Endpoint:
    """A Kafka that somebody runs."""

    def __init__(self, bootstrap: str, settings: Mapping[str, Any] | None = None) -> None:
        self.bootstrap = bootstrap
        """`host:port`, with commas between several."""
        self.settings = dict(settings or {})

    def client(self, **more: Any) -> dict[str, Any]:
        """A librdkafka configuration that is let in, with whatever else is given.

        >>> Endpoint("127.0.0.1:9092").client(**{"group.id": "g"})
        {'bootstrap.servers': '127.0.0.1:9092', 'log_level': 2, 'group.id': 'g'}
        """
        # Without log_level librdkafka writes every refused connection to stderr.
        return {"bootstrap.servers": self.bootstrap, "log_level": 2, **self.settings, **more}

    def topic(self, name: str = "topic", partitions: int = 1, **config: str) -> str:
        """Make a topic that nobody else uses, `name` and something unique; give its name.

        Configuration names are given with `_` for `.`: `topic("latest", cleanup_policy="compact")`.
        """
        unique = f"{name}-{uuid.uuid4().hex[:12]}"
        self.make(unique, partitions, {key.replace("_", "."): value for key, value in config.items()})
        return unique

    def names(self) -> set[str]:
        """The topics that there are."""
        return {*AdminClient(self.client()).list_topics(timeout=30).topics}

    def make(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        """Make a topic of this name, replicated as is the broker's default; `KafkaException` also if there is one."""
        self.make_all({name: (partitions, config or {})})

    def make_all(self, topics: Mapping[str, tuple[int, Mapping[str, str]]]) -> None:
        """Make topics by name, each with its number of partitions and its configuration, as `make` does."""
        if not topics:
            return
        admin = AdminClient(self.client())
        there = {*admin.list_topics(timeout=30).topics}
        new = [
            NewTopic(name, num_partitions=partitions, replication_factor=-1, config=dict(config))
            for name, (partitions, config) in topics.items()
        ]
        for name, made in admin.create_topics(new, operation_timeout=60).items():
            try:
                made.result(60)
            except KafkaException as error:
                # A client asks again when a busy broker is late with its answer, and then is told of its own topic.
                if name in there or error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        self._led([TopicPartition(name, at) for name, (partitions, _) in topics.items() for at in range(partitions)])

    def _led(self, places: Sequence[TopicPartition]) -> None:
        """Wait until all partitions answer: created is not known yet to every broker that a client may ask next."""
        for _ in range(600):
            # A client that found no leader at all says so for ever, from what it remembers: each asks once.
            admin = AdminClient(self.client())
            latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            asked = admin.list_offsets(dict.fromkeys(places, latest), request_timeout=30)
            try:
                for one in asked.values():
                    one.result(30)
            except KafkaException as error:
                if error.args[0].code() not in _SOON:
                    raise
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(f"no leader for every partition of {', '.join(sorted({place.topic for place in places}))}")
