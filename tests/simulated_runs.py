"""A simulation in memory: its lines, its events, its labels."""

import json
from typing import Any, NamedTuple

from flows.formats.simulated import simulate
from flows.formats.truth import Truth
from tests.naive_rules import Event


class Run(NamedTuple):
    """`events` are those that are events: dead letters are only in `lines`."""

    lines: bytes
    events: list[Event]
    truth: list[Truth]

    @property
    def ordinary(self) -> list[Event]:
        malicious = {one for truth in self.truth for one in truth.events}
        return [event for event in self.events if event["id"] not in malicious]

    def of(self, truth: Truth) -> list[Event]:
        """An attack's events by time."""
        wanted = set(truth.events)
        return sorted((event for event in self.events if event["id"] in wanted), key=lambda event: event["time"])


def run(*arguments: Any, **named: Any) -> Run:
    chunks = list(simulate(*arguments, **named))
    lines = b"".join(chunk.lines for chunk in chunks)
    assert [chunk.lines.count(b"\n") for chunk in chunks] == [chunk.count for chunk in chunks]
    events = [event for line in lines.splitlines() if (event := _event(line))]
    return Run(lines, events, [truth for chunk in chunks for truth in chunk.truth])


def _event(line: bytes) -> Event | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "T" in event.get("time", "") else None
