"""Several processes seen as one: nothing is shown that is not known of all, and nothing that is counted goes back."""

import time

import msgspec
import pytest

from flows.config import Config
from flows.metrics_block import Metrics
from flows.observed import OF_STATE, ObservedUnit
from flows.readings import Reading, Table, summed
from flows.run_block import Run
from models.base import NONE_TIME


def reading(events: int, **more: object) -> Reading:
    """Of a process that is at work and reads one partition."""
    now = time.monotonic()
    return msgspec.structs.replace(
        Reading(compiled=True, begun=now, spoken=True, built=1, turned=now, counts=[("events", (), events)], memory=7),
        **more,
    )


def no_partition(**more: object) -> Reading:
    return reading(0, built=0, turned=0.0, spoken=False, counts=[], **more)


@pytest.fixture
def unit() -> ObservedUnit:
    """Two processes, and two partitions to read."""
    made = ObservedUnit(Config(run=Run(processes=2), metrics=Metrics(stalled_after="2s")))
    made.begin(2, None)
    return made


def events(unit: ObservedUnit) -> int:
    return summed([unit.reading()]).get(("events", ()), 0)


def table(shards: int, evicted: int, entities: int) -> dict[str, Table]:
    counts = dict.fromkeys(OF_STATE, 0) | {"evicted": evicted, "entities": entities}
    return {"ip": Table(shards, counts, shards)}


def test_one_of_two_is_not_shown(unit: ObservedUnit) -> None:
    unit.hear(0, reading(5, newest=9, mark=3, lag={"t/0": 1}, epochs=2, durable=8.0, tables=table(4, 1, 2)))
    seen = unit.reading()
    assert (seen.counts, seen.newest, seen.watermark, seen.lag) == ([], NONE_TIME, NONE_TIME, {})
    assert (seen.epochs, seen.durable, seen.tables, seen.memory) == (None, 0.0, {}, None)
    assert unit.waiting().endswith("; process 1 of 2: compiled code is being loaded, or compiled")
    unit.hear(1, Reading(compiled=True))
    assert unit.waiting().endswith("; process 1 of 2: the input is being opened")
    unit.hear(1, no_partition())
    assert unit.waiting().endswith("; the first heartbeat is under way"), "nobody has the second partition yet"
    assert unit.reading().counts == []
    unit.hear(1, reading(1, spoken=False))
    assert unit.waiting().endswith("; process 1 of 2: the first heartbeat is under way")
    assert unit.reading().counts == []
    unit.hear(1, reading(2, newest=8, mark=2, lag={"t/1": 4}, epochs=1, durable=7.0))
    assert (unit.waiting(), unit.ailing(), unit.well(), unit.working()) == ("", "", "ok", 2)
    seen = unit.reading()
    assert (events(unit), seen.newest, seen.watermark, seen.lag) == (7, 9, 2, {"t/0": 1, "t/1": 4})
    assert (seen.epochs, seen.durable, seen.memory) == (1, 7.0, 14)
    assert seen.tables == table(4, 1, 2)


def test_the_watermark_is_of_those_that_are_not_idle_and_stays(unit: ObservedUnit) -> None:
    unit.hear(0, reading(1, mark=10))
    unit.hear(1, reading(1, mark=20))
    assert unit.reading().watermark == 10
    unit.hear(0, reading(1, mark=None, watermark=10))
    assert unit.reading().watermark == 20
    unit.hear(1, reading(1, mark=None, watermark=20))
    assert unit.reading().watermark == 20
    unit.hear(0, reading(1, mark=15))
    assert unit.reading().watermark == 20, "as in one process it never goes back"


def test_who_has_read_all_holds_nobody_back(unit: ObservedUnit) -> None:
    long_ago = time.monotonic() - 100
    unit.hear(0, reading(1, over=1, turned=long_ago, begun=long_ago, epochs=3, durable=1.0))
    unit.hear(1, reading(1, epochs=8, durable=9.0))
    seen = unit.reading()
    assert (seen.epochs, seen.durable, unit.ailing()) == (8, 9.0, "")
    unit.hear(1, reading(1, over=1, turned=long_ago, begun=long_ago, epochs=9, durable=10.0))
    assert unit.ailing() == "process 0 of 2 has not turned for 100 s (stalled_after is 2s)", "nor does the end come"


def test_counters_go_on_when_all_start_again(unit: ObservedUnit) -> None:
    unit.hear(0, reading(5, epochs=4, tables=table(2, 7, 30), durable=5.0))
    unit.hear(1, reading(6, epochs=5, tables=table(2, 3, 10), durable=6.0))
    unit.end()
    unit.again("process 0 of 2 was ended by signal 9", failed=True)
    assert unit.restarts == 1
    assert (events(unit), unit.reading().epochs, unit.reading().durable) == (11, 4, 5.0)
    assert unit.reading().tables == {"ip": Table(counts=dict.fromkeys(OF_STATE, 0) | {"evicted": 10})}
    assert unit.reading().memory is None
    assert (unit.ailing(), unit.well()) == ("", "ok: process 0 of 2 was ended by signal 9")
    assert unit.waiting() == "process 0 of 2 was ended by signal 9; no process is there yet"
    unit.begin(2, None)
    unit.hear(0, reading(1, tables=table(2, 6, 29)))
    assert events(unit) == 11
    unit.hear(1, reading(2, epochs=1, tables=table(1, 2, 9)))
    assert (events(unit), unit.reading().epochs) == (14, 5)
    assert "entities" not in unit.reading().tables["ip"].counts, "a shard has not spoken"
    unit.hear(1, reading(2, epochs=2, tables=table(2, 3, 9)))
    counts = unit.reading().tables["ip"].counts
    assert (counts["entities"], counts["evicted"]) == (38, 10), "nine are counted again"
    assert unit.well() == "ok"
    unit.again("the topic has grown", failed=False)
    assert unit.restarts == 1


def test_each_of_them_has_to_turn_or_if_it_reads_nothing_to_speak(
    unit: ObservedUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit.begin(1, None)
    unit.hear(0, reading(1))
    unit.hear(1, no_partition())
    assert unit.waiting() == ""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    unit.hear(0, reading(1))
    assert unit.ailing() == "process 1 of 2 has said nothing for 60 s (stalled_after is 2s)"
    unit.hear(1, no_partition(begun=now))
    assert unit.ailing() == ""
    unit.hear(0, reading(1, turned=now, begun=now))
    assert unit.ailing() == unit.waiting() == "process 0 of 2 has not turned for 60 s (stalled_after is 2s)"
    unit.begin(2, None)
    unit.hear(0, reading(1, begun=now))
    unit.hear(1, no_partition(begun=now))
    assert unit.ailing() == "1 of 2 partitions have not been taken on for 60 s (stalled_after is 2s)"
