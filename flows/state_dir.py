"""The state directory: one run at a time, one identity for ever, and the places in it."""

import fcntl
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
from bytewax.recovery import init_db_dir

from flows import durable
from flows.errors import OutputError, Refused
from flows.generations import WAY_OUT, finish_moves, set_aside

RECOVERY_PARTS: Final = 8
_IDENTITY: Final = "identity.json"
_OF_A_RUN: Final = ("sources.json", "starts.json", "lineage")
"""What is written only once there is an identity."""
_LONGEST_IDENTITY: Final = 1 << 20
_SQLITE: Final = re.compile(r'SqliteFailure\(Error \{ code: (\w+)[^}]*\}, (?:Some\("([^"]*)"\))?')


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

    def close(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1

    def __enter__(self) -> "StateDir":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_state(path: str, identity: dict[str, str], *, fresh: bool = False) -> StateDir:
    """The state directory, locked for this process, made and marked with `identity` where it is new.

    With `fresh` what is there is moved aside first, whatever it is. Cheap: a few small files. Killed at any moment, the
    next call finishes what this one began: `identity.json` is written last, so a directory without it, and without what
    only a run leaves, holds no state yet.

    Raises
    ------
    Refused
        If another run holds the directory, if it was made for another identity, or if parts of it are gone.
    OutputError
        If it cannot be made or written.
    """
    root = Path(path)
    state = locked(path, make=True)
    try:
        if fresh:
            aside = set_aside(root, "fresh")
            kept = f"; what it held is kept in {aside.path}" if aside else ": it held nothing"
            state.notes = (f"state {path}: starting from nothing{kept}",)
        known = read_identity(path)
        if known is None:
            _make(state, identity)
            state.notes = state.notes or (f"state is new: nothing is known yet in {path}",)
        elif lines := differences(known, identity):
            raise Refused(
                f"{path}: this state was made with another configuration ({'; '.join(lines)}). "
                "Put the old values back, give another --state directory, or start from nothing with --fresh"
            )
        elif missing := [name for name in _stores() if not (state.recovery / name).is_file()]:
            raise Refused(f"{path}: recovery/{missing[0]} is missing: {WAY_OUT}")
    except OSError as error:
        state.close()
        raise OutputError(f"{path}: cannot be used as state directory ({error.strerror})") from None
    except BaseException:
        state.close()
        raise
    return state


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
    try:
        _take(lock, path)
        finish_moves(root)
    except OSError as error:
        state.close()
        raise OutputError(f"{path}: cannot be used as state directory ({error.strerror})") from None
    except BaseException:
        state.close()
        raise
    return state


def known_sources(state: StateDir, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The source partitions of all runs with this state; `names` are added to them.

    Bytewax cannot resume without a partition that it has known, so one that has gone must go on being named.

    Raises
    ------
    Refused
        If the list is damaged.
    """
    path = state.path / "sources.json"
    try:
        known = msgspec.json.decode(path.read_bytes(), type=list[str]) if path.exists() else []
    except (msgspec.DecodeError, OSError) as error:
        raise Refused(f"{path}: cannot be read ({error}): {WAY_OUT}") from None
    both = tuple(sorted({*known, *names}))
    if set(both) != set(known):
        durable.write(path, msgspec.json.encode(both))
    return both


def read_identity(path: str) -> dict[str, str] | None:
    """The identity that a state directory was made for; None if it holds no state yet.

    Raises
    ------
    Refused
        If the file is there but is not an identity.
    """
    try:
        with open(Path(path) / _IDENTITY, "rb") as file:
            found = json.loads(file.read(_LONGEST_IDENTITY))
    except FileNotFoundError:
        if left := [name for name in _OF_A_RUN if (Path(path) / name).exists()]:
            raise Refused(f"{path}: {_IDENTITY} is missing, though {left[0]} is there: {WAY_OUT}") from None
        return None
    except OSError as error:
        raise Refused(f"{path}: {_IDENTITY} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Refused(f"{path}: {_IDENTITY} is damaged: {WAY_OUT}")
    return found


def store_failure(state: StateDir, error: BaseException) -> OutputError | None:
    """The error for the user where the recovery store could not be written; None if something else went wrong.

    The engine has no exception for it: what SQLite said stands in the text of a panic.

    >>> state = StateDir(Path("state"), -1)
    >>> panic = RuntimeError('an `Err` value: SqliteFailure(Error { code: DiskFull, extended_code: 13 }, Some("full"))')
    >>> print(store_failure(state, panic), store_failure(state, RuntimeError("a bug")))
    state/recovery: no space is left on the device; free some and start again None
    """
    found = _SQLITE.search(str(error))
    if found is None:
        return None
    if found[1] == "DiskFull":
        return OutputError(f"{state.recovery}: no space is left on the device; free some and start again")
    return OutputError(f"{state.recovery}: cannot be written ({found[2] or found[1]})")


def differences(known: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """One phrase for each key in which two identities differ, in key order.

    >>> differences({"state.shards": "8"}, {"state.shards": "4"})
    ['state.shards was 8, now 4']
    >>> differences({}, {"state.shards": "4"})
    ['state.shards was not set, now 4']
    """
    return [
        f"{key} was {known.get(key, 'not set')}, now {wanted.get(key, 'not set')}"
        for key in sorted(known.keys() | wanted.keys())
        if known.get(key) != wanted.get(key)
    ]


def _take(lock: int, path: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(f"{path}: another run of lapwing is using this state directory") from None


def _stores() -> list[str]:
    return [f"part-{at}.sqlite3" for at in range(RECOVERY_PARTS)]


def _make(state: StateDir, identity: dict[str, str]) -> None:
    state.log.mkdir(exist_ok=True)
    state.recovery.mkdir(exist_ok=True)
    # A start that was killed half way leaves stores without an identity; initialising those again would fail.
    for part in state.recovery.iterdir():
        part.unlink()
    init_db_dir(state.recovery, RECOVERY_PARTS)  # type: ignore[no-untyped-call]
    durable.write(state.path / _IDENTITY, json.dumps(identity, indent=1, sort_keys=True).encode() + b"\n")
