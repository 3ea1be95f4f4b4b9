"""What a state directory knows of where results went: the name its transactions bear, where the first run began."""

import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from flows import durable
from flows.errors import Refused
from flows.generations import WAY_OUT

_LINEAGE = "lineage"
_STARTS = "starts.json"
_MOVED = "moved"

Starts = Mapping[str, tuple[str, int]]


def lineage(state: Path) -> str:
    """The name of this state among others that wrote to the same topics; made, durably, when it is asked for first.

    Raises
    ------
    Refused
        If it is damaged.
    """
    path = state / _LINEAGE
    if not path.exists():
        durable.write(path, secrets.token_hex(8).encode())
    found = path.read_text(errors="replace").strip()
    if not (found.isalnum() and len(found) == 16):
        raise Refused(f"{path}: is damaged: {WAY_OUT}")
    return found


def known_starts(state: Path, new: Starts | None = None) -> dict[str, tuple[str, int]]:
    """The first offset of each source partition, by (topic's id, offset); `new` ones are kept, durably, with them.

    Raises
    ------
    Refused
        If the file is damaged.
    """
    path = state / _STARTS
    try:
        known = msgspec.json.decode(path.read_bytes(), type=dict[str, tuple[str, int]]) if path.exists() else {}
    except (msgspec.DecodeError, OSError) as error:
        raise Refused(f"{path}: cannot be read ({error}): {WAY_OUT}") from None
    both = {**(new or {}), **known}
    if both != known:
        durable.write(path, msgspec.json.encode(both))
    return both


def moved(state: Path) -> str:
    """What marks a state that no longer is the one that wrote the results before it; "" for one that is.

    A copy, or an earlier generation gone back to: files of results that it did not write itself are not its own.
    """
    path = state / _MOVED
    return path.read_text(errors="replace").strip()[:32] if path.exists() else ""


def forget_starts(state: Path) -> None:
    """Let the next run begin where it is told to, as a first one."""
    (state / _STARTS).unlink(missing_ok=True)


def mark_moved(state: Path, *, copied: bool) -> None:
    """Mark a state as moved; a copy is to have a name of its own among transactions, too."""
    durable.write(state / _MOVED, secrets.token_hex(8).encode())
    if copied:
        durable.write(state / _LINEAGE, secrets.token_hex(8).encode())
