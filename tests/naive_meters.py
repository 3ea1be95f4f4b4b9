"""What a program's meters show and where its detections cross, slowly: every pane's window is counted from all rows.

It takes the contract of models/rules/program.py, the meters and bounds, and shares no arithmetic with the engine. Rows
that are SKIP are never added; a row is added to the pane of its `place`. Distinct counts have no cap here.
"""

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from models.base import SKIP

Entity = tuple[int, ...]


def added(program: Any, batches: Iterable[Any]) -> list[dict[Entity, dict[int, list[Any]]]]:
    """For each meter, entity and pane what was added: 1 for a counted event, a hash, or an exact number."""
    found: list[dict[Entity, dict[int, list[Any]]]] = [defaultdict(lambda: defaultdict(list)) for _ in program.meters]
    for batch in batches:
        for row in range(len(batch)):
            if int(batch.flags[row]) & SKIP:
                continue
            for into, meter in zip(found, program.meters, strict=True):
                entity = tuple(int(batch.entity[d, row]) for d in meter.by)
                if 0 in entity or (meter.mark >= 0 and not int(batch.marks[row]) >> meter.mark & 1):
                    continue
                value: Any = 1
                if meter.kind == "distinct":
                    source = meter.source
                    value = int(batch.entity[source, row] if source < 4 else batch.hashes[source - 4, row])
                    if value == 0:
                        continue
                elif meter.kind == "sum":
                    number = float(batch.numbers[meter.source, row])
                    if number != number:
                        continue
                    value = Fraction(number)
                into[entity][int(batch.place[row]) // meter.pane].append(value)
    return found


def shown(kind: str, panes: dict[int, list[Any]], last: int, length: int) -> Fraction:
    """A meter's value over the window of `length` panes that ends with pane `last`."""
    values = [value for pane in range(last - length + 1, last + 1) for value in panes.get(pane, ())]
    return Fraction(len({*values}) if kind == "distinct" else sum(values))


def crossings(program: Any, batches: Iterable[Any]) -> list[set[tuple[Entity, int]]]:
    """For each detection the (entity, pane) whose window fulfils its condition, panes numbered from the epoch."""
    meters = added(program, batches)
    out = []
    for detection in program.detections:
        length = detection.window // detection.pane
        crossed: set[tuple[Entity, int]] = set()
        for entity in {entity for k in _meters_of(detection) for entity in meters[k]}:
            seen = {pane for k in _meters_of(detection) for pane in meters[k].get(entity, ())}
            for last in sorted({pane + ahead for pane in seen for ahead in range(length)}):
                values = {
                    k: shown(program.meters[k].kind, meters[k].get(entity, {}), last, length)
                    for k in _meters_of(detection)
                }
                if _holds(detection, values):
                    crossed.add((entity, last))
        out.append(crossed)
    return out


def _meters_of(detection: Any) -> set[int]:
    bounds = (detection.main, *detection.also, *detection.unless)
    return {k for bound in bounds for k in (bound.meter, bound.of) if k >= 0} | {detection.counted, detection.floor} - {
        -1
    }


def _holds(detection: Any, values: dict[int, Fraction]) -> bool:
    def share(bound: Any) -> Fraction:
        if bound.of < 0:
            return values[bound.meter]
        return values[bound.meter] / values[bound.of] if values[bound.of] else Fraction(0)

    main = share(detection.main)

    def reached(bound: Any) -> bool:
        return share(bound) >= (Fraction(bound.times) * main if bound.times else Fraction(bound.at_least))

    return (
        reached(detection.main)
        and (detection.floor < 0 or values[detection.floor] >= detection.at_least_events)
        and all(map(reached, detection.also))
        and not any(map(reached, detection.unless))
    )
