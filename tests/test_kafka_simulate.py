"""`lapwing simulate --output kafka` against a real broker."""

import json
from pathlib import Path

from tests.command import lapwing
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import read
from tests.simulated_runs import run


def _config(kafka: Endpoint, folder: Path, topic: str) -> Path:
    path = folder / "config.toml"
    path.write_text(f'[kafka]\nbootstrap = "{kafka.bootstrap}"\n\n[kafka.topics]\nevents = "{topic}"\n')
    return path


def test_a_topic_gets_what_a_file_would(kafka: Endpoint, tmp_path: Path) -> None:
    topic = kafka.topic("events", 3)
    config = _config(kafka, tmp_path, topic)
    command = ["simulate", "--events", "3000", "--seed", "9", "--output", "kafka", "--config", config]
    done = lapwing(*command, "--truth", tmp_path / "truth.ndjson", "--rate", "20000", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["path"], told["events"]) == (f"topic {topic}", 3000)
    expected, found = run(3_000, 9), read(kafka.client(), topic)
    assert sorted(each.value or b"" for each in found) == sorted(expected.lines.splitlines())
    assert (tmp_path / "truth.ndjson").read_bytes().count(b"\n") == len(expected.truth) == told["attacks"]
    of_key: dict[bytes | None, set[int]] = {}
    for each in found:
        of_key.setdefault(each.key, set()).add(each.partition)
    assert len(of_key) > 100
    assert all(len(places) == 1 for key, places in of_key.items() if key is not None), "a user's events keep an order"


def test_a_missing_topic_and_a_missing_broker_are_one_line(kafka: Endpoint, tmp_path: Path) -> None:
    command = ["simulate", "--events", "10", "--seed", "9", "--output", "kafka", "--config"]
    done = lapwing(*command, _config(kafka, tmp_path, "nowhere"))
    assert done.returncode == 1
    assert b"no topic nowhere" in done.stderr
    config = tmp_path / "off.toml"
    config.write_text('[kafka]\nbootstrap = "127.0.0.1:1"\nstartup_timeout = "1s"\n')
    done = lapwing(*command, config)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1), done.stderr
    assert b"127.0.0.1:1" in done.stderr


def test_a_rate_is_for_a_topic(tmp_path: Path) -> None:
    done = lapwing("simulate", "--events", "10", "--seed", "9", "--output", tmp_path / "e.ndjson", "--rate", "5")
    assert done.returncode == 2
    assert b"--output kafka" in done.stderr
