"""What a broker is configured with: as delivered, but for replicas by the number of nodes and shorter waits."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kafka.node import LISTENERS, Node


def properties(node: Node, nodes: Sequence[Node], security: Mapping[str, str], data: Path) -> dict[str, str]:
    """The configuration of one node among all. `security` has what its listener for clients needs beside plain text."""
    replicas = str(min(3, len(nodes)))
    in_sync = "2" if len(nodes) >= 3 else "1"
    protocol = security.get("protocol", "PLAINTEXT")
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(f"{each.number}@{each.address('CONTROLLER')}" for each in nodes),
        "listeners": ",".join(f"{name}://{node.address(name)}" for name in LISTENERS),
        "listener.security.protocol.map": f"CLIENT:{protocol},INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INSIDE",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(data),
        # A name misspelt in a test is an error, not a topic.
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "group.initial.rebalance.delay.ms": "0",
        # Minutes as delivered, here seconds: to see a dead node or an abandoned transaction, to clean up.
        "broker.session.timeout.ms": "6000",
        "broker.heartbeat.interval.ms": "1000",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        # Records dated by events of last year stay, unless a topic has its own retention.ms.
        "log.retention.ms": "-1",
        "log.retention.check.interval.ms": "1000",
        "log.initial.task.delay.ms": "500",
        "log.segment.delete.delay.ms": "1000",
        "log.cleaner.backoff.ms": "500",
        "log.cleaner.dedupe.buffer.size": str(16 << 20),
        "num.io.threads": "4",
        "num.network.threads": "2",
        **{key: value for key, value in security.items() if key != "protocol"},
    }
