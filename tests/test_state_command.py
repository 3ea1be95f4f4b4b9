"""`lapwing state`: what is told is true, a copy goes on alone, and the way back leads there."""

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from flows.generations import generations, keep_copy, roll_back, set_aside
from flows.state_dir import locked
from flows.state_identity import this_version
from models.base import SNAPSHOT
from tests import golden_state
from tests.command import command, lapwing, said
from tests.flow_under_test import Results, results, same
from tests.kafka.endpoint import Endpoint
from tests.kafka_runs import Site
from tests.test_kafka_start import events as audit_events
from tests.test_kafka_start import scored

GOLDEN = Path(__file__).parent / "golden" / "state" / f"layout-{SNAPSHOT}.tar.xz"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with tarfile.open(GOLDEN) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path


def joined(first: Results, second: Results) -> Results:
    """What two runs told, one after the other."""
    lives = {uid: first.lives.get(uid, []) + second.lives.get(uid, []) for uid in first.lives | second.lives}
    contents, scored = first.contents | second.contents, first.scored + second.scored
    return Results(first.windows + second.windows, lives, contents, scored, first.dead + second.dead)


def files(state: Path) -> dict[str, bytes]:
    found = [path for path in state.rglob("*") if path.is_file() and "previous" not in path.parts]
    return {str(path.relative_to(state)): path.read_bytes() for path in found if path.name not in ("lock", "moved")}


def test_what_is_shown(folder: Path) -> None:
    code, out, _ = command("state", "show", folder / "state", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["written_by"], found["running"], found["problem"]) == (this_version(), False, "")
    assert found["made_for"]["layout"] == str(SNAPSHOT)
    lines = {path.parent.name: len(path.read_bytes().splitlines()) for path in (folder / "in").glob("*/1.ndjson")}
    done = {one["source"]: one["offset"] + 1 for one in found["positions"]}
    assert done.keys() == lines.keys()
    assert sum(lines.values()) > 0
    assert found["bytes"] == sum(map(len, files(folder / "state").values()))
    text = command("state", "show", folder / "state")[1]
    assert f"Lapwing {this_version()}" in text
    assert "state.shards" in text
    assert "dense" in text


@pytest.mark.parametrize("words", [("show",), ("save", "to"), ("rollback",)])
def test_where_there_is_no_state(words: tuple[str, ...], tmp_path: Path) -> None:
    code, out, (line,) = command("state", words[0], tmp_path / "absent", *(tmp_path / word for word in words[1:]))
    assert (code, out) == (3, "")
    assert line.startswith(f"lapwing: {tmp_path}/absent: ")
    assert list(tmp_path.iterdir()) == []


def test_damage_is_shown_and_not_copied(folder: Path) -> None:
    (folder / "state" / "recovery" / "part-2.sqlite3").write_bytes(b"no database" * 1000)
    code, out, (line,) = command("state", "show", folder / "state", "--json")
    assert code == 3
    assert "part-2.sqlite3: is damaged" in json.loads(out)["problem"]
    assert "part-2.sqlite3: is damaged" in line
    assert command("state", "save", folder / "state", folder / "to")[0] == 3
    assert not (folder / "to").exists()


def alike(folder: Path, found: Results, expected: Results) -> None:
    same(*(golden_state.without_levels(each, folder / "out") for each in (found, expected)))


def test_a_copy_goes_on_alone(folder: Path) -> None:
    copied = lapwing("state", "save", folder / "state", folder / "copy")
    assert copied.returncode == 0
    assert lapwing("state", "save", folder / "state", folder / "copy").returncode == 3
    original = files(folder / "state")
    first = results(folder / "out")
    golden_state.add_more(folder)
    golden_state.detect(folder, "--close", state="copy", out="elsewhere")
    assert files(folder / "state") == original
    golden_state.detect(folder, "--close")
    alike(folder, joined(first, results(folder / "elsewhere")), results(folder / "out"))
    golden_state.detect(folder, "--close", state="copy", out="third")
    assert (folder / "third" / "scored.ndjson").read_bytes() == b""


