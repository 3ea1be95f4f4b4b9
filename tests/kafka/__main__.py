"""`make kafka`: a broker in the foreground with Lapwing's topics, until Ctrl-C."""

import signal
import sys
import time
from types import FrameType

from tests.kafka.cluster import Broker
from tests.kafka.errors import Damaged, Failed, Unavailable
from tests.kafka.jars import LIST, listed
from tests.kafka.topics import TOPICS, make_all

USUAL_PORT = 9092


def main() -> int:
    # A shell that starts it in the background has Ctrl-C ignored, and whoever sends one means it.
    for ends in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ends, _interrupt)
    try:
        with _broker() as kafka:
            make_all(kafka)
            _tell(kafka)
            while kafka.pid():
                time.sleep(0.5)
            print(f"kafka: stopped by itself:\n{kafka.nodes[1].tail()}", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        print("\nkafka: stopped, its data removed", file=sys.stderr)
        return 0
    except (Unavailable, Damaged, Failed) as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 1


def _broker() -> Broker:
    try:
        return Broker(heap="1g", lasting=True, port=USUAL_PORT)
    except OSError:
        return Broker(heap="1g", lasting=True)


def _tell(kafka: Broker) -> None:
    version = next(jar.version for jar in listed(LIST.read_text()) if jar.name == "kafka-clients")
    print(f"Apache Kafka {version} at {kafka.bootstrap}: one node, plain text, loopback only; Ctrl-C ends it.")
    print(f"Its data and log are in {kafka.folder} until then. Topics:")
    for name, topic in TOPICS.items():
        print(f"  {name:<20} {topic.partitions} partitions{', compacted' if topic.compacted else ''}")
    print(f"Tests use it instead of one of their own with KAFKA_BOOTSTRAP={kafka.bootstrap} make test", flush=True)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
