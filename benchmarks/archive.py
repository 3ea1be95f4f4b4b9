"""`make bench-archive`: raw events into a trail on a local disk, with one core: events per second and memory.

Each run is a process of its own, on one core, over simulated events of a day. What a run takes whatever its length
(start, loading kernels) is taken off by the difference of two lengths. Without compaction it is what keeps up with a
stream; sorting the day afterwards is told beside it. Where the time goes is seen in one process with clocks around the
flow's functions, which run twice: what the first time takes to begin is not in it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import bars
from benchmarks.lasting import resident_peak
from benchmarks.page import Bench, Section
from flows.formats.simulated import simulate

_CHILD = "from benchmarks.archive import {0}; {0}()"
_PRIMITIVES = ("seal: AES-256-GCM", "hash: SHA-256", "tokens: BLAKE2b")
_FILES = "files and commits"


def _archive(source: str, folder: str, compact: bool) -> Any:
    """Archive a file, with one core."""
    import threading

    from flows.archive import run
    from flows.config import load

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    keys = Path(folder) / "keys"
    return run(load(None), source, f"{folder}/trail", keys, threading.Event(), raw=True, compact=compact)


def child() -> None:
    """Archive what the arguments say, and print what it took."""
    source, folder, compact = sys.argv[1:4]
    began, wall = time.process_time(), time.monotonic()
    done = _archive(source, folder, compact == "compact")
    took = {"processor_s": time.process_time() - began, "seconds": time.monotonic() - wall, "peak_mib": resident_peak()}
    print(json.dumps(took | {"events": done.events, "commits": done.commits}))


def clocked() -> None:
    """Archive what the arguments say twice, and print the nanoseconds an event that each stop took the second time."""
    from benchmarks.stops import Clocks, Stops
    from flows.connectors.lines import LineReader
    from flows.trail import incoming, insights, leaf_bytes, rows, store, tables
    from flows.trail.keys import KeyStore
    from flows.trail.ledger import Ledger

    stops: Stops = (
        ("read, split lines", ((LineReader, "read"),)),
        ("decode", ((tables, "events"),)),
        ("members", ((incoming, "members"),)),
        ("people and their keys", ((rows._People, "__init__"), (KeyStore, "subjects"), (KeyStore, "keep"))),
        (_PRIMITIVES[2], ((rows, "tokens_of"),)),
        ("seal: what", ((rows._People, "sealed"), (rows._People, "raw"))),
        (_PRIMITIVES[0], ((rows, "seal_all"),)),
        ("leaves: what", ((rows, "leaf_hashes"),)),
        (_PRIMITIVES[1], ((rows, "sha256_all"), (leaf_bytes, "sha256_all"))),
        ("columns", ((rows, "event_table"), (rows, "_rows"))),
        ("count for insights", ((insights.Aggregates, "events"), (insights, "accumulate"), (insights, "merged"))),
        (_FILES, ((store.Store, "append"), (store, "written"))),
        ("files made durable", ((store.Store, "_sync"),)),
        ("trees, signed", ((Ledger, "grow"), (Ledger, "look"), (Ledger, "finish"))),
    )  # fmt: skip
    source, folder = sys.argv[1:3]
    _archive(source, f"{folder}/first", compact=False)
    clocks = Clocks(time.process_time)  # the Delta library writes with threads of its own
    with clocks.on(stops):
        done = _archive(source, f"{folder}/second", compact=False)
    print(json.dumps({stop: seconds / done.events * 1e9 for stop, seconds in clocks.seconds.items()}))


def _run(function: str, *words: object) -> dict[str, Any]:
    """What a function prints in a process of its own."""
    run = [sys.executable, "-c", _CHILD.format(function), *map(str, words)]
    found: dict[str, Any] = json.loads(subprocess.run(run, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measured(source: Path, folder: Path, compact: bool) -> dict[str, Any]:
    """One run over a file."""
    found = _run("child", source, folder, "compact" if compact else "as it comes")
    files = [path for path in (folder / "trail").rglob("*") if path.is_file()]
    return found | {"mib": sum(path.stat().st_size for path in files) / (1 << 20)}


def main() -> None:
    """Write the events, archive a fourth of them and all, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    bench = Bench(parser)
    count = bench.arguments.events
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = {}
        for part, size in (("a fourth", count // 4), ("all", count)):
            path = folder / f"{part.replace(' ', '-')}.ndjson"
            with path.open("wb") as file:
                file.writelines(chunk.lines for chunk in simulate(size, 5, hours=24.0))
            written[part] = path
        # First, so that what kernels take to be compiled is in no difference.
        stops = _run("clocked", written["a fourth"], folder / "trail clocked")
        runs = {part: measured(path, folder / f"trail {part}", compact=False) for part, path in written.items()}
        ordered = measured(written["all"], folder / "trail sorted", compact=True)
    found = section(runs["a fourth"], runs["all"], ordered, stops)
    print(found.table)
    bench.write(found)


def section(short: dict[str, Any], long: dict[str, Any], ordered: dict[str, Any], stops: dict[str, float]) -> Section:
    """What two lengths, a sorted day and the clocks come to."""
    out = [f"{'events':>12}{'seconds':>10}{'processor s':>13}{'peak MiB':>10}{'on disk MiB':>13}{'commits':>9}"]
    out += [
        f"{run['events']:>12,}{run['seconds']:>10.1f}{run['processor_s']:>13.1f}{run['peak_mib']:>10,.0f}"
        f"{run['mib']:>13,.0f}{run['commits']:>9}"
        for run in (short, long)
    ]
    processor = (long["processor_s"] - short["processor_s"]) / (long["events"] - short["events"])
    size = long["mib"] * (1 << 20) / long["events"]
    sorting = (ordered["processor_s"] - long["processor_s"]) / long["events"]
    out.append(
        f"{1 / processor:,.0f} events/s on one core ({processor * 1e6:.1f} us each); {size:,.0f} bytes each on disk"
    )
    out.append(f"sorting the day: {sorting * 1e6:.1f} us each, peak {ordered['peak_mib']:,.0f} MiB")
    out += ["", f"{'stop, in one process with clocks':42}{'share':>12}{'ns/event':>12}"]
    total = sum(stops.values())
    ranked = sorted(stops.items(), key=lambda stop: -stop[1])
    out += [f"{stop:42}{each / total:>12.1%}{each:>12,.0f}" for stop, each in ranked]
    out.append(f"{'all':42}{'100%':>12}{total:>12,.0f}")
    primitives = sum(stops[stop] for stop in _PRIMITIVES)
    out.append(f"primitives {primitives / 1e3:.1f} us, files {stops[_FILES] / 1e3:.1f} us: without all else at most "
               f"{1e9 / (primitives + stops[_FILES]):,.0f} events/s")  # fmt: skip
    return Section(
        "archive",
        "Into the trail",
        "Raw events into an audit trail on a local disk, by a process on one core; what a start takes is "
        "taken off by the "
        "difference of two lengths.",
        "\n".join(out),
        {
            "archive.events_a_core_second": 1 / processor,
            "archive.bytes_an_event": size,
            "archive.peak_mib": long["peak_mib"],
            "archive.sorting_us_an_event": sorting * 1e6,
            "archive.primitives_ns_an_event": primitives,
        },
        bars.svg("Where the time goes", "ns an event", ranked),
    )


if __name__ == "__main__":
    main()
