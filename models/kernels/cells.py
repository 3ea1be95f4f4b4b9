"""Cells: what a meter of the users' own has counted of an entity that the rings do not hold."""

import numpy as np

from models.kernels.kernel import inlined, kernel
from models.kernels.layout import (
    ACTIVE,
    CELL_PANES,
    CELLS_REFUSED,
    COUNTERPARTS,
    FREE_CELLS,
    MINUTE,
    NEVER,
    NEXT,
    PAIR_LIMIT,
    PAIRS,
    PAIRS_REFUSED,
    RuleArrays,
    ShardArrays,
)
from models.kernels.load import trailing_zeros
from models.kernels.pairs import IN_CELL, pair_key, within
from models.kernels.table import spot


@inlined
def cell_of(s: ShardArrays, slot: int, column: int) -> int:
    """The entity's cell, taken from the pool if it has none; -1 when the pool is used up."""
    at = s.cell[slot, column]
    if at >= 0:
        return int(at)
    if s.head[FREE_CELLS] == 0:
        s.head[CELLS_REFUSED] += 1
        return -1
    s.head[FREE_CELLS] -= 1
    at = s.free_cells[s.head[FREE_CELLS]]
    s.cell[slot, column] = at
    s.rings[slot].celled += 1
    s.cells[at].ever = 0
    s.cells[at].near_at = NEVER
    s.cells[at].near = 0
    s.cells[at].chain = -1
    s.cells[at].chained = 0
    s.cells[at].pruned = NEVER
    for k in range(CELL_PANES):
        s.cells[at].tag[k] = 0
    return int(at)


@inlined
def add_to_cell(s: ShardArrays, at: int, pane: int, amount: int) -> None:
    """Count an amount in a pane of the meter."""
    k = pane & (CELL_PANES - 1)
    if s.cells[at].tag[k] != pane + 1:
        s.cells[at].tag[k] = pane + 1
        s.cells[at].value[k] = 0
    s.cells[at].value[k] += amount
    s.cells[at].ever += 1


@inlined
def at_cell(s: ShardArrays, at: int, pane: int) -> int:
    """What was counted in one pane."""
    k = pane & (CELL_PANES - 1)
    return int(s.cells[at].value[k]) if s.cells[at].tag[k] == pane + 1 else 0


@inlined
def sum_cell(s: ShardArrays, at: int, pane: int, window: int) -> int:
    """What was counted over `window` panes that end with `pane`."""
    total = 0
    for k in range(pane - window + 1, pane + 1):
        total += at_cell(s, at, k)
    return total


@inlined
def distinct_walk(s: ShardArrays, at: int, pane: int, window: int) -> int:
    """Counterparts over any number of panes that end with `pane`, one by one."""
    found = 0
    pair = s.cells[at].chain
    while pair >= 0:
        found += within(s.pairs[pair].met, s.pairs[pair].newest, pane, window)
        pair = s.pairs[pair].next
    return found


@inlined
def forget_walks(s: ShardArrays) -> None:
    """Before some windows are looked at with nothing counted in between."""
    for column in range(len(s.walked)):
        s.walked[column, CELL_PANES] = -1


@inlined
def distinct_of_many(s: ShardArrays, column: int, at: int, pane: int, window: int) -> int:
    """As `distinct_walk`, which is done once for all windows that end with `pane`."""
    if s.walked[column, CELL_PANES] != at or s.walked[column, CELL_PANES + 1] != pane:
        s.walked[column] = 0
        pair = s.cells[at].chain
        while pair >= 0:
            mask = s.pairs[pair].met
            back = pane - s.pairs[pair].newest
            if back < 0:
                mask = mask >> np.uint64(-back) if back > -64 else np.uint64(0)
                back = 0
            latest = back + trailing_zeros(mask)
            if latest < CELL_PANES:
                s.walked[column, latest] += 1
            pair = s.pairs[pair].next
        for k in range(1, CELL_PANES):
            s.walked[column, k] += s.walked[column, k - 1]
        s.walked[column, CELL_PANES] = at
        s.walked[column, CELL_PANES + 1] = pane
    return int(s.walked[column, window - 1])


