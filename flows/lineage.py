"""What a state directory knows of topics: the name its transactions bear, and where the first run began."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from flows.errors import Refused

_LINEAGE = "lineage"
_STARTS = "starts.json"

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
        _keep(path, secrets.token_hex(8).encode())
    found = path.read_text(errors="replace").strip()
    if not (found.isalnum() and len(found) == 16):
        raise Refused(f"{path}: is damaged; restore the whole directory, or start with another --state")
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
        raise Refused(
            f"{path}: cannot be read ({error}); restore the directory, or start with another --state"
        ) from None
    both = {**(new or {}), **known}
    if both != known:
        _keep(path, msgspec.json.encode(both))
    return both


def _keep(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".tmp")
    with open(draft, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
