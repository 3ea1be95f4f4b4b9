"""A Kafka cluster on this machine: one node or more, each a process that can be stopped, killed and started again."""

import shutil
import tempfile
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.kafka.endpoint import Endpoint
from tests.kafka.errors import Failed
from tests.kafka.jars import class_path
from tests.kafka.node import Node
from tests.kafka.ports import Port
from tests.kafka.properties import PLAIN, properties

_READY_S = 180.0
"""When to give up. On a quiet machine a node is ready within five seconds."""


class Cluster(Endpoint):
    """Brokers on free loopback ports, their data in a temporary directory that goes with them.

    `with Cluster(3) as kafka:` starts them and waits until every node serves clients and transactions; at the end they
    are killed, since nothing is to be kept. Nodes count from 1. On Linux they end with the process that started them,
    however that ends.

    `config` has broker settings that go before ours, `listeners` names and protocols beside the plain ones, `port` is
    the one that node 1 has for clients (0: any). Brokers that are `lasting` start later and then run faster: for
    benchmarks and people.

    Raises `Unavailable` where the machine has no Java or the jars cannot be fetched, `Damaged`, and `Failed` with the
    end of the log where a node does not start. A node takes up to `heap` and 150 MB more, and while nobody asks it for
    anything a thirtieth of a core.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        config: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        heap: str = "512m",
        lasting: bool = False,
        port: int = 0,
    ) -> None:
        self.config = dict(config or {})
        self.protocols = PLAIN | dict(listeners or {})
        self.users: tuple[str, ...] = ()
        self.heap, self.lasting = heap, lasting
        jars = class_path()
        ports = [
            {name: Port(port if at == 0 and name == "CLIENT" else 0) for name in self.protocols} for at in range(nodes)
        ]
        self.folder = Path(tempfile.mkdtemp(prefix="lapwing-kafka-"))
        self.nodes = {at: Node(at, self.folder / str(at), jars, own) for at, own in enumerate(ports, 1)}
        super().__init__(self.addresses("CLIENT"))
        self.inside = Endpoint(self.addresses("INSIDE"))

    def __enter__(self) -> Self:
        try:
            self._format()
            self.start()
            self._until("transactions are served", self._transactions)
            self._until("groups are served", self._groups)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Kill what runs and remove its data."""
        for node in self.nodes.values():
            node.kill()
            node.free()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self, number: int = 1) -> None:
        """Stop a node in good order (SIGTERM)."""
        self.nodes[number].stop()

    def kill(self, number: int = 1) -> None:
        """Kill a node (SIGKILL)."""
        self.nodes[number].kill()

    def start(self, *numbers: int) -> None:
        """Start stopped nodes, all where none is named, on their old ports and data, and wait until they serve.

        A node of three serves only beside another: after both others have been stopped, start them in one call.
        """
        wanted = numbers or tuple(number for number in self.nodes if self.pid(number) is None)
        for number in wanted:
            self.nodes[number].start(self.heap, lasting=self.lasting)
        for number in wanted:
            node = self.nodes[number]
            self._until(f"node {number} listens", node.listens)
            self._until(f"node {number} is one of those it knows", lambda node=node: node.number in _known(node))

    def pid(self, number: int = 1) -> int | None:
        """The process id of a node, `None` while it does not run."""
        return self.nodes[number].pid

    def check(self) -> None:
        """`Failed`, with the end of its log, if a node that was started has stopped by itself."""
        for node in self.nodes.values():
            node.check()

    def addresses(self, listener: str) -> str:
        """`host:port` of one listener on every node, with commas between."""
        return ",".join(node.address(listener) for node in self.nodes.values())

    def _format(self) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        nodes = list(self.nodes.values())

        def one(node: Node) -> None:
            node.format(cluster_id, properties(node, nodes, self.protocols) | self.config, *self.users)

        with ThreadPoolExecutor() as several:
            list(several.map(one, nodes))

    def _transactions(self) -> bool:
        Producer(self.inside.client(**{"transactional.id": "ready"})).init_transactions(5)
        return True

    def _groups(self) -> bool:
        # librdkafka 2.16 ends the process that lists a group's offsets before there is a topic of them.
        client = Consumer(self.inside.client(**{"group.id": "ready"}))
        try:
            client.committed([TopicPartition("ready", 0)], timeout=5)
        finally:
            client.close()
        return True

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _READY_S
        failed: Exception | None = None
        while time.monotonic() < end:
            self.check()
            try:
                if holds():
                    return
            except KafkaException as error:
                failed = error
            time.sleep(0.05)
        logs = "\n".join(f"node {number}:\n{node.tail()}" for number, node in self.nodes.items())
        raise Failed(f"waited {_READY_S:.0f} s in vain until {what} ({failed}):\n{logs}")


def _known(node: Node) -> Iterable[int]:
    # A client that knows no other address: the node itself answers.
    return AdminClient(Endpoint(node.address("INSIDE")).client()).list_topics(timeout=5).brokers


class Broker(Cluster):
    """A cluster of one node; it takes the same options."""

    def __init__(self, **options: Any) -> None:
        super().__init__(1, **options)
