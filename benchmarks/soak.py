"""`make soak`: twelve hours of simulated traffic at full speed, and whether anything grows or slows down.

The real flow, on the simulator as a stream, in this process. Each hour's share of the events is a row: events a second
of processor time of the flow alone (the simulator's is taken off, and what else the machine does is not in it), memory,
and what the shards hold. The day begins at ten, from when it is evenly busy: what a busier hour needs is no growth. The
first third fills tables and is not judged.
"""

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import process_time
from typing import Any
from unittest.mock import patch

from benchmarks.lasting import resident, slope
from flows import detect, parts
from flows.config import Config, load
from flows.formats.simulated import Chunk, simulate
from flows.state_shape import table_limits
from models.base import DIMENSIONS

FLAT = 0.02
"""What may come and go over the whole run, as a share of the mean, even where the slope is certain."""
HOUR = 3600.0
START = datetime(2026, 11, 2, 10, tzinfo=UTC)


@dataclass(slots=True, frozen=True)
class Hour:
    """One simulated hour."""

    events: int
    seconds: float
    resident_mib: float
    entities: int
    active: int
    evicted: int
    overflowed: int


class Watched:
    """The simulator, with a look at the flow each time an hour's share of the events has been taken."""

    def __init__(self, events: int, hours: int, seed: int) -> None:
        self.hours: list[Hour] = []
        self.totals = detect.Totals()
        self._events, self._hours, self._seed = events, hours, seed
        self._began, self._simulating, self._seen = process_time(), 0.0, 0

    def chunks(self) -> Iterator[Chunk]:
        """The simulator's chunks."""
        source = simulate(self._events, self._seed, hours=float(self._hours), start=START)
        sent, step = 0, self._events / self._hours
        self._began = process_time()
        while True:
            began = process_time()
            chunk = next(source, None)
            self._simulating += process_time() - began
            if chunk is None:
                break
            if sent >= (len(self.hours) + 1) * step:
                self._look(sent)
            sent += chunk.count
            yield chunk
        self._look(sent)

    def _look(self, sent: int) -> None:
        now, totals = process_time(), self.totals
        counters = {name: totals.sum(name) for name in ("entities", "active", "evicted", "overflowed")}
        spent = now - self._began - self._simulating
        self.hours.append(Hour(sent - self._seen, spent, resident(), **counters))
        self._began, self._simulating, self._seen = now, 0.0, sent
        last = self.hours[-1]
        print(f"hour {len(self.hours)}: {last.events / last.seconds:,.0f} events/s", file=sys.stderr)


def run(hours: int, rate: float, seed: int, output: str) -> dict[str, Any]:
    """So many hours at so many events a second of their own time; results go to a folder."""
    config = load()
    watched = Watched(int(hours * HOUR * rate), hours, seed)
    with (
        patch.object(parts, "simulate", lambda *_: watched.chunks()),
        patch.object(detect, "Totals", lambda **_: watched.totals),
    ):
        done = detect.run(config, "synthetic", output, None, False, "lapwing", threading.Event())
    rows = watched.hours
    return judged(rows, config) | {"events": done.events, "rate": rate, "hours": [asdict(row) for row in rows]}


def judged(rows: list[Hour], config: Config) -> dict[str, Any]:
    """Slopes an hour with their 95 % intervals, and what they come to.

    Memory is flat, and throughput steady, if the slope is not certain or does not matter (`FLAT` of the mean).
    """
    late = rows[len(rows) // 3 :]
    memory = [row.resident_mib for row in late]
    speed = [row.events / row.seconds for row in late]
    grows, grows_by = slope(memory)
    slows, slows_by = slope(speed)
    limits = [table_limits(config, name) for name in DIMENSIONS]
    most_records = config.state.shards * sum(records for records, _ in limits)
    most_active = config.state.shards * sum(rings for _, rings in limits)
    return {
        "memory_slope": (grows, grows_by),
        "speed_slope": (slows, slows_by),
        "memory_flat": grows - grows_by <= 0 or grows * len(late) <= FLAT * sum(memory) / len(memory),
        "speed_steady": slows + slows_by >= 0 or -slows * len(late) <= FLAT * sum(speed) / len(speed),
        "within_bounds": all(row.entities <= most_records and row.active <= most_active for row in rows),
        "most_entities": most_records,
        "most_active": most_active,
    }


def report(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    names = ("hour", "events/cpu-s", "MiB", "entities", "active", "evicted", "no room")
    out = [
        f"{figures['events']:,} events at {figures['rate']:g}/s from {START:%H:%M} on",
        "",
        "".join(f"{name:>13}" for name in names),
    ]
    for number, row in enumerate(figures["hours"], 1):
        cells = [f"{row['events'] / row['seconds']:,.0f}", f"{row['resident_mib']:,.0f}"]
        cells += [f"{row[name]:,}" for name in ("entities", "active", "evicted", "overflowed")]
        out.append("".join(f"{cell:>13}" for cell in (str(number), *cells)))
    (grows, grows_by), (slows, slows_by) = figures["memory_slope"], figures["speed_slope"]
    says = {True: "yes", False: "NO"}
    return "\n".join(
        [
            *out,
            "",
            f"memory flat         {says[figures['memory_flat']]:4}{grows:+,.1f} MiB an hour, +-{grows_by:,.1f}",
            f"throughput steady   {says[figures['speed_steady']]:4}{slows:+,.0f} events/s an hour, +-{slows_by:,.0f}",
            f"state in its bounds {says[figures['within_bounds']]:4}at most {figures['most_entities']:,} entities,"
            f" {figures['most_active']:,} active",
        ]
    )


def main() -> None:
    """Run, print, and fail if anything grew or slowed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--hours", type=int, default=12)
    parser.add_argument("--rate", type=float, default=100.0, help="events a second of simulated time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lapwing-soak-") as folder:
        figures = run(arguments.hours, arguments.rate, arguments.seed, folder)
    print(json.dumps(figures, indent=2) if arguments.json else report(figures))
    sys.exit(not (figures["memory_flat"] and figures["speed_steady"] and figures["within_bounds"]))


if __name__ == "__main__":
    main()
