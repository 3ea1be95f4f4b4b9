"""Mutes: heeded by a run that goes on, for whom they are meant, as long as they are meant, and counted."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flows.errors import Refused
from flows.mutes import MutesInForce, change_mutes, read_mutes
from models.alert import Alert
from models.mutes import Mute, Mutes
from tests import command as commands
from tests.command import command
from tests.kafka_runs import eventually
from tests.scrape import Scraper
from tests.test_metrics import give
from tests.test_verdicts import alert_of

NOW = 1_796_000_000_000


def mute_of(**more: Any) -> Mute:
    return Mute(
        **{"id": "m1", "detection": "brute_force_ip", "reason": "r", "by": "kim", "since": 0, "until": NOW, **more}
    )


def covered(mute: Mute, now_ms: int = 0, alert: Alert | None = None) -> bool:
    return Mutes([mute]).by(alert or alert_of(), now_ms * 1000) is not None


def failures(user: str, at_ms: int, count: int = 10) -> bytes:
    rows = [
        {"time": at_ms + 100 * k, "username": user, "ip": f"198.51.100.{k}", "action": "login", "outcome": "failure"}
        for k in range(count)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def quiet(at_ms: int) -> bytes:
    return b"".join(
        json.dumps({"time": at_ms + k, "username": "z", "ip": "192.0.2.1"}).encode() + b"\n" for k in (0, 1)
    )


def users(out: Path, name: str) -> dict[str, str]:
    """The accounts of the creates of one detection in a file, and what suppressed them."""
    path = out / name
    lines = path.read_text().splitlines() if path.exists() else []
    return {
        alert["unmapped"]["entity"]: alert.get("status_detail", "")
        for alert in map(json.loads, lines)
        if alert["activity_id"] == 1 and alert["unmapped"]["detection"] == "brute_force_user"
    }


@contextmanager
def running(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[bytes], Scraper]]:
    log = folder / f"stderr{len([*folder.iterdir()])}"
    with log.open("wb") as stderr:
        process = commands.begun(
            "detect", "--input", "-", "--output", folder / "out", "--state", folder / "state", "--metrics", "0", *words,
            stdin=subprocess.PIPE, stderr=stderr,
        )  # fmt: skip
    with process:
        try:
            yield process, Scraper(log, process)
        finally:
            if process.poll() is None:
                process.kill()


def test_a_running_flow_heeds_a_mute_and_its_end(tmp_path: Path) -> None:
    out, state, begin = tmp_path / "out", tmp_path / "state", int(time.time() * 1000)
    with running(tmp_path) as (process, seen):
        seen.ready()
        give(process, failures("before", begin) + quiet(begin + 120_000))
        eventually(lambda: "before" in users(out, "alerts.ndjson"), "an incident is told")
        code, _, said = command(
            "mute", "brute_force_user", "--entity", "MUTED*", "--for", "2h", "--reason", "load test, ticket 4711",
            "--by", "kim", "--state", state, "--output", out,
        )  # fmt: skip
        assert code == 0
        number = said[0].split()[2].rstrip(":")
        eventually(lambda: seen.value("mutes") == 1, "the mute is seen")
        time.sleep(1.5)  # the flow looks once a second
        give(process, failures("muted-1", begin + 180_000) + failures("loud", begin + 180_000) + quiet(begin + 300_000))
        eventually(lambda: "muted-1" in users(out, "suppressed.ndjson"), "it is kept back")
        eventually(lambda: "loud" in users(out, "alerts.ndjson"), "others are told")
        assert users(out, "suppressed.ndjson") == {"muted-1": f"mute {number}: load test, ticket 4711"}
        assert seen.values("muted_incidents_total")["brute_force_user",] == 1
        process.terminate()
        assert process.wait(60) == 0
    with running(tmp_path) as (process, seen):  # it survives a restart
        seen.ready()
        give(process, failures("muted-2", begin + 360_000) + quiet(begin + 480_000))
        eventually(lambda: "muted-2" in users(out, "suppressed.ndjson"), "it is kept back")
        assert command("unmute", number, "--by", "kim", "--state", state, "--output", out)[0] == 0
        time.sleep(1.5)
        give(process, failures("muted-3", begin + 540_000) + quiet(begin + 660_000))
        eventually(lambda: "muted-3" in users(out, "alerts.ndjson"), "the mute has ended")
        process.terminate()
        assert process.wait(60) == 0
    assert set(users(out, "alerts.ndjson")) == {"before", "loud", "muted-3"}
    assert set(users(out, "suppressed.ndjson")) == {"muted-1", "muted-2"}
    scored = [json.loads(line) for line in (out / "scored.ndjson").read_text().splitlines()]
    assert len(scored) == 50 + 8, "muted events are scored all the same"
    assert max(event["lapwing"]["risk"] or 0 for event in scored if event["username"] == "muted-1") >= 60
    logged = [json.loads(line) for line in (out / "verdicts.ndjson").read_text().splitlines()]
    assert [(one["operation"], one["uid"], one["by"]) for one in logged] == [
        ("mute", number, "kim"), ("unmute", number, "kim"),
    ]  # fmt: skip
    code, text, _ = command("check", "--state", state)
    assert code == 0
    assert "mutes" not in text, "none is in force"


@pytest.mark.parametrize(
    ("more", "now_ms", "holds"),
    [
        ({}, 0, True),
        ({"since": NOW + 10, "until": NOW + 20}, NOW + 15, True),  # a flow that is behind is silent at once
        ({"since": NOW + 10, "until": NOW + 20}, NOW + 20, False),  # the past is not, once the mute is over
        ({"since": 0, "until": 1}, 0, False),
        ({"detection": "brute_*"}, 0, True),
        ({"detection": "brute_force_user"}, 0, False),
        ({"entity": "203.0.113.7"}, 0, True),
        ({"entity": "203.0.113.0/24"}, 0, True),
        ({"entity": "203.0.114.0/24"}, 0, False),
        ({"entity": "203.0.113.*"}, 0, True),
        ({"tenant": "nobody"}, 0, False),
    ],
)
def test_whom_and_when_a_mute_covers(more: dict[str, Any], now_ms: int, holds: bool) -> None:
    alert = alert_of()
    shift = NOW - alert.time // 1000 if more.get("since") else 0
    alert = msgspec.structs.replace(alert, time=alert.time + shift * 1000 if shift else alert.time)
    mute = mute_of(**{"until": alert.time // 1000 + 1, **more})
    assert covered(mute, now_ms, alert) is holds


def test_what_opens_while_it_held_is_covered_whenever_it_is_worked_off() -> None:
    alert = alert_of()
    mute = mute_of(since=alert.time // 1000, until=alert.time // 1000 + 1)
    assert covered(mute, now_ms=10**15)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["brute_force_usr", "--for", "2h", "--reason", "r"], 2, "brute_force_user"),
        (["brute_force_user", "--reason", "r"], 2, "--for"),
        (["brute_force_user", "--for", "2h"], 2, "--reason"),
        (["brute_force_user", "--for", "2", "--reason", "r"], 2, "such as"),
        (["brute_force_user", "--for", "31d", "--reason", "r"], 2, "at most 30d"),
        (["brute_force_user", "--for", "9999d", "--reason", "r"], 2, "at most ten years"),
        (["*", "--for", "1h", "--reason", "r"], 2, "everything"),
        (["brute_force_user", "--for", "1h", "--reason", "r" * 513], 2, "at most 512"),
    ],
)
def test_a_mute_that_is_none(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    config = tmp_path / "c.toml"
    config.write_text(f'[state]\npath = "{tmp_path}"\n')
    ended, out, [line] = command("mute", *words, "--config", config)
    assert (ended, out) == (code, "")
    assert told in line
    assert read_mutes(tmp_path) == ()


def test_mutes_are_listed_checked_and_ended_once(tmp_path: Path) -> None:
    words = ["traffic_*", "--tenant", "acme", "--for", "30m", "--reason", "re\x1b[2Jlease", "--by", "kim"]
    code, out, _ = command("mute", *words, "--state", tmp_path, "--json")
    one = json.loads(out)
    assert (code, one["until"] - one["since"]) == (0, 1_800_000)
    listed = command("mute", "--list", "--state", tmp_path)[1]
    assert one["id"] in listed
    assert "in force" in listed
    assert "\x1b" not in listed
    assert one["id"] in command("check", "--state", tmp_path)[1]
    assert json.loads(command("check", "--state", tmp_path, "--json")[1])["mutes"][0]["id"] == one["id"]
    assert command("unmute", one["id"], "--state", tmp_path)[0] == 0
    code, _, [line] = command("unmute", one["id"], "--state", tmp_path)
    assert (code, "is in force" in line) == (3, True)
    assert "over" in command("mute", "--list", "--state", tmp_path)[1]
    code, _, [line] = command("mute", "--list", "--state", tmp_path / "none")
    assert (code, "no such state directory" in line) == (1, True)


def test_a_damaged_file_changes_nothing_and_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    change_mutes(tmp_path, lambda mutes: [*mutes, mute_of(until=10**13)])
    asked = MutesInForce(tmp_path, lambda text, *_, **__: told.append(text))
    assert len(asked()) == 1
    (tmp_path / "mutes.json").write_bytes(b"[{")
    asked._looked = float("-inf")
    assert len(asked()) == 1
    asked._looked = float("-inf")
    assert len(asked()) == 1
    assert len(told) == 1
    with pytest.raises(Refused, match="is damaged"):
        change_mutes(tmp_path, lambda mutes: mutes)
    (tmp_path / "mutes.json").unlink()
    asked._looked = float("-inf")
    assert len(asked()) == 0
