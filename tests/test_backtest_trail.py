"""The trail played again: the incidents are those that there were."""

import json
import threading
from collections import Counter
from pathlib import Path

import pytest

from flows import detect
from flows.backtest.inputs import check_input
from flows.config import load
from flows.errors import InputError
from flows.trail.files import Folder
from flows.trail.replay import Replay
from tests import command
from tests.flow_under_test import Results, config_file, results, run, same, stream, write
from tests.trails import archived, keys

OF_SOURCES = ("dead_letter_surge", "source_silence_source")
"""Dead letters are not played again, and a log is named by its file."""


def of_events(output: Path) -> Results:
    """The results without incidents of sources."""
    found = results(output)
    codes = {
        alert["finding_info"]["uid"]: alert["metadata"]["event_code"]
        for alert in map(json.loads, (output / "alerts.ndjson").read_text().splitlines())
    }
    ours = {uid for uid, code in codes.items() if code not in OF_SOURCES}
    found.lives = {uid: life for uid, life in found.lives.items() if uid in ours}
    found.contents = {place: alert for place, alert in found.contents.items() if place[0] in ours}
    found.dead = 0
    return found


def test_a_replay_gives_the_identical_incidents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, source = load(str(config_file(tmp_path))), write(tmp_path / "in", stream(4))
    run(config, source, tmp_path / "expected")
    archived(source, tmp_path, raw=True)
    replay = Replay.open(str(tmp_path / "trail"), tmp_path / "keys")
    read: Counter[str] = Counter()
    really = Folder.open
    monkeypatch.setattr(Folder, "open", lambda self, path: (read.update([path]), really(self, path))[1])
    detect.run(
        config, "trail", str(tmp_path / "out"), None, True, "lapwing", threading.Event(), sources=replay.source
    )  # fmt: skip
    expected = of_events(tmp_path / "expected")
    assert len(expected.lives) > 20
    same(of_events(tmp_path / "out"), expected)
    assert not replay.lost
    assert set(read.values()) == {2}, "once for the names of the logs, once for all that is in them"
    assert len(replay.logs()) > 1


def test_the_command_plays_a_trail_again_and_says_what_is_gone(tmp_path: Path) -> None:
    source = write(tmp_path / "in", stream(4))
    archived(source, tmp_path, raw=True)
    replay = Replay.open(str(tmp_path / "trail"), tmp_path / "keys")
    there = sum(len(raw.offset) for log in replay.logs() for raw in replay.messages(log, 4_096))
    with keys(tmp_path) as store:
        assert store.destroy("acme", "u1")
    words = ["backtest", "--input", "trail", "--trail", tmp_path / "trail", "--keys", tmp_path / "keys"]
    for _ in range(2):  # when it goes through both sides, and when both are done already
        done = command.lapwing(*words, "--against", config_file(tmp_path), "--output", tmp_path / "trial", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        lost = there - told["range"]["events"]
        assert told["range"]["lost"] == lost > 0
        assert f"{lost:,} messages of the trail are kept no longer, or of somebody erased" in str(told["notes"])
    assert (tmp_path / "trial" / "report.html").exists()


def test_a_trail_needs_to_be_named(tmp_path: Path) -> None:
    check_input("trail", tmp_path)
    with pytest.raises(InputError, match="no key store"):
        Replay.open(str(tmp_path), tmp_path / "keys")
