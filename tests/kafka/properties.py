"""What a broker is configured with: as delivered, but for replicas by the number of nodes and shorter waits."""

from collections.abc import Mapping, Sequence

from tests.kafka.node import Node

PLAIN = {"CLIENT": "PLAINTEXT", "INSIDE": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"}
"""Listeners that every node has: for clients; for brokers among themselves and who administers them; for the quorum."""


def properties(node: Node, nodes: Sequence[Node], protocols: Mapping[str, str]) -> dict[str, str]:
    """The configuration of one node among all, with the protocol of each of its listeners."""
    replicas = str(min(3, len(nodes)))
    in_sync = "2" if len(nodes) >= 3 else "1"
    return {
        "process.roles": "broker,controller",
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(f"{each.number}@{each.address('CONTROLLER')}" for each in nodes),
        "listeners": ",".join(f"{name}://{node.address(name)}" for name in protocols),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "inter.broker.listener.name": "INSIDE",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": str(node.folder / "data"),
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
        "broker.session.timeout.ms": "4000",
        "broker.heartbeat.interval.ms": "500",
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
    }
