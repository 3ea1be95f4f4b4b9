"""Bytewax's recovery store as it lies there: whether it is sound, and how far it is. For when no run holds it.

Never while a run of the same process is open: a second SQLite in it would let go of the first one's locks.
"""

import pickle
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from flows.errors import LapwingError, OutputError, Refused
from flows.generations import WAY_OUT

_SQLITE: Final = re.compile(r'SqliteFailure\(Error \{ code: (\w+)[^}]*\}, (?:Some\("([^"]*)"\))?')
_DAMAGED: Final = ("NotADatabase", "DatabaseCorrupt")
_NO_ROOM: Final = 1 << 16
"""A disk with fewer free bytes is full: the shared memory of one file takes half of it."""
_MOST_APART: Final = 8
"""Epochs by which files may be apart: after a crash one or two, after some were restored from a copy many."""
_TORN: Final = ("MissingPartitionsError", "InconsistentPartitionsError", "NoPartitionsError")


@dataclass(frozen=True, slots=True)
class Position:
    """How far a source partition is: the last (offset, index) that is done, and where its reader goes on."""

    source: str
    offset: int
    index: int
    reader: Any


def check(recovery: Path) -> None:
    """Look for damage before the engine meets it.

    Linear in the size of the store, at the speed of the disk.

    Raises
    ------
    Refused
        With the first file that is missing, of another store, damaged, or of another moment than the others.
    """
    count = 1
    at = 0
    epochs: list[int] = []
    while at < count:
        path = recovery / f"part-{at}.sqlite3"
        if not path.is_file():
            raise Refused(f"{path}: is missing: {WAY_OUT}")
        try:
            with _opened(path) as store:
                (found,) = store.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise sqlite3.DatabaseError(" ".join(found.split()))
                row = store.execute("SELECT part_index, part_count FROM parts").fetchone()
                store.execute("SELECT count(*) FROM snaps").fetchone()
                epochs += [epoch for (epoch,) in store.execute("SELECT commit_epoch FROM commits")]
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise OutputError(f"{path}: cannot be read ({error})") from None
            row = None
        except sqlite3.DatabaseError as error:
            raise Refused(f"{path}: is damaged ({error}): {WAY_OUT}") from None
        if row is None or row[0] != at:
            raise Refused(f"{path}: is damaged (it is {'empty' if row is None else 'another one'}): {WAY_OUT}")
        count = row[1]
        at += 1
    if epochs and max(epochs) - min(epochs) > _MOST_APART:
        raise _torn(recovery, f"of epochs {min(epochs)} to {max(epochs)}")


def resume_epoch(recovery: Path) -> int:
    """The epoch with which the next run goes on; those before it are durable."""
    runs: dict[int, int] = {}
    ends: dict[int, list[int]] = {}
    for store in _stores(recovery):
        runs |= dict(store.execute("SELECT ex_num, resume_epoch FROM exs"))
        for run, end in store.execute("SELECT ex_num, worker_frontier FROM fronts"):
            ends.setdefault(run, []).append(end)
    if not runs:
        return 1
    last = max(runs)
    return int(min(ends.get(last, [runs[last]])))


def positions(recovery: Path) -> list[Position]:
    """How far each source partition is, by name, as the next run will find it."""
    states = saved(recovery, "source")
    return [Position(name, state[2], state[3], state[1]) for name, state in states.items()]


def saved(recovery: Path, step: str) -> dict[str, Any]:
    """What a step, by its last name, has saved for each key, as the next run will find it."""
    before = resume_epoch(recovery)
    found: dict[str, tuple[int, bytes]] = {}
    for store in _stores(recovery):
        rows = store.execute(
            "SELECT state_key, snap_epoch, ser_change FROM snaps WHERE step_id LIKE ? AND snap_epoch < ?",
            (f"%.{step}", before),
        )
        for name, epoch, change in rows:
            if change is not None and epoch >= found.get(name, (-1, b""))[0]:
                found[name] = (epoch, change)
    return {name: pickle.loads(change) for name, (_, change) in sorted(found.items())}


def rewrite(recovery: Path, keep: Callable[[str], bool], change: Mapping[str, Callable[[bytes], bytes]]) -> None:
    """Leave only the state of steps to `keep`, by their last names, with that of some of them changed.

    Not for a store that somebody may go on with if this dies half way: for a copy.

    Raises
    ------
    OutputError
        There is no room for it.
    """
    try:
        _rewrite(recovery, keep, change)
    except sqlite3.OperationalError as error:
        raise OutputError(f"{recovery}: cannot be written ({error})") from None


def _rewrite(recovery: Path, keep: Callable[[str], bool], change: Mapping[str, Callable[[bytes], bytes]]) -> None:
    for store in _stores(recovery):
        rows = store.execute("SELECT rowid, step_id, ser_change FROM snaps").fetchall()
        for row, step, saved in rows:
            name = step.rpartition(".")[2]
            if not keep(name):
                store.execute("DELETE FROM snaps WHERE rowid = ?", (row,))
            elif saved is not None and name in change:
                made = pickle.dumps(change[name](pickle.loads(saved)))
                store.execute("UPDATE snaps SET ser_change = ? WHERE rowid = ?", (made, row))
        store.commit()


def failure(recovery: Path, error: BaseException) -> LapwingError | None:
    """The error for the user where the store could not be read or written; None if something else went wrong.

    The engine has no exception for most of it: what SQLite said stands in the text of a panic.

    >>> panic = RuntimeError('an `Err` value: SqliteFailure(Error { code: DiskFull, extended_code: 13 }, Some("full"))')
    >>> print(failure(Path("state/recovery"), panic), failure(Path("state/recovery"), RuntimeError("a bug")))
    state/recovery: no space is left on the device; free some and start again None
    """
    if type(error).__name__ in _TORN:
        return _torn(recovery, str(error))
    found = _SQLITE.search(str(error))
    if found is None:
        return None
    # Where SQLite finds no room for its shared memory, it speaks of a system error.
    if found[1] == "DiskFull" or (found[1] == "SystemIoFailure" and _free(recovery) < _NO_ROOM):
        return OutputError(f"{recovery}: no space is left on the device; free some and start again")
    if found[1] in _DAMAGED:
        return Refused(f"{recovery}: is damaged ({found[2] or found[1]}): {WAY_OUT}")
    return OutputError(f"{recovery}: cannot be written ({found[2] or found[1]})")


def _free(recovery: Path) -> int:
    return shutil.disk_usage(recovery).free if recovery.is_dir() else _NO_ROOM


def _torn(recovery: Path, how: str) -> Refused:
    return Refused(f"{recovery}: its files are not of one moment ({how}): {WAY_OUT}")


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True)) as store:
        yield store


def _stores(recovery: Path) -> Iterator[sqlite3.Connection]:
    for path in sorted(recovery.glob("part-*.sqlite3")):
        with _opened(path) as store:
            yield store
