"""`make bench`: the whole run, beside only decoding the same events and beside the straightforward flow.

Rounds are interleaved, medians are printed. One process does the work in each of them: a fresh `lapwing detect` with
compiled kernels, file to files, everything on; its seconds are those it reports itself, from opening the input to the
last byte, without the interpreter's start and imports. The yardsticks run in processes of their own too, which load
nothing else (`benchmarks.alone`), and before each run the memory that it uses is touched.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

from benchmarks import alone, bars, stops
from benchmarks.lasting import resident_peak
from benchmarks.page import Bench, Section
from flows.formats.simulated import simulate
from models.simulation.attacks.plan import WELL_FORMED

REFERENCE_EVENTS = 150_000
"""So many of the same events the straightforward flow gets: at its speed all of them would take many minutes."""
REFERENCE_FEW = 5_000
WARM_BYTES = 4 << 10
"""So much memory a run uses for each event, results that are not on the disk yet counted in."""
HOURS_A_MILLION = 1.0
EVERYTHING = """
[[detector]]
type = "ewma"
[[detector]]
type = "return_levels"
[[detector]]
type = "reservoir_ensemble"
id = "mix"
over = "tenants"
[[detector]]
type = "{behaviour}"
"""
"""A configuration with all detectors on, of which one learns behaviour."""
_DETECT = "import sys; from flows.cli import main; sys.exit(main())"


@dataclass(slots=True, frozen=True)
class Measured:
    """One fresh process that has scored a file."""

    seconds: float
    wall: float
    peak_mib: float


def detect(path: Path, output: Path, config: Path | None = None, *words: str) -> Measured:
    """Run `lapwing detect` on a file, in a process of its own, into a folder that is not there yet."""
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-c", _DETECT, "detect", "--input", str(path), "--output", str(output)]
    command += [*words, *(["--config", str(config)] if config else [])]
    began = perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen([*command, "--json", "--quiet"], stdout=out)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, resident_peak(process.pid))
            sleep(0.1)
        wall = perf_counter() - began
        if process.returncode:
            raise SystemExit(f"lapwing detect ended with {process.returncode}")
        out.seek(0)
        done = json.load(out)
    return Measured(done["seconds"], wall, peak)


def write_events(path: Path, events: int, seed: int) -> None:
    """Simulate so many events an hour that a batch is full, into a file."""
    with path.open("wb") as file:
        for chunk in simulate(events, seed, hours=max(HOURS_A_MILLION * events / 1e6, 0.05), attacks=WELL_FORMED):
            file.write(chunk.lines)


def touch_memory(events: int) -> None:
    """Touch as much memory as a round uses: a virtual machine's first touch of a page costs ten times a write."""
    touch = f"block = bytearray({WARM_BYTES * events}); block[::4096] = bytes(len(block[::4096]))"
    subprocess.run([sys.executable, "-c", touch], check=True)


def measure(folder: Path, events: int, rounds: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures of a benchmark; times are nanoseconds an event."""
    path, short, output = folder / "events.ndjson", folder / "short.ndjson", folder / "out"
    learning = folder / "behaviour.toml"
    learning.write_text(EVERYTHING.format(behaviour="half_space_trees"))
    say(f"simulating {events:,} events")
    write_events(path, events, seed)
    first, few = min(REFERENCE_EVENTS, events), min(REFERENCE_FEW, events)
    with path.open("rb") as file:
        short.write_bytes(b"".join(islice(file, few)))
    say("compiling kernels, if no run before has")
    detect(path, output, learning)  # all of it: some kernels run only where there are attacks
    stops.run(str(short), str(output))
    ns: dict[str, list[float]] = defaultdict(list)
    peaks: list[float] = []
    stop_rounds: list[dict[str, float]] = []
    results = 0
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        for name, yardstick, most, spared in (
            ("typed_decode", "typed_decode", events, False),
            ("plain_loop", "plain_loop", events, False),
            ("plain_loop_spared", "plain_loop", events, True),
            ("reference", "reference_flow", first, False),
            ("reference_few", "reference_flow", few, False),
        ):
            touch_memory(events)
            ns[name].append(alone.seconds(yardstick, path, most, spared=spared) / most * 1e9)
        touch_memory(events)
        whole = detect(path, output)
        ns["detect"].append(whole.seconds / events * 1e9)
        ns["detect_process"].append(whole.wall / events * 1e9)
        peaks.append(whole.peak_mib)
        results = sum(each.stat().st_size for each in output.iterdir() if each.is_file())
        shutil.rmtree(output, ignore_errors=True)
        touch_memory(events)
        ns["detect_behaviour"].append(detect(path, output, learning).seconds / events * 1e9)
        shutil.rmtree(output, ignore_errors=True)
        seconds, seen = stops.run(str(path), str(output))
        stop_rounds.append({stop: spent / seen * 1e9 for stop, spent in seconds.items()})
    of = {name: median(each) for name, each in ns.items()}
    return {
        "machine": machine(),
        "events": events,
        "bytes_an_event": path.stat().st_size / events,
        "result_bytes_an_event": results / events,
        "rounds": rounds,
        "reference_events": first,
        "reference_few_events": few,
        "ns_an_event": of,
        "detect_over_typed_decode": of["typed_decode"] / of["detect"],
        "detect_over_reference": of["reference"] / of["detect"],
        "peak_mib": median(peaks),
        "stops": {stop: median(each[stop] for each in stop_rounds) for stop in stop_rounds[0]},
    }


def machine() -> dict[str, Any]:
    """What the figures hang on."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "numba": version("numba"),
    }


