"""Dead letters: counted, shown whatever is in them, and put back once, whole or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows import dead_letters
from flows.dead_letters import Letter
from tests.command import command

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


def test_a_replay_that_died_before_its_file_had_a_name_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, to = detected(tmp_path, GOOD, NO_TIME), tmp_path / "again.ndjson"

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dead_letters.Path, "rename", dies)
        assert command("dead-letters", "replay", "--input", out, "--output", to)[0] == 130
    assert not to.exists()
    done = put_back(out, tmp_path / "other.ndjson")
    assert (done["put_back"], done["before"]) == (0, 1)
    assert to.read_bytes() == NO_TIME + b"\n"


def test_another_message_at_the_same_place_is_another_letter() -> None:
    one = Letter(reason="empty", topic="t", partition="a", offset=1, size=0, sha256="a" * 64)
    assert one.mark != Letter(reason="empty", topic="t", partition="a", offset=1, size=0, sha256="b" * 64).mark
    assert one.id == "a:1"


def test_no_output_is_a_mistake(out: Path) -> None:
    code, _, [line] = command("dead-letters", "replay", "--input", out)
    assert (code, "give --output FILE" in line) == (2, True)
