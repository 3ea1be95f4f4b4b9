"""`make bench-formats`: a run over a platform's own format, beside one over the same traffic in format `lapwing`.

File to files, everything on, rounds interleaved, medians printed. It is processor time that is measured, of all threads
together, so that what else the machine does changes little. The events are simulated and written as each platform would
write them, at the size that such records have.
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


def detect(path: Path, name: str, folder: Path) -> float:
    """Seconds of processor time that a run over a file takes."""
    config, output = folder / f"{name}.toml", folder / "out"
    config.write_text(f'[input]\nformat = "{name}"\n{MAPPING if name == "mapping" else ""}')
    loaded = load(str(config))
    shutil.rmtree(output, ignore_errors=True)
    began = process_time()
    run(loaded, str(path), str(output), None, False, name, threading.Event())
    return process_time() - began


def measure(folder: Path, events: int, rounds: int, seed: int) -> dict[str, Any]:
    """Nanoseconds an event, and bytes, by format."""
    paths = {LAPWING: folder / "lapwing.ndjson"}
    write_events(paths[LAPWING], events, seed)
    for name in RENDERERS:
        paths[name] = folder / f"{name}.ndjson"
        render(paths[LAPWING], paths[name], name)
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for number in range(rounds + 1):
        for name, path in paths.items():
            spent = detect(path, name, folder)
            if number:  # the first round compiles, and fills caches
                seconds[name].append(spent / events * 1e9)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return {
        "machine": machine(),
        "events": events,
        "rounds": rounds,
        "bytes_an_event": {name: path.stat().st_size / events for name, path in paths.items()},
        "ns_an_event": {name: median(each) for name, each in seconds.items()},
    }


def table(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    on, ns, size = figures["machine"], figures["ns_an_event"], figures["bytes_an_event"]
    out = [
        f"{figures['events']:,} events, medians of {figures['rounds']} rounds; {on['cores']} cores, "
        f"{on['architecture']}, Python {on['python']}",
        "",
        f"{'format':14}{'bytes':>8}{'events/s':>12}{'ns/event':>12}{'of lapwing':>12}",
    ]
    out += [
        f"{name:14}{size[name]:>8,.0f}{1e9 / each:>12,.0f}{each:>12,.0f}{ns[LAPWING] / each:>12.2f}"
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
    arguments = parser.parse_args()
    touch_memory()
    with tempfile.TemporaryDirectory(prefix="lapwing-bench-") as folder:
        figures = measure(Path(folder), arguments.events, arguments.rounds, arguments.seed)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
