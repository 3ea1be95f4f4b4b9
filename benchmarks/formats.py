"""`make bench-formats`: a run over a platform's own format, beside one over the same traffic in format `lapwing`.

File to files, everything on, rounds interleaved, medians printed: time by the clock, which is what throughput is, and
processor time of all threads together, which changes little with what else the machine does. The events are simulated
and written as each platform would write them, at the size that such records have.
"""

import argparse
import json
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import msgspec

from benchmarks import bars
from benchmarks.page import Bench, Section
from benchmarks.rendered import MAPPING, RENDERERS
from benchmarks.run import machine, touch_memory, write_events
from flows.config import load
from flows.detect import run
from flows.formats.source_formats import LAPWING

AIM = 0.5


def render(source: Path, path: Path, name: str) -> None:
    """The same events in a platform's format, one a line."""
    made, encode = RENDERERS[name], msgspec.json.Encoder().encode
    with source.open("rb") as lines, path.open("wb") as file:
        for line in lines:
            file.write(encode(made(msgspec.json.decode(line))) + b"\n")


def detect(path: Path, name: str, folder: Path) -> tuple[float, float]:
    """Seconds that a run over a file takes, by the clock and of processor time."""
    config, output = folder / f"{name}.toml", folder / "out"
    config.write_text(f'[input]\nformat = "{name}"\n{MAPPING if name == "mapping" else ""}')
    loaded = load(str(config))
    shutil.rmtree(output, ignore_errors=True)
    began = process_time()
    done = run(loaded, str(path), str(output), None, False, name, threading.Event())
    return done.seconds, process_time() - began


def measure(folder: Path, events: int, rounds: int, seed: int) -> dict[str, Any]:
    """Nanoseconds an event, and bytes, by format."""
    paths = {LAPWING: folder / "lapwing.ndjson"}
    write_events(paths[LAPWING], events, seed)
    for name in RENDERERS:
        paths[name] = folder / f"{name}.ndjson"
        render(paths[LAPWING], paths[name], name)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in paths}
    for number in range(rounds + 1):
        for name, path in paths.items():
            spent = detect(path, name, folder)
            if number:  # the first round compiles, and fills caches
                seconds[name].append(spent)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return {
        "machine": machine(),
        "events": events,
        "rounds": rounds,
        "bytes_an_event": {name: path.stat().st_size / events for name, path in paths.items()},
        "ns_an_event": {name: median(wall for wall, _ in each) / events * 1e9 for name, each in seconds.items()},
        "cpu_ns_an_event": {name: median(cpu for _, cpu in each) / events * 1e9 for name, each in seconds.items()},
    }


def table(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    on, ns, size = figures["machine"], figures["ns_an_event"], figures["bytes_an_event"]
    cpu = figures["cpu_ns_an_event"]
    out = [
        f"{figures['events']:,} events, medians of {figures['rounds']} rounds; {on['cores']} cores, "
        f"{on['architecture']}, Python {on['python']}",
        "",
        f"{'format':14}{'bytes':>8}{'events/s':>12}{'ns/event':>12}{'of lapwing':>12}"
        f"{'CPU ns/event':>14}{'of lapwing':>12}",
    ]
    out += [
        f"{name:14}{size[name]:>8,.0f}{1e9 / each:>12,.0f}{each:>12,.0f}{ns[LAPWING] / each:>12.2f}"
        f"{cpu[name]:>14,.0f}{cpu[LAPWING] / cpu[name]:>12.2f}"
        for name, each in ns.items()
    ]
    return "\n".join([*out, "", f"aim: at least {AIM} of the speed of format lapwing"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.formats", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="figures as JSON, times in nanoseconds an event")
    bench = Bench(parser)
    arguments = bench.arguments
    touch_memory(1_000_000)
    with tempfile.TemporaryDirectory(prefix="lapwing-bench-") as folder:
        figures = measure(Path(folder), arguments.events, arguments.rounds, arguments.seed)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))
    speed = {name: 1e9 / each for name, each in figures["ns_an_event"].items()}
    bench.write(
        Section(
            "formats",
            "Platforms' own formats",
            "The same simulated events as each platform would write them, at the size that such records "
            "have, file to files.",
            table(figures),
            {f"formats.{name}_events_a_second": each for name, each in speed.items()},
            bars.svg("Speed by format", "events/s", [*speed.items()]),
        )
    )


if __name__ == "__main__":
    main()
