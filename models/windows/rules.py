"""Rules, and the meters that they read, as the columns that kernels take."""

import math
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from models.base import IP, SEVERITIES, USER
from models.kernels.arrive import EVERY_MARK
from models.kernels.close_minutes import AnomalyArrays
from models.kernels.layout import (
    ALSO,
    CELL_COUNT,
    CELL_DISTINCT,
    CELL_SUM,
    CONDITION,
    LEARNED_RULE,
    METERED,
    MINUTE,
    NEAR,
    NO_CONDITION,
    ORDER,
    PANE_US,
    PER30,
    RINGS_5,
    RINGS_30,
    SPIKE,
    SPIKES,
    UNLESS,
    RuleArrays,
)
from models.rules import Rule, severity
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.describe import signature
from models.rules.flatten import MAX_MARKS
from models.rules.program import EVERY, NO_METER, Bound, Compiled, Meter, Program
from models.rules.success_after_attack import SuccessAfterAttack
from models.rules.traffic_spike import TrafficSpike
from models.windows.hold_back import Sequence

_COLUMNS: Final = {"": 0, "failure": 1, "error": 2, "deletion": 3, "reset": 4}
"""What the rings count, by the expression that says the same; and below, what the pairs know."""
_MET: Final = {"": 0, "failure": 1, "success": 2}
_TARGETS: Final = 3
_SHORT, _LONG = 60_000_000, 900_000_000
"""The rings and pairs reach back so far."""
_ORDER_PANE: Final = PANE_US * PER30
"""The pane within which rules on order look at events one by one."""


