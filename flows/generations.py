"""The earlier contents of a state directory: moved aside or copied below `previous`, and gone back to; none is deleted.

A generation is a directory `previous/STAMP-WHY` with all that made up the state then. They stay inside the state
directory because that may be a volume of its own, which can neither be renamed nor have anything beside it. What moves
is written down first, in `moves.json`, so that a death in the middle is made good by the next one to open the state.
"""

import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from flows import durable
from flows.errors import OutputError, Refused

PREVIOUS: Final = "previous"
_MOVES: Final = "moves.json"
_NO_CONTENT: Final = ("lock", PREVIOUS, _MOVES, "lost+found", "mutes.json", "verdicts.ndjson")
"""What is no state: also what people said, which holds for whatever runs here."""
_STAMP: Final = "%Y%m%dT%H%M%S"
_STAMP_LENGTH: Final = 15
_UNFINISHED: Final = ".copying"
WAY_OUT: Final = (
    "restore the whole directory from a copy, go back with `lapwing state rollback`, or start from nothing with --fresh"
)
"""What to do about state that cannot be used."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One earlier content: why it was kept, and where it lies."""

    path: Path

    @property
    def name(self) -> str:
        """Its name, which sorts by age."""
        return self.path.name

    @property
    def why(self) -> str:
        """What replaced it: `fresh`, `upgrade`, `rewarm` or `rollback`."""
        return self.name[_STAMP_LENGTH + 1 :]


def content(root: Path) -> list[str]:
    """The names of what makes up the state in a directory, sorted."""
    return sorted(
        name for name in os.listdir(root) if name not in _NO_CONTENT and not name.endswith((".tmp", _UNFINISHED))
    )


def generations(root: Path) -> list[Generation]:
    """All earlier contents, the oldest first."""
    below = root / PREVIOUS
    names = sorted(os.listdir(below)) if below.is_dir() else []
    return [Generation(below / name) for name in names if _is_generation(name)]


def set_aside(root: Path, why: str) -> Generation | None:
    """Move the whole content to a new generation; None where there is nothing."""
    names = content(root)
    if not names:
        return None
    to = _new(root, why)
    _move(root, [(name, f"{PREVIOUS}/{to.name}/{name}") for name in names])
    return to


def keep_copy(root: Path, why: str) -> Generation:
    """Copy the content to a new generation. Nobody may be writing to it.

    Raises
    ------
    OutputError
        There is no room for it; nothing is left of the attempt.
    """
    to = _new(root, why)
    (root / PREVIOUS).mkdir(exist_ok=True)
    draft = to.path.with_name(to.name + _UNFINISHED)
    try:
        copy(root, draft)
    except OSError as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise OutputError(
            f"{root}: its previous generation cannot be kept ({reason(error)}): a copy takes {size(root):,} bytes"
        ) from None
    draft.rename(to.path)
    durable.sync(root / PREVIOUS)
    return to


def earlier(root: Path, name: str = "") -> Generation:
    """The generation of a name, else the newest that no rollback has set aside.

    Raises
    ------
    Refused
        There is none.
    """
    known = generations(root)
    found = [one for one in known if one.name == name] if name else [one for one in known if one.why != "rollback"]
    if not found:
        there = ", ".join(one.name for one in known) or "none"
        raise Refused(f"{root}: has no {name or 'earlier generation'} to go back to; kept: {there}")
    return found[-1]


def roll_back(root: Path, back: Generation) -> Generation | None:
    """Make an earlier content the present one; where the content lies now that was there before."""
    now = content(root)
    aside = _new(root, "rollback") if now else None
    moves = [(one, f"{PREVIOUS}/{aside.name}/{one}") for one in now] if aside else []
    below = f"{PREVIOUS}/{back.name}"
    moves += [(f"{below}/{one}", one) for one in content(back.path)]
    _move(root, moves)
    return aside


def finish_moves(root: Path) -> None:
    """Make good what a death has interrupted: moves are finished, copies that are not whole go.

    Raises
    ------
    Refused
        What was to be moved cannot be read.
    """
    path = root / _MOVES
    if path.exists():
        try:
            moves = msgspec.json.decode(path.read_bytes(), type=list[tuple[str, str]])
        except msgspec.DecodeError:
            raise Refused(f"{path}: is damaged; restore the whole directory, or start with another --state") from None
        _carry_out(root, moves)
    for draft in (root / PREVIOUS).glob(f"*{_UNFINISHED}"):
        shutil.rmtree(draft)


def copy(root: Path, to: Path) -> None:
    """Copy a state's content to a new directory, durably.

    Raises
    ------
    OSError
        As the system says.
    """
    to.mkdir(parents=True)
    for name in content(root):
        if (root / name).is_dir():
            shutil.copytree(root / name, to / name)
        else:
            shutil.copy2(root / name, to / name)
    for folder, _, files in os.walk(to):
        for name in files:
            durable.sync(Path(folder, name))
        durable.sync(Path(folder))


def size(root: Path) -> int:
    """The bytes of a state's content."""
    found = 0
    for name in content(root):
        path = root / name
        files = [Path(folder, one) for folder, _, below in os.walk(path) for one in below] if path.is_dir() else [path]
        found += sum(one.stat().st_size for one in files)
    return found


def reason(error: OSError) -> str:
    """Why a copy failed; copying a tree tells only of all files together, and of each by its text."""
    return error.strerror or ("no space left on device" if "No space left" in str(error) else str(error)[:200])


def _new(root: Path, why: str) -> Generation:
    """A generation of now, or of the second after the newest: names sort by age."""
    at = int(time.time())
    known = generations(root)
    if known:
        newest = datetime.strptime(known[-1].name[:_STAMP_LENGTH], _STAMP).replace(tzinfo=UTC)
        at = max(at, int(newest.timestamp()) + 1)
    return Generation(root / PREVIOUS / f"{datetime.fromtimestamp(at, UTC).strftime(_STAMP)}-{why}")


def _is_generation(name: str) -> bool:
    try:
        datetime.strptime(name[:_STAMP_LENGTH], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return False
    return name[_STAMP_LENGTH : _STAMP_LENGTH + 1] == "-" and not name.endswith(_UNFINISHED)


def _move(root: Path, moves: list[tuple[str, str]]) -> None:
    durable.write(root / _MOVES, msgspec.json.encode(moves))
    _carry_out(root, moves)


def _carry_out(root: Path, moves: list[tuple[str, str]]) -> None:
    """Rename what has not been renamed yet. Where the target stands, it has: a place is filled only once emptied."""
    folders = {root, *((root / to).parent for _, to in moves)}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for was, to in moves:
        if (root / was).exists() and not (root / to).exists():
            (root / was).rename(root / to)
    for folder in {*folders, *((root / was).parent for was, _ in moves)}:
        if folder.parent.name == PREVIOUS and folder.exists() and not content(folder):
            shutil.rmtree(folder)
        elif folder.exists():
            durable.sync(folder)
    (root / _MOVES).unlink()
    durable.sync(root)