def table(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    on, ns = figures["machine"], figures["ns_an_event"]
    rows = (
        ("typed decode alone (a)", ns["typed_decode"]),
        ("plain loop of counts and means", ns["plain_loop"]),
        ("  its collector set as detect's is", ns["plain_loop_spared"]),
        ("lapwing detect (b)", ns["detect"]),
        ("  with start and imports", ns["detect_process"]),
        ("  with behaviour learned too", ns["detect_behaviour"]),
        (f"straightforward flow (c), {figures['reference_events']:,} events", ns["reference"]),
        (f"  its first {figures['reference_few_events']:,}, before keys add up", ns["reference_few"]),
    )
    out = [
        f"{figures['events']:,} events of {figures['bytes_an_event']:.0f} bytes, medians of "
        f"{figures['rounds']} rounds;"
        f" {on['cores']} cores, {on['architecture']}, Python {on['python']}, numba {on['numba']}",
        "",
        f"{'':42}{'events/s':>12}{'ns/event':>12}",
        *(f"{name:42}{1e9 / each:>12,.0f}{each:>12,.0f}" for name, each in rows),
        "",
        f"speed b/a {figures['detect_over_typed_decode']:.2f} (aim 0.30)   "
        f"speed b/c {figures['detect_over_reference']:.0f} (aim 100)   peak memory {figures['peak_mib']:.0f} MiB   "
        f"results {figures['result_bytes_an_event']:.0f} bytes an event",
        f"with behaviour {ns['typed_decode'] / ns['detect_behaviour']:.2f} and "
        f"{ns['reference'] / ns['detect_behaviour']:.0f}; beside the plain loop "
        f"{ns['plain_loop'] / ns['detect']:.2f}, with behaviour {ns['plain_loop'] / ns['detect_behaviour']:.2f}, "
        f"its collector set as detect's is {ns['plain_loop_spared'] / ns['detect']:.2f}",
        "",
        f"{'stop, in one process with clocks':42}{'share':>12}{'ns/event':>12}",
    ]
    total = sum(figures["stops"].values())
    out += [f"{stop:42}{each / total:>12.1%}{each:>12,.0f}" for stop, each in figures["stops"].items()]
    return "\n".join([*out, f"{'all':42}{1:>12.0%}{total:>12,.0f}"])


def section(figures: dict[str, Any]) -> Section:
    """What the page says."""
    ns = figures["ns_an_event"]
    kept = {
        "events_a_second": 1e9 / ns["detect"],
        "behaviour_events_a_second": 1e9 / ns["detect_behaviour"],
        "decode_share": figures["detect_over_typed_decode"],
        "behaviour_decode_share": ns["typed_decode"] / ns["detect_behaviour"],
        "reference_times": figures["detect_over_reference"],
        "behaviour_reference_times": ns["reference"] / ns["detect_behaviour"],
        "plain_share": ns["plain_loop"] / ns["detect"],
        "spared_plain_share": ns["plain_loop_spared"] / ns["detect"],
        "behaviour_plain_share": ns["plain_loop"] / ns["detect_behaviour"],
        "peak_mib": figures["peak_mib"],
        "bytes_an_event": figures["bytes_an_event"],
        "result_bytes_an_event": figures["result_bytes_an_event"],
    }
    return Section(
        "run",
        "One process, file to files",
        "A fresh `lapwing detect` with compiled kernels, everything on, beside only decoding the same "
        "events into typed "
        "structs, beside a loop that only counts, and beside a flow as one would write it first (dicts, Bytewax "
        "windows, River's trees), each in a process of its own that loads nothing else. Rounds are interleaved, "
        "medians are printed.",
        table(figures),
        {f"run.{name}": value for name, value in kept.items()},
        bars.svg("Where the time goes", "ns an event", [*figures["stops"].items()]),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="figures as JSON, times in nanoseconds an event")
    bench = Bench(parser)
    arguments = bench.arguments
    with tempfile.TemporaryDirectory(prefix="lapwing-bench-") as folder:
        figures = measure(
            Path(folder), arguments.events, arguments.rounds, arguments.seed, lambda text: print(text, file=sys.stderr)
        )
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))
    bench.write(section(figures))


if __name__ == "__main__":
    main()
