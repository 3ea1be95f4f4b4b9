"""`make bench-growth`: how the cost of an event grows with entities and with detections, as a table and one picture.

Entities: events spread evenly over more and more addresses and accounts. Detections: 10 to 64 of the user's own, and
each default one with and without it, those runs interleaved and in processor time. Medians are printed; every run is a
fresh process, its start and imports left out.
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

from benchmarks.curve import Curve, svg
from benchmarks.flood import BLOCK, HOUR, START, lines
from benchmarks.run import detect, write_events
from flows.config import load
from models import rules

ENTITIES = (10_000, 100_000, 1_000_000, 10_000_000)
DETECTIONS = (10, 20, 40, 64)
MANY = 5_000_000
"""With more events than this a round is measured once."""


def entity_cost(entities: int, events: int, folder: Path, rounds: int) -> float:
    """Nanoseconds an event when so many entities, addresses and accounts each, take turns; at least one event each.

    With the default limits and a million events an hour, so that what is evicted and what finds no place is in it.
    """
    path = folder / "entities.ndjson"
    events = max(events, entities)
    with path.open("wb") as file:
        for at in range(0, events, BLOCK):
            number = at + np.arange(min(BLOCK, events - at))
            time = START + number * HOUR // 1_000_000
            file.write(lines(time, number * 7_919 % entities, np.zeros(len(number), bool)))
    seconds = [detect(path, folder / "out").seconds for _ in range(1 if events > MANY else rounds)]
    return median(seconds) / events * 1e9


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
        blocks.append(f'[[detection]]\ntype = "{tag}"\nid = "{rule.id}"\n{dimension}{least}')
    path.write_text("\n".join(blocks))
    load(str(path))
    return path


def processor(path: Path, output: Path, config: Path | None = None) -> float:
    """Processor seconds of a run, its start and imports too: what else the machine does is not in them."""
    before = os.times()
    detect(path, output, config)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


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


def measure(
    folder: Path,
    events: int,
    rounds: int,
    say: Callable[[str], None],
    *,
    entities: Sequence[int] = ENTITIES,
    detections: Sequence[int] = DETECTIONS,
    left_out: Sequence[str] = tuple(rule.id for rule in load().detection),
) -> dict[str, Any]:
    """All figures, in nanoseconds an event."""
    path = folder / "events.ndjson"
    write_events(path, events, 1)
    detect(path, folder / "out")
    by_entities = {}
    for number in entities:
        say(f"{number:,} entities")
        by_entities[number] = entity_cost(number, events, folder, rounds)
    say("detections of the user's own")
    owns = {str(n): detections_config(n, folder / f"own{n}.toml") for n in (0, *detections)}
    by_detections = compare(path, owns, events, rounds, folder)
    say("each detection with and without it")
    lists = {name: without(name, folder / f"without_{name}.toml") for name in left_out}
    each = compare(path, {"all": without(None, folder / "all.toml"), **lists}, events, rounds, folder)
    return {
        "events": events,
        "rounds": rounds,
        "by_entities": {str(number): ns for number, ns in by_entities.items()},
        "by_detections": {name: median(took) for name, took in by_detections.items()},
        "detection_costs": {
            name: median(a - b for a, b in zip(each["all"], each[name], strict=True)) for name in left_out
        },
        "all": median(each["all"]),
    }


def table(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    out = [f"{figures['events']:,} events, medians of {figures['rounds']} rounds, ns/event", ""]
    out += [f"{int(number):>12,} entities{ns:>12,.0f}" for number, ns in figures["by_entities"].items()]
    out += ["", *(f"{number:>12} detections{ns:>10,.0f}" for number, ns in figures["by_detections"].items())]
    out += ["", f"{'all default detections':32}{figures['all']:>10,.0f}"]
    return "\n".join([*out, *(f"  {name:30}{ns:>+10,.0f}" for name, ns in figures["detection_costs"].items())])


def picture(figures: dict[str, Any]) -> str:
    """Both curves, side by side."""
    of_entities = [(float(number), ns) for number, ns in figures["by_entities"].items()]
    of_detections = [(float(number), ns) for number, ns in figures["by_detections"].items()]
    curves = (
        Curve(of_entities, "entities", "ns/event", logarithmic=True),
        Curve(of_detections, "detections", "ns/event"),
    )
    return svg("The cost of an event", curves)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--most-entities", type=int, default=ENTITIES[-1])
    parser.add_argument("--picture", type=Path, default=Path("docs/growth.svg"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    entities = [number for number in ENTITIES if number <= arguments.most_entities]
    with tempfile.TemporaryDirectory(prefix="lapwing-growth-") as folder:
        figures = measure(Path(folder), arguments.events, arguments.rounds, _say, entities=entities)
    arguments.picture.write_text(picture(figures))
    print(
        json.dumps(figures, indent=2) if arguments.json else f"{table(figures)}\n\nThe picture is {arguments.picture}"
    )


if __name__ == "__main__":
    main()
