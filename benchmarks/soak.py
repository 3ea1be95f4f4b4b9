"""`make soak`: eleven days of simulated traffic at full speed, and whether anything grows or slows down.

The real flow, on the simulator as a stream, in this process. Each 24th of a day's events is a row: events a second of
processor time of the flow alone (the simulator's is taken off, and so is what the system does for it, such as writing
files; what else the machine does is not in it), memory, and what the shards hold. A quiet hour costs more an event
than a busy one, since every minute is closed for whoever was active; so the last day is judged beside the one before
it, row by row: of eleven days a Thursday beside a Wednesday. What comes before fills tables: the hours after a release
take memory that later days use again, and from the third day on hours of the day are known, and looked up.
"""

import argparse
import json
import resource
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

from benchmarks.curve import Curve, svg
from benchmarks.lasting import change, resident
from benchmarks.page import Bench, Section
from flows import detect, parts
from flows.config import Config, load
from flows.formats.simulated import Chunk, simulate
from flows.state_shape import table_limits
from models.base import DIMENSIONS

FLAT = 0.02
"""What may come and go from one day to the next, as a share of the mean, even where the change is certain."""
DAY = 86_400
ROWS = 24
"""Rows a day."""
START = datetime(2026, 11, 2, tzinfo=UTC)


@dataclass(slots=True, frozen=True)
class Row:
    """A part of a day's events."""

    events: int
    seconds: float
    resident_mib: float
    entities: int
    active: int
    evicted: int
    overflowed: int


def _user(who: int) -> float:
    """Seconds of processor time outside the system, of this process or this thread."""
    return resource.getrusage(who).ru_utime


class Watched:
    """The simulator, with a look at the flow each time a row's share of the events has been taken."""

    def __init__(self, days: int, events: int, seed: int, rows: int) -> None:
        self.rows: list[Row] = []
        self.totals = detect.Totals()
        self._hours, self._events, self._seed, self._all = 24.0 * days, events, seed, days * rows
        self._began, self._simulating, self._seen = _user(resource.RUSAGE_SELF), 0.0, 0

    def chunks(self) -> Iterator[Chunk]:
        """The simulator's chunks."""
        source = simulate(self._events, self._seed, hours=self._hours, start=START)
        sent, step = 0, self._events / self._all
        self._began = _user(resource.RUSAGE_SELF)
        while True:
            began = _user(resource.RUSAGE_THREAD)  # the flow goes on beside it, on threads of its own
            chunk = next(source, None)
            self._simulating += _user(resource.RUSAGE_THREAD) - began
            if chunk is None:
                break
            if sent >= (len(self.rows) + 1) * step:
                self._look(sent)
            sent += chunk.count
            yield chunk
        self._look(sent)

    def _look(self, sent: int) -> None:
        now, totals = _user(resource.RUSAGE_SELF), self.totals
        counters = {name: totals.sum(name) for name in ("entities", "active", "evicted", "overflowed")}
        spent = now - self._began - self._simulating
        self.rows.append(Row(sent - self._seen, spent, resident(), **counters))
        self._began, self._simulating, self._seen = now, 0.0, sent
        last = self.rows[-1]
        print(f"row {len(self.rows)} of {self._all}: {last.events / last.seconds:,.0f} events/s", file=sys.stderr)


def run(days: int, rate: float, seed: int, output: str, rows_a_day: int = ROWS) -> dict[str, Any]:
    """So many days at so many events a second of their own time; results go to a folder."""
    config = load()
    watched = Watched(days, int(days * DAY * rate), seed, rows_a_day)
    with (
        patch.object(parts, "simulate", lambda *_: watched.chunks()),
        patch.object(detect, "Totals", lambda **_: watched.totals),
    ):
        done = detect.run(config, "synthetic", output, None, False, "lapwing", threading.Event())
    rows = watched.rows
    return judged(rows, config, rows_a_day) | {
        "events": done.events,
        "rate": rate,
        "rows": [asdict(row) for row in rows],
    }


