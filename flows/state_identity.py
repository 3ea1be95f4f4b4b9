"""What a state directory was made for, and what becomes of its content under another configuration."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from flows import durable
from flows.errors import Refused
from flows.generations import WAY_OUT
from models.base import OLDEST_SNAPSHOT

IDENTITY: Final = "identity.json"
VERSION: Final = "version"
_LONGEST: Final = 1 << 20
_OF_A_RUN: Final = ("sources.json", "starts.json", "lineage")
"""What is written only once there is an identity."""
_DETECTOR: Final = "detector "
_WHERE_BOTH: Final = ("kafka.sinks",)
"""Keys that bind only runs that have them: what is written elsewhere knows nothing of them."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a configuration means to saved state, a phrase for each key: refused, begun anew, or kept.

    `upgraded` says that the layout is an older one that is read, and written anew.
    """

    refused: tuple[str, ...]
    anew: tuple[str, ...]
    kept: tuple[str, ...]
    upgraded: bool

    def must_be_accepted(self, path: str) -> Refused | None:
        """The refusal of a run that was not told to accept what begins anew."""
        if not self.anew:
            return None
        return Refused(
            f"{path}: what was learned does not fit the configuration ({'; '.join(self.anew)}). Put the old values "
            "back, or give --accept-rewarm: these detectors then begin anew, and all else is kept"
        )

    def impossible(self, path: str) -> Refused | None:
        """The refusal of any run."""
        if self.refused:
            return Refused(
                f"{path}: this state was made with another configuration ({'; '.join(self.refused)}). "
                "Put the old values back, give another --state directory, or start from nothing with --fresh"
            )
        if self.anew and self.upgraded:
            return Refused(
                f"{path}: was written by an earlier version, and detectors have changed ({'; '.join(self.anew)}). Put "
                "the old values back for one run, which brings the state to this version; then change them"
            )
        return None


def changes(known: dict[str, str], wanted: dict[str, str]) -> Changes:
    """What becomes of state that was made for `known` under a configuration that makes it for `wanted`.

    >>> changes({"detector a": "x", "state.shards": "8"}, {"detector a": "y", "state.shards": "4", "kafka.sinks": "4"})
    Changes(refused=('state.shards was 8, now 4',), anew=('detector a was x, now y',), kept=('kafka.sinks',),
        upgraded=False)
    >>> changes({"layout": "3"}, {"layout": "4"})
    Changes(refused=(), anew=(), kept=('layout',), upgraded=True)
    """
    refused: list[str] = []
    anew: list[str] = []
    kept: list[str] = []
    upgraded = _follows(known.get("layout", ""), wanted.get("layout", ""))
    for key in sorted(known.keys() | wanted.keys()):
        free = key in _WHERE_BOTH and not (key in known and key in wanted)
        new = key.startswith(_DETECTOR) and key not in known  # nothing was learned that could be lost
        if known.get(key) == wanted.get(key) or free or new or (key == "layout" and upgraded):
            kept.append(key)
            continue
        phrase = f"{key} was {known.get(key, 'not set')}, now {wanted.get(key, 'not set')}"
        (anew if key.startswith(_DETECTOR) else refused).append(phrase)
    return Changes(tuple(refused), tuple(anew), tuple(kept), upgraded)


def _follows(known: str, wanted: str) -> bool:
    return known.isdecimal() and wanted.isdecimal() and OLDEST_SNAPSHOT <= int(known) < int(wanted)


def read_identity(path: str | Path) -> dict[str, str] | None:
    """The identity that a state directory was made for; None if it holds no state yet.

    Raises
    ------
    Refused
        If the file is there but is not an identity, or is missing beside what only a run leaves.
    """
    try:
        with open(Path(path) / IDENTITY, "rb") as file:
            found = json.loads(file.read(_LONGEST))
    except FileNotFoundError:
        if left := [name for name in _OF_A_RUN if (Path(path) / name).exists()]:
            raise Refused(f"{path}: {IDENTITY} is missing, though {left[0]} is there: {WAY_OUT}") from None
        return None
    except OSError as error:
        raise Refused(f"{path}: {IDENTITY} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise Refused(f"{path}: {IDENTITY} is damaged: {WAY_OUT}")
    return found


def write_identity(root: Path, identity: dict[str, str]) -> None:
    """Mark a state directory, durably."""
    durable.write(root / IDENTITY, json.dumps(identity, indent=1, sort_keys=True).encode() + b"\n")


def written_by(root: Path) -> str:
    """The version of Lapwing that wrote to a state directory last, "" where none has said so."""
    path = root / VERSION
    return path.read_text(errors="replace").strip()[:64] if path.exists() else ""


def write_version(root: Path) -> None:
    """Say, durably, that this version writes from now on."""
    durable.write(root / VERSION, this_version().encode() + b"\n")


def this_version() -> str:
    """The version that runs."""
    return version("lapwing")