def rule_arrays(rules: tuple[Rule, ...], quiet_us: tuple[int, ...], program: Program, dimension: int) -> RuleArrays:
    """The rules of one dimension; `quiet_us` is each rule's `quiet` in microseconds, `program` has their thresholds."""
    numbers: dict[int, int] = {}  # of the program's meters, by use; below NO_METER those of rules on order
    rows = _rows(rules, program, numbers)
    meters = [_meter(program, number) for number in numbers]
    stores = [_store(meter, program, dimension) for meter in meters]
    in_cells = [at for at, (store, _) in enumerate(stores) if store >= CELL_COUNT]
    most = max((len(row["conditions"]) for row in rows), default=0)
    conditions = np.full((len(rows), most + 1, CONDITION), float(NO_CONDITION))
    for row, one in zip(conditions, rows, strict=True):
        row[: len(one["conditions"])] = one["conditions"] or np.empty((0, CONDITION))

    def column(name: str, kind: type = np.int64) -> np.ndarray:
        return np.array([row[name] for row in rows], kind)

    marks = [meters[at].mark for at in in_cells]
    counted = {meters[row["counted"]].mark for row in rows if row["kind"] == METERED} - {EVERY}
    return RuleArrays(
        kind=column("kind"),
        grid=column("grid"),
        window=column("window"),
        at_least=column("at_least", np.float64),
        extra=column("extra"),
        times=column("times", np.float64),
        z=column("z", np.float64),
        quiet=np.array([-(-q // (row["grid"] * PANE_US)) for q, row in zip(quiet_us, rows, strict=True)], np.int64),
        # What runs in shadow lifts no event's risk.
        severity=np.array([SEVERITIES.index(severity(rule)) if rule.mode == "live" else 0 for rule in rules], np.int64),
        monotone=column("monotone", np.bool_),
        main=column("main"),
        of=column("of"),
        floor=column("floor"),
        floor_least=column("floor_least", np.float64),
        counted=column("counted"),
        conditions=conditions,
        store=np.array([store for store, _ in stores], np.int64),
        column=np.array([at for _, at in stores], np.int64),
        meter_grid=np.array([meter.pane // PANE_US for meter in meters], np.int64),
        meter_window=np.array([meter.panes for meter in meters], np.int64),
        mark=np.array([meter.mark for meter in meters], np.int64),
        cell=np.array([in_cells.index(at) if at in in_cells else -1 for at in range(len(meters))], np.int64),
        salt=np.array([_salt(_name(rules, program, number)) for number in numbers], np.uint64),
        least=_least(rows, stores, [_column_of(meter, program) for meter in meters]),
        in_cells=np.array(in_cells, np.int64),
        marks=np.array([EVERY_MARK if EVERY in marks else _bits(marks), _bits(counted)], np.uint64),
    )


def _least(rows: list[dict[str, Any]], stores: list[tuple[int, int]], columns: list[int]) -> np.ndarray:
    """Of each column of the rings the least count without which none of the rules that hang on it can hold.

    `columns` is what the rings count that no meter can exceed: its events are among those, and only a sum adds more for
    an event than one.
    """
    least = np.full(SPIKES + 1, np.iinfo(np.int64).max)
    for row in rows:
        if row["kind"] == LEARNED_RULE:
            continue
        if row["kind"] == SPIKE:
            column, need = SPIKES, row["at_least"]
        elif row["kind"] == ORDER:
            column, need = _COLUMNS["failure"], row["extra"]  # before as many nothing counts
        else:
            share = row["of"] != NO_METER or stores[row["main"]][0] == CELL_SUM
            needs = [(columns[row["main"]], 0.0 if share else row["at_least"])]
            if row["floor"] != NO_METER:
                needs.append((columns[row["floor"]], row["floor_least"]))
            column, need = max(needs)  # failures, errors, deletions, resets are rarer than events
        least[column] = min(least[column], max(1, math.ceil(need)))
    return least


def _column_of(meter: Meter, program: Program) -> int:
    """What a ring counts of the events that a meter is of: these, or all."""
    if not 0 <= meter.mark < len(program.marks):
        return 0
    return _COLUMNS.get(program.marks[meter.mark], 0)


def meter_names(rules: tuple[Rule, ...], program: Program, arrays: RuleArrays) -> list[str]:
    """What gives the state of each column of cells its meaning, whatever other rules there are."""
    numbers: dict[int, int] = {}
    _rows(rules, program, numbers)
    names = [_name(rules, program, number) for number in numbers]
    return [names[at] for at in arrays.in_cells.tolist()]


def sequences(rules: tuple[Rule, ...], arrays: RuleArrays) -> dict[int, Sequence]:
    """The rules on order by their place among some, with the meter in which what they find is counted."""
    return {
        at: Sequence(rule.at_least, int(arrays.main[at]), int(arrays.mark[arrays.main[at]]))
        for at, rule in enumerate(rules)
        if isinstance(rule, SuccessAfterAttack)
    }


def _rows(rules: tuple[Rule, ...], program: Program, numbers: dict[int, int]) -> list[dict[str, Any]]:
    compiled = {one.id: one for one in program.detections}
    rows = []
    number = NO_METER
    for rule in rules:
        if isinstance(rule, TrafficSpike):
            rows.append(_spike(rule))
        elif isinstance(rule, SuccessAfterAttack):
            number -= 1
            rows.append(_sequence(rule, numbers.setdefault(number, len(numbers))))
        elif isinstance(rule, BehaviourAnomaly):
            rows.append(_anomaly(rule))
        else:
            rows.append(_metered(compiled[rule.id], numbers))
    return rows


def _meter(program: Program, number: int) -> Meter:
    """A meter of the program; or that of a rule on order, with a mark of which no event comes."""
    if number > NO_METER:
        return program.meters[number]
    return Meter((), "count", MAX_MARKS - (NO_METER - number), 0, _LONG, _ORDER_PANE)


def _name(rules: tuple[Rule, ...], program: Program, number: int) -> str:
    if number > NO_METER:
        return signature(program, number)
    ids = [rule.id for rule in rules if isinstance(rule, SuccessAfterAttack)]
    return f"what follows: {ids[NO_METER - 1 - number]}"


def _bits(marks: object) -> int:
    return sum(1 << mark for mark in set(marks))  # type: ignore[call-overload]


def _salt(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def _metered(one: Compiled, numbers: dict[int, int]) -> dict[str, Any]:
    def place(meter: int) -> int:
        return NO_METER if meter == NO_METER else numbers.setdefault(meter, len(numbers))

    def condition(kind: int, bound: Bound) -> list[float]:
        return [float(kind), float(place(bound.meter)), float(place(bound.of)), bound.at_least, bound.times]

    return {
        "kind": METERED,
        "grid": one.pane // PANE_US,
        "window": one.window // one.pane,
        "at_least": one.main.at_least,
        "extra": 0,
        "times": 0.0,
        "z": 0.0,
        "monotone": one.monotone,
        "main": place(one.main.meter),
        "of": place(one.main.of),
        "floor": place(one.floor),
        "floor_least": float(one.at_least_events),
        "counted": place(one.counted),
        "conditions": [condition(ALSO, b) for b in one.also] + [condition(UNLESS, b) for b in one.unless],
    }


def _anomaly(rule: BehaviourAnomaly) -> dict[str, Any]:
    return {
        "kind": LEARNED_RULE, "grid": MINUTE, "window": rule.windows, "at_least": rule.least_score, "extra": 0,
        "times": 0.0, "z": 0.0, "monotone": False, "main": NO_METER, "of": NO_METER, "floor": NO_METER,
        "floor_least": 0.0, "counted": NO_METER, "conditions": [],
    }  # fmt: skip


def anomaly_arrays(rules: tuple[Rule, ...]) -> AnomalyArrays:
    """The behaviour rules among a dimension's rules, as the kernels take them."""
    found = [(at, rule) for at, rule in enumerate(rules) if isinstance(rule, BehaviourAnomaly)]
    return AnomalyArrays(
        rule=np.array([at for at, _ in found], np.int64),
        quantile=np.array([rule.quantile for _, rule in found], np.float64),
        score=np.array([rule.least_score for _, rule in found], np.float64),
        hits=np.array([rule.hits for _, rule in found], np.int64),
        windows=np.array([rule.windows for _, rule in found], np.int64),
        events=np.array([rule.at_least for _, rule in found], np.int64),
    )


def _spike(rule: TrafficSpike) -> dict[str, Any]:
    return {
        "kind": SPIKE, "grid": 1, "window": 12, "at_least": float(rule.at_least), "extra": rule.panes,
        "times": rule.times, "z": rule.z, "monotone": False, "main": NO_METER, "of": NO_METER, "floor": NO_METER,
        "floor_least": 0.0, "counted": NO_METER, "conditions": [],
    }  # fmt: skip


def _sequence(rule: SuccessAfterAttack, meter: int) -> dict[str, Any]:
    grid = _ORDER_PANE // PANE_US
    return {
        "kind": ORDER, "grid": grid, "window": _LONG // _ORDER_PANE, "at_least": 1.0, "extra": rule.at_least,
        "times": 0.0, "z": 0.0, "monotone": False, "main": meter, "of": NO_METER, "floor": NO_METER, "floor_least": 0.0,
        "counted": meter, "conditions": [],
    }  # fmt: skip


def _store(meter: Meter, program: Program, dimension: int) -> tuple[int, int]:
    """Where a meter's counts lie, and which of them they are: what is learned anyway is not counted twice."""
    if not meter.by:
        return CELL_COUNT, 0
    where = "" if meter.mark == EVERY else program.marks[meter.mark]
    reaches = meter.window <= _LONG and meter.pane % (6 * PANE_US) == 0
    if meter.kind == "sum":
        return CELL_SUM, meter.source
    if meter.kind == "count":
        if reaches and where in _COLUMNS:
            return RINGS_30, _COLUMNS[where]
        if meter.pane == PANE_US and meter.window <= _SHORT and _COLUMNS.get(where, 9) < 3:
            return RINGS_5, _COLUMNS[where]
        return CELL_COUNT, 0
    if reaches and dimension in (IP, USER):
        if meter.source == (USER if dimension == IP else IP) and where in _MET:
            return NEAR, _MET[where]
        if where == "deletion" and meter.source >= 4 and program.hashes[meter.source - 4] == "target":
            return NEAR, _TARGETS
    return CELL_DISTINCT, meter.source
