"""The state directory: one run at a time, one identity for ever, and the places in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
from bytewax.recovery import init_db_dir

from flows import durable, recovery_store, shard_log
from flows.errors import OutputError, Refused
from flows.generations import WAY_OUT, finish_moves, keep_copy, set_aside
from flows.state_identity import (
    Changes,
    changes,
    read_identity,
    this_version,
    write_identity,
    write_version,
    written_by,
)

RECOVERY_PARTS: Final = 8
_SOURCES: Final = "sources.json"


class InUse(Refused):
    """A run holds the state directory."""


@dataclass(slots=True)
class StateDir:
    """An open state directory. It stays locked until `close`, or until the process ends however it ends."""

    path: Path
    lock: int
    notes: tuple[str, ...] = ()
    """What whoever started the run must be told."""

    @property
    def recovery(self) -> Path:
        """Bytewax's recovery store, initialised."""
        return self.path / "recovery"

    @property
    def log(self) -> Path:
        """Where shards append the rows that changed."""
        return self.path / "log"

    def check(self) -> None:
        """Look for damage before a run meets it. Only while no run of this process is open.

        Raises
        ------
        Refused
            With the first file that is missing, damaged, or of another moment than the others.
        """
        recovery_store.check(self.recovery)
        shard_log.check(self.log, recovery_store.saved(self.recovery, "assess").values())

    def close(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def __enter__(self) -> "StateDir":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_state(path: str, identity: dict[str, str], *, fresh: bool = False, accept_rewarm: bool = False) -> StateDir:
    """The state directory, locked for this process, made and marked with `identity` where it is new.

    With `fresh` what is there is moved aside first, whatever it is. With `accept_rewarm` detectors that have changed
    begin anew. Before that, and before another version of Lapwing writes to it, what is there is copied. Killed at any
    moment, the next call finishes what this one began: `identity.json` is written last, so a directory without it, and
    without what only a run leaves, holds no state yet.

    Raises
    ------
    Refused
        If another run holds the directory, if it was made for another identity, or if it is damaged.
    OutputError
        If it cannot be made or written.
    """
    root = Path(path)
    state = locked(path, make=True)
    with _let_go_on_failure(state):
        notes = []
        if fresh:
            aside = set_aside(root, "fresh")
            kept = f"; what it held is kept in {aside.path}" if aside else ": it held nothing"
            notes.append(f"state {path}: starting from nothing{kept}")
        known = read_identity(path)
        if known is None:
            _make(state, identity)
            notes = notes or [f"state is new: nothing is known yet in {path}"]
        else:
            found = changes(known, identity)
            if refusal := found.impossible(path) or (None if accept_rewarm else found.must_be_accepted(path)):
                raise refusal
            state.check()
            notes += _carry_over(root, known, identity, found)
        state.log.mkdir(exist_ok=True)
        state.notes = tuple(notes)
    return state


def _carry_over(root: Path, known: dict[str, str], wanted: dict[str, str], found: Changes) -> list[str]:
    """Keep a copy where what follows cannot be undone, then mark the state as what it will be; what to tell."""
    by, notes = written_by(root), []
    if found.upgraded or by != this_version():
        kept = keep_copy(root, "upgrade")
        was = f"Lapwing {by}" if by else "an earlier version"
        notes.append(f"state {root}: was written by {was}; as it was then it is kept in {kept.path}")
    if found.anew:
        kept = keep_copy(root, "rewarm")
        notes.append(f"state {root}: begins anew: {'; '.join(found.anew)}; as it was it is kept in {kept.path}")
    both = {key: value for key, value in known.items() if key in found.kept} | wanted
    if both != known:
        write_identity(root, both)
    if by != this_version():
        write_version(root)
    return notes


def locked(path: str, *, make: bool = False) -> StateDir:
    """The state directory as it is, held for this process, with what an interrupted command had begun finished.

    Raises
    ------
    Refused
        If a run holds it.
    OutputError
        If it is not there, or cannot be written.
    """
    root = Path(path)
    try:
        if make:
            root.mkdir(parents=True, exist_ok=True)
        lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise OutputError(f"{path}: cannot be used as state directory ({error.strerror})") from None
    state = StateDir(root, lock)
    with _let_go_on_failure(state):
        _take(lock, path)
        finish_moves(root)
    return state


@contextmanager
def _let_go_on_failure(state: StateDir) -> Iterator[None]:
    """Give the lock back where a state directory turns out to be of no use."""
    try:
        yield
    except OSError as error:
        state.close()
        raise OutputError(f"{state.path}: cannot be used as state directory ({error.strerror})") from None
    except BaseException:
        state.close()
        raise


def known_sources(state: StateDir, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The source partitions of all runs with this state; `names` are added to them.

    Bytewax cannot resume without a partition that it has known, so one that has gone must go on being named.

    Raises
    ------
    Refused
        If the list is damaged.
    """
    path = state.path / _SOURCES
    try:
        known = msgspec.json.decode(path.read_bytes(), type=list[str]) if path.exists() else []
    except (msgspec.DecodeError, OSError) as error:
        raise Refused(f"{path}: cannot be read ({error}): {WAY_OUT}") from None
    both = tuple(sorted({*known, *names}))
    if set(both) != set(known):
        durable.write(path, msgspec.json.encode(both))
    return both


def forget_sources(root: Path) -> None:
    """Let the next run read other sources."""
    (root / _SOURCES).unlink(missing_ok=True)


def _take(lock: int, path: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(f"{path}: another run of lapwing is using this state directory") from None


def _make(state: StateDir, identity: dict[str, str]) -> None:
    state.recovery.mkdir(exist_ok=True)
    # A start that was killed half way leaves stores without an identity; initialising those again would fail.
    for part in state.recovery.iterdir():
        part.unlink()
    init_db_dir(state.recovery, RECOVERY_PARTS)  # type: ignore[no-untyped-call]
    write_version(state.path)
    write_identity(state.path, identity)
