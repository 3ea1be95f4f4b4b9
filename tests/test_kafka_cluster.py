"""Three nodes: what is acknowledged survives the loss of any one."""

import os
import socket
import struct
import subprocess
import sys
import time

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from tests.command import ROOT
from tests.kafka.cluster import Cluster
from tests.kafka.errors import Failed
from tests.kafka.fixture import here, own_broker
from tests.kafka.ports import LOOPBACK, Port
from tests.kafka.records import Record, read, send

IP_LOCAL_PORT_RANGE = 51


def partitions(kafka, topic):
    return AdminClient(kafka.client()).list_topics(topic, timeout=30).topics[topic].partitions.values()


def leaders(kafka, topic):
    return [each.leader for each in partitions(kafka, topic)]


def in_sync(kafka, topic):
    return [len(each.isrs) for each in partitions(kafka, topic)]


def test_three_nodes_go_on_when_one_is_killed():
    with here(Cluster, 3) as kafka:
        topic = kafka.topic("survives", 3)
        assert sorted(leaders(kafka, topic)) == [1, 2, 3]
        producer = Producer(kafka.client(**{"transactional.id": topic}))
        producer.init_transactions(60)
        failures = []
        for value in range(4):
            if value == 2:
                kafka.kill(2)
                assert kafka.pid(2) is None
            producer.begin_transaction()
            for partition in range(3):
                send(producer, topic, Record(b"%d" % value, partition=partition), failures)
            producer.commit_transaction(120)
        assert not failures
        assert 2 not in leaders(kafka, topic)
        values = [b"0", b"1", b"2", b"3"]
        assert [each.value for each in read(kafka.client(), topic)] == values * 3
        kafka.start(2)
        while in_sync(kafka, topic) != [3, 3, 3]:
            time.sleep(0.2)
        kafka.kill(1)  # now the one that came back is needed
        producer.begin_transaction()
        for partition in range(3):
            send(producer, topic, Record(b"4", partition=partition), failures)
        producer.commit_transaction(120)
        assert not failures
        assert [each.value for each in read(kafka.client(), topic)] == [*values, b"4"] * 3


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"log.dirs": "/dev/null/nowhere"}, "could not be formatted.*/dev/null/nowhere"),
        ({"authorizer.class.name": "nowhere.Authorizer"}, "stopped with 1.*ClassNotFoundException: nowhere.Authorizer"),
    ],
)
def test_a_broker_that_cannot_start_says_why_and_leaves_nothing(config, why):
    broker = own_broker(config=config)
    with pytest.raises(Failed, match=f"(?s)node 1 {why}"):
        broker.__enter__()
    assert broker.pid() is None
    assert not broker.folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_broker_ends_with_the_process_that_started_it(tmp_path):
    program = "import sys, tests.kafka.cluster as c\nwith c.Broker() as b: print(b.pid(), flush=True); sys.stdin.read()"
    own_broker().close()
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    pid = int(parent.stdout.readline())
    assert os.path.exists(f"/proc/{pid}")
    parent.kill()
    parent.communicate()
    while os.path.exists(f"/proc/{pid}"):
        time.sleep(0.05)


def only(number):
    """A socket that may choose this port alone."""
    one = socket.socket()
    try:
        one.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", number << 16 | number))
    except OSError:
        one.close()
        pytest.skip("needs Linux 6.3")
    return one


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port is looked up and not kept")
def test_a_kept_port_goes_to_nobody_but_its_broker():
    kept = Port()
    with pytest.raises(OSError, match="already in use"):
        Port(kept.number)
    with only(kept.number) as server, pytest.raises(OSError, match="already in use"):
        server.bind((LOOPBACK, 0))
    with only(kept.number) as client, pytest.raises(OSError, match="Cannot assign"):
        client.connect((LOOPBACK, kept.number))
    with socket.create_server((LOOPBACK, kept.number)):  # with SO_REUSEADDR, as Java does
        assert kept.answers()
    assert not kept.answers()
    kept.free()
    with only(kept.number) as client:  # what is kept from happening: it talks to itself
        client.connect((LOOPBACK, kept.number))
        assert client.getsockname() == client.getpeername()
