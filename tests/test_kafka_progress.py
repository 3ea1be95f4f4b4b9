"""Ordinary tools see how far a run is; no run reads what they see."""

import threading
from pathlib import Path

from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record
from tests.kafka_admin import group_offsets, move_group
from tests.kafka_runs import Site, eventually
from tests.test_kafka_start import events, scored


def committed(site: Site) -> dict[int, int]:
    """The consumer group's offsets by partition."""
    return group_offsets(site.kafka, site.prefix, site.events)


def test_committed_offsets_follow_a_run_and_end_where_it_ended(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2)
    site.produce([*events(range(30), 0), *events(range(100, 107), 1)])
    with site.running("--start", "earliest") as process:
        eventually(lambda: committed(site) == {0: 30, 1: 7}, "a running flow commits what is durable")
        site.produce(events(range(30, 35), 0))
        eventually(lambda: committed(site) == {0: 35, 1: 7}, "and goes on so")
        process.terminate()
        assert process.wait(60) == 0
    site.produce(events(range(35, 40), 0))
    site.run()
    assert committed(site) == {0: 40, 1: 7}


def test_no_run_begins_at_committed_offsets(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    site.produce(events(range(10)))
    site.run()
    move_group(kafka, site.prefix, site.events, 0, 3)
    assert committed(site) == {0: 3}
    site.produce(events(range(10, 12)))
    site.run()
    assert scored(site) == list(range(12))


def test_one_partition_of_nothing_but_dead_letters_holds_up_no_other(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2, counts={"scored": 1}, config='[time]\nidle_after = "1s"\n')
    site.produce([*events(range(0, 300, 10), 0), *events(range(3), 1)])
    over = threading.Event()

    def rubbish() -> None:
        while not over.is_set():
            site.produce([Record(b"rubbish", partition=1)])

    sending = threading.Thread(target=rubbish)
    sending.start()
    try:
        with site.running("--start", "earliest") as process:
            eventually(lambda: len(scored(site)) == 33, "who is five minutes ahead of it waits no longer")
            process.terminate()
            assert process.wait(60) == 0
    finally:
        over.set()
        sending.join()
    assert len(site.read("dead_letters")) > 3, "it never rested for long"
