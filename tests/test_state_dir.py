"""The state directory: locked, marked, and whole after any death."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import OutputError, Refused
from flows.state_dir import RECOVERY_PARTS, open_state
from flows.state_identity import read_identity

IDENTITY = {"state.shards": "8", "layout": "1"}


def test_a_new_directory_has_its_places(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "state"
    with open_state(str(root), IDENTITY) as state:
        assert state.log.is_dir()
        assert len(list(state.recovery.glob("part-*.sqlite3"))) == RECOVERY_PARTS
    assert read_identity(str(root)) == IDENTITY
    assert read_identity(str(tmp_path / "absent")) is None


def test_opening_again_keeps_what_is_there(tmp_path: Path) -> None:
    open_state(str(tmp_path), IDENTITY).close()
    (tmp_path / "log" / "kept").write_text("x")
    inode = (tmp_path / "recovery" / "part-0.sqlite3").stat().st_ino
    with open_state(str(tmp_path), dict(reversed(IDENTITY.items()))):
        assert (tmp_path / "log" / "kept").read_text() == "x"
        assert (tmp_path / "recovery" / "part-0.sqlite3").stat().st_ino == inode


def test_a_second_run_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from flows.state_dir import open_state\n"
        f"held = open_state({str(tmp_path)!r}, {IDENTITY!r}); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Refused, match="another run of lapwing") as caught:
            open_state(str(tmp_path), IDENTITY)
        assert caught.value.exit_code == 3
        other.kill()
    open_state(str(tmp_path), IDENTITY).close()


def test_another_identity_is_refused_with_what_differs(tmp_path: Path) -> None:
    open_state(str(tmp_path), IDENTITY).close()
    with pytest.raises(Refused, match=r"layout was 1, now not set; state.shards was 8, now 4") as caught:
        open_state(str(tmp_path), {"state.shards": "4"})
    assert "\n" not in str(caught.value)
    # The refusal has let go of the lock and changed nothing.
    open_state(str(tmp_path), IDENTITY).close()


@pytest.mark.parametrize("left", [(), ("part-0.sqlite3",), ("part-0.sqlite3", "part-7.sqlite3", "part-7.sqlite3-wal")])
def test_a_start_that_was_killed_half_way_is_finished(tmp_path: Path, left: tuple[str, ...]) -> None:
    root = tmp_path / "state"
    open_state(str(root), IDENTITY).close()
    half = tmp_path / "half"
    (half / "recovery").mkdir(parents=True)
    for name in left:
        source = root / "recovery" / name
        (half / "recovery" / name).write_bytes(source.read_bytes() if source.exists() else b"")
    (half / "identity.json.new").write_text('{"half')
    open_state(str(half), IDENTITY).close()
    assert read_identity(str(half)) == IDENTITY
    assert len(list((half / "recovery").glob("part-*.sqlite3"))) == RECOVERY_PARTS


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a": 1}', b"\xff", b"[" * 100_000])
def test_a_damaged_identity_is_refused_not_overwritten(tmp_path: Path, content: bytes) -> None:
    open_state(str(tmp_path), IDENTITY).close()
    (tmp_path / "identity.json").write_bytes(content)
    with pytest.raises(Refused, match=r"identity\.json is damaged"):
        open_state(str(tmp_path), IDENTITY)
    assert (tmp_path / "identity.json").read_bytes() == content


def test_places_that_cannot_be_a_state_directory(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="cannot be used as state directory"):
        open_state(str(file), IDENTITY)
    with pytest.raises(OutputError, match="cannot be used as state directory"):
        open_state("/proc/state", IDENTITY)


def test_a_lost_recovery_store_is_refused(tmp_path: Path) -> None:
    open_state(str(tmp_path), IDENTITY).close()
    shutil.rmtree(tmp_path / "recovery")
    with pytest.raises(Refused, match="recovery"):
        open_state(str(tmp_path), IDENTITY)


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    with open_state(str(tmp_path), IDENTITY) as state:
        assert not os.get_inheritable(state.lock)
    assert state.lock == -1
    state.close()
    assert json.loads((tmp_path / "identity.json").read_text()) == IDENTITY
