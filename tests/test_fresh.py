"""`--fresh` starts from nothing, says so, and keeps what was there; without it no run does in silence."""

import json
import os
from pathlib import Path

import pytest

from flows.generations import generations
from tests.command import command, lapwing, said, simulate
from tests.kafka.endpoint import Endpoint
from tests.kafka_runs import Site
from tests.test_kafka_start import events as audit_events
from tests.test_kafka_start import scored

NAMES = ("identity.json", "recovery", "sources.json", "log")


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("fresh") / "events.ndjson", 3_000, 4)


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def test_a_fresh_start_reads_all_again_and_keeps_what_was_known(events: Path, tmp_path: Path) -> None:
    state, out = tmp_path / "state", tmp_path / "out"
    arguments = ["detect", "--input", events, "--output", out, "--state", state]
    first = lapwing(*arguments)
    assert f"lapwing: state is new: nothing is known yet in {state}" in first.stderr.decode().splitlines()
    before = {path: path.read_bytes() for path in sorted((state / "recovery").iterdir())}
    done = lapwing(*arguments, "--fresh", "--quiet")
    (kept,) = generations(state)
    assert kept.why == "fresh"
    assert said(done.stderr) == [f"lapwing: state {state}: starting from nothing; what it held is kept in {kept.path}"]
    assert done.returncode == 0
    assert ids(out / "scored.ndjson") == ids(events)
    assert {state / "recovery" / path.name: path.read_bytes() for path in (kept.path / "recovery").iterdir()} == before
    assert set(os.listdir(kept.path)) >= set(NAMES)
    again = lapwing(*arguments)
    assert again.returncode == 0
    assert "lapwing: 0 messages" in again.stderr.decode()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("identity.json", b"{"),
        ("identity.json", None),
        ("sources.json", b"]"),
        ("recovery/part-3.sqlite3", None),
    ],
)
def test_damage_is_refused_until_a_fresh_start(name: str, damage: bytes | None, events: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    arguments = ["detect", "--input", events, "--output", tmp_path / "out", "--state", state, "--quiet"]
    assert lapwing(*arguments).returncode == 0
    (state / name).unlink()
    if damage is not None:
        (state / name).write_bytes(damage)
    for _ in range(2):
        refused = lapwing(*arguments)
        (line,) = said(refused.stderr)
        assert refused.returncode == 3
        assert Path(name).name in line
        assert line.endswith("or start from nothing with --fresh")
    assert lapwing(*arguments, "--fresh").returncode == 0
    assert ids(tmp_path / "out" / "scored.ndjson") == ids(events)


def test_a_fresh_start_without_state_is_a_mistake(events: Path, tmp_path: Path) -> None:
    arguments = ["detect", "--input", events, "--output", tmp_path / "out"]
    assert command(*arguments, "--fresh") == (
        2, "", ["lapwing: --fresh starts a state from nothing: give --state DIR"],
    )  # fmt: skip


def test_a_fresh_start_over_topics_has_a_name_of_its_own(kafka: Endpoint, tmp_path: Path) -> None:
    """The topic of markers knows the old state's transactions: the new state writes there, the old one no longer."""
    site = Site(kafka, tmp_path, 1)
    site.produce(audit_events(range(5)))
    site.run()
    name = (site.state / "lineage").read_text()
    needs = site.lapwing("--until", "end", "--fresh")
    assert (needs.returncode, said(needs.stderr)[-1].partition(" needs")[0]) == (
        2, f"lapwing: the first run over topic {site.events}",
    )  # fmt: skip
    done = site.lapwing("--until", "end", "--fresh", "--start", "earliest")
    assert done.returncode == 0, done.stderr
    assert scored(site) == [*range(5)] * 2
    assert (site.state / "lineage").read_text() != name
    site.produce(audit_events(range(5, 8)))
    site.run()
    assert scored(site) == [*range(5), *range(8)]
    old = next(one for one in generations(site.state) if (one.path / "lineage").exists())
    assert (old.path / "lineage").read_text() == name
    refused = lapwing(*site.words("--until", "end", state=old.path))
    assert refused.returncode == 3
    assert "another state has written since; --fresh starts anew" in said(refused.stderr)[-1]
