"""The job that every engine here does: for each address and minute of event time, its events and its failed logins.

`lapwing simulate --events 1000000 --seed 1 --output FILE`, then `uv run --script benchmarks/peers/csp_counts.py FILE`.
The engines pin other versions of numpy and pyarrow than the project has, so that each file names what it needs and runs
in an environment of its own; nothing here imports the project. Events are at most `LATENESS_S` out of order.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from time import perf_counter

LATENESS_S = 5
FAILED = ("failure", "blocked")
Counts = tuple[int, int, int]
"""Windows, events and failed logins over all of them: equal for all engines."""


def plain(path: str) -> Counts:
    """The job as a loop over the file: what the engines' results are to be."""
    counts: dict[tuple[str, str], list[int]] = {}
    with open(path, "rb") as file:
        for line in file:
            event = json.loads(line)
            if (ip := event.get("ip")) is not None:
                row = counts.setdefault((ip, event["time"][:16]), [0, 0])
                row[0] += 1
                row[1] += event.get("action") == "login" and event.get("outcome") in FAILED
    return len(counts), sum(row[0] for row in counts.values()), sum(row[1] for row in counts.values())


def main(name: str, package: str, job: Callable[[str], Counts], arguments: list[str]) -> int:
    """Run a peer on a file and print one line; 1 if its counts are not those of the plain loop, 2 if it cannot run."""
    if len(arguments) != 1:
        print(f"usage: uv run --script benchmarks/peers/{name}_counts.py EVENTS.ndjson", file=sys.stderr)
        return 2
    if importlib.util.find_spec(package) is None:
        print(f"{package} is not installed: run it with `uv run --script benchmarks/peers/{name}_counts.py`")
        return 2
    began = perf_counter()
    counts = job(arguments[0])
    seconds = perf_counter() - began
    windows, events, failed = counts
    print(f"{name}: {events / seconds:,.0f} events/s, {windows:,} windows, {events:,} events, {failed:,} failed logins")
    wanted = plain(arguments[0])
    if counts != wanted:
        print(f"{name}: the plain loop counts {wanted}, this {counts}", file=sys.stderr)
    return int(counts != wanted)
