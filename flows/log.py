"""What a command says of its life on stderr: a line for people, or one JSON object a line.

`LAPWING_LOG` says which. Without it what runs until it is stopped writes JSON where stderr is no terminal, since a log
collector reads that, and all else writes for people, also in a pipe.

What is said names places, counts and what the operator configured, never what an event, a key or a header holds, nor a
secret of the environment.
"""

import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec

VARIABLE: Final = "LAPWING_LOG"
FORMATS: Final = ("text", "json")
Level = Literal["info", "warning", "error"]


def as_json() -> bool:
    """Whether lines are for machines."""
    return os.environ.get(VARIABLE) == "json"


def lasting() -> None:
    """From here on this is a run that lasts until it is stopped: JSON unless a terminal reads it, or LAPWING_LOG says.

    It is said in the environment, which the other processes of a run are given.
    """
    os.environ.setdefault(VARIABLE, "text" if sys.stderr.isatty() else "json")


def line(event: str, message: str, level: Level = "info", **members: Any) -> str:
    """One event of the application's life as a JSON object, without line end; times are UTC, milliseconds.

    >>> line("stop", "stopped", exit_code=0)[35:]
    '"level":"info","event":"stop","message":"stopped","exit_code":0}'
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    told = {"time": now, "level": level, "event": event, "message": message, **members}
    return msgspec.json.encode(told).decode()


def say(message: str, event: str = "note", level: Level = "info", **members: Any) -> None:
    """A line for whoever runs the command, in either form; `members` are for machines only."""
    text = line(event, message, level, **members) if as_json() else f"lapwing: {message}"
    print(text, file=sys.stderr, flush=True)


class Say(Protocol):
    """What says a line: `say`, or one of those below that say less."""

    def __call__(self, message: str, event: str = "note", level: Level = "info", **members: Any) -> None:
        """Say it."""


def hushed(message: str, event: str = "note", level: Level = "info", **members: Any) -> None:
    """What `--quiet` leaves: nothing for people, and for machines all that is no mere note."""
    if event != "note":
        record(event, message, level, **members)


def silent(message: str, event: str = "note", level: Level = "info", **members: Any) -> None:
    """Nothing, for whoever runs a flow for its results alone."""


def record(event: str, message: str, level: Level = "info", **members: Any) -> None:
    """A line for machines only."""
    if as_json():
        print(line(event, message, level, **members), file=sys.stderr, flush=True)


def bug(error: BaseException) -> None:
    """A mistake of ours as one line: what was raised, where, and because of what. Its own words may quote an event."""
    chain: list[str] = []
    frames: list[str] = []
    one: BaseException | None = error
    while one is not None and len(chain) < 8:
        chain.append(type(one).__name__)
        frames += [f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in traceback.extract_tb(one.__traceback__)]
        one = one.__cause__ or one.__context__
    say(f"a bug: {' from '.join(chain)}", "error", "error", exit_code=1, frames=frames[-40:])
