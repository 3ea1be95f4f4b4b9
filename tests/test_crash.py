"""Real processes killed for good: what is published in the end is what one undisturbed run publishes."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.config import load
from flows.recovery_store import saved
from flows.shard_log import check
from tests.flow_under_test import Results, config_file, results, run, same, stream, write
from tests.prepared import started

LIMIT_S = 600  # a first start compiles the kernels


class Case:
    """One input, one configuration, and what an undisturbed run makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines = stream(4)
        self.source = write(folder / "in", self.lines)
        path = config_file(folder)
        path.write_text("[input]\nbatch_rows = 20\n" + path.read_text())
        self.path, self.config = path, load(str(path))
        run(self.config, self.source, folder / "expected")
        self.expected = results(folder / "expected")

    def start(self, name: str, close: bool = True, **trouble: Any) -> "subprocess.Popen[str]":
        """The command over the input, with the state and output of a name."""
        arguments = [
            "detect", "--config", str(self.path), "--input", str(self.source), "--output", str(self.folder / name),
            "--state", str(self.folder / f"{name}-state"), "--quiet", *(["--close"] if close else []),
        ]  # fmt: skip
        return started(
            [sys.executable, "-m", "tests.flow_under_test", json.dumps(trouble), *arguments],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def finish(self, name: str) -> Results:
        """The run that nobody disturbs; what the files then hold."""
        assert ended(self.start(name)) == 0
        found = results(self.folder / name)
        assert len(found.scored) + found.dead == sum(map(len, self.lines.values()))
        return found


def ended(child: "subprocess.Popen[str]") -> int:
    try:
        _, said = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        _, said = child.communicate()
    assert "Traceback" not in said, said
    return child.returncode


def under_way(child: "subprocess.Popen[str]", output: Path, size: int) -> None:
    """Wait until the public file of scored events is longer than `size`, so that a kill hits a flow at work."""
    scored = output / "scored.ndjson"
    until = time.monotonic() + LIMIT_S
    while child.poll() is None and time.monotonic() < until:
        if scored.exists() and scored.stat().st_size > size:
            return
        time.sleep(0.02)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("crash"))


def test_kill_9_at_random_moments(case: Case) -> None:
    rng = random.Random(7)
    output, killed = case.folder / "killed", 0
    size = -1
    for _ in range(4):
        child = case.start("killed", nap=0.03, epoch=0.15)
        under_way(child, output, size)
        time.sleep(0.6 * rng.random())
        killed += child.poll() is None
        child.kill()
        child.communicate()
        size = (output / "scored.ndjson").stat().st_size if (output / "scored.ndjson").exists() else -1
    assert killed >= 3, "the flow was too fast to be killed"
    same(case.finish("killed"), case.expected)


@pytest.mark.parametrize("snapshot", [1, 3])
def test_crash_empty_first_epoch_crash(case: Case, snapshot: int) -> None:
    """State of an epoch that failed must not come back when its re-run touches nothing (TIME.md 5.2)."""
    name = f"empty-{snapshot}"
    assert ended(case.start(name, epoch=0.2, nap=0.01, die_in_snapshot=snapshot)) == 9
    failed = greatest_epochs(case.folder / f"{name}-state")
    assert failed["assess"] > failed.get("scored", 0), "no keyed state of the failed epoch was written"
    assert ended(case.start(name, epoch=0.2, beats_only=True, die_after_s=0.7)) == 9
    same(case.finish(name), case.expected)


@pytest.mark.parametrize("trouble", ["die_in_append", "die_after_append"])
def test_kill_9_while_a_log_is_written(case: Case, trouble: str) -> None:
    """With frames of the epoch that are whole, one that is not, and none of it in the recovery store; three times."""
    name, state = trouble, case.folder / f"{trouble}-state"
    for frame in (3, 21, 50):
        assert ended(case.start(name, nap=0.01, epoch=0.15, **{trouble: frame})) == -signal.SIGKILL
    pointers = saved(state / "recovery", "assess").values()
    assert pointers
    check(state / "log", pointers)
    same(case.finish(name), case.expected)


def greatest_epochs(state: Path) -> dict[str, int]:
    """The latest epoch of which the recovery store holds something, by step."""
    found: dict[str, int] = {}
    for part in (state / "recovery").glob("*.sqlite3"):
        with sqlite3.connect(part) as store:
            rows = store.execute("SELECT step_id, MAX(snap_epoch) FROM snaps GROUP BY step_id").fetchall()
        store.close()
        for step, epoch in rows:
            name = step.split(".")[1]
            found[name] = max(found.get(name, 0), epoch)
    return found


def test_sigterm_and_the_next_run_are_one_run(case: Case) -> None:
    child = case.start("terminated", nap=0.03, epoch=0.15)
    under_way(child, case.folder / "terminated", 0)
    child.send_signal(signal.SIGTERM)
    assert ended(child) == 0
    stopped = results(case.folder / "terminated")
    assert 0 < len(stopped.scored) < len(case.expected.scored)
    same(case.finish("terminated"), case.expected)


def test_without_close_what_is_open_waits_for_the_next_run(case: Case) -> None:
    assert ended(case.start("open", close=False)) == 0
    first = results(case.folder / "open")
    assert set(first.scored) == set(case.expected.scored)
    assert first.lives != case.expected.lives
    assert set(first.windows) < set(case.expected.windows)
    same(case.finish("open"), case.expected)
