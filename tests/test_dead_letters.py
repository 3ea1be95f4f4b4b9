"""Dead letters: counted, shown whatever is in them, and put back once, whole or not at all."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.dead_letters import Letter
from tests.command import begun, command

GOOD = b'{"time":"2026-11-23T05:00:00Z","username":"sam","action":"login","outcome":"failure"}'
NO_TIME = b'{"username":"sam"}'
SECRET = b'{"username":"sam","password":"hunter2"}'
BINARY = b'{"username":"\xff\xfe\x1b[2J'


def detected(folder: Path, *lines: bytes, body: str = "redacted") -> Path:
    """The results of a run over these lines."""
    folder.mkdir(exist_ok=True)
    (folder / "events.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    (folder / "c.toml").write_text(f'[output]\ndead_letter_body = "{body}"\n')
    words = "--config", folder / "c.toml", "--input", folder / "events.ndjson", "--output", folder / "out"
    code, _, said = command("detect", *words)
    assert code == 0, said
    return folder / "out"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detected(tmp_path_factory.mktemp("letters"), GOOD, NO_TIME, SECRET, b"", NO_TIME, BINARY)


def listed(out: Path, *words: str) -> dict[str, Any]:
    code, text, _ = command("dead-letters", "list", "--input", out, "--json", *words)
    assert code == 0
    found: dict[str, Any] = json.loads(text)
    return found


def put_back(out: Path, to: Path, *words: str, code: int = 0) -> dict[str, Any]:
    ended, text, said = command(
        "dead-letters", "replay", "--input", out, "--output", to, "--by", "kim", "--json", *words
    )
    assert ended == code, said
    found: dict[str, Any] = json.loads(text)
    return found


def test_letters_are_counted_by_reason_and_shown(out: Path) -> None:
    found = listed(out)
    assert found["letters"] == 5
    assert {(one["reason"], one["letters"], one["example"]) for one in found["groups"]} == {
        ("missing_time", 3, "events.ndjson:1"), ("empty", 1, "events.ndjson:3"), ("bad_utf8", 1, "events.ndjson:5"),
    }  # fmt: skip
    assert listed(out, "--reason", "empty")["letters"] == 1
    assert listed(out, "--source", "other")["letters"] == 0
    text = command("dead-letters", "list", "--input", out)[1]
    assert "missing_time" in text
    shown = command("dead-letters", "show", "events.ndjson:1", "--input", out)[1]
    assert NO_TIME.decode() in shown
    assert "whole" in shown
    shown = command("dead-letters", "show", "events.ndjson:2", "--input", out)[1]
    assert '"password":"***"' in shown
    assert "hunter2" not in shown
    assert "redacted or cut" in shown
    shown = command("dead-letters", "show", "events.ndjson:5", "--input", out)[1]
    assert "22 ff fe 1b" in shown
    assert "\x1b" not in shown
    code, _, [line] = command("dead-letters", "show", "events.ndjson:77", "--input", out)
    assert (code, "no dead letter" in line) == (3, True)


def test_files_have_no_times(out: Path) -> None:
    code, _, [line] = command("dead-letters", "list", "--from", "2h", "--input", out)
    assert (code, "have none" in line) == (2, True)


def test_what_is_whole_is_put_back_once(tmp_path: Path) -> None:
    out = detected(tmp_path, GOOD, NO_TIME, SECRET, NO_TIME)
    done = put_back(out, tmp_path / "again.ndjson", code=3)
    assert (done["put_back"], done["lost"]) == (2, 1), "a redacted body is no message"
    assert (tmp_path / "again.ndjson").read_bytes() == NO_TIME + b"\n" + NO_TIME + b"\n"
    done = put_back(out, tmp_path / "third.ndjson", code=3)
    assert (done["put_back"], done["before"], done["lost"]) == (0, 2, 1)
    assert not (tmp_path / "third.ndjson").exists()
    assert listed(out)["groups"][0]["put_back"] == 2
    [entry] = [json.loads(line) for line in (out / "verdicts.ndjson").read_text().splitlines()]
    assert (entry["operation"], entry["by"], len(entry["letters"])) == ("replay", "kim", 2)
    code, _, [line] = command("dead-letters", "replay", "--input", out, "--output", tmp_path / "again.ndjson")
    assert (code, "is there already" in line) == (3, True)
    assert "hunter2" not in (out / "verdicts.ndjson").read_text()


def test_raw_bodies_are_all_put_back_and_read_after_the_fix(tmp_path: Path) -> None:
    out = detected(tmp_path, GOOD, b'{"when":"2026-11-23T05:00:00Z","username":"sam"}', SECRET, body="raw")
    assert put_back(out, tmp_path / "again.ndjson", "--note", "mended")["put_back"] == 2
    fixed = (tmp_path / "again.ndjson").read_bytes().replace(b'"when"', b'"time"')  # what a fix of the source would be
    (tmp_path / "fixed.ndjson").write_bytes(fixed)
    _, text, _ = command("detect", "--input", tmp_path / "fixed.ndjson", "--output", tmp_path / "out2", "--json")
    assert json.loads(text)["scored"] == 1


def patched(out: Path, to: Path, name: str, how: str, **more: Any) -> "subprocess.Popen[bytes]":
    """A replay in a process of its own, in which something else happens where it calls `name`."""
    script = f"import os, signal, sys\nfrom flows import cli, dead_letters\n{how}\n{name} = instead\ncli.main()"
    words = "dead-letters", "replay", "--input", out, "--output", to
    return subprocess.Popen([sys.executable, "-c", script, *map(str, words)], **more)


NOTES, NAMES = "dead_letters.write_verdict", "dead_letters.Path.rename"
DIES = "def instead(*_): os.kill(os.getpid(), signal.SIGKILL)"
WAITS = f"noted = {NOTES}\ndef instead(*words):\n    print('there', flush=True)\n    input()\n    noted(*words)"


def test_whatever_a_replay_dies_over_each_letter_is_put_back_once(tmp_path: Path) -> None:
    out, to, last = detected(tmp_path, GOOD, NO_TIME, b""), tmp_path / "again.ndjson", tmp_path / "last.ndjson"
    assert put_back(out, to, "--reason", "empty")["put_back"] == 1
    to.unlink()  # it was read
    assert patched(out, to, NOTES, DIES).wait(60) == -signal.SIGKILL
    assert listed(out)["groups"][1]["put_back"] == 0, "nothing is noted yet"
    assert patched(out, to, NAMES, DIES).wait(60) == -signal.SIGKILL
    assert not to.exists()
    to.touch()
    code, _, [line] = command("dead-letters", "replay", "--input", out, "--output", last)
    assert (code, "is in its way" in line) == (3, True)
    to.unlink()
    done = put_back(out, last)
    assert (done["put_back"], done["before"], last.exists()) == (0, 2, False)
    assert to.read_bytes() == NO_TIME + b"\n"


def test_of_two_replays_at_a_time_one_waits_for_the_other(tmp_path: Path) -> None:
    out = detected(tmp_path, GOOD, NO_TIME)
    names = [tmp_path / "one.ndjson", tmp_path / "two.ndjson"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with patched(out, names[0], NOTES, WAITS, **pipes) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"there\n"
        handle = os.open(out, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
        with begun("dead-letters", "replay", "--input", out, "--output", names[1]) as second:
            first.communicate(b"\n", 60)
            _, lines = second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert b"0 put back" in lines
    assert [name.exists() for name in names] == [True, False]


def test_another_message_at_the_same_place_is_another_letter() -> None:
    one = Letter(reason="empty", topic="t", partition="a", offset=1, size=0, sha256="a" * 64)
    assert one.mark != Letter(reason="empty", topic="t", partition="a", offset=1, size=0, sha256="b" * 64).mark
    assert one.id == "a:1"


def test_no_output_is_a_mistake(out: Path) -> None:
    code, _, [line] = command("dead-letters", "replay", "--input", out)
    assert (code, "give --output FILE" in line) == (2, True)
