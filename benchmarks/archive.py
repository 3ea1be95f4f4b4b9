"""`make bench-archive`: raw events into a trail on a local disk, with one core: events per second and memory.

Each run is a process of its own, on one core, over simulated events of a day. What a run takes whatever its length
(start, loading kernels) is taken off by the difference of two lengths. Without compaction it is what keeps up with a
stream; sorting the day afterwards is told beside it.
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

_CHILD = "from benchmarks.archive import child; child()"


def child() -> None:
    """Archive what the arguments say, and print what it took."""
    import threading

    from flows.archive import run
    from flows.config import load

    source, folder, compact = sys.argv[1:4]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    began, wall = time.process_time(), time.monotonic()
    done = run(
        load(None), source, f"{folder}/trail", Path(folder) / "keys", threading.Event(), raw=True,
        compact=compact == "compact",
    )  # fmt: skip
    took = {"processor_s": time.process_time() - began, "seconds": time.monotonic() - wall, "peak_mib": resident_peak()}
    print(json.dumps(took | {"events": done.events, "commits": done.commits}))


def measured(source: Path, folder: Path, compact: bool) -> dict[str, Any]:
    """One run over a file."""
    words = [sys.executable, "-c", _CHILD, str(source), str(folder), "compact" if compact else "as it comes"]
    found: dict[str, Any] = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
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
        runs = {part: measured(path, folder / f"trail {part}", compact=False) for part, path in written.items()}
        ordered = measured(written["all"], folder / "trail sorted", compact=True)
    found = section(runs["a fourth"], runs["all"], ordered)
    print(found.table)
    bench.write(found)


def section(short: dict[str, Any], long: dict[str, Any], ordered: dict[str, Any]) -> Section:
    """What two lengths and a sorted day come to."""
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
    costs = {"archiving": processor * 1e6, "sorting": sorting * 1e6}
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
        },
        bars.svg("Processor time", "us an event", [*costs.items()]),
    )


if __name__ == "__main__":
    main()
