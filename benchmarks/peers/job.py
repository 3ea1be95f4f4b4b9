"""The job that every engine does: minutes counted by address, endpoint and user, and how strange each count is.

An entity is the value of a dimension within a tenant. Of each entity's minutes of event time that have events the count
is told, and its z-score against an exponentially weighted mean and variance of the entity's minutes before it. Events
are at most `LATENESS_S` out of order; a minute is told once, when no event of it can come any more.

Nothing here imports the project, or more than orjson: the engines run in an environment of their own.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import orjson

DIMENSIONS = ("ip", "endpoint", "user")
LATENESS_S = 5
ALPHA = 0.01
LEAST_VARIANCE = 1.0
"""So that an entity with the same count every minute is not strange by one event more."""
MINUTE = 16
"""Characters of "2026-11-02T00:00"."""
Job = Callable[[str, str], None]
"""Reads events from the first path, a JSON object a line, and writes a row for each entity and minute to the second."""


class Smoothed:
    """Mean and mean square of an entity's minutes, the newest with weight `ALPHA`, the first one as it is."""

    __slots__ = ("mean", "square")

    def __init__(self) -> None:
        self.mean = self.square = math.nan

    def z(self, count: int) -> float:
        """The z-score of the next minute's count, which is learned thereafter; 0 for the first minute.

        >>> of = Smoothed()
        >>> of.z(10), of.z(10), of.z(13), round(of.z(10), 4)
        (0.0, 0.0, 3.0, -0.03)
        """
        mean, square = self.mean, self.square
        if mean != mean:
            self.mean, self.square = count, count * count
            return 0.0
        z: float = (count - mean) / math.sqrt(max(square - mean * mean, LEAST_VARIANCE))
        self.mean = mean + ALPHA * (count - mean)
        self.square = square + ALPHA * (count * count - square)
        return z


def row(dimension: str, tenant: str, entity: str, minute: str, count: int, z: float) -> bytes:
    """A row as every engine writes it, its newline too."""
    said = {"dimension": dimension, "tenant": tenant, "entity": entity, "minute": minute, "n": count, "z": z}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def plain(events: str, output: str) -> None:
    """The job as a loop over dicts: the least a script can do, and what the engines' rows are compared with.

    It counts the whole file before it tells the first minute, so that no disorder can touch it.
    """
    counts: dict[tuple[str, str, str], dict[str, int]] = {}
    with open(events, "rb") as file:
        for line in file:
            event = orjson.loads(line)
            minute = event["time"][:MINUTE]
            for dimension in DIMENSIONS:
                entity = event.get(dimension)
                if entity is not None:
                    minutes = counts.setdefault((dimension, event["tenant"], entity), {})
                    minutes[minute] = minutes.get(minute, 0) + 1
    with open(output, "wb") as file:
        for key, minutes in counts.items():
            smoothed = Smoothed()
            file.writelines(
                row(*key, minute, minutes[minute], smoothed.z(minutes[minute])) for minute in sorted(minutes)
            )


@dataclass(frozen=True, slots=True)
class Told:
    """What rows say, whatever their order; `events` counts an event once for each of its dimensions."""

    windows: int
    events: int
    checksum: str
    z: float


def told(output: str) -> Told:
    """The rows of a file. The checksum is the sum of a hash of each (dimension, tenant, entity, minute, count).

    `z` is the sum of the absolute scores.
    """
    windows = events = total = 0
    z = 0.0
    with open(output, "rb") as file:
        for line in file:
            said = orjson.loads(line)
            key = orjson.dumps([said[name] for name in ("dimension", "tenant", "entity", "minute", "n")])
            total += int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
            windows += 1
            events += said["n"]
            z += abs(said["z"])
    return Told(windows, events, f"{total % 2**64:016x}", z)
