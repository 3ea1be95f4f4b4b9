"""What the commands of the people on shift have in common: ages, times, names, mutes."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from flows.durations import UNITS
from flows.errors import InputError
from flows.incidents import Case
from flows.mutes import read_mutes
from flows.query import Incident
from models.mutes import Mute, concerns

STATE_HELP: Final = "The state directory of the run: its mutes; else the configuration's."
_LONGEST_NAME: Final = 40


def ago(then_ms: int, now: float) -> str:
    """How long ago something was, in the largest unit that gives a whole number of at least one.

    >>> ago(0, 59.9), ago(0, 7200), ago(0, 200_000), ago(10_000, 0)
    ('59s', '2h', '2d', '0s')
    """
    seconds = max(0, int(now - then_ms / 1000))
    for unit in ("d", "h", "m"):
        if seconds >= (length := UNITS[unit] // 1_000_000):
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def utc(ms: int) -> str:
    """A time to the second; empty where it is none that anybody writes."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}" if 0 <= ms < 4_102_444_800_000 else ""


def when(text: str) -> str:
    """A source's own time: an epoch number as UTC, anything else as the source wrote it.

    >>> when("1795410000123"), when("1795410000"), when("2026-11-23T05:00:00+01:00"), when("nan")
    ('2026-11-23T05:00:00.123', '2026-11-23T05:00:00.000', '2026-11-23T05:00:00+01:00', 'nan')
    """
    try:
        number = float(text)
    except ValueError:
        return text
    unit = next((unit for unit, most in ((1, 1e11), (1e3, 1e14), (1e6, 1e17), (1e9, 1e20)) if 0 <= number < most), 0)
    return datetime.fromtimestamp(number / unit, UTC).isoformat(timespec="milliseconds")[:23] if unit else text


def entities_of(one: Incident) -> dict[str, str]:
    """An incident's entity, or both of them, by dimension."""
    return one.entities or {one.dimension: one.entity}


def named(one: Incident, longest: int = _LONGEST_NAME) -> str:
    """An incident's entity, or both of them, short enough for a column."""
    return ", ".join(
        f"{dimension} {name if len(name) <= longest else name[: longest - 1] + '…'}"
        for dimension, name in entities_of(one).items()
    )


def case_told(case: Case) -> dict[str, Any]:
    """A case as plain values, for programs."""
    return dict(msgspec.to_builtins(case)) | {"open": case.open}


def known_state(path: str) -> Path:
    """A state directory that is there.

    Raises
    ------
    InputError
        There is none.
    """
    if not (found := Path(path)).is_dir():
        raise InputError(f"{path}: no such state directory; it is what `lapwing detect --state` was given")
    return found


def mutes_told(state: Path, now: float, about: Incident | None = None) -> list[dict[str, Any]]:
    """The mutes in force, or those of an incident's like, as plain values with a line for people."""
    return [
        dict(msgspec.to_builtins(one)) | {"text": spelled(one, now)}
        for one in read_mutes(state)
        if one.until > now * 1000
        and (about is None or concerns(one, about.detection, about.tenant, entities_of(about).items()))
    ]


def spelled(one: Mute, now: float) -> str:
    """A mute in a line."""
    about = "".join(f", {name} {value}" for name, value in (("entity", one.entity), ("tenant", one.tenant)) if value)
    left = max(0, (one.until - int(now * 1000)) // 60_000)
    return f"{one.id}  {one.detection}{about} until {utc(one.until)} ({left} min left) by {one.by}: {one.reason}"