def judged(rows: list[Row], config: Config, rows_a_day: int = ROWS) -> dict[str, Any]:
    """What a day changes, with its 95 % interval, and what that comes to.

    Memory is flat, and throughput steady, if the change is not certain or does not matter (`FLAT` of the mean).
    """
    before, last = rows[-2 * rows_a_day : -rows_a_day], rows[-rows_a_day:]
    memory = [[row.resident_mib for row in day] for day in (before, last)]
    speed = [[row.events / row.seconds for row in day] for day in (before, last)]
    grows, grows_by = change(*memory)
    slows, slows_by = change(*speed)
    limits = [table_limits(config, name) for name in DIMENSIONS]
    most_records = config.state.shards * sum(records for records, _ in limits)
    most_active = config.state.shards * sum(rings for _, rings in limits)
    return {
        "memory_change": (grows, grows_by),
        "speed_change": (slows, slows_by),
        "memory_flat": grows - grows_by <= 0 or grows <= FLAT * sum(memory[1]) / rows_a_day,
        "speed_steady": slows + slows_by >= 0 or -slows <= FLAT * sum(speed[1]) / rows_a_day,
        "within_bounds": all(row.entities <= most_records and row.active <= most_active for row in rows),
        "most_entities": most_records,
        "most_active": most_active,
    }


def report(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    names = ("row", "events/cpu-s", "MiB", "entities", "active", "evicted", "no room")
    out = [
        f"{figures['events']:,} events at {figures['rate']:g}/s",
        "",
        "".join(f"{name:>13}" for name in names),
    ]
    for number, row in enumerate(figures["rows"], 1):
        cells = [f"{row['events'] / row['seconds']:,.0f}", f"{row['resident_mib']:,.0f}"]
        cells += [f"{row[name]:,}" for name in ("entities", "active", "evicted", "overflowed")]
        out.append("".join(f"{cell:>13}" for cell in (str(number), *cells)))
    (grows, grows_by), (slows, slows_by) = figures["memory_change"], figures["speed_change"]
    says = {True: "yes", False: "NO"}
    return "\n".join(
        [
            *out,
            "",
            f"memory flat         {says[figures['memory_flat']]:4}{grows:+,.1f} MiB since the day before, "
            f"+-{grows_by:,.1f}",
            f"throughput steady   {says[figures['speed_steady']]:4}{slows:+,.0f} events/s since the day before, "
            f"+-{slows_by:,.0f}",
            f"state in its bounds {says[figures['within_bounds']]:4}at most {figures['most_entities']:,} entities,"
            f" {figures['most_active']:,} active",
        ]
    )


def section(figures: dict[str, Any]) -> Section:
    """What the page says."""
    rows = figures["rows"]
    speed = [row["events"] / row["seconds"] for row in rows]
    (grows, grows_by), (slows, slows_by) = figures["memory_change"], figures["speed_change"]
    last = speed[-ROWS:]
    curves = (
        Curve([(k, each) for k, each in enumerate(speed, 1)], "row", "events/CPU s"),
        Curve([(k, row["resident_mib"]) for k, row in enumerate(rows, 1)], "row", "MiB"),
    )
    return Section(
        "soak",
        "Days on end",
        "Simulated days at full speed in one process; the last day is judged beside the one before it, "
        "row by row. Each 24th "
        "of a day's events is a row.",
        report(figures),
        {
            "soak.memory_change_mib": grows,
            "soak.memory_interval_mib": grows_by,
            "soak.speed_change": slows,
            "soak.speed_interval": slows_by,
            "soak.events_a_second": sum(last) / len(last),
            "soak.entities": rows[-1]["entities"],
        },
        svg("Speed and memory over the days", curves),
    )


def main() -> None:
    """Run, print, and fail if anything grew or slowed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--days", type=int, default=11, choices=range(2, 31), metavar="N", help="at least 2")
    parser.add_argument("--rate", type=float, default=20.0, help="events a second of simulated time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    bench = Bench(parser)
    arguments = bench.arguments
    with tempfile.TemporaryDirectory(prefix="lapwing-soak-") as folder:
        figures = run(arguments.days, arguments.rate, arguments.seed, folder)
    print(json.dumps(figures, indent=2) if arguments.json else report(figures))
    bench.write(section(figures))
    sys.exit(not (figures["memory_flat"] and figures["speed_steady"] and figures["within_bounds"]))


if __name__ == "__main__":
    main()