def test_a_copy_without_positions_goes_on_elsewhere(folder: Path) -> None:
    """The second half lies elsewhere, from its first line on: it is told of as if it had followed the first."""
    state = folder / "state"
    copied = lapwing("state", "save", state, folder / "copy", "--without-positions")
    assert copied.returncode == 0
    assert json.loads(command("state", "show", folder / "copy", "--json")[1])["positions"] == []
    first = results(folder / "out")
    shutil.copytree(folder / "more", folder / "moved" / "in")
    shutil.copy(folder / "config.toml", folder / "moved")
    (folder / "copy").rename(folder / "moved" / "state")
    golden_state.detect(folder / "moved", "--close")
    golden_state.add_more(folder)
    golden_state.detect(folder, "--close")
    alike(folder, joined(first, results(folder / "moved" / "out")), results(folder / "out"))


def test_a_copy_for_another_cluster_needs_to_know_where_to_begin(kafka: Endpoint, tmp_path: Path) -> None:
    here, there = Site(kafka, tmp_path / "here", 1), Site(kafka, tmp_path / "there", 2)
    here.produce(audit_events(range(5)))
    here.run()
    there.produce(audit_events(range(5, 10)))
    assert lapwing("state", "save", here.state, there.state, "--without-positions").returncode == 0
    refused = there.lapwing("--until", "end")
    assert refused.returncode == 2
    assert "--start earliest, latest or a time" in said(refused.stderr)[-1]
    there.run(start="earliest")
    assert scored(there) == list(range(5, 10))
    there.produce(audit_events(range(10, 12)))
    there.run()
    assert scored(there) == list(range(5, 12))


def test_forward_and_back(folder: Path) -> None:
    """A state of an earlier version is kept as it was; gone back to, it goes on as if it had not been left."""
    state, first = folder / "state", results(folder / "out")
    (state / "version").write_text("0.0.1\n")
    before = files(state)
    golden_state.add_more(folder)
    golden_state.detect(folder, "--close")
    forward, after = results(folder / "out"), files(state)
    (kept,) = generations(state)
    assert (kept.why, files(state / "previous" / kept.name)) == ("upgrade", {})
    done = lapwing("state", "rollback", state)
    assert done.returncode == 0, done.stderr
    assert files(state) == before
    (left,) = generations(state)
    assert said(done.stderr) == [
        f"lapwing: {state}: is what it was at {kept.name}; what was there is kept in {left.path}"
    ]
    golden_state.detect(folder, "--close", out="again")
    alike(folder, joined(first, results(folder / "again")), forward)
    assert lapwing("state", "rollback", state, "--to", left.name).returncode == 0
    assert files(state) == after


def test_back_over_topics_no_event_is_written_twice(kafka: Endpoint, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path, 1)
    site.produce(audit_events(range(5)))
    site.run()
    (site.state / "version").write_text("0.0.1\n")
    site.produce(audit_events(range(5, 10)))
    site.run()
    assert lapwing("state", "rollback", site.state).returncode == 0
    site.produce(audit_events(range(10, 15)))
    site.run()
    assert scored(site) == list(range(15))


@pytest.mark.parametrize("crash", range(9))
def test_a_move_that_is_interrupted_is_finished(crash: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before any of its renames, `rollback` and `--fresh` are done by whoever opens the state next."""
    state = tmp_path / "state"
    state.mkdir()

    def content(text: str) -> None:
        for name in ("identity.json", "recovery", "sources.json", text):
            (state / name).write_text(f"{name} {text}")

    content("old")
    keep_copy(state, "upgrade")
    (state / "old").unlink()
    content("new")
    new = files(state)
    (back,) = generations(state)
    old = files_of(back.path)
    rename, left = Path.rename, [crash]

    def mortal(path: Path, to: Path) -> Path:
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", mortal)
    try:
        aside = roll_back(state, back)
    except KeyboardInterrupt:
        aside = None
    monkeypatch.undo()
    with locked(str(state)):
        assert files(state) == old
        (kept,) = generations(state)
        assert files_of(kept.path) == new
        assert aside is None or aside == kept
        assert set_aside(state, "fresh") is not None
        assert files(state) == {}


def files_of(generation: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in generation.iterdir() if path.name != "lock"}
