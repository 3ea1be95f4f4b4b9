"""`make kafka` and compose.yaml: a broker for people, with Lapwing's topics."""

import re
import signal
import subprocess
import sys

import pytest
import yaml
from confluent_kafka.admin import AdminClient, ConfigResource

from tests.command import ROOT
from tests.kafka.fixture import own_broker
from tests.kafka.jars import LIST, listed
from tests.kafka.topics import TOPICS


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_where_it_is_has_the_topics_and_ends_cleanly(end):
    own_broker().close()
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.kafka"], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        told = [running.stdout.readline() for _ in range(len(TOPICS) + 3)]
        where = re.match(r"Apache Kafka (4\.\d+\.\d+) at (127\.0\.0\.1:\d+): one node", told[0])
        assert where, (told, running.stderr.read())
        admin = AdminClient({"bootstrap.servers": where[2]})
        made = {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=30).topics.items()}
        assert {name: count for name, count in made.items() if not name.startswith("__")} == {
            name: topic.partitions for name, topic in TOPICS.items()
        }
        for name, topic in TOPICS.items():
            asked = ConfigResource(ConfigResource.Type.TOPIC, name)
            policy = admin.describe_configs([asked])[asked].result(60)["cleanup.policy"].value
            assert policy == ("compact" if topic.compacted else "delete")
        assert where[2] in told[-1]
    finally:
        running.send_signal(end)
        rest, said = running.communicate(timeout=120)
    assert running.returncode == 0, (rest, said)
    assert said.endswith("kafka: stopped, its data removed\n")
    assert "Traceback" not in said
    folder = re.search(r"are in (\S+) until", told[1])[1]
    assert not (ROOT / folder).exists()


def test_two_at_once_have_a_port_each():
    with own_broker() as first:
        taken = int(first.bootstrap.split(":")[1])
        with pytest.raises(OSError, match="already in use"):
            own_broker(port=taken)


def test_the_compose_file_is_the_same_broker():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    version = next(jar.version for jar in listed(LIST.read_text()) if jar.name == "kafka-clients")
    assert {services[name]["image"] for name in ("kafka", "topics")} == {f"apache/kafka:{version}"}
    topic = r"--topic (\S+) --partitions (\d+)(?: --config cleanup\.policy=(compact))?"
    made = re.findall(topic, services["topics"]["command"][0])
    assert {name: (int(count), bool(compacted)) for name, count, compacted in made} == dict(TOPICS)
