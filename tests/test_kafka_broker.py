"""The broker that everything about Kafka is tested with: it is a real one, and it is gone when it should be."""

import os
import signal
import sys
import time

import pytest
from confluent_kafka import KafkaError, Producer

from tests.command import ROOT, run
from tests.kafka.cluster import Broker
from tests.kafka.errors import Failed
from tests.kafka.fixture import EXISTING, own_broker
from tests.kafka.jars import MIRROR
from tests.kafka.records import Record, produce, read, send


def in_transaction(kafka, topic, values, *, commit):
    producer = Producer(kafka.client(**{"transactional.id": f"{topic}-{values}"}))
    producer.init_transactions(60)
    producer.begin_transaction()
    failures: list[KafkaError] = []
    for value in values:
        send(producer, topic, Record(value), failures)
    producer.flush()
    (producer.commit_transaction if commit else producer.abort_transaction)(60)
    assert not failures


def test_a_record_comes_back_as_it_was_written(kafka):
    topic = kafka.topic("records", 3)
    written = [
        Record(b"first", b"key", (("trace", b"\x00\xff"), ("empty", None), ("trace", b"again")), 1_700_000_000_123, 2),
        Record(None, b"gone", (), 1_700_000_000_124, 0),
        Record(b"", None, (), 1_700_000_000_122, 2),
    ]
    produce(kafka.client(), topic, written)
    found = read(kafka.client(), topic)
    assert [(each.partition, each.offset) for each in found] == [(0, 0), (2, 0), (2, 1)]
    assert [Record(f.value, f.key, f.headers, f.timestamp, f.partition) for f in found] == [
        written[1], written[0], written[2],
    ]  # fmt: skip


def test_an_aborted_transaction_is_seen_only_by_those_who_read_the_uncommitted(kafka):
    topic = kafka.topic("transactions")
    in_transaction(kafka, topic, [b"1", b"2"], commit=True)
    in_transaction(kafka, topic, [b"3"], commit=False)
    in_transaction(kafka, topic, [b"4"], commit=True)
    assert [each.value for each in read(kafka.client(), topic)] == [b"1", b"2", b"4"]
    assert [each.value for each in read(kafka.client(), topic, committed=False)] == [b"1", b"2", b"3", b"4"]


def test_an_open_transaction_ends_what_committed_readers_see(kafka):
    topic = kafka.topic("open")
    producer = Producer(kafka.client(**{"transactional.id": topic}))
    producer.init_transactions(60)
    producer.begin_transaction()
    send(producer, topic, Record(b"open"), [])
    producer.flush()
    produce(kafka.client(), topic, [Record(b"behind it")])
    assert read(kafka.client(), topic) == []
    producer.commit_transaction(60)
    assert [each.value for each in read(kafka.client(), topic)] == [b"open", b"behind it"]


def test_a_stopped_broker_keeps_its_topics_and_a_closed_one_leaves_nothing():
    with own_broker() as broker:
        assert isinstance(broker, Broker)
        first = broker.pid()
        topic = broker.topic("kept", 2)
        produce(broker.client(), topic, [Record(b"before", partition=1)])
        broker.stop()
        assert broker.pid() is None
        broker.start()
        produce(broker.client(), topic, [Record(b"between", partition=1)])
        os.kill(broker.pid(), signal.SIGKILL)
        while broker.pid():
            time.sleep(0.05)
        with pytest.raises(Failed, match="node 1 stopped with -9"):
            broker.check()
        broker.start()
        assert [each.value for each in read(broker.client(), topic)] == [b"before", b"between"]
        last, folder = broker.pid(), broker.folder
        assert folder.exists()
    assert first != last
    for pid in (first, last):
        assert not os.path.exists(f"/proc/{pid}")
    assert not folder.exists()


def test_an_existing_broker_serves_instead_of_an_own_one(kafka, tmp_path):
    """With KAFKA_BOOTSTRAP set, a machine that could not have a broker tests with that one."""
    nothing = {"XDG_CACHE_HOME": str(tmp_path), MIRROR: "http://127.0.0.1:1", "LAPWING_STRICT": "1"}
    done = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "comes_back",
        cwd=ROOT, env=os.environ | nothing | {EXISTING: kafka.bootstrap},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert b"1 passed" in done.stdout
