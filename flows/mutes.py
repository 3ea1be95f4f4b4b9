"""Mutes in force: a small file of the state directory, written by people and read by a run while it goes on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from flows import durable, log
from flows.errors import InputError, Refused
from models.mutes import Mute, Mutes

MUTES: Final = "mutes.json"
MOST: Final = 1_000
KEPT_MS: Final = 7 * 86_400_000
"""How long a mute that is over stays in the file: a run that is behind needs it for what opened meanwhile."""
LOOK_S: Final = 1.0
_MOST_BYTES: Final = 1 << 22


def read_mutes(state: Path) -> tuple[Mute, ...]:
    """All mutes of a state directory, those too that were over less than a week ago; none where there is no file.

    Raises
    ------
    Refused
        The file is damaged.
    InputError
        It cannot be read.
    """
    path = state / MUTES
    try:
        with path.open("rb") as file:
            found = msgspec.json.decode(file.read(_MOST_BYTES), type=list[Mute])
    except FileNotFoundError:
        return ()
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(f"{path}: is damaged; mend or remove it, a run goes on with what it knew") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    return tuple(found[:MOST])


def in_force(state: Path) -> list[Mute]:
    """The mutes that are not over by the wall clock; none where the file is damaged."""
    try:
        return [one for one in read_mutes(state) if one.until > now_ms()]
    except (InputError, Refused):
        return []


def change_mutes(state: Path, change: Callable[[list[Mute]], list[Mute]]) -> None:
    """Replace the mutes by what `change` makes of them; durable when this returns. Several may do so at a time.

    Raises
    ------
    Refused
        The file is damaged, or there would be more than a thousand.
    OutputError
        It cannot be written; what was there stands.
    """
    path = state / MUTES
    try:
        with durable.alone(state):  # a run holds a file in it, not the directory
            oldest = now_ms() - KEPT_MS
            found = change([one for one in read_mutes(state) if one.until > oldest])
            if len(found) > MOST:
                raise Refused(f"{path}: has {MOST} mutes already; `lapwing unmute` ends some")
            durable.write(path, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    except OSError as error:
        raise durable.cannot_write(path, error) from None


def now_ms() -> int:
    """The wall clock in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class MutesInForce:
    """The mutes of a state directory for a running flow: read again when the file has changed, once a second at most.

    A damaged file is told once, and what was known before goes on to count.
    """

    def __init__(self, state: Path, tell: log.Say = log.silent) -> None:
        self._state, self._tell = state, tell
        self._looked = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._mutes = Mutes()

    def __call__(self) -> Mutes:
        """The mutes as they are now, or were less than a second ago."""
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked = now
            self._look()
        return self._mutes

    def _look(self) -> None:
        try:
            stat = (self._state / MUTES).stat()
        except OSError:
            self._seen, self._mutes = None, Mutes()
            return
        seen = stat.st_ino, stat.st_mtime_ns, stat.st_size
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._mutes = Mutes(read_mutes(self._state))
        except (InputError, Refused) as error:
            self._tell(str(error), level="warning")
