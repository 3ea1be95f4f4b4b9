"""The topics that Lapwing reads and writes, under their usual names."""

from typing import NamedTuple

from tests.kafka.endpoint import Endpoint


class Topic(NamedTuple):
    """A topic's number of partitions, and whether only the last record of each key is kept."""

    partitions: int
    compacted: bool = False

    @property
    def config(self) -> dict[str, str]:
        return {"cleanup.policy": "compact"} if self.compacted else {}


TOPICS = {
    "audit.events": Topic(4),
    "audit.scored": Topic(4),  # as many as events: a scored event keeps its partition
    "audit.alerts": Topic(4),
    "audit.windows": Topic(4),
    "audit.dead-letters": Topic(4),
    "audit.actions": Topic(4),
    "audit.verdicts": Topic(4, compacted=True),
    "audit.alerts.latest": Topic(4, compacted=True),
    "audit.suppressed": Topic(4),
    "audit.markers": Topic(4, compacted=True),  # as many as kafka.sinks
}


def make_all(kafka: Endpoint) -> None:
    """Make them all; raises `KafkaException` if one is there."""
    kafka.make_all({name: (topic.partitions, topic.config) for name, topic in TOPICS.items()})
