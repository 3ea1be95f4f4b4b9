"""`make bench-growth`: how the cost of an event grows with events, entities, detections and processes.

Events: ever longer files of the same traffic. Entities: events spread evenly over more and more addresses and accounts.
Detections: 10 to 64 of the user's own; and each default one with and without it, those runs interleaved and in
processor time. Processes: the same events in eight partitions. Medians are printed; every run is a fresh process, its
start and imports left out.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import bars
from benchmarks.curve import Curve, svg
from benchmarks.flood import BLOCK, HOUR, START, lines
from benchmarks.page import Bench, Section
from benchmarks.run import detect, write_events
from flows.config import load
from models import rules
from models.rules.level_anomaly import LevelAnomaly

EVENTS = (100_000, 300_000, 1_000_000, 3_000_000)
ENTITIES = (10_000, 100_000, 1_000_000, 10_000_000)
DETECTIONS = (10, 20, 40, 64)
PROCESSES = (1, 2, 4)
PARTITIONS = 8
MANY = 2_000_000
"""With more events than this a round is measured once."""
ABOUT = {
    "events": "Ever longer files of the same traffic, a million events an hour: what an event costs, and "
    "the most memory.",
    "entities": "Events spread evenly over more and more addresses and accounts, with the default limits, "
    "so that what is "
    "evicted is in it: what an event costs, and the most memory.",
    "detections": "The same events with no detection, and with 10 to 64 of the user's own, in processor time.",
    "each": "All default detections, and without each of them, in processor time: what leaving it out saves.",
    "processes": "The same events in eight partitions, read by `--processes N`: seconds by the clock and "
    "of the processor, "
    "those of a start left out.",
}
"""The parts, and what each measures."""
Costs = dict[int, tuple[float, float]]
"""By size: nanoseconds an event, and the most memory in MiB."""


def event_costs(sizes: Sequence[int], folder: Path, rounds: int, say: Callable[[str], None]) -> Costs:
    """What an event costs in files of so many."""
    path, found = folder / "longer.ndjson", {}
    for size in sizes:
        say(f"{size:,} events")
        write_events(path, size, 1)
        found[size] = cost(path, size, folder, rounds)
    path.unlink()
    return found


def entity_costs(numbers: Sequence[int], events: int, folder: Path, rounds: int, say: Callable[[str], None]) -> Costs:
    """What an event costs when so many entities, addresses and accounts each, take turns; at least one event each.

    With the default limits and a million events an hour, so that what is evicted and what finds no place is in it.
    """
    path, found = folder / "entities.ndjson", {}
    for entities in numbers:
        say(f"{entities:,} entities")
        size = max(events, entities)
        with path.open("wb") as file:
            for at in range(0, size, BLOCK):
                number = at + np.arange(min(BLOCK, size - at))
                time = START + number * HOUR // 1_000_000
                file.write(lines(time, number * 7_919 % entities, np.zeros(len(number), bool)))
        found[entities] = cost(path, size, folder, rounds)
    path.unlink()
    return found


def cost(path: Path, events: int, folder: Path, rounds: int) -> tuple[float, float]:
    """Nanoseconds an event, and the most memory."""
    runs = [detect(path, folder / "out") for _ in range(1 if events > MANY else rounds)]
    return median(run.seconds for run in runs) / events * 1e9, max(run.peak_mib for run in runs)


def detections_config(number: int, path: Path) -> Path:
    """A configuration with so many detections of the user's own, each with its own threshold."""
    blocks = [f'[[detection]]\ntype = "brute_force_user"\nid = "own_{k}"\nat_least = {20 + k}\n' for k in range(number)]
    path.write_text("\n".join(blocks) if blocks else "detection = []\n")
    load(str(path))
    return path


def without(left_out: str | None, path: Path) -> Path:
    """The default detections without one."""
    kept = [rule for rule in load().detection if rule.id != left_out]
    blocks = []
    for rule in kept:
        tag = rule.__struct_config__.tag
        dimension = f'dimension = "{rules.dimension(rule)}"\n' if hasattr(rule, "dimension") else ""
        least = f"at_least = {rule.at_least}\n" if dimension and hasattr(rule, "at_least") else ""
        series = f'series = "{rule.series}"\n' if isinstance(rule, LevelAnomaly) else ""
        blocks.append(f'[[detection]]\ntype = "{tag}"\nid = "{rule.id}"\n{dimension}{series}{least}')
    path.write_text("\n".join(blocks))
    load(str(path))
    return path


