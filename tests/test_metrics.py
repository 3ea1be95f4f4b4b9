"""What a run shows of itself while it runs."""

import json
import os
import socket
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from models.alert import CREATE
from tests import command
from tests.command import said
from tests.scrape import Scraper, documented

NO_TIME = b'{"user": "u1"}\n'
NOTHING = b"{\n"


@contextmanager
def fed(folder: Path, *words: str | Path, **how: object) -> Iterator[tuple[subprocess.Popen[bytes], Scraper]]:
    """The command, reading a pipe that stays open."""
    log = folder / "stderr"
    with log.open("wb") as stderr:
        process = command.begun(
            "detect", "--input", "-", "--metrics", "0", *words, stdin=subprocess.PIPE, stderr=stderr, **how
        )
    with process:
        try:
            yield process, Scraper(log, process)
        finally:
            if process.poll() is None:
                process.kill()


def give(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_run_shows_what_it_has_done(detected: Path, tmp_path: Path) -> None:
    events, secret = (detected / "events.ndjson").read_bytes(), "hunter2-in-the-environment"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"BYTEWAX_DATAFLOW_API_ENABLED": "1", "BYTEWAX_DATAFLOW_API_PORT": str(port)}
    out = tmp_path / "out"
    with fed(tmp_path, "--output", out, "--state", tmp_path / "state", env=env | {"LAPWING_HASH_SEED": secret}) as (
        process,
        seen,
    ):
        assert seen.get("/healthz") == (200, "ok\n"), "also while it starts"
        seen.ready()
        give(process, events + NO_TIME + NOTHING * 2)
        read = events.count(b"\n") + 3
        dead = len(lines(detected / "out" / "dead-letters.ndjson")) + 3
        seen.until(
            lambda s: (s.value("events_total") or 0) + sum(s.values("dead_letters_total").values()) == read,
            "every message is counted",
        )
        seen.until(lambda s: s.value("durable_epochs_total"), "an epoch is durable")
        families = seen.families()
        rows = documented()
        assert {row.name.removesuffix("_total"): row.type for row in rows} == {
            name: family.type for name, family in families.items() if name.startswith("lapwing_")
        }
        assert all(row.name.endswith("_total") == (row.type == "counter") for row in rows)
        elsewhere = {  # of Kafka, of exceptions, of shadows, of what has not happened yet
            "lapwing_consumer_lag_messages", "lapwing_suppressed_incidents_total", "lapwing_shadow_incidents_total",
            "lapwing_score_drift_timestamp_seconds",
        }  # fmt: skip
        for row in rows:
            family = families[row.name.removesuffix("_total")]
            assert {frozenset(sample.labels) for sample in family.samples} == (
                set() if row.name in elsewhere else {row.labels}
            ), row.name
        assert secret not in seen.get("/metrics").text
        reasons = seen.values("dead_letters_total")
        assert sum(reasons.values()) == dead
        assert reasons["missing_time",] == 1
        assert reasons["malformed_json",] >= 2
        assert seen.value("read_bytes_total") == len(events) + len(NO_TIME + NOTHING * 2)
        newest, watermark = seen.value("newest_event_timestamp_seconds"), seen.value("watermark_timestamp_seconds")
        assert newest is not None
        assert watermark == pytest.approx(newest - 5, abs=1e-3)
        assert sum(seen.values("entities").values()) > sum(seen.values("active_entities").values()) > 0
        assert 0 < seen.values("warm_ratio")["ip",] <= 1
        assert seen.value("state_directory_bytes") == pytest.approx(
            sum(file.stat().st_size for file in (tmp_path / "state").rglob("*")), rel=0.5
        )
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 1)
        before = Counter({key: int(count) for key, count in seen.values("alerts_total").items() if count})
        process.terminate()
        assert process.wait(60) == 0
    names = {CREATE: "create", 2: "update", 3: "close"}
    told = Counter(
        (names[alert["activity_id"]], alert["finding_info"]["analytic"]["uid"], str(alert["severity"]).lower())
        for alert in lines(out / "alerts.ndjson")
    )
    assert told, "the stream has attacks"
    assert before == told


def test_what_is_called_durable_survives_a_kill(detected: Path, tmp_path: Path) -> None:
    events = (detected / "events.ndjson").read_bytes()
    with fed(tmp_path, "--output", tmp_path / "out", "--state", tmp_path / "state") as (process, seen):
        seen.ready()
        give(process, events[: events.index(b"\n", len(events) // 4) + 1])
        seen.until(lambda s: (s.value("durable_epochs_total") or 0) >= 3, "some epochs are durable")
        durable = int(seen.value("durable_epochs_total") or 0)
        process.kill()
        process.wait()
    fronts = []
    for store in (tmp_path / "state" / "recovery").glob("*.sqlite3"):
        with sqlite3.connect(store) as found:
            fronts += [front for (front,) in found.execute("SELECT worker_frontier FROM fronts")]
        found.close()
    assert max(fronts) > durable, "the frontier has passed each of them; epochs count from 1"


def test_a_flow_that_does_not_turn_is_not_healthy(detected: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[metrics]\nstalled_after = "1s"\n')
    with fed(tmp_path, "--config", config, "--output", "-") as (process, seen):
        seen.ready()
        # Nobody reads the alerts: their pipe fills, then that of the events.
        giving = threading.Thread(target=give, args=(process, (detected / "events.ndjson").read_bytes()))
        giving.start()
        seen.until(lambda s: s.get("/healthz").status == 503, "it stands still")
        why = seen.get("/healthz").text
        assert why.startswith("the flow has not turned for ")
        assert why.endswith(" s (stalled_after is 1s)\n")
        assert seen.get("/readyz").status == 503
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)

        def turns(s: Scraper) -> bool:
            process.stdout.read()  # type: ignore[union-attr]
            return s.get("/healthz") == (200, "ok\n")

        seen.until(lambda s: turns(s) and not giving.is_alive(), "it turns again once somebody reads")
        giving.join()


def test_a_port_that_is_taken_is_one_line(detected: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = command.lapwing(
            "detect", "--input", detected / "events.ndjson", "--output", tmp_path / "out", "--metrics", address
        )  # fmt: skip
    assert done.returncode == 1
    (line,) = said(done.stderr)
    assert line.startswith(f"lapwing: cannot listen at {address} (Address already in use): another run may have it")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", [":9464", "localhost", "localhost:x", "127.0.0.1:70000", "::1:9464", "-1"])
def test_what_is_no_address_is_a_fault(wrong: str, tmp_path: Path) -> None:
    code, _, lines_said = command.command(
        "detect", "--input", "synthetic", "--output", tmp_path / "out", f"--metrics={wrong}"
    )
    assert code == 2
    assert lines_said == [
        'command line: Expected HOST:PORT such as "127.0.0.1:9464" ("0.0.0.0:9464" is every interface), '
        f'got "{wrong}" - at $.metrics.listen'
    ]


def test_nobody_listens_unless_asked_to(detected: Path, tmp_path: Path) -> None:
    code, _, lines_said = command.command("detect", "--input", detected / "events.ndjson", "--output", tmp_path / "out")
    assert code == 0
    assert not [line for line in lines_said if "metrics" in line]
