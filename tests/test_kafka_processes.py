"""Two processes over topics as one run seen from outside: what it shows, also while they start again and grow."""

import itertools
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command import children, said
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record
from tests.kafka_admin import group_offsets, grown
from tests.kafka_runs import Site, eventually
from tests.scrape import Scraper, documented
from tests.test_kafka_start import MOMENT_MS, events, scored
from tests.test_processes import TWO, both

CONFIG = """
[run]
backoff = "4s"
[metrics]
stalled_after = "8s"
[[exception]]
id = "scanner"
cidr = "192.0.2.7/32"
reason = "our own scanner"
owner = "security"
expiry = "2126-01-01T00:00:00Z"
"""
ENDED = "process 1 of 2 was ended by signal 9; all start again in 4 s (restart 1 of 5)"
NOT_SHOWN = ("lapwing_score_drift_timestamp_seconds", "lapwing_shadow_incidents_total")
"""These few events show no drift, and nothing is in shadow."""
COUNTERS = [row.name for row in documented() if row.type == "counter" and row.name not in NOT_SHOWN]

Sample = tuple[str, frozenset[tuple[str, str]]]


@contextmanager
def watched(seen: Scraper) -> Iterator[list[dict[Sample, float]]]:
    """All counters, again and again until this is over."""
    found: list[dict[Sample, float]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            families = [family for family in seen.families().values() if family.type == "counter"]
            found.append(
                {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}
            )

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def nothing_waits(seen: Scraper, site: Site, partitions: int) -> bool:
    return seen.values("consumer_lag_messages") == {(str(at), site.events): 0.0 for at in range(partitions)}


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_two_processes_are_one_to_who_looks_and_take_on_new_partitions(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 2, counts={"scored": 4}, config=CONFIG, keys={"new_partitions": "500ms"})
    dead = Record(b"{", b"dead", (), MOMENT_MS, 1)
    first = [*events(range(60), 0), *events(range(60, 100), 1), dead]
    site.produce(first)
    log = tmp_path / "stderr"
    words = (*TWO, "--start", "earliest", "--metrics", "0")
    with log.open("wb") as stderr, site.running(*words, stderr=stderr) as process:
        seen = Scraper(log, process)
        assert seen.get("/readyz").status == 503
        with watched(seen) as counters:
            seen.ready()
            seen.until(lambda s: s.value("events_total") == 100 and nothing_waits(s, site, 2), "all is read")
            seen.until(lambda s: s.value("durable_epochs_total"), "an epoch is durable")
            seen.until(lambda s: s.value("watermark_timestamp_seconds"), "the watermark is known")
            assert seen.values("dead_letters_total")["malformed_json",] == 1
            assert seen.value("read_bytes_total") == sum(len(record.value or b"") for record in first)
            assert seen.values("entities")["user",] == 5
            assert (seen.value("processes"), seen.value("restarts_total")) == (2, 0)
            assert seen.get("/healthz") == (200, "ok\n")
            families = seen.families()
            for row in documented():
                shown = {frozenset(sample.labels) for sample in families[row.name.removesuffix("_total")].samples}
                assert shown == (set() if row.name in NOT_SHOWN else {row.labels}), row.name
            pids = both(process)
            parts = sum(map(resident, pids))
            assert families["process_resident_memory_bytes"].samples[0].value > parts > max(map(resident, pids))

            os.kill(pids[1], signal.SIGSTOP)
            seen.until(lambda s: s.get("/healthz").status == 503, "one stands still")
            assert re.fullmatch(
                r"process [01] of 2 has not turned for \d+ s \(stalled_after is 8s\)\n", seen.get("/healthz").text
            )
            assert seen.get("/readyz").status == 503
            os.kill(pids[1], signal.SIGCONT)
            seen.until(lambda s: s.get("/healthz") == (200, "ok\n"), "it goes on")

            durable = {0: 60, 1: 41}
            eventually(lambda: group_offsets(kafka, site.prefix, site.events) == durable, "all is durable")
            os.kill(pids[1], signal.SIGKILL)
            seen.until(lambda s: s.get("/healthz") == (200, f"ok: {ENDED}\n"), "it says what is going on")
            waits = seen.get("/readyz")
            assert (waits.status, waits.text.partition("; ")[0]) == (503, ENDED.partition("; ")[0])
            assert seen.values("consumer_lag_messages") == {}, "not known of both"
            assert seen.value("events_total") == 100
            assert seen.value("durable_epoch_timestamp_seconds")
            assert seen.value("restarts_total") == 1
            site.produce([*events(range(100, 110), 0), *events(range(110, 120), 1)])
            seen.ready()
            assert seen.get("/healthz") == (200, "ok\n")
            seen.until(lambda s: s.value("events_total") == 120 and nothing_waits(s, site, 2), "both go on")

            grown(kafka, site.events, 4)
            site.produce([*events(range(120, 125), 2), *events(range(125, 130), 3), *events(range(130, 135), 0)])
            eventually(lambda: len(scored(site)) == 135, "those of the new partitions come out")
            seen.until(lambda s: s.value("events_total") == 135 and nothing_waits(s, site, 4), "all four are read")
            seen.ready()
            assert (seen.value("processes"), seen.value("restarts_total")) == (2, 1), "no failure"
        process.terminate()
        assert process.wait(60) == 0
    assert sorted(scored(site)) == list(range(135)), "each once"
    lines = said(log.read_bytes())
    assert [line for line in lines if "partitions now" in line] == [
        f"lapwing: topic {site.events} has 4 partitions now, 2 of them new: beginning again with all of them, "
        "state and place kept"
    ]
    assert [line for line in lines if "start again" in line] == [f"lapwing: {ENDED}"]
    assert lines[-1].startswith("lapwing: 35 messages in "), "since the restart, of both parts"
    assert lines[-1].endswith("counted since the last of 1 restarts")
    assert len(counters) > 10
    assert {name for name, _ in counters[-1] if name.startswith("lapwing_")} == {*COUNTERS}
    for before, after in itertools.pairwise(counters):
        back = {key: (value, after.get(key)) for key, value in before.items() if not after.get(key, -1.0) >= value}
        assert not back


def test_one_of_three_killed_while_they_take_on_new_partitions(kafka: Endpoint, tmp_path: Path) -> None:
    """One of the three has nothing to read at first."""
    config = '[run]\nprocesses = 3\nbackoff = "200ms"\n'
    site = Site(kafka, tmp_path, 2, counts={"scored": 4}, config=config, keys={"new_partitions": "500ms"})
    site.produce([*events(range(30), 0), *events(range(30, 60), 1)])
    log = tmp_path / "stderr"
    with log.open("wb") as stderr, site.running("--start", "earliest", "--metrics", "0", stderr=stderr) as process:
        seen = Scraper(log, process)
        seen.ready()
        eventually(lambda: len(scored(site)) == 60, "what is there comes out")
        seen.until(lambda s: nothing_waits(s, site, 2), "all is read")
        pids = eventually(lambda: len(mine := children(process.pid)) == 3 and mine, "three are there")
        grown(kafka, site.events, 4)
        eventually(lambda: b"partitions now" in log.read_bytes(), "one has noticed")
        killed = True
        try:
            os.kill(pids[0], signal.SIGKILL)
        except ProcessLookupError:  # the machine is slow: it has ended in good order
            killed = False
        site.produce(record for at in range(4) for record in events(range(60 + 10 * at, 70 + 10 * at), at))
        eventually(lambda: len(scored(site)) == 100, "all comes out")
        seen.until(lambda s: nothing_waits(s, site, 4), "all four are read")
        assert seen.value("processes") == 3
        assert seen.value("restarts_total") == killed
        assert (seen.value("events_total") or 0) >= 100
        process.terminate()
        assert process.wait(60) == 0
    assert sorted(scored(site)) == list(range(100)), "each once"
    lines = said(log.read_bytes())
    assert "4 partitions now" in lines[1]
    assert [line for line in lines if "ended by signal 9" in line] == lines[2 : 2 + killed]