def processor(path: Path, output: Path, config: Path | None = None) -> float:
    """Processor seconds of a run, its start and imports too: what else the machine does is not in them."""
    return clocked(path, output, config)[1]


def clocked(path: Path, output: Path, config: Path | None = None, *words: str) -> tuple[float, float]:
    """Seconds that a run reports, and its processor seconds."""
    before = os.times()
    seconds = detect(path, output, config, *words).seconds
    after = os.times()
    return seconds, after.children_user + after.children_system - before.children_user - before.children_system


def compare(path: Path, configs: dict[str, Path], events: int, rounds: int, folder: Path) -> dict[str, list[float]]:
    """Processor nanoseconds an event of each configuration in each round, less those of a run over one event."""
    one = folder / "one.ndjson"
    with path.open("rb") as file:
        one.write_bytes(file.readline())
    took: dict[str, list[float]] = {name: [] for name in configs}
    for _ in range(rounds):
        start = processor(one, folder / "out")
        for name, config in configs.items():
            took[name].append((processor(path, folder / "out", config) - start) / events * 1e9)
    return took


def spread(path: Path, folder: Path) -> tuple[Path, Path]:
    """A folder with the events of a file dealt out to partitions, and one with an event for each partition."""
    many, few = folder / "many", folder / "few"
    with path.open("rb") as file:
        dealt = file.readlines()
    for at in range(PARTITIONS):
        for whole, kept in ((many, dealt[at::PARTITIONS]), (few, dealt[at : at + 1])):
            (whole / f"p{at}").mkdir(parents=True)
            (whole / f"p{at}" / "events.ndjson").write_bytes(b"".join(kept))
    return many, few


def process_costs(path: Path, numbers: Sequence[int], events: int, rounds: int, folder: Path) -> Costs:
    """Nanoseconds an event by the clock and of the processor, of so many processes; interleaved, less a start."""
    many, few = spread(path, folder)
    took: dict[int, list[tuple[float, float]]] = {number: [] for number in numbers}
    for _ in range(rounds):
        for number in numbers:
            words = ("--processes", str(number))
            start = clocked(few, folder / "out", None, *words)
            whole = clocked(many, folder / "out", None, *words)
            took[number].append(((whole[0] - start[0]) / events * 1e9, (whole[1] - start[1]) / events * 1e9))
    return {n: (median(wall for wall, _ in each), median(used for _, used in each)) for n, each in took.items()}


def measure(
    folder: Path,
    events: int,
    rounds: int,
    say: Callable[[str], None],
    *,
    parts: Sequence[str] = tuple(ABOUT),
    sizes: Sequence[int] = EVENTS,
    entities: Sequence[int] = ENTITIES,
    detections: Sequence[int] = DETECTIONS,
    left_out: Sequence[str] = tuple(rule.id for rule in load().detection),
    processes: Sequence[int] = PROCESSES,
) -> dict[str, Any]:
    """The figures of some parts, in nanoseconds an event and MiB."""
    path = folder / "events.ndjson"
    write_events(path, events, 1)
    detect(path, folder / "out")
    found: dict[str, Any] = {"events": events, "rounds": rounds}
    if "events" in parts:
        found["by_events"] = _named(event_costs(sizes, folder, rounds, say))
    if "entities" in parts:
        found["by_entities"] = _named(entity_costs(entities, events, folder, rounds, say))
    if "detections" in parts:
        say("detections of the user's own")
        owns = {str(n): detections_config(n, folder / f"own{n}.toml") for n in (0, *detections)}
        took = compare(path, owns, events, rounds, folder)
        found["by_detections"] = {name: median(each) for name, each in took.items()}
    if "each" in parts:
        say("each detection with and without it")
        lists = {name: without(name, folder / f"without_{name}.toml") for name in left_out}
        each = compare(path, {"all": without(None, folder / "all.toml"), **lists}, events, rounds, folder)
        found["detection_costs"] = {
            name: median(a - b for a, b in zip(each["all"], each[name], strict=True)) for name in left_out
        }
        found["all"] = median(each["all"])
    if "processes" in parts:
        say("processes")
        found["by_processes"] = _named(process_costs(path, processes, events, rounds, folder))
    return found


