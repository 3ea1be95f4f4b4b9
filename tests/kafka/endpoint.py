"""Where a Kafka is, and what a client needs to be let in."""

import time
import uuid
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic


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
        for name, (partitions, _) in topics.items():
            _led(admin, name, partitions)


def _led(admin: AdminClient, name: str, partitions: int) -> None:
    # Created is not yet known to every broker that a client may ask next.
    for _ in range(600):
        known = admin.list_topics(name, timeout=10).topics[name].partitions
        if len(known) == partitions and all(each.leader >= 0 for each in known.values()):
            return
        time.sleep(0.05)
    raise TimeoutError(f"no leader for every partition of {name}")
