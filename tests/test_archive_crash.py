"""The archive killed for good, again and again: every message is in the trail once, and no log has a gap."""

import random
import subprocess
import sys
import time
from pathlib import Path

from flows.trail.insights import read
from flows.trail.keys import KeyStore
from flows.trail.store import Store
from flows.trail.verify import Verifying
from tests.prepared import started
from tests.trails import archived, events, lines, opened, valid, whole

_GIVE_UP_S = 300.0


def start(source: Path, folder: Path) -> "subprocess.Popen[str]":
    """The command over the input, in batches so small that a commit follows the other."""
    arguments = [
        "--config", str(folder / "config.toml"), "--input", str(source), "--trail", str(folder / "trail"),
        "--keys", str(folder / "keys"), "--raw", "--quiet",
    ]  # fmt: skip
    return started(
        [sys.executable, "-m", "tests.archive_under_test", "20", "300", *arguments], stderr=subprocess.PIPE, text=True
    )


def commits(folder: Path) -> int:
    """Commits of the table of events, made or being made."""
    return len(list((folder / "trail" / "events" / "_delta_log").glob("*")))


def counted(folder: Path) -> int:
    """Events in the trail's aggregates."""
    with KeyStore.open(folder / "keys") as keys:
        store = Store.open(str(folder / "trail"), "insights")
        rows, _ = read(store, keys, tenant=None, start=0, end=4 * 10**15)
    return sum(row["count"] for row in rows.to_pylist() if row["measure"] == "hourly")


def test_killed_at_any_time_it_keeps_every_message_once(tmp_path: Path) -> None:
    source, draw = tmp_path / "in", random.Random(8)
    source.mkdir()
    (tmp_path / "config.toml").write_text("[input]\nbatch_rows = 40\n")
    messages = [b"{}" if at % 50 == 3 else line for at, line in enumerate(lines(6_000, 8))]
    for name, some in (("a.ndjson", messages[:3_500]), ("b.ndjson", messages[3_500:])):
        (source / name).write_bytes(b"\n".join(some) + b"\n")
    killed = 0
    for _ in range(3):
        child, before = start(source, tmp_path), commits(tmp_path)
        wanted, give_up = before + draw.randint(1, 4), time.monotonic() + _GIVE_UP_S
        while child.poll() is None and commits(tmp_path) < wanted and time.monotonic() < give_up:
            time.sleep(0.001)
        time.sleep(draw.random() * 0.02)
        killed += child.poll() is None
        child.kill()
        child.communicate()
    assert killed == 3
    child = start(source, tmp_path)
    assert child.communicate(timeout=_GIVE_UP_S)[1] == ""
    assert child.returncode == 0
    kept = [event.raw for event in events(tmp_path, raw=True)]
    dead = list(opened(tmp_path).records("dead_letters"))
    assert sorted(kept) == sorted(line for line in messages if line != b"{}" and valid([line]))
    assert len(kept) + len(dead) == len(messages)
    assert counted(tmp_path) == len(kept)
    assert len({(record.log, record.offset) for record in dead}) == len(dead)
    assert whole(tmp_path)
    report = Verifying(str(tmp_path / "trail")).run()
    assert report.findings == []
    assert sum(one.leaves for one in report.proven) == len(messages)


def test_two_at_once_do_not_number_the_same_leaf(tmp_path: Path) -> None:
    source = tmp_path / "one.ndjson"
    (tmp_path / "config.toml").write_text("[input]\nbatch_rows = 40\n")
    source.write_bytes(b"\n".join(lines(1_500, 1)) + b"\n")
    children = [start(source, tmp_path) for _ in range(2)]
    said = [child.communicate(timeout=_GIVE_UP_S)[1] for child in children]
    assert all(text.count("\n") <= 1 and "Traceback" not in text for text in said)
    archived(source, tmp_path, raw=True)
    assert len(events(tmp_path)) == counted(tmp_path) == 1_500
    assert whole(tmp_path)
