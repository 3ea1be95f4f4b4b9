"""What can befall a state directory: each a line that says what happened and what to do, and a way out that works."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flows.generations import generations
from tests.command import begun, lapwing, said, simulate
from tests.kafka.endpoint import Endpoint
from tests.kafka_runs import Site, eventually
from tests.test_holding import small_disk
from tests.test_kafka_start import events as audit_events
from tests.test_kafka_start import scored

WAYS_OUT = (
    "restore the whole directory from a copy, go back with `lapwing state rollback`, or start from nothing with --fresh"
)
CONFIG = """
[[detector]]
type = "ewma"
alpha = {alpha}
warm_up = 1
entity_warm_up = 1
{more}
"""
TREES = '[[detector]]\ntype = "half_space_trees"\ntrees = 5\nheight = 6\nwindow = 20\nwarm_up = 20\n'


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("faults") / "events.ndjson", 3_000, 4)


@pytest.fixture(scope="module")
def sound(events: Path) -> Path:
    """A state directory after a run over all events, and another one after a run over half of them."""
    folder = events.parent
    lines = events.read_bytes().splitlines(keepends=True)
    source = folder / "in.ndjson"
    source.write_bytes(b"".join(lines[: len(lines) // 2]))
    arguments = ["detect", "--input", source, "--output", folder / "out", "--state", folder / "state", "--quiet"]
    assert lapwing(*arguments).returncode == 0
    shutil.copytree(folder / "state", folder / "half")
    source.write_bytes(b"".join(lines))
    assert lapwing(*arguments).returncode == 0
    return folder


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Iterator[Path]:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def run(folder: Path, *more: str | Path) -> tuple[int, list[str]]:
    words = ["--input", folder / "in.ndjson", "--output", folder / "out", "--state", folder / "state", "--quiet"]
    done = lapwing("detect", *words, *more)
    return done.returncode, said(done.stderr)


def corrupt(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


@pytest.mark.parametrize("how", ["no database", "torn page", "truncated", "empty", "another one", "of another moment"])
def test_a_damaged_recovery_store(how: str, copy: Path) -> None:
    store = copy / "state" / "recovery" / "part-5.sqlite3"
    what = "is damaged ("
    match how:
        case "no database":
            corrupt(store, 0, b"no database here")
        case "torn page":
            corrupt(store, 8192, b"\xa5" * 8192)
        case "truncated":
            with store.open("r+b") as file:
                file.truncate(6000)
        case "empty":
            store.write_bytes(b"")
        case "another one":
            shutil.copy(store.with_name("part-1.sqlite3"), store)
        case _:
            # As if the copy had been made a hundred epochs ago, which is less than two minutes.
            shutil.copy(copy / "half" / "recovery" / store.name, store)
            with closing(sqlite3.connect(store)) as old:
                old.execute("UPDATE commits SET commit_epoch = commit_epoch - 100")
                old.commit()
            store, what = store.parent, "its files are not of one moment ("
    code, (line,) = run(copy)
    assert code == 3
    assert line.startswith(f"lapwing: {store}: {what}")
    assert line.endswith(WAYS_OUT)


@pytest.mark.parametrize("how", ["a bit", "shorter", "missing"])
def test_a_damaged_log(how: str, copy: Path) -> None:
    """Bytes of a snapshot that turn on the disk are found by a checksum, before anything is done."""
    log = copy / "state" / "log"
    path = max(log.glob("1-0.*"), key=lambda one: int(one.suffix[1:]))
    content, what = path.read_bytes(), "is damaged: "
    before = {path: path.read_bytes() for path in (copy / "out").glob("[a-z]*")}
    match how:
        case "a bit":
            corrupt(path, len(content) // 2, bytes([content[len(content) // 2] ^ 16]))
        case "shorter":
            path.write_bytes(content[:-1])
        case _:
            path.unlink()
            what = "is missing: "
    code, (line,) = run(copy)
    assert (code, line) == (3, f"lapwing: {path}: {what}{WAYS_OUT}")
    assert {path: path.read_bytes() for path in (copy / "out").glob("[a-z]*")} == before
    shown = lapwing("state", "show", copy / "state", "--json")
    assert (shown.returncode, json.loads(shown.stdout)["problem"]) == (3, f"{path}: {what}{WAYS_OUT}")
    assert lapwing("state", "save", copy / "state", copy / "saved").returncode == 3


def test_restored_from_a_copy_it_goes_on(copy: Path) -> None:
    """The first way out, as docs/operations.md has it: results since then come again, in a directory of their own."""
    (copy / "state" / "recovery" / "part-5.sqlite3").write_bytes(b"")
    assert run(copy)[0] == 3
    (copy / "state").rename(copy / "damaged")
    assert lapwing("state", "save", copy / "half", copy / "state").returncode == 0
    before = {path: path.read_bytes() for path in (copy / "out").glob("[a-z]*")}
    code, lines = run(copy)
    assert code == 1
    assert lines[0].endswith("give another --output, where those that follow begin")
    assert {path: path.read_bytes() for path in (copy / "out").glob("[a-z]*")} == before
    assert run(copy, "--output", copy / "again") == (0, [])
    ids = [json.loads(line)["id"] for line in (copy / "in.ndjson").read_bytes().splitlines()]
    again = (copy / "again" / "scored.ndjson").read_bytes().splitlines()
    assert [json.loads(line)["id"] for line in again] == ids[len(ids) // 2 :]


def test_no_room_for_the_previous_generation(copy: Path, tmp_path: Path) -> None:
    """Nothing is changed, and nothing is left of the attempt; with room it goes on."""
    disk = tmp_path / "disk"
    size = sum(path.stat().st_size for path in (copy / "state").rglob("*") if path.is_file())
    with small_disk(disk, size * 3 // 2) as mounted:
        if not mounted:
            return  # tests/test_holding.py has what needs no mount
        state = Path(shutil.copytree(copy / "state", disk / "state"))
        (state / "version").write_text("0.0.1\n")
        code, (line,) = run(copy, "--state", state)
        assert code == 1
        assert line.startswith(f"lapwing: {state}: its previous generation cannot be kept (")
        assert "o space left on device" in line
        assert line.endswith(" bytes")
        assert (state / "version").read_text() == "0.0.1\n"
        assert list((state / "previous").iterdir()) == []
        saved = lapwing("state", "save", state, disk / "saved")
        assert (saved.returncode, list(disk.iterdir())) == (1, [state])
        assert "o space left on device" in said(saved.stderr)[0]
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert run(copy, "--state", state) == (0, [])
        assert [one.why for one in generations(state)] == ["upgrade"]


def test_two_runs_on_one_directory(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    site.produce(audit_events(range(5)))
    with begun(*site.words("--start", "earliest")) as first:
        eventually((site.state / "sources.json").exists, "it has opened its state")
        for words in ((), ("--fresh",)):
            second = site.lapwing("--until", "end", "--start", "earliest", *words)
            assert (second.returncode, said(second.stderr)) == (
                3, [f"lapwing: {site.state}: another run of lapwing is using this state directory"],
            )  # fmt: skip
        shown = lapwing("state", "show", site.state, "--json")
        assert (shown.returncode, json.loads(shown.stdout)["running"]) == (0, True)
        copied = lapwing("state", "save", site.state, tmp_path / "copy")
        assert (copied.returncode, (tmp_path / "copy").exists()) == (3, False)
        first.terminate()
        first.communicate(timeout=120)
    assert first.returncode == 0
    site.run()
    assert scored(site) == list(range(5))


def test_the_number_of_sinks_is_part_of_a_state_over_topics(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1, sinks=2)
    site.produce(audit_events(range(5)))
    site.run()
    site.write(sinks=1)
    done = site.lapwing("--until", "end")
    (line,) = said(done.stderr)
    assert done.returncode == 3
    assert "kafka.sinks was 2, now 1" in line
    assert line.endswith("or start from nothing with --fresh")
    site.write(sinks=2)
    site.produce(audit_events(range(5, 7)))
    site.run()
    assert scored(site) == list(range(7))


# Another configuration


def configured(folder: Path, alpha: float, more: str = "") -> Path:
    path = folder / "config.toml"
    path.write_text(CONFIG.format(alpha=alpha, more=more))
    return path


def quantiles(out: Path, ids: set[str]) -> dict[str, object]:
    """What the rates of a tenant were held to be worth, by the event's id."""
    events = (json.loads(line) for line in (out / "scored.ndjson").read_bytes().splitlines())
    return {event["id"]: event["lapwing"]["risk"] for event in events if event["id"] in ids}


