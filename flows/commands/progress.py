"""The live line of a run: only on a terminal, never in a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

_REFRESH_S = 0.2


class Progress(Protocol):
    """How far a run has come. `event_time` is microseconds UTC; before the first event anything outside 2000-2100."""

    events: int
    alerts: int
    dead_letters: int
    event_time: int
    bytes_read: int
    bytes_total: int | None


def line(seen: Progress, seconds: float) -> str:
    """The progress line after so many seconds of wall clock."""
    parts = []
    if seen.bytes_total:
        parts.append(f"{min(100.0, 100 * seen.bytes_read / seen.bytes_total):5.1f} %")
    parts.append(f"{seen.events:,} events")
    parts.append(f"{seen.events / max(seconds, 0.001):,.0f}/s")
    moment = event_clock(seen.event_time)
    if moment:
        parts.append(f"at {moment}")
    parts.append(_some(seen.alerts, "alert"))
    parts.append(_some(seen.dead_letters, "dead letter"))
    return "  ".join(parts)


def event_clock(microseconds: int) -> str:
    """An event time to the second; empty where there is none.

    >>> event_clock(1_793_577_600_000_000), event_clock(-(2**62))
    ('2026-11-02 00:00:00Z', '')
    """
    if not 946_684_800_000_000 <= microseconds < 4_102_444_800_000_000:
        return ""
    return f"{datetime.fromtimestamp(microseconds // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}Z"


@contextmanager
def live(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """What to call with each progress, or None where nobody looks: `quiet`, a pipe, a dumb terminal."""
    console = Console(stderr=True, highlight=False)
    if quiet or not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    began = time.monotonic()
    shown = 0.0
    # Alerts may go to stdout meanwhile, and that is no part of the picture.
    with Live(console=console, auto_refresh=False, redirect_stdout=False) as view:

        def show(seen: Progress) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown >= _REFRESH_S:
                shown = now
                view.update(Text(line(seen, now - began), no_wrap=True, overflow="ellipsis"), refresh=True)

        yield show


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
