"""Whatever happens to a run, it says so in a line, leaves whole lines, and with `--state` the next run goes on."""

import fcntl
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import kernels_cache
from tests.command import LAPWING, ROOT, begun, lapwing, run, said, simulate, whole_lines

EVENTS = 6_000
SLOW = "[input]\nbatch_rows = 1\n"
"""So small batches that a run of all events takes long enough to be caught in the middle; no result hangs on it."""
STOPPING = "lapwing: stopping after this epoch; Ctrl-C again stops at once"
TOO_LARGE = "the quota or the greatest file size is reached; raise it and start again"
FULL = "no space is left on the device; free some and start again"


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated events; their results, of one run that nothing disturbed, lie beside them in `out`."""
    folder = tmp_path_factory.mktemp("whole")
    path = simulate(folder / "events.ndjson", EVENTS, 9)
    assert lapwing("detect", "--input", path, "--output", folder / "out").returncode == 0
    assert alerts_of(folder / "out")
    return path


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    config = tmp_path / "slow.toml"
    config.write_text(SLOW)
    return config


def ids_of(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_bytes().splitlines()]


def alerts_of(out: Path) -> list[tuple[str, int, int, int, object]]:
    """What an alert is, and of a close what it counted: a create says only what was known when it left."""
    found = [json.loads(line) for line in (out / "alerts.ndjson").read_bytes().splitlines()]
    return [
        (
            alert["finding_info"]["uid"],
            alert["unmapped"]["seq"],
            alert["activity_id"],
            alert["time"],
            (alert["count"], alert["unmapped"]["value"]) if alert["activity_id"] == 3 else None,
        )
        for alert in found
    ]


def windows_of(out: Path) -> pa.Table:
    by = [(name, "ascending") for name in ("end", "dimension", "tenant", "entity")]
    return pq.read_table(out / "windows.parquet").sort_by(by)


def same_results(out: Path, events: Path) -> None:
    """Neither a gap nor a double: the results are those of the run that nothing disturbed."""
    assert ids_of(out / "scored.ndjson") == ids_of(events)
    assert (out / "dead-letters.ndjson").read_bytes() == b""
    reference = events.parent / "out"
    # Sorted: which alerts leave together hangs on the batches, and only those are in the order of their panes.
    assert sorted(alerts_of(out)) == sorted(alerts_of(reference))
    assert windows_of(out) == windows_of(reference)
    assert not [path for path in (out / ".parts").iterdir() if path.suffix != ".base"]


def a_beginning(out: Path, events: Path) -> int:
    """The results end with a whole line, and are those of the first events; of how many."""
    for path in whole_lines(out):
        for line in path.read_bytes().splitlines():
            json.loads(line)
    ids = ids_of(out / "scored.ndjson")
    assert ids == ids_of(events)[: len(ids)]
    return len(ids)


def wait_for(happened: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    """Until something happened; compilation of kernels may come before it."""
    end = time.monotonic() + 300
    while not happened():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def wait_for_results(out: Path, child: subprocess.Popen[bytes]) -> None:
    scored = out / "scored.ndjson"
    wait_for(lambda: scored.exists() and scored.stat().st_size > 0, child)


def ended(child: subprocess.Popen[bytes]) -> tuple[int, list[str]]:
    """The exit code, and what was said; nothing on stdout."""
    out, err = child.communicate(timeout=60)
    assert not out
    return child.returncode, said(err)


def failed(child: subprocess.Popen[bytes]) -> str:
    """The one line of a failed run."""
    code, lines = ended(child)
    assert code == 1
    assert len(lines) == 1, lines
    assert lines[0].startswith("lapwing: ")
    return lines[0]


@pytest.mark.parametrize(
    ("number", "code", "kept"), [(signal.SIGTERM, 0, True), (signal.SIGINT, 130, True), (signal.SIGTERM, 0, False)]
)
def test_a_signal_finishes_the_epoch(
    number: signal.Signals, code: int, kept: bool, events: Path, slow: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["detect", "--config", slow, "--input", events, "--output", out]
    arguments += ["--state", tmp_path / "state"] * kept
    complete = kernels_cache.prepare() / "complete"
    complete.unlink(missing_ok=True)
    with begun(*arguments) as child:
        wait_for_results(out, child)
        child.send_signal(number)
        found, lines = ended(child)
    assert found == code
    assert complete.exists(), "a flow that runs until it is stopped says at each start that it compiles"
    assert lines[:-2] == ([STOPPING] if code else [])
    assert lines[-2].startswith("lapwing: stopped; ")
    assert f"{len(ids_of(out / 'scored.ndjson')):,} scored" in lines[-1]
    assert 0 < a_beginning(out, events) < EVENTS
    if kept:
        again = lapwing("detect", "--input", events, "--output", out, "--state", tmp_path / "state", "--close")
        assert again.returncode == 0, again.stderr
        assert len(said(again.stderr)) == 1
        same_results(out, events)


def unread(pipe: int) -> int:
    return int(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0])


def test_a_second_interrupt_stops_at_once(events: Path, tmp_path: Path) -> None:
    """A reader that takes nothing more holds the run in the middle of a write, so the epoch cannot end."""
    with begun("detect", "--input", events, "--output", "-", "--state", tmp_path / "state") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        pipe = child.stdout.fileno()
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)
        wait_for(lambda: unread(pipe) == 4096, child)
        second = lapwing("detect", "--input", events, "--output", tmp_path / "out", "--state", tmp_path / "state")
        assert (second.returncode, said(second.stderr)) == (
            3, [f"lapwing: {tmp_path}/state: another run of lapwing is using this state directory"],
        )  # fmt: skip
        child.send_signal(signal.SIGINT)
        lines = []
        while STOPPING not in lines:
            lines += said(child.stderr.readline())
        time.sleep(0.2)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
        assert said(child.stderr.read()) == []


@pytest.mark.parametrize("source", ["a file", "stdin"])
def test_a_reader_that_leaves(source: str, events: Path) -> None:
    where = {"a file": str(events), "stdin": "-"}[source]
    with events.open("rb") as stdin, begun("detect", "--input", where, "--output", "-", stdin=stdin) as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["class_uid"] == 2004
        child.stdout.close()
        assert child.stderr is not None
        assert said(child.stderr.read()) == ["lapwing: standard output: the reader has gone (broken pipe)"]
        assert child.wait(20) == 1


def test_a_file_that_vanishes(events: Path, slow: Path, tmp_path: Path) -> None:
    """It was seen when the run began, and is gone when its turn comes; put back, the next run reads it."""
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    text = events.read_bytes().splitlines(keepends=True)
    (logs / "a.ndjson").write_bytes(b"".join(text[: EVENTS // 2]))
    (logs / "b.ndjson").write_bytes(b"".join(text[EVENTS // 2 :]))
    arguments = ["--input", logs, "--output", out, "--state", tmp_path / "state"]
    with begun("detect", "--config", slow, *arguments) as child:
        wait_for_results(out, child)
        (logs / "b.ndjson").rename(tmp_path / "b")
        assert failed(child) == f"lapwing: {logs}/b.ndjson: no such file or directory"
    assert 0 < a_beginning(out, events) <= EVENTS // 2
    (tmp_path / "b").rename(logs / "b.ndjson")
    assert lapwing("detect", *arguments, "--close").returncode == 0
    assert ids_of(out / "scored.ndjson") == ids_of(events)
    assert sorted(alerts_of(out)) == sorted(alerts_of(events.parent / "out"))


def test_a_file_that_is_cut(events: Path, slow: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "events.ndjson", tmp_path / "out"
    shutil.copy(events, copy)
    with begun("detect", "--config", slow, "--input", copy, "--output", out) as child:
        wait_for_results(out, child)
        os.truncate(copy, 1000)
        assert failed(child) == f"lapwing: {copy}: became shorter while it was read"
    a_beginning(out, events)


@contextmanager
def small_disk(where: Path, size: int) -> Iterator[bool]:
    """A disk of its own of so many bytes; False where this machine lets nobody mount one."""
    where.mkdir()
    mounted = shutil.which("mount") and not run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", where).returncode
    try:
        yield bool(mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(where)], check=True)


_SMALL_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""
_NO_OVERRIDE = """
import ctypes, os, sys
CAP_DAC_OVERRIDE, PR_CAPBSET_DROP = 1, 24
ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)  # without it root is bound by permissions too
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("kept", [False, True])
def test_a_full_disk(kept: bool, events: Path, tmp_path: Path) -> None:
    disk, out = tmp_path / "disk", tmp_path / "disk" / "out"
    arguments = ["--input", events, "--output", out]
    arguments += ["--state", tmp_path / "state"] * kept
    with small_disk(disk, 2 << 20) as mounted:
        done = lapwing("detect", *arguments) if mounted else limited(2 << 20, *arguments)
        (line,) = said(done.stderr)
        assert (done.returncode, done.stdout) == (1, b"")
        assert line.startswith(f"lapwing: {out}")
        assert line.endswith(FULL if mounted else TOO_LARGE)
        a_beginning(out, events)
        if kept:
            if mounted:
                subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            again = lapwing("detect", *arguments, "--close")
            assert again.returncode == 0, again.stderr
            same_results(out, events)


