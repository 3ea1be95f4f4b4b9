"""A process that is forked from the prepared one is like one that was started."""

import os
import subprocess
import sys
from pathlib import Path

from tests.command import LAPWING, begun, children, lapwing, run
from tests.prepared import Prepared


def test_it_ends_and_says_what_a_started_one_does(tmp_path: Path) -> None:
    """In a folder and an environment of its own."""
    (tmp_path / "config.toml").write_text('[state]\nhash_seed_env = "MARK"\n[output]\npath = "-"\nsurprise = 1\n')
    words, how = ("check", "config.toml"), {"cwd": tmp_path, "env": {**os.environ, "MARK": "1"}}
    forked, real = lapwing(*words, **how), run(LAPWING, *words, **how)
    assert real.returncode == 2
    assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)


def test_it_is_a_child_that_signals_reach(tmp_path: Path) -> None:
    words = ("detect", "--input", "-", "--output", tmp_path / "out", "--quiet")
    with begun(*words, stdin=subprocess.PIPE) as child:
        assert isinstance(child, Prepared) == (sys.platform == "linux")
        assert child.pid in children(os.getpid())
        child.kill()
        assert child.wait(60) == -9
    with begun(*words, stdin=subprocess.PIPE) as child:
        assert child.communicate(b"", 300) == (b"", b"")
    assert child.returncode == 0


def test_an_environment_that_imports_read_needs_a_start() -> None:
    with begun("--version", env={**os.environ, "NUMBA_DISABLE_JIT": "1"}) as child:
        assert not isinstance(child, Prepared)
        assert child.communicate(timeout=300)[0].startswith(b"lapwing ")
