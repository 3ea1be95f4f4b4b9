"""`make demo-kafka`: a real Kafka, traffic at a steady rate, the flow between its topics, and alerts as they come."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from tests.command import LAPWING
from tests.kafka.cluster import Broker
from tests.kafka.errors import Damaged, Failed, Unavailable
from tests.kafka.topics import TOPICS, make_all

SETTLE_S = 6.0
"""Alerts come until then after the last event was read: an epoch, and the lateness."""


def main() -> int:
    """Run it; the alerts are also left in a file, beside the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=120_000)
    parser.add_argument("--rate", type=int, default=2_500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=Path("demo/kafka"))
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    try:
        with Broker(heap="1g", lasting=True) as kafka:
            make_all(kafka)
            print(f"Kafka at {kafka.bootstrap}, {len(TOPICS)} topics", flush=True)
            code = _shown(kafka, arguments)
    except (Unavailable, Damaged, Failed) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _shown(kafka: Broker, arguments: argparse.Namespace) -> int:
    folder = arguments.folder
    config = folder / "config.toml"
    config.write_text(f'[kafka]\nbootstrap = "{kafka.bootstrap}"\nstart = "earliest"\n')
    truth = folder / "truth.ndjson"
    flow = ["detect", "--config", config, "--input", "kafka", "--output", "kafka", "--state", folder / "state"]
    traffic = ["simulate", "--events", arguments.events, "--seed", arguments.seed, "--rate", arguments.rate]
    traffic += ["--output", "kafka", "--config", config, "--truth", truth, "--quiet"]
    with _command(*flow) as detect, _command(*traffic) as simulate, (folder / "alerts.ndjson").open("wb") as kept:
        print(f"{arguments.events:,} events at {arguments.rate:,} a second; alerts as a SIEM gets them:", flush=True)
        for alert, line in _alerts(kafka, detect, simulate):
            kept.write(line + b"\n")
            if alert["activity_id"] == 1:
                print(_line(alert), flush=True)
        failed = simulate.poll() or detect.poll()  # either ended by itself
        if failed is None:
            detect.send_signal(signal.SIGTERM)
            failed = simulate.wait() or detect.wait()
    if failed:
        return failed
    return subprocess.call([LAPWING, "compare", str(folder / "alerts.ndjson"), str(truth)])


def _alerts(
    kafka: Broker, detect: "subprocess.Popen[bytes]", simulate: "subprocess.Popen[bytes]"
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Alerts in committed transactions, until all traffic has been read and nothing more comes, or a process failed."""
    topic = "audit.alerts"
    consumer = Consumer(kafka.client(**{"group.id": "demo", "isolation.level": "read_committed"}))
    consumer.assign([TopicPartition(topic, at, OFFSET_BEGINNING) for at in range(TOPICS[topic].partitions)])
    last = time.monotonic()
    while detect.poll() is None and not simulate.poll():
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            line = message.value() or b""
            yield json.loads(line), line
            last = time.monotonic()
        elif simulate.poll() is None or _waiting(kafka):
            last = time.monotonic()
        elif time.monotonic() - last > SETTLE_S:
            break
    consumer.close()


def _waiting(kafka: Broker) -> bool:
    """Whether lag tools see events that the flow has not dealt with."""
    group = Consumer(kafka.client(**{"group.id": "lapwing"}))
    places = [TopicPartition("audit.events", at) for at in range(TOPICS["audit.events"].partitions)]
    try:
        ends = {at.partition: group.get_watermark_offsets(at, timeout=10)[1] for at in places}
        done = {at.partition: at.offset for at in group.committed(places, timeout=10)}
    finally:
        group.close()
    return any(done[at] < end for at, end in ends.items())


def _line(alert: dict[str, Any]) -> str:
    moment = datetime.fromtimestamp(alert["time"] / 1000, UTC)
    return f"  {moment:%m-%d %H:%M:%S}  {alert['severity']:<8}  {alert['message']}"


@contextmanager
def _command(*arguments: object) -> "Iterator[subprocess.Popen[bytes]]":
    # People look at this, also through a pipe, where a flow else writes for machines.
    process = subprocess.Popen([LAPWING, *map(str, arguments)], env={**os.environ, "LAPWING_LOG": "text"})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
