"""Meters: a detection's counts over a window, wherever they lie."""

import numpy as np

from models.kernels.cells import at_cell, distinct_cell, distinct_of_many, renew, sum_cell
from models.kernels.kernel import inlined, kernel
from models.kernels.layout import (
    ACTIVE,
    ALSO,
    CELL_COUNT,
    CELL_DISTINCT,
    CELL_SUM,
    NEAR,
    NO_CONDITION,
    PER30,
    RINGS_5,
    RINGS_30,
    SPIKES,
    RuleArrays,
    ShardArrays,
)
from models.kernels.pairs import NEAR_TARGETS, near_at
from models.kernels.panes import at5, at30, sum30

SUM_UNIT = 1024.0


@inlined
def shown(s: ShardArrays, r: RuleArrays, meter: int, slot: int, pane: int, less: int, now: bool) -> float:
    """A meter's value over the window that ends with a pane of its grid, the oldest `less` panes left out.

    `now` takes what is held of the newest pane.
    """
    store, column, window = r.store[meter], r.column[meter], r.meter_window[meter] - less
    if store == RINGS_5:
        total = 0
        for k in range(pane - window + 1, pane + 1):
            total += at5(s, slot, column, k)
        return float(total)
    width = r.meter_grid[meter] // PER30
    if store == RINGS_30:
        return float(sum30(s, slot, column, (pane + 1) * width - 1, window * width))
    if store == NEAR:
        end = s.newest30[slot] if now else (pane + 1) * width - 1
        return float(near_at(s, slot, column, end, window * width))
    if s.rings[slot].celled == 0:
        return 0.0
    at = s.cell[slot, r.cell[meter]]
    if at < 0:
        return 0.0
    if store == CELL_DISTINCT:
        if less > 0:
            return float(distinct_of_many(s, r.cell[meter], at, pane, window))
        if now:
            renew(s, at, pane, window)
        return float(distinct_cell(s, at, pane, window))
    total = sum_cell(s, at, pane, window)
    return total / SUM_UNIT if store == CELL_SUM else float(total)


@inlined
def share(s: ShardArrays, r: RuleArrays, meter: int, of: int, slot: int, pane: int, less: int, now: bool) -> float:
    """A meter's value, or its share of another's; the share of nothing is 0."""
    value = shown(s, r, meter, slot, pane, less, now)
    if of < 0:
        return value
    whole = shown(s, r, of, slot, pane, less, now)
    return value / whole if whole > 0.0 else 0.0


@inlined
def in_pane(s: ShardArrays, r: RuleArrays, meter: int, slot: int, pane: int) -> int:
    """The events that a counting meter has in one pane of its grid."""
    store, column = r.store[meter], r.column[meter]
    if store == RINGS_5:
        return at5(s, slot, column, pane)
    if store == RINGS_30:
        width = r.meter_grid[meter] // PER30
        total = 0
        for k in range(pane * width, (pane + 1) * width):
            total += at30(s, slot, column, k)
        return total
    if s.rings[slot].celled == 0:
        return 0
    at = s.cell[slot, r.cell[meter]]
    return at_cell(s, at, pane) if at >= 0 else 0


@inlined
def at_most(s: ShardArrays, r: RuleArrays, meter: int, slot: int) -> float:
    """What no window of a meter can exceed; free, where the value itself may cost a walk."""
    store, column = r.store[meter], r.column[meter]
    if store <= RINGS_30:
        return float(s.rings[slot].ever[column])
    if store == NEAR:
        return float(s.rings[slot].ever[1 if column == 1 else 3 if column == NEAR_TARGETS else 0])
    if s.rings[slot].celled == 0:
        return 0.0
    at = s.cell[slot, r.cell[meter]]
    if at < 0:
        return 0.0
    return float(s.cells[at].ever) if store == CELL_COUNT or store == CELL_DISTINCT else 1e300


@inlined
def may_reach(s: ShardArrays, r: RuleArrays, rule: int, slot: int, part: float) -> bool:
    """Whether a rule's value can be `part` of its threshold at all."""
    if r.floor[rule] >= 0 and at_most(s, r, r.floor[rule], slot) < part * r.floor_least[rule]:
        return False
    most = at_most(s, r, r.main[rule], slot)
    return most > 0.0 if r.of[rule] >= 0 else most >= part * r.at_least[rule]


@inlined
def stirs(s: ShardArrays, r: RuleArrays, slot: int, times: int) -> bool:
    """Whether `times` what is counted of an entity may reach any rule's threshold: nearly always it does not.

    Asked once for an entity, it spares a look at each rule. What cells hold was counted in the ring too, and a minute
    under way to a spike lies within the last ten.
    """
    enough = times * np.int64(s.rings[slot].sum30[0]) >= r.least[SPIKES]
    for column in range(SPIKES):
        enough |= times * np.int64(s.rings[slot].ever[column]) >= r.least[column]
    return bool(enough)


@kernel
def stir(s: ShardArrays, r: RuleArrays) -> None:
    """Ask of all entities, whose rings are as they were saved."""
    for i in range(s.head[ACTIVE]):
        s.stirred[s.active[i]] = stirs(s, r, s.active[i], 1)


@inlined
def below_floor(s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int, less: int, now: bool) -> bool:
    """Whether too few events are there for a rule to hold."""
    return bool(r.floor[rule] >= 0 and shown(s, r, r.floor[rule], slot, pane, less, now) < r.floor_least[rule])


@inlined
def rest_holds(
    s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int, less: int, now: bool, value: float
) -> bool:
    """Whether all holds that a rule asks for beside its threshold, given its value over the same panes.

    Of the newest pane conditions are known, and the floor is a sum; of others conditions are walks.
    """
    if not now and below_floor(s, r, rule, slot, pane, less, now):
        return False
    for k in range(r.conditions.shape[1]):
        kind = int(r.conditions[rule, k, 0])
        if kind == NO_CONDITION:
            break
        other = share(s, r, int(r.conditions[rule, k, 1]), int(r.conditions[rule, k, 2]), slot, pane, less, now)
        times = r.conditions[rule, k, 4]
        reached = other >= (times * value if times > 0.0 else r.conditions[rule, k, 3])
        if reached != (kind == ALSO):
            return False
    return not now or not below_floor(s, r, rule, slot, pane, less, now)


@inlined
def metered(s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int, now: bool) -> tuple[float, bool]:
    """A rule's value over the window that ends with a pane, and whether the whole condition holds."""
    if not may_reach(s, r, rule, slot, 1.0):
        return 0.0, False
    value = share(s, r, r.main[rule], r.of[rule], slot, pane, 0, now)
    if value < r.at_least[rule]:
        return value, False
    return value, rest_holds(s, r, rule, slot, pane, 0, now, value)
