"""Lines of the application's life: one JSON object each, and none that tells what an event or a secret holds."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows import detect
from tests.command import begun, command, lapwing, said
from tests.kafka_runs import eventually
from tests.scrape import Scraper
from tests.test_metrics import give

ADDRESSES = "198.51.100.77", "2001:db8:77:77::77"
"""What no mark can stand in."""


def marked() -> list[bytes]:
    """Events that raise an incident, with a mark in every member that can hold one."""
    texts = [
        "id", "tenant", "reason", "error_code", "error", "user", "username", "actor", "actor_type", "target", "session",
        "api_key", "request_id", "factor", "ip_type", "country", "city", "device", "user_agent", "app", "app_version",
        "method", "unknown",
    ]  # fmt: skip
    event: dict[str, Any] = {name: f"mark-{name}" for name in texts} | {
        "action": "login", "outcome": "failure", "ip": ADDRESSES[0], "endpoint": "/mark-endpoint", "asn": "mark-asn",
        "lat": "mark-lat", "status": "mark-status", "latency_ms": "mark-latency", "received": "mark-received",
        "password": "mark-password", "changes": [{"path": "mark-path", "old": "mark-old", "new": "mark-new"}],
    }  # fmt: skip
    rows = [event | {"id": f"mark-{k}", "time": f"2026-11-23T05:00:{k:02}Z", "ip": ADDRESSES[k % 2]} for k in range(25)]
    return [json.dumps(row).encode() for row in rows]


RUBBISH = (b'{"mark-member": "mark-broken', b'{"user":"mark-user"}', b"mark-nothing \xff", b'["mark-list"]',
           b'{"time":"mark-time","user":"mark-user"}', b'{"lapwing":{"a":1},"time":1,"user":"mark-user"}')  # fmt: skip


def marks_in(text: bytes) -> list[str]:
    """The marks in an output."""
    return [line for line in text.decode().splitlines() if any(mark in line for mark in ("mark-", *ADDRESSES))]


def environment(form: str) -> dict[str, str]:
    return os.environ | {"LAPWING_LOG": form, "LAPWING_HASH_SEED": "mark-seed", "MARK_PASSWORD": "mark-password"}


def told(stderr: bytes) -> list[dict[str, Any]]:
    """The lines, each of them whole."""
    found = [json.loads(line) for line in stderr.splitlines()]
    assert all(one.keys() >= {"time", "level", "event", "message"} for one in found)
    return found


def written(folder: Path) -> Path:
    path = folder / "events.ndjson"
    path.write_bytes(b"\n".join((*marked(), *RUBBISH, b"")))
    return path


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_log_tells_what_an_event_or_the_environment_holds(tmp_path: Path, form: str) -> None:
    events, env = written(tmp_path), environment(form)
    out, state = tmp_path / "out", tmp_path / "state"
    words = "detect", "--input", events, "--json"
    done = lapwing(*words, "--output", out, "--state", state, "--close", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["incidents"] > 0
    assert "mark-username" in (out / "alerts.ndjson").read_text(), "alerts do tell it"
    assert not marks_in(done.stdout + done.stderr)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "scored.ndjson").symlink_to("/dev/full")
    failed = lapwing(*words, "--output", tmp_path / "full", env=env)
    assert failed.returncode == 1
    assert b"no space is left" in failed.stderr
    assert not marks_in(failed.stdout + failed.stderr)
    if form == "json":
        assert [one["event"] for one in told(done.stderr) if one["event"] != "note"] == ["start", "ready", "stop"]
        assert told(done.stderr)[-1]["exit_code"] == 0
        last = told(failed.stderr)[-1]
        assert (last["event"], last["level"], last["exit_code"]) == ("error", "error", 1)


def test_metrics_tell_nothing_of_events(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    words = "detect", "--input", "-", "--output", tmp_path / "out", "--metrics", "0"
    with (
        log.open("wb") as stderr,
        begun(*words, stdin=subprocess.PIPE, stderr=stderr, env=environment("text")) as process,
    ):
        try:
            seen = Scraper(log, process)
            seen.ready()
            give(process, b"\n".join((*marked(), *RUBBISH, b"")))
            eventually(lambda: seen.values("dead_letters_total").get(("missing_time",)), "all is read")
            for page in ("/metrics", "/healthz", "/readyz"):
                assert not marks_in(seen.get(page).text.encode())
            process.terminate()
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                process.kill()
    assert not marks_in(log.read_bytes())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("detect", "--input", "nowhere", "--output", "out"), 1, "nowhere"),
        (("detect",), 2, "no input"),
        (("detect", "--config", "bad.toml"), 2, "Unknown key"),
    ],
)
def test_errors_are_lines_with_their_exit_code(
    tmp_path: Path, words: tuple[str, ...], code: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAPWING_LOG", "json")
    (tmp_path / "bad.toml").write_text("mark = 1\nmork = 2\n")
    ended, _, lines = command(*words)
    assert ended == code
    errors = [one for one in map(json.loads, lines) if one["event"] == "error"]
    assert len(errors) == (2 if "bad.toml" in words else 1)
    assert all(one["exit_code"] == code and says in one["message"] for one in errors)


def test_a_bug_is_a_line_without_what_it_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ValueError("mark-user cannot be read")

    events = written(tmp_path)
    monkeypatch.setenv("LAPWING_LOG", "json")
    monkeypatch.setattr(detect, "run", breaks)
    code, _, lines = command("detect", "--input", events, "--output", tmp_path / "out")
    last = json.loads(lines[-1])
    assert (code, last["event"], last["message"]) == (1, "error", "a bug: ValueError")
    assert any("breaks" in frame for frame in last["frames"])
    assert not marks_in("\n".join(lines).encode())


def test_another_form_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAPWING_LOG", "xml")
    code, _, [line] = command("check")
    assert code == 2
    assert "LAPWING_LOG is text or json" in line


def test_a_stop_is_a_line(tmp_path: Path) -> None:
    log = tmp_path / "stderr"
    words = "detect", "--input", "-", "--output", tmp_path / "out", "--state", tmp_path / "state"
    with log.open("wb") as stderr, begun(*words, stdin=subprocess.PIPE, stderr=stderr, env=environment("json")) as one:
        eventually(lambda: b'"event":"ready"' in log.read_bytes(), "it is ready")
        one.terminate()
        assert one.wait(60) == 0
    assert [line["event"] for line in told(log.read_bytes()) if line["event"] != "note"] == ["start", "ready", "stop"]
    assert told(log.read_bytes())[-1]["interrupted"] is True


@pytest.mark.parametrize("words", [
    ("detect", "--input", "kafka", "--output", "kafka", "--state", "state"),
    ("archive", "--input", "kafka", "--trail", "trail", "--keys", "keys"),
    ("forward", "--state", "state"),
    ("canary", "run", "--state", "state"),
])  # fmt: skip
def test_what_runs_until_it_is_stopped_writes_lines_for_machines(tmp_path: Path, words: tuple[str, ...]) -> None:
    """No terminal reads it here. What ends by itself is for people, and so is all where LAPWING_LOG says so."""
    (tmp_path / "c.toml").write_text(
        '[kafka]\nbootstrap = "127.0.0.1:1"\nstartup_timeout = "1s"\nstart = "earliest"\n[canary]\ntenant = "canary"\n'
        '[[destination]]\ntype = "webhook"\nid = "soc"\nurl = "http://127.0.0.1:1"\nplaintext = true\n'
        'secret_env = "SOC"\n'
    )
    given = {"LAPWING_CANARY_KEY": "k" * 32, "SOC": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
    env = {name: value for name, value in os.environ.items() if name != "LAPWING_LOG"} | given
    ended = lapwing(*words, "--config", "c.toml", cwd=tmp_path, env=env)
    assert ended.returncode == 1
    lines = [one for one in told(ended.stderr) if one["event"] != "note"]
    assert [one["event"] for one in lines] == ["start", "error"]
    assert lines[0].keys() >= {"version", "config_hash", "pid"}
    assert "no answer" in lines[1]["message"]
    for_people = env | {"LAPWING_LOG": "text"}
    if words[0] in ("detect", "archive"):
        words, for_people = (*words, "--until", "end"), env
    assert said(lapwing(*words, "--config", "c.toml", cwd=tmp_path, env=for_people).stderr)[-1].startswith("lapwing: ")
