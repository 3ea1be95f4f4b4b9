"""The whole flow over wrapped events of platforms: alerts with evidence, no secret anywhere, equal for any batch."""

import gzip
import json
import signal
import time
from pathlib import Path
from typing import Any

from flows.connectors.output_directory import ALERTS, DEAD_LETTERS, SCORED
from flows.query import events, incidents
from tests.command import begun, command
from tests.test_unwrap import SECRET, okta, text


def attack(at: int) -> dict[str, Any]:
    """A failed login at that second, of one user; its size keeps the object itself out of evidence."""
    event = okta(at)
    event["actor"]["alternateId"] = "sam@example.com"
    event["debugContext"]["debugData"]["behaviors"] = "x" * 3000
    return event


def written(folder: Path) -> Path:
    """40 failures in messages of one to many events, and some that are none."""
    path = folder / "events.ndjson"
    lines = [text([attack(at) for at in range(5)]), text({"Records": [*map(attack, range(5, 20)), 7]})]
    lines += [text(attack(at)) for at in range(20, 30)] + [b"{", b"[]", text(okta(30))[:-9]]
    lines += [text({"host": "h", "event": attack(at)}) for at in range(30, 40)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def run(path: Path, output: Path, *more: str) -> dict[str, Any]:
    code, out, said = command("detect", "--input", path, "--format", "auto", "--output", output, "--json", *more)
    assert code == 0, said
    found: dict[str, Any] = json.loads(out)
    return found


def told(output: Path, name: str) -> list[Any]:
    """A result file without what is of the wall clock or of this configuration."""
    lines = [json.loads(line) for line in (output / name).read_bytes().splitlines()]
    for line in lines:
        line.pop("unmapped", None)
        line.get("metadata", {}).pop("processed_time", None)
        for known in ("alerts", "risk"):  # which incidents are open already hangs on what else came with the event
            line.get("lapwing", {}).pop(known, None)
    return lines


def attacks(output: Path) -> list[tuple[Any, ...]]:
    """The incidents as they ended: what was told of them on the way hangs on how far the input had come."""
    found = incidents(str(output))
    return sorted((one.uid, one.closed, one.crossed, one.start, one.end, one.count, one.value) for one in found)


def test_wrapped_events_are_scored_alerted_and_told_of_without_their_secrets(tmp_path: Path) -> None:
    path = written(tmp_path)
    done = run(path, tmp_path / "out")
    assert (done["scored"], done["dead_letters"]) == (40, 4)
    (tmp_path / "small.toml").write_text("[input]\nbatch_rows = 3\n")
    run(path, tmp_path / "small", "--config", str(tmp_path / "small.toml"))
    assert attacks(tmp_path / "small") == attacks(tmp_path / "out")
    for name in (SCORED, DEAD_LETTERS):
        assert told(tmp_path / "small", name) == told(tmp_path / "out", name), name
    for file in (tmp_path / "out").rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes(), file
    scored = told(tmp_path / "out", SCORED)
    assert all(one["debugContext"]["debugData"]["url"] == "*" * len(SECRET) for one in scored)
    assert "id" not in scored[0]["lapwing"]
    found = [one for one in incidents(str(tmp_path / "out")) if one.detection == "brute_force_user"]
    assert [one.entity for one in found] == ["sam@example.com"]
    alert = next(one for one in told(tmp_path / "out", ALERTS) if one["finding_info"]["uid"] == found[0].uid)
    assert len(alert["evidences"]) == 5
    assert "sam@example.com" in json.dumps(alert["evidences"])
    seen = events(str(tmp_path / "out"), "default", "user", "sam@example.com", 0, 1 << 50)
    assert len(seen) == 40
    assert [(one["offset"], one["index"], one["reason"]) for one in told(tmp_path / "out", DEAD_LETTERS)] == [
        (1, 15, "not_an_object"), (12, 0, "malformed_json"), (13, 0, "empty"), (14, 0, "malformed_json"),
    ]  # fmt: skip


def test_a_run_killed_among_the_events_of_a_message_loses_and_repeats_none(tmp_path: Path) -> None:
    path, output, state = tmp_path / "events.ndjson", tmp_path / "out", tmp_path / "state"
    path.write_bytes(b"\n".join(text([attack(at) for at in range(k, k + 50)]) for k in range(0, 3_000, 50)))
    (tmp_path / "small.toml").write_text("[input]\nbatch_rows = 7\n")
    words = ["detect", "--config", tmp_path / "small.toml", "--input", path, "--format", "okta", "--state", state]
    with begun(*words, "--output", output, "--quiet") as child:
        while child.poll() is None and not any(file.stat().st_size for file in output.rglob("*.ndjson*")):
            time.sleep(0.01)
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    code, _, said = command(*words, "--output", output, "--close")
    assert code == 0, said
    assert [one["uuid"] for one in told(output, SCORED)] == [f"id-{at}" for at in range(3_000)]


def test_a_compressed_file_is_read_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson.gz"
    path.write_bytes(gzip.compress(written(tmp_path).read_bytes()))
    assert run(path, tmp_path / "out")["scored"] == 40


def test_two_processes_find_what_one_finds_in_platforms_records(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name, half in (("a", range(20)), ("b", range(20, 40))):
        (source / name).mkdir(parents=True)
        lines = [text([attack(at) for at in half][:15]), *(text(attack(at)) for at in half[15:]), b"{"]
        (source / name / "events.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    one, two = run(source, tmp_path / "one"), run(source, tmp_path / "two", "--processes", "2")
    assert [(done["scored"], done["dead_letters"]) for done in (one, two)] == [(40, 2)] * 2
    assert attacks(tmp_path / "two") == attacks(tmp_path / "one") != []
    for name in (SCORED, DEAD_LETTERS):
        found = [sorted(map(json.dumps, told(tmp_path / output, name))) for output in ("one", "two")]
        assert found[0] == found[1], name
