"""Small trails of events that a test has written itself, and events as the reader gives them."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.commands.moments import micros
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from flows.trail import incoming
from flows.trail.keys import KeyStore
from flows.trail.reader import Trail, TrailEvent
from flows.trail.schema import stamp
from flows.trail.writer import Writer

NOW = 1_793_606_400_000_000
"""2026-11-02 08:00:00 UTC."""
MINUTE = 60_000_000


def told(minute: float, action: str = "login", outcome: str = "success", **members: Any) -> dict[str, Any]:
    """An event so many minutes after eight o'clock."""
    base = {"time": stamp(NOW + int(minute * MINUTE)), "tenant": "acme", "action": action, "outcome": outcome}
    return base | {name: value for name, value in members.items() if value is not None}


def read(one: dict[str, Any], offset: int = 0, log: str = "events.ndjson") -> TrailEvent:
    """An event as the reader gives it."""
    time = micros(one["time"], "time") or 0
    return TrailEvent(
        tree=one["tenant"], tenant=one["tenant"], time=time, received=None, log=log, leaf=offset, offset=offset,
        index=0, id=one.get("id"), event=one, lapwing=None,
    )  # fmt: skip


def made(folder: Path, events: Sequence[dict[str, Any]], alerts: Iterable[dict[str, Any]] = (), *,
         scored: bool = False) -> Trail:  # fmt: skip
    """A trail of events, in the order given, and of alerts; opened."""
    with KeyStore.open(folder / "keys", create=True) as keys:
        lines = [json.dumps(one, separators=(",", ":")).encode() for one in events]
        writer = Writer.open(str(folder / "trail"), "events", keys)
        writer.events(
            "events.ndjson",
            incoming.events(raw_batch("events.ndjson", lines), partial(decode, limits=Limits()), scored),
        )
        writer.move("events.ndjson", (len(lines) - 1, 0))
        writer.commit()
        messages = [json.dumps(one).encode() for one in alerts]
        if messages:
            writer = Writer.open(str(folder / "trail"), "alerts", keys)
            records, dead = incoming.records("alerts", raw_batch("alerts.ndjson", messages))
            assert not dead
            writer.records("alerts.ndjson", records)
            writer.move("alerts.ndjson", (len(messages) - 1, 0))
            writer.commit()
    return opened(folder)


def opened(folder: Path) -> Trail:
    """The trail of a folder."""
    return Trail.open(str(folder / "trail"), folder / "keys")


def places(folder: Path) -> list[str]:
    """The options that say where a folder's trail and keys are."""
    return ["--trail", str(folder / "trail"), "--keys", str(folder / "keys")]
