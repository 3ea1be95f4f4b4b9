"""Where a run over a topic begins, and what keeps it from beginning."""

import json
import re
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.errors import InputError, OutputError, Refused
from tests.command import said
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record, produce
from tests.kafka_admin import cut, deleted, grown, remade
from tests.kafka_runs import Site, eventually

MOMENT_MS = 1_795_410_000_000


def event(at: int, **members: str) -> bytes:
    return json.dumps({"id": f"e{at}", "time": MOMENT_MS + 1000 * at, **members}).encode()


def events(names: range, partition: int = 0) -> list[Record]:
    """Events a second apart, each named by its number, which is its key too."""
    return [
        Record(event(k, user=f"u{k % 5}", outcome="success"), b"%d" % k, (), MOMENT_MS + 1000 * k, partition)
        for k in names
    ]


def scored(site: Site) -> list[int]:
    return [int(found.key or b"-1") for found in site.read("scored")]


def told(stderr: bytes) -> str:
    """What a failed run said, without its progress."""
    (line,) = said(stderr)
    return line


# First start


def test_earliest_reads_what_is_there_and_the_next_run_goes_on(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    site.produce(events(range(10)))
    site.run(start="earliest")
    site.produce(events(range(10, 15)))
    site.run(start="latest")
    assert scored(site) == list(range(15))


def test_latest_leaves_out_what_is_there(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    site.produce(events(range(10)))
    site.run(start="latest")
    assert scored(site) == []
    site.produce(events(range(10, 15)))
    site.run(start="earliest")
    assert scored(site) == list(range(10, 15))


@pytest.mark.parametrize(("second", "first"), [(-100, 0), (0, 0), (7, 7), (9, 9), (100, 10)])
def test_a_time_is_that_of_the_records(kafka: Endpoint, tmp_path: Path, second: int, first: int) -> None:
    site = Site(kafka, tmp_path, 2)
    site.produce(events(range(10), 0))
    start = datetime.fromtimestamp(MOMENT_MS / 1000 + second, UTC).isoformat().replace("+00:00", "Z")
    site.run(start=start)
    site.produce([*events(range(10, 12), 0), *events(range(20, 22), 1)])
    site.run(start=start)
    assert sorted(scored(site)) == [*range(first, 12), 20, 21]


def test_a_run_to_a_time_ends_there_whatever_comes_after(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2)
    site.produce([*events(range(10), 0), *events(range(20, 30), 1)])
    until = datetime.fromtimestamp(MOMENT_MS / 1000 + 7, UTC).isoformat()
    site.run(until=until)
    assert sorted(scored(site)) == list(range(7))
    site.produce(events(range(10, 15), 0))
    site.run(until=until)
    assert sorted(scored(site)) == list(range(7))
    site.run()
    assert sorted(scored(site)) == [*range(15), *range(20, 30)]


def test_a_time_to_read_to_must_be_one(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    done = site.lapwing("--until", "endd", "--start", "earliest")
    assert done.returncode == 2
    assert said(done.stderr)[-1].endswith(
        'Expected "end" or a time such as "2026-11-23T05:00:00Z", got "endd", did you mean "end"? - at $.kafka.until'
    )


def test_a_first_start_without_where_to_begin_names_the_fix(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    done = site.lapwing("--until", "end")
    assert done.returncode == 2
    assert told(done.stderr) == (
        f"lapwing: the first run over topic {site.events} needs to know where to begin: "
        "--start earliest, latest or a time such as 2026-11-23T05:00:00Z (or start under [kafka])"
    )
    site.produce(events(range(3)))
    assert site.lapwing("--until", "end", "--start", "earliest").returncode == 0
    site.produce(events(range(3, 6)))
    assert site.lapwing("--until", "end").returncode == 0
    assert scored(site) == list(range(6))


def test_a_start_at_the_latest_that_crashes_loses_nothing_that_comes_after(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2)
    site.produce(events(range(10)))
    with site.running("--start", "latest") as process:
        eventually((site.state / "starts.json").exists, "it has found where it begins")
        process.kill()
    site.produce(events(range(10, 20)))
    site.run(start="latest")
    assert scored(site) == list(range(10, 20))


# Gaps


def test_what_retention_removed_stops_the_run_unless_it_may_go_on_behind(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2)
    site.produce([*events(range(10), 0), *events(range(100, 110), 1)])
    site.run()
    site.produce(events(range(10, 40), 0))
    cut(kafka, site.events, 0, 25)
    gone = f"{site.events}/0: offsets 10 to 24 (15 messages) were removed by retention"
    for _ in range(2):
        done = site.lapwing("--until", "end")
        assert (done.returncode, told(done.stderr)) == (
            1, f"lapwing: {gone} before they were read; --on-gap earliest goes on behind them",
        )  # fmt: skip
    done = site.lapwing("--until", "end", "--on-gap", "earliest")
    assert done.returncode == 0
    assert f"lapwing: {gone}; going on at 25" in said(done.stderr)
    assert sorted(scored(site)) == [*range(10), *range(25, 40), *range(100, 110)]


def test_a_partition_shorter_than_what_was_read_is_another_one(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    site.produce(events(range(10)))
    site.run()
    position = json.loads((site.state / "starts.json").read_bytes())
    remade(kafka, site.events, 1)
    with pytest.raises(
        InputError, match=re.escape(f"topic {site.events} was made anew (its id was {position[site.events + '/0'][0]},")
    ):
        site.run()
    assert scored(site) == list(range(10))


def test_a_topic_with_fewer_partitions_than_were_read_is_refused(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 3)
    site.run()
    remade(kafka, site.events, 2)
    with pytest.raises(Refused, match=f"has read {site.events}/2, which topic {site.events} does not have"):
        site.run()


# What is missing


def test_all_topics_that_are_missing_are_named_at_once(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    lacking = [site.topics[key] for key in ("events", "scored", "alerts", "markers")]
    deleted(kafka, *lacking)
    done = site.lapwing("--start", "earliest")
    assert done.returncode == 1
    commands = "`lapwing check --connect` prints the commands that make what is missing"
    assert told(done.stderr) == f"lapwing: no topic {', '.join(lacking)}; {commands}"


def test_no_broker_is_one_line(kafka: Endpoint, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it
        site = Site(kafka, tmp_path, 1)
        site.write(bootstrap=f"127.0.0.1:{held.getsockname()[1]}", startup_timeout="2s")
        done = site.lapwing("--start", "earliest")
    assert done.returncode == 1
    line = told(done.stderr)
    assert line.startswith("lapwing: Kafka at 127.0.0.1:")
    assert "no answer within 2s" in line
    assert "Connection refused" in line


def test_a_broker_that_accepts_and_says_nothing_is_one_line(kafka: Endpoint, tmp_path: Path) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        site = Site(kafka, tmp_path, 1)
        site.write(bootstrap=f"127.0.0.1:{mute.getsockname()[1]}", startup_timeout="2s")
        done = site.lapwing("--start", "earliest")
    assert done.returncode == 1
    assert "no answer within 2s" in told(done.stderr)


def test_markers_need_a_partition_for_each_sink(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, 4, counts={"markers": 3})
    with pytest.raises(OutputError, match=r"has 3 partitions, and kafka.sinks = 4 needs as many"):
        site.run()


def test_markers_made_anew_under_an_old_state_are_refused(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, 1)
    site.produce(events(range(5)))
    site.run()
    remade(kafka, site.topics["markers"], 1)
    site.produce(events(range(5, 9)))
    done = site.lapwing("--until", "end")
    assert done.returncode == 3
    assert "the last transaction of this state is not there" in told(done.stderr)
    assert scored(site) == list(range(5))


def test_a_topic_of_markers_that_holds_something_else_is_refused(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, 1)
    produce(kafka.client(), site.topics["markers"], [Record(b"something", b"else", (), None, 0)])
    with pytest.raises(OutputError, match=r"not a marker .*needs a topic of its own"):
        site.run()


def test_topics_that_take_too_little_are_named_at_once(kafka: Endpoint, tmp_path: Path) -> None:
    small = {"alerts": "9000", "markers": "1000", "dead_letters": "500"}
    settings = {key: {"max.message.bytes": size} for key, size in small.items()}
    site = Site(kafka, tmp_path, 1, settings=settings)
    with pytest.raises(OutputError) as failed:
        site.run()
    for key, size in small.items():
        assert f"topic {site.topics[key]} takes messages of {size} bytes at most" in str(failed.value)


# New partitions, and what ordinary tools see


def test_new_partitions_are_read_from_their_beginning_and_state_is_kept(kafka: Endpoint, tmp_path: Path) -> None:
    def failures(first: int, partition: int) -> list[Record]:
        return [
            record._replace(value=event(k, user="u1", action="login", outcome="failure"))
            for k, record in enumerate(events(range(first, first + 6), partition), first)
        ]  # fmt: skip

    site = Site(kafka, tmp_path, 1, counts={"scored": 2}, config='[[detection]]\ntype = "brute_force_user"\n')
    site.produce(failures(0, 0))
    site.run()
    grown(kafka, site.events, 2)
    site.produce(failures(6, 1))
    site.run(start="latest", close=True)
    assert sorted(scored(site)) == list(range(12))
    assert {alert["count"] for alert in site.values("alerts")} == {12}, "six failures before, six after"
