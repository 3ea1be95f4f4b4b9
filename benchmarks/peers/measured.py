"""How each engine's job is measured: in a process of its own, three times, and one line of JSON about it.

The first run, over a short file, pays for starting: imports, a Java machine, plans, compiled code. The second is over
the same file, the third over the long one, and an event costs what lies between these two: what a run costs apart from
its events is left out.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import orjson

from benchmarks.peers.job import Job, told

MISSING = 3
"""The exit code of a peer that is not installed."""
_TICKS = os.sysconf("SC_CLK_TCK")


def family() -> list[Path]:
    """Folders of /proc: of this process and all below it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(_fields(folder)[1])
        except OSError:  # ended meanwhile
            continue
    found = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return [Path("/proc", str(pid)) for pid in found]


def processor() -> float:
    """Processor seconds of this process and all below it."""
    return sum(int(_fields(folder)[11]) + int(_fields(folder)[12]) for folder in family()) / _TICKS


def peak_mib() -> float:
    """The most memory that this process and those below it have held, each at its own worst moment."""
    status = "".join((folder / "status").read_text() for folder in family())
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


def started() -> float:
    """Seconds since this process began."""
    up = float(Path("/proc/uptime").read_text().split()[0])
    return up - int(_fields(Path("/proc/self"))[19]) / _TICKS


def _fields(folder: Path) -> list[str]:
    """The fields of a process's stat from the third, its state, on: the second may contain anything."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def lines(path: str) -> int:
    """How many lines a file has."""
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def main(job: Job, packages: Sequence[str] = (), programs: Sequence[str] = ()) -> int:
    """Measure a job by what the command line names, SHORT LONG OUTPUT; `MISSING` where a package or program is.

    Figures are nanoseconds an event, by the clock and of the processor, seconds to start, and MiB.
    """
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    absent += [name for name in programs if shutil.which(name) is None]
    if absent:
        print(f"not installed: {', '.join(absent)}")
        return MISSING
    if len(sys.argv) != 4:
        print("usage: SHORT.ndjson LONG.ndjson OUTPUT.ndjson", file=sys.stderr)
        return 2
    short, long, output = sys.argv[1:]
    job(short, output)
    start = started()
    clocks = [(perf_counter(), processor())]
    for path in (short, long):
        job(path, output)
        clocks.append((perf_counter(), processor()))
    events = lines(long) - lines(short)
    (began, used), (middle, used_middle), (ended, used_ended) = clocks
    figures = {
        "ns": ((ended - middle) - (middle - began)) / events * 1e9,
        "processor_ns": ((used_ended - used_middle) - (used_middle - used)) / events * 1e9,
        "start_s": start,
        "peak_mib": peak_mib(),
    }
    print(orjson.dumps(figures | {"told": asdict(told(output))}).decode())
    return 0