def _named(costs: Costs) -> dict[str, tuple[float, float]]:
    return {str(size): cost for size, cost in costs.items()}


def table(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    out = [f"{figures['events']:,} events, medians of {figures['rounds']} rounds"]
    for part in ("events", "entities"):
        if f"by_{part}" in figures:
            out += ["", f"{part:>12}{'ns/event':>12}{'peak MiB':>12}"]
            out += [f"{int(n):>12,}{ns:>12,.0f}{mib:>12,.0f}" for n, (ns, mib) in figures[f"by_{part}"].items()]
    if "by_detections" in figures:
        out += ["", f"{'detections':>12}{'ns/event':>12}"]
        out += [f"{number:>12}{ns:>12,.0f}" for number, ns in figures["by_detections"].items()]
    if "detection_costs" in figures:
        out += ["", f"{'all default detections':32}{figures['all']:>10,.0f} ns/event"]
        out += [f"  {name:30}{ns:>+10,.0f}" for name, ns in figures["detection_costs"].items()]
    if "by_processes" in figures:
        rows = figures["by_processes"]
        (wall, used), *_ = rows.values()
        out += ["", f"{'processes':>12}{'events/s':>12}{'times':>8}{'events/CPU s':>14}{'of one':>8}"]
        out += [
            f"{number:>12}{1e9 / ns:>12,.0f}{wall / ns:>8.2f}{1e9 / cpu:>14,.0f}{used / cpu:>8.2f}"
            for number, (ns, cpu) in rows.items()
        ]
    return "\n".join(out)


def picture(part: str, figures: dict[str, Any]) -> str:
    """A part's curve, or its bars."""
    title = "The cost of an event"
    if part == "each":
        return bars.svg("What leaving a detection out saves", "ns an event", [*figures["detection_costs"].items()])
    rows = figures[f"by_{part}"]
    if part == "detections":
        return svg(title, [Curve([(float(n), ns) for n, ns in rows.items()], part, "ns/event")])
    if part == "processes":
        speed = Curve([(float(n), 1e9 / ns) for n, (ns, _) in rows.items()], part, "events/s")
        used = Curve([(float(n), cpu) for n, (_, cpu) in rows.items()], part, "CPU ns/event")
        return svg("More processes", [speed, used])
    costs = Curve([(float(n), ns) for n, (ns, _) in rows.items()], part, "ns/event", logarithmic=True)
    peaks = Curve([(float(n), mib) for n, (_, mib) in rows.items()], part, "peak MiB", logarithmic=True)
    return svg(title, [costs, peaks])


def section(part: str, figures: dict[str, Any]) -> Section:
    """What the page says of a part."""
    title = "What each detection costs" if part == "each" else f"Growth with {part}"
    kept: dict[str, float] = {}
    if part in ("events", "entities"):
        kept = {f"growth.ns_at_{n}_{part}": ns for n, (ns, _) in figures[f"by_{part}"].items()}
    elif part == "detections":
        kept = {f"growth.cpu_ns_at_{n}_{part}": ns for n, ns in figures["by_detections"].items()}
    elif part == "processes":
        for number, (ns, cpu) in figures["by_processes"].items():
            kept |= {f"growth.ns_at_{number}_processes": ns, f"growth.cpu_ns_at_{number}_processes": cpu}
    return Section(f"growth-{part}", title, ABOUT[part], table(figures), kept, picture(part, figures))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--part", choices=tuple(ABOUT), action="append", help="only this; may stand several times")
    parser.add_argument("--events", type=int, default=1_000_000, help="of all parts but events")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most-events", type=int, default=EVENTS[-1])
    parser.add_argument("--most-entities", type=int, default=ENTITIES[-1])
    parser.add_argument("--json", action="store_true")
    bench = Bench(parser)
    arguments = bench.arguments
    parts = arguments.part or [*ABOUT]
    if bench.page and len(parts) > 1:
        parser.error("a block of a page is one part")
    entities = [number for number in ENTITIES if number <= arguments.most_entities]
    sizes = [number for number in EVENTS if number <= arguments.most_events]
    with tempfile.TemporaryDirectory(prefix="lapwing-growth-") as folder:
        figures = measure(
            Path(folder), arguments.events, arguments.rounds, _say, parts=parts, sizes=sizes, entities=entities
        )
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))
    bench.write(section(parts[0], figures))


if __name__ == "__main__":
    main()