@inlined
def distinct_cell(s: ShardArrays, at: int, pane: int, window: int) -> int:
    """Counterparts over `window` panes that end with `pane`."""
    if s.cells[at].near_at == pane:
        return int(s.cells[at].near)
    return distinct_walk(s, at, pane, window)


@inlined
def renew(s: ShardArrays, at: int, pane: int, window: int) -> None:
    """Bring `near` to the window that ends with a newer pane; what is added later keeps it there."""
    if s.cells[at].near_at < pane:
        s.cells[at].near = distinct_cell(s, at, pane, window)
        s.cells[at].near_at = pane


@inlined
def prune(s: ShardArrays, r: RuleArrays, meter: int, at: int) -> None:
    """Let go of counterparts that no window can reach any more, at most once for each pane of the meter."""
    # As far as a window that ends within the last learning window reaches back.
    oldest = (s.head[NEXT] - MINUTE) // r.meter_grid[meter] - r.meter_window[meter] + 1
    if s.cells[at].pruned >= oldest:
        return
    s.cells[at].pruned = oldest
    pair = s.cells[at].chain
    s.cells[at].chain = -1
    s.cells[at].chained = 0
    while pair >= 0:
        following = s.pairs[pair].next
        if s.pairs[pair].newest < oldest:
            s.pairs[pair].slot = -1
        else:
            s.pairs[pair].next = s.cells[at].chain
            s.cells[at].chain = pair
            s.cells[at].chained += 1
        pair = following


@kernel
def prune_cells(s: ShardArrays, r: RuleArrays) -> None:
    """Let go of all such counterparts: the cells of a tenant are never given back, so what they hold has to be."""
    for i in range(s.head[ACTIVE]):
        slot = s.active[i]
        if s.rings[slot].celled == 0:
            continue
        for column in range(len(r.in_cells)):
            at = s.cell[slot, column]
            if at >= 0 and s.cells[at].chain >= 0:
                prune(s, r, r.in_cells[column], at)


@inlined
def meet_in_cell(s: ShardArrays, r: RuleArrays, meter: int, slot: int, at: int, pane: int, other: np.uint64) -> None:
    """Note a counterpart in a pane of the meter."""
    size = len(s.pairs)
    key = pair_key(s.rings[slot].owner ^ r.salt[meter], other, IN_CELL)
    pair = spot(s.secret, key, size)
    while s.pairs[pair].key != 0 and s.pairs[pair].key != key:
        pair = (pair + 1) & (size - 1)
    if s.pairs[pair].key == 0 or s.pairs[pair].slot != slot:
        fresh = s.pairs[pair].key == 0
        if s.cells[at].chained >= COUNTERPARTS:
            prune(s, r, meter, at)
        if s.cells[at].chained >= COUNTERPARTS or (fresh and s.head[PAIRS] >= s.head[PAIR_LIMIT]):
            s.head[PAIRS_REFUSED] += 1
            return
        if fresh:
            s.head[PAIRS] += 1
        s.pairs[pair].key = key
        s.pairs[pair].slot = slot
        s.pairs[pair].kind = IN_CELL + r.cell[meter]
        s.pairs[pair].newest = pane
        s.pairs[pair].met = 0
        s.pairs[pair].failed = 0
        s.pairs[pair].succeeded = 0
        s.pairs[pair].next = s.cells[at].chain
        s.cells[at].chain = pair
        s.cells[at].chained += 1
    near_at, window = s.cells[at].near_at, r.meter_window[meter]
    if near_at != NEVER:
        s.cells[at].near -= within(s.pairs[pair].met, s.pairs[pair].newest, near_at, window)
    if pane > s.pairs[pair].newest:
        step = pane - s.pairs[pair].newest
        s.pairs[pair].met = s.pairs[pair].met << np.uint64(step) if step < 64 else np.uint64(0)
        s.pairs[pair].newest = pane
    back = s.pairs[pair].newest - pane
    if back < 64:
        s.pairs[pair].met |= np.uint64(1) << np.uint64(back)
    if near_at != NEVER:
        s.cells[at].near += within(s.pairs[pair].met, s.pairs[pair].newest, near_at, window)