def limited(most: int, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """The command, in which no file may grow above so many bytes."""
    return run(sys.executable, "-c", _SMALL_FILES, str(most), LAPWING, "detect", *arguments)


def test_a_file_that_may_not_grow(events: Path, tmp_path: Path) -> None:
    done = limited(1 << 20, "--input", events, "--output", tmp_path / "out")
    (line,) = said(done.stderr)
    assert done.returncode == 1
    assert line == f"lapwing: {tmp_path}/out/scored.ndjson: {TOO_LARGE}"
    assert a_beginning(tmp_path / "out", events) > 0


def test_a_state_directory_that_may_not_grow(events: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[state]\nshards = 1\n")
    words = ["--config", config, "--input", events, "--output", "-", "--state", tmp_path / "state"]
    done = limited(44 << 10, *words)
    (line,) = said(done.stderr)
    assert done.returncode == 1
    assert line.startswith(f"lapwing: {tmp_path}/state/log/")
    assert line.endswith(TOO_LARGE)


def test_a_state_directory_on_a_full_disk(events: Path, tmp_path: Path) -> None:
    disk, out = tmp_path / "disk", tmp_path / "out"
    arguments = ["detect", "--input", events, "--output", out, "--state", disk / "state"]
    with small_disk(disk, 640 << 10) as mounted:
        if not mounted:
            return  # the test before this one needs no mount
        done = lapwing(*arguments)
        (line,) = said(done.stderr)
        assert (done.returncode, done.stdout) == (1, b"")
        # Whichever needs room first.
        assert line.startswith((f"lapwing: {disk}/state/recovery: ", f"lapwing: {disk}/state/log/"))
        assert line.endswith(FULL)
        assert a_beginning(out, events) < EVENTS
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        assert lapwing(*arguments, "--close").returncode == 0
        same_results(out, events)


def test_an_output_that_is_a_file(events: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine\n")
    for out in (tmp_path / "out", tmp_path / "out" / "below"):
        done = lapwing("detect", "--input", events, "--output", out)
        assert (done.returncode, said(done.stderr)) == (
            1, [f"lapwing: {out}: not a directory, so no results can be written there"],
        )  # fmt: skip
    assert (tmp_path / "out").read_text() == "mine\n"


@pytest.mark.parametrize("place", ["output", "state"])
def test_a_directory_that_may_not_be_written(place: str, events: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    places = {"output": tmp_path / "out", "state": tmp_path / "state"} | {place: closed / "new"}
    words = [LAPWING, "detect", "--input", events, "--output", places["output"], "--state", places["state"]]
    done = run(sys.executable, "-c", _NO_OVERRIDE, *words)
    (line,) = said(done.stderr)
    assert (done.returncode, done.stdout) == (1, b"")
    assert line.startswith(f"lapwing: {closed}/new: ")
    assert "ermission denied" in line


def test_a_log_that_may_not_be_written(events: Path, tmp_path: Path) -> None:
    """What shards know cannot be saved: nothing of the epoch is done, and with the permission all comes after all."""
    state, out = tmp_path / "state", tmp_path / "out"
    begun = tmp_path / "begun.ndjson"
    begun.write_bytes(b"".join(events.read_bytes().splitlines(keepends=True)[:100]))
    words = ["detect", "--input", tmp_path / "in.ndjson", "--output", out, "--state", state, "--quiet"]
    (tmp_path / "in.ndjson").write_bytes(begun.read_bytes())
    assert lapwing(*words).returncode == 0
    before = {path: path.read_bytes() for path in (state / "log").iterdir()}
    (tmp_path / "in.ndjson").write_bytes(events.read_bytes())
    (state / "log").chmod(0o555)
    done = run(sys.executable, "-c", _NO_OVERRIDE, LAPWING, *words)
    (line,) = said(done.stderr)
    assert done.returncode == 1
    assert line.startswith(f"lapwing: {state}/log/")
    assert line.endswith(": may not be written (Permission denied)")
    assert {path: path.read_bytes() for path in (state / "log").iterdir()} == before
    assert a_beginning(out, events) == 100
    (state / "log").chmod(0o755)
    assert lapwing(*words, "--close").returncode == 0
    same_results(out, events)


def bytewax(folder: Path, *flags: str) -> subprocess.Popen[bytes]:
    """Bytewax's own runner on the configuration in a folder, as data engineers know it."""
    words = [sys.executable, "-m", "bytewax.run", "flows.detect:flow('config.toml')", *flags]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    )


def configure(folder: Path, events: Path, rows: int = 4096) -> None:
    (folder / "config.toml").write_text(f'[input]\npath = "{events}"\nbatch_rows = {rows}\n[output]\npath = "out"\n')


def test_bytewax_with_two_workers(events: Path, tmp_path: Path) -> None:
    configure(tmp_path, events)
    with bytewax(tmp_path, "-w", "2") as child:
        code, lines = ended(child)
    assert (code, lines) == (0, ["lapwing: one worker a process is fastest: processes scale, threads do not"])
    same_results(tmp_path / "out", events)


def test_bytewax_with_a_recovery_store(events: Path, tmp_path: Path) -> None:
    """Stopped in the middle and started again: what was scored before is not scored again."""
    (tmp_path / "store").mkdir()
    words = [sys.executable, "-m", "bytewax.recovery", str(tmp_path / "store"), "2"]
    subprocess.run(words, capture_output=True, check=True)
    flags = ["-r", str(tmp_path / "store"), "-s", "1", "-b", "0"]
    configure(tmp_path, events, rows=5)
    with bytewax(tmp_path, *flags) as child:
        wait_for_results(tmp_path / "out", child)
        child.send_signal(signal.SIGTERM)
        assert ended(child) == (0, [])
    assert 0 < a_beginning(tmp_path / "out", events) < EVENTS
    configure(tmp_path, events)
    for _ in range(2):
        with bytewax(tmp_path, *flags) as child:
            assert ended(child) == (0, [])
        assert ids_of(tmp_path / "out" / "scored.ndjson") == ids_of(events)