def test_a_changed_detector_begins_anew_and_nothing_else_does(events: Path, tmp_path: Path) -> None:
    """Refused without the flag. With it, the first events know nothing of before, and the second run needs no flag."""
    lines = events.read_bytes().splitlines(keepends=True)
    cut = len(lines) * 2 // 3
    source, out, state = tmp_path / "in.ndjson", tmp_path / "out", tmp_path / "state"
    words = ["detect", "--config", tmp_path / "config.toml", "--input", source, "--output", out, "--state", state]
    configured(tmp_path, 0.05, TREES)
    source.write_bytes(b"".join(lines[:cut]))
    assert lapwing(*words).returncode == 0
    source.write_bytes(b"".join(lines[: cut + 200]))
    shutil.copytree(tmp_path, tmp_path.with_name("kept"))
    configured(tmp_path, 0.02, TREES)
    refused = lapwing(*words)
    (line,) = said(refused.stderr)
    assert refused.returncode == 3
    assert "detector rates was ewma alpha=0.05 half_life=7d, now ewma alpha=0.02 half_life=7d" in line
    assert "--accept-rewarm" in line
    done = lapwing(*words, "--accept-rewarm", "--quiet")
    (line,) = said(done.stderr)
    assert done.returncode == 0
    (kept,) = generations(state)
    assert kept.why == "rewarm"
    assert line.endswith(f"as it was it is kept in {kept.path}")

    other = tmp_path.with_name("kept")
    again = ["--input", other / "in.ndjson", "--output", other / "out", "--state", other / "state"]
    assert lapwing("detect", "--config", other / "config.toml", *again).returncode == 0
    ids = {json.loads(line)["id"] for line in lines[cut : cut + 200]}
    anew, on = quantiles(out, ids), quantiles(other / "out", ids)
    assert anew.keys() == on.keys() == ids
    assert list(on.values()).count(None) == 0
    assert anew != on

    source.write_bytes(b"".join(lines))
    assert lapwing(*words).returncode == 0
    assert len(quantiles(out, {json.loads(line)["id"] for line in lines})) == len(lines)
    without = configured(tmp_path, 0.02)
    assert "detector behaviour was half_space_trees" in said(lapwing(*words).stderr)[0]
    assert lapwing(*words, "--accept-rewarm").returncode == 0
    without.write_text(CONFIG.format(alpha=0.02, more=TREES))
    assert lapwing(*words).returncode == 0  # what is new takes nothing away
    assert [one.why for one in generations(state)] == ["rewarm"] * 2
