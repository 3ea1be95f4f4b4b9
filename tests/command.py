"""The real command, as a user starts it."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from flows import cli
from tests.prepared import started

LAPWING = str(Path(sys.executable).with_name("lapwing"))
ROOT = Path(__file__).parent.parent
SAYS = ("lapwing: compiling", "lapwing: replacing", "lapwing: state is new")
"""Lines on stderr that depend on what ran before."""
NATIVE = ("Traceback", "panicked", "RUST_BACKTRACE", "stack backtrace", "Box<dyn Any>", "BytewaxRuntimeError")


def run(*words: str | Path, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """A program, run to its end."""
    return subprocess.run([*map(str, words)], check=False, **{"capture_output": True, "timeout": 300, **how})


def lapwing(*arguments: str | Path, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """The command, run to its end in a process of its own (see `tests.prepared`)."""
    given, limit = how.pop("input", None), how.pop("timeout", 300)
    if given is not None:
        how["stdin"] = subprocess.PIPE
    with begun(*arguments, **how) as process:
        try:
            out, err = process.communicate(given, limit)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def command(*arguments: str | Path) -> tuple[int, str, list[str]]:
    """The command in this process: its exit code, what it prints, what it says."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["lapwing", *map(str, arguments)]
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            cli.main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
    return code, out.getvalue(), said(err.getvalue().encode())


def begun(*arguments: str | Path, **how: Any) -> subprocess.Popen[bytes]:
    """The command, running in a process of its own (see `tests.prepared`)."""
    words = [LAPWING, *map(str, arguments)]
    return started(words, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **how})


def children(parent: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, above = stat.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(above) == parent and state != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


def said(stderr: bytes) -> list[str]:
    """What the command said for the user, one entry a line; native noise is an error."""
    text = stderr.decode()
    assert not [word for word in NATIVE if word in text], text
    return [line for line in text.splitlines() if line and not line.startswith(SAYS)]


def simulate(path: Path, events: int, seed: int) -> Path:
    """A file of simulated events, its truth beside it."""
    done = lapwing("simulate", "--events", str(events), "--seed", str(seed), "--output", path)
    assert done.returncode == 0, done.stderr
    return path


def whole_lines(directory: Path) -> Iterator[Path]:
    """The result files of lines in a directory, each checked to end with a whole one."""
    for path in sorted(directory.glob("*.ndjson")):
        with path.open("rb") as file:
            if os.path.getsize(path):
                file.seek(-1, os.SEEK_END)
                assert file.read() == b"\n", path
        yield path
