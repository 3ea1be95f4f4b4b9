"""`lapwing backtest` as it is started: the same as live, twice the same, the same after a kill, and every dead end."""

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.command import begun, command, lapwing, said
from tests.flow_under_test import Results, results, same
from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record
from tests.kafka_admin import group_offsets
from tests.kafka_runs import Site

LIMIT_S = 120.0


def backtest(output: Path, *more: str | Path, source: Path) -> dict[str, Any]:
    """The report of a run."""
    done = lapwing("backtest", "--input", source, "--output", output, "--json", *more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert msgspec.json.decode((output / "report.json").read_bytes()) == found
    return found


@pytest.fixture(scope="module")
def events(detected: Path) -> Path:
    return detected / "events.ndjson"


@pytest.fixture(scope="module")
def whole(detected: Path, events: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backtest over all events with their labels; `report.json` in it says what it found."""
    folder = tmp_path_factory.mktemp("backtest")
    backtest(folder, "--truth", f"{events}.truth.ndjson", source=events)
    return folder


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def crossings(folder: Path) -> dict[str, str]:
    """When each incident crossed, from its create: RFC 3339 sorts by time."""
    alerts = map(json.loads, (folder / "alerts.ndjson").read_text().splitlines())
    creates = [one for one in alerts if one["activity_id"] == 1]
    return {one["finding_info"]["uid"]: _text(one["time"]) for one in creates}


def _text(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))


def test_a_replay_tells_what_live_told(whole: Path, detected: Path) -> None:
    same(results(whole / "new"), results(detected / "out"))
    found = report(whole)
    assert found["range"]["begins"] == "stream"
    assert found["range"]["events"] == 60_000
    assert found["new"]["incidents"]["total"] == len(crossings(detected / "out")) > 5
    compared = command(
        "compare", detected / "out" / "alerts.ndjson", f"{detected}/events.ndjson.truth.ndjson", "--json"
    )
    totals = json.loads(compared[1])["totals"]
    assert found["labels"]["recall"]["count"] == totals["detected"] > 3
    precision = found["labels"]["precision"]
    assert (precision["of"] - precision["count"], precision["of"]) == (totals["false_incidents"], totals["incidents"])


def test_twice_is_the_same(whole: Path, events: Path, tmp_path: Path) -> None:
    again = backtest(tmp_path, "--truth", f"{events}.truth.ndjson", source=events)
    same(results(tmp_path / "new"), results(whole / "new"))
    assert again == report(whole)


def test_what_was_killed_goes_on_and_what_is_done_is_not_run_again(whole: Path, events: Path, tmp_path: Path) -> None:
    words = ("backtest", "--input", events, "--output", tmp_path, "--json", "--truth", f"{events}.truth.ndjson")
    killed = begun(*words)
    scored = tmp_path / "new" / "scored.ndjson"
    until = time.monotonic() + LIMIT_S
    while killed.poll() is None and time.monotonic() < until and not (scored.exists() and scored.stat().st_size):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "report.json").exists()
    assert backtest(tmp_path, "--truth", f"{events}.truth.ndjson", source=events) == report(whole)
    same(results(tmp_path / "new"), results(whole / "new"))
    before = scored.stat().st_mtime_ns
    third = lapwing(*words)
    assert json.loads(third.stdout) == report(whole)
    assert f"lapwing: {tmp_path}/new: is done already" in said(third.stderr)
    assert scored.stat().st_mtime_ns == before
    os.utime(shutil.copy(events, tmp_path / "events.ndjson"), ns=(1, 1))
    moved = lapwing("backtest", "--input", tmp_path / "events.ndjson", "--output", tmp_path, "--quiet")
    assert moved.returncode == 0, moved.stderr
    assert scored.stat().st_mtime_ns != before


def test_interrupted_it_says_how_to_go_on(events: Path, whole: Path, tmp_path: Path) -> None:
    child = begun("backtest", "--input", events, "--output", tmp_path)
    scored = tmp_path / "new" / "scored.ndjson"
    until = time.monotonic() + LIMIT_S
    while child.poll() is None and time.monotonic() < until and not (scored.exists() and scored.stat().st_size):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=LIMIT_S)
    assert (child.returncode, stdout) == (130, b"")
    assert b"stopped; the same command goes on where it ended" in stderr
    backtest(tmp_path, source=events)
    same(results(tmp_path / "new"), results(whole / "new"))


def test_a_range_beside_another_configuration(whole: Path, events: Path, tmp_path: Path) -> None:
    """Only what crosses in the range counts; reading ends an hour after it, and goes on if it is longer later."""
    config = tmp_path / "few.toml"
    config.write_text('[[detection]]\ntype = "brute_force_user"\n[[detection]]\ntype = "password_spray_ip"\n')
    start, end = "2026-11-02T01:30:00Z", "2026-11-02T03:00:00Z"
    words = ("--against", config, "--from", start, "--to", end)
    found = backtest(tmp_path / "out", *words, source=events)
    all_of_them = crossings(whole / "new")
    wanted = {uid for uid, crossed in all_of_them.items() if start < crossed <= end}
    old = {uid for uid, crossed in crossings(tmp_path / "out" / "old").items() if start < crossed <= end}
    assert 0 < len(old) < len(wanted) < len(all_of_them)
    assert old < wanted
    assert found["new"]["incidents"]["total"] == len(wanted)
    assert found["old"]["incidents"]["total"] == len(old)
    change = found["change"]
    assert (change["added"], change["removed"], change["kept"]) == (len(wanted - old), 0, len(old))
    assert {one["uid"] for one in change["examples_added"]} <= wanted - old
    assert (found["range"]["start"], found["range"]["end"], found["range"]["begins"]) == (start, end, "middle")
    assert found["range"]["warm_up_s"] == pytest.approx(5400, abs=60)
    assert any("Learned before the range from: 1 h" in note for note in found["notes"])
    assert "New beside old" in (tmp_path / "out" / "report.html").read_text()
    read = len(results(tmp_path / "out" / "new").scored)
    assert 0 < read < 60_000
    longer = backtest(tmp_path / "out", *words[:4], source=events)
    assert longer["new"]["incidents"]["total"] == sum(start < crossed for crossed in all_of_them.values())
    same(results(tmp_path / "out" / "new"), results(whole / "new"))


def test_from_a_saved_state_it_tells_what_live_told(detected: Path, events: Path, tmp_path: Path) -> None:
    """Live ran over the first half and its state was saved; the backtest reads what came then."""
    lines = events.read_bytes().splitlines(keepends=True)
    history = tmp_path / "events.ndjson"
    history.write_bytes(b"".join(lines[:30_000]))
    words = ("--input", history, "--output", tmp_path / "live", "--state", tmp_path / "state")
    assert lapwing("detect", *words).returncode == 0
    assert lapwing("state", "save", tmp_path / "state", tmp_path / "saved").returncode == 0
    first = results(tmp_path / "live")
    with history.open("ab") as file:
        file.writelines(lines[30_000:])
    found = backtest(tmp_path / "out", "--state", tmp_path / "saved", source=history)
    second, live = results(tmp_path / "out" / "new"), results(detected / "out")
    lives = {uid: first.lives.get(uid, []) + second.lives.get(uid, []) for uid in first.lives | second.lives}
    both = Results(
        first.windows + second.windows, lives, first.contents | second.contents, first.scored + second.scored,
        first.dead + second.dead,
    )  # fmt: skip
    assert first.lives
    assert second.lives
    same(both, live)
    assert found["range"]["begins"] == "state"
    assert found["range"]["events"] == 30_000
    again = lapwing("backtest", "--input", history, "--output", tmp_path / "out", "--state", tmp_path / "saved")
    assert f"lapwing: {tmp_path}/out/new: is done already" in said(again.stderr)


def test_without_labels_it_says_so(whole: Path, events: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "out")
    code, out, _ = command("backtest", "--input", events, "--output", tmp_path / "out")
    assert code == 0
    assert "No labels were given (--truth FILE, or --verdicts)" in out
    assert json.loads((tmp_path / "out" / "report.json").read_text())["labels"] is None
    nobody = tmp_path / "truth.ndjson"
    nobody.write_bytes(b"")
    code, out, _ = command("backtest", "--input", events, "--output", tmp_path / "out", "--truth", nobody)
    assert code == 0
    assert "The labels name no attack" in out
    assert "recall not known (0 of 0)" in out


def test_beside_verdicts(whole: Path, events: Path, detected: Path, tmp_path: Path) -> None:
    """What was said of live's incidents is said of the backtest's."""
    shutil.copytree(whole, tmp_path / "out")
    shutil.copytree(detected / "out", tmp_path / "live")
    uids = sorted(crossings(whole / "new"))[:3]
    for uid, word in zip(uids, ("true", "false", "true"), strict=True):
        assert command("verdict", uid[:12], word, "--output", tmp_path / "live")[0] == 0
    asked = "backtest", "--input", events, "--output", tmp_path / "out", "--verdicts"
    code, out, _ = command(*asked, tmp_path / "live")
    assert code == 0
    assert "Judged right: 67 % (2 of 3; 21-94 %)" in out
    found = report(tmp_path / "out")["judged"]
    assert found["unjudged"] == len(crossings(whole / "new")) - 3
    assert [one["uid"] for one in found["false"]] == [uids[1]]
    assert "Beside verdicts" in (tmp_path / "out" / "report.html").read_text()
    code, _, err = command(*asked, whole / "new")
    assert code == 3
    assert "holds no verdict" in err[-1]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--from", "2026-11-03", "--to", "2026-11-02"], 2, "is not before --to 2026-11-02T00:00:00Z: an empty range"),
        (["--from", "2026-12-03", "--to", "2026-12-04"], 3, "has events from 2026-11-02T00:00"),
        (["--to", "2026-11-01"], 3, "no event lies in the range to 2026-11-01T00:00:00Z: "),
        (["--to", "soon"], 2, "--to: Expected a date or an RFC 3339 time"),
        (
            ["--truth", "{elsewhere}"],
            3,
            "its labels are of another range: 2025-01-01T00:00:00Z to 2025-01-01T00:01:00Z",
        ),
        (["--truth", "{events}"], 1, "not a truth record"),
        (["--truth", "absent.ndjson"], 1, "absent.ndjson: No such file"),
        (["--input", "trail"], 2, "--input trail --trail DIR --keys DIR"),
        (["--input", "-"], 2, "a backtest reads its input again"),
        (["--input", "absent.ndjson"], 1, "absent.ndjson"),
        (["--state", "absent"], 3, "absent: holds no state"),
    ],
)
def test_dead_ends_are_told_in_words(
    words: list[str], code: int, reason: str, whole: Path, events: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(whole, output)
    elsewhere = tmp_path / "truth.ndjson"
    label = {"attack": "a", "kind": "k", "entities": {"ip": ["x"]}, "events": []}
    label |= {"start": "2025-01-01T00:00:00Z", "end": "2025-01-01T00:01:00Z"}
    elsewhere.write_text(json.dumps(label) + "\n")
    given = [word.format(elsewhere=elsewhere, events=events) for word in words]
    source = [] if "--input" in given else ["--input", events]
    ended, out, lines = command("backtest", *source, "--output", output, "--quiet", *given)
    assert (ended, out) == (code, "")
    assert len(lines) == 1, lines
    assert reason in lines[0]
    assert report(output) == report(whole)


def test_configurations_are_read_before_anything_is_run(events: Path, tmp_path: Path) -> None:
    new, old = tmp_path / "new.toml", tmp_path / "old.toml"
    new.write_text("[time]\nlateness = 5\n")
    old.write_text("[[detection]\n")
    words = ("backtest", "--config", new, "--against", old, "--input", events, "--output", tmp_path / "out")
    code, out, lines = command(*words)
    assert (code, out, len(lines)) == (2, "", 2)
    assert lines[0].startswith(f"{new}: ")
    assert lines[1].startswith(f"{old}: Not TOML")
    assert not (tmp_path / "out").exists()
    assert command("backtest", "--input", events)[0] == 2


def test_an_input_of_no_event_and_a_directory_of_something_else(events: Path, tmp_path: Path) -> None:
    (tmp_path / "none.ndjson").write_text("no event\n")
    code, _, lines = command("backtest", "--input", tmp_path / "none.ndjson", "--output", tmp_path / "out", "--quiet")
    assert (code, lines) == (
        3, [f"lapwing: {tmp_path}/none.ndjson: has no event that could be scored, so there is nothing to report"]
    )  # fmt: skip
    (tmp_path / "mine" / "new").mkdir(parents=True)
    (tmp_path / "mine" / "new" / "thesis.txt").write_text("mine")
    code, _, (line,) = command("backtest", "--input", events, "--output", tmp_path / "mine", "--quiet")
    assert code == 2
    assert "has something else than a backtest in it" in line
    assert (tmp_path / "mine" / "new" / "thesis.txt").read_text() == "mine"
    inside = command("backtest", "--input", events.parent, "--output", events.parent / "trial", "--quiet")
    assert inside[0] == 2
    assert "lies inside the input" in inside[2][0]


def test_a_topic_is_read_to_what_was_there_when_it_began(kafka: Endpoint, events: Path, tmp_path: Path) -> None:
    """Both sides read the same, though more is written meanwhile; the group of the live flow is not touched."""
    site = Site(kafka, tmp_path / "site", 2)
    lines = events.read_bytes().splitlines()[:4_000]
    site.produce(Record(line, partition=at % 2) for at, line in enumerate(lines[:3_000]))
    words = ("backtest", "--config", site.path, "--input", "kafka", "--output", tmp_path / "out", "--json")
    first = lapwing(*words)
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["range"]["events"] == 3_000
    site.produce(Record(line, partition=at % 2) for at, line in enumerate(lines[3_000:]))
    second = lapwing(*words, "--against", site.path)
    assert second.returncode == 0, second.stderr
    found = json.loads(second.stdout)
    assert found["range"]["events"] == 3_000
    assert found["range"]["begins"] == "stream"
    assert len(results(tmp_path / "out" / "old").scored) == 3_000
    same(results(tmp_path / "out" / "old"), results(tmp_path / "out" / "new"))
    assert group_offsets(kafka, site.prefix, site.events) == {}
    assert group_offsets(kafka, f"{site.prefix}-backtest", site.events) == {0: 1_500, 1: 1_500}


def test_a_topic_is_read_on_from_a_saved_state(kafka: Endpoint, events: Path, tmp_path: Path) -> None:
    site = Site(kafka, tmp_path / "site", 2)
    lines = events.read_bytes().splitlines()[:4_000]
    site.produce(Record(line, partition=at % 2) for at, line in enumerate(lines[:3_000]))
    site.run()
    assert lapwing("state", "save", site.state, tmp_path / "saved").returncode == 0
    site.produce(Record(line, partition=at % 2) for at, line in enumerate(lines[3_000:]))
    words = ("backtest", "--config", site.path, "--input", "kafka", "--state", tmp_path / "saved")
    done = lapwing(*words, "--output", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["range"]["events"], found["range"]["begins"]) == (1_000, "state")
    ids = {json.loads(line)["id"] for line in lines[3_000:]}
    assert set(results(tmp_path / "out" / "new").scored) == ids
