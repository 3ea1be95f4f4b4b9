"""Exactly once over a real Kafka, the short form of `make chaos`: aimed kills, a loop of crashes, a quiet run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kafka.chaos import BROKER, Chaos
from tests.kafka.fixture import own_broker
from tests.kafka.outcome import differences


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    with own_broker(config=BROKER) as kafka:
        yield Chaos(kafka, seed=7, events=12_000, folder=tmp_path)


def test_not_one_event_lost_not_one_alert_twice(chaos: Chaos) -> None:
    chaos.kill_at("before_commit", 5)
    chaos.kill_at("after_commit", 6)  # committed, and its epoch comes again
    chaos.kill_at("snapshot", 4, beats_only=True)  # crash, empty first epoch, crash
    chaos.kill_at("after_commit", 1)
    for _ in range(2):  # each before an epoch is durable
        chaos.kill_at("after_commit", 1)
    chaos.kill_at("marker", 2)
    chaos.terminate_after(5)
    chaos.kill_at("write", 20)
    assert chaos.kills >= 6, "they died where they should"
    chaos.kill_one_of_two()
    left, wanted = chaos.finish(), chaos.wanted()
    assert wanted.alerts, "a run without alerts shows nothing"
    assert differences(left, wanted, chaos.events) == []
