"""Entities by hash: find, enter, give and take rings."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import brief, inlined, kernel
from models.kernels.layout import (
    ACTIVE,
    FREE,
    FREE_CELLS,
    LINGER,
    NAME,
    NEVER,
    NEXT,
    OVERFLOWED,
    RECORD_LIMIT,
    RECORDS,
    TENANT_NAME,
    ShardArrays,
)
from models.kernels.load import prefetch

RECORDS_AHEAD, RINGS_AHEAD = 12, 6
"""So many rows before they are needed, what tables hold is asked for: they are far larger than the cache."""
LOOKED_AT = 8
"""Rings of a full pool that are looked at for one to be taken."""


@inlined
def spot(secret: NDArray[np.uint64], key: np.uint64, size: int) -> int:
    """Where a key's search begins in a table of `size` (a power of two) places: multiply-shift under a secret."""
    product = (key ^ secret[0]) * (secret[1] | np.uint64(1))
    return np.int64(((product >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))


@inlined
def find(s: ShardArrays, entity: np.uint64) -> int:
    """The entity's record, or the empty place where it would be."""
    size = len(s.records)
    at = spot(s.secret, entity, size)
    while s.records[at].hash != 0 and s.records[at].hash != entity:
        at = (at + 1) & (size - 1)
    return at


@kernel
def newcomers(s: ShardArrays, entity: NDArray[np.uint64], rows: NDArray[np.int64]) -> int:
    """How many rows are of entities without a record."""
    count = 0
    for i in range(len(rows)):
        count += s.records[find(s, entity[rows[i]])].hash == 0
    return count


@inlined
def passing(s: ShardArrays) -> int:
    """The ring of an entity counted once or kept for a long window alone, among a few where the last search ended.

    -1 if none of those few is such. Who is counted twice keeps its ring as long as the short windows reach, so that no
    flood of others hides an attack that begins within it.
    """
    n = s.head[ACTIVE]
    lingers = s.head[NEXT] - LINGER
    for k in range(LOOKED_AT):
        slot = s.active[(s.head[OVERFLOWED] + k) % n]
        if (s.rings[slot].ever[0] <= 1 or s.newest[slot] < lingers) and not s.hot[slot]:
            return int(slot)
    return -1


@inlined
def free_cells_of(s: ShardArrays, slot: int) -> None:
    """Give back an entity's cells."""
    if s.rings[slot].celled == 0:
        return
    s.rings[slot].celled = 0
    for column in range(s.cell.shape[1]):
        at = s.cell[slot, column]
        if at < 0:
            continue
        pair = s.cells[at].chain
        while pair >= 0:
            s.pairs[pair].slot = -1
            pair = s.pairs[pair].next
        s.cell[slot, column] = -1
        s.free_cells[s.head[FREE_CELLS]] = at
        s.head[FREE_CELLS] += 1


@inlined
def let_go(s: ShardArrays, slot: int) -> None:
    """Take a ring from its entity: its record, its pairs and its cells no longer lead there."""
    s.records[s.rings[slot].record].slot = -1
    at = s.rings[slot].chain
    while at >= 0:
        s.pairs[at].slot = -1
        at = s.pairs[at].next
    free_cells_of(s, slot)


@kernel
def enter(
    s: ShardArrays,
    at: int,
    entity: np.uint64,
    names: NDArray[np.uint8],
    name_at: int,
    name_length: int,
    tenant_at: int,
    tenant_length: int,
) -> int:
    """A ring for an entity that has none, taken from the pool or from one counted once; -1 when there is no room.

    `at` is where `find` has found its record, or the place for one.
    """
    if s.records[at].hash == 0 and s.head[RECORDS] >= s.head[RECORD_LIMIT]:
        s.head[OVERFLOWED] += 1
        return -1
    if s.head[FREE] > 0:
        s.head[FREE] -= 1
        slot = int(s.free[s.head[FREE]])
        s.active[s.head[ACTIVE]] = slot
        s.head[ACTIVE] += 1
    else:
        slot = passing(s)
        s.head[OVERFLOWED] += 1  # somebody's count is lost, the newcomer's or that of whom it drives out
        if slot < 0:
            return -1
        let_go(s, slot)
    if s.records[at].hash == 0:
        s.records[at].hash = entity
        s.head[RECORDS] += 1
    s.records[at].slot = slot
    s.rings[slot].owner = entity
    s.rings[slot].record = at
    s.newest[slot] = NEVER
    s.newest30[slot] = NEVER
    s.rings[slot].seen5 = 0
    s.rings[slot].seen30 = 0
    s.rings[slot].celled = 0
    for k in range(3):
        s.rings[slot].sum5[k] = 0
    for k in range(5):
        s.rings[slot].sum30[k] = 0
        s.rings[slot].ever[k] = 0
    for k in range(4):
        s.rings[slot].near[k] = 0
    s.rings[slot].chain = -1
    s.rings[slot].chained = 0
    s.rings[slot].pruned = NEVER
    s.hot[slot] = 0
    s.keep[slot] = NEVER
    s.crossed[slot] = NEVER
    s.streak[slot] = 0
    length = min(name_length, NAME)
    for i in range(length):
        s.rings[slot].name[i] = names[name_at + i]
    s.rings[slot].name_length = length
    length = min(tenant_length, TENANT_NAME)
    for i in range(length):
        s.rings[slot].tenant[i] = names[tenant_at + i]
    s.rings[slot].tenant_length = length
    return int(slot)


@brief
def with_streak(s: ShardArrays, owners: NDArray[np.uint64]) -> int:
    """Note the entities of which some rule's condition held in the pane that has closed last: how many there are."""
    n = 0
    for i in range(s.head[ACTIVE]):
        slot = s.active[i]
        if s.hot[slot]:
            for rule in range(s.streak.shape[1]):
                if s.streak[slot, rule] > 0:
                    owners[n] = s.rings[slot].owner
                    n += 1
                    break
    return n


@brief
def lengths_of_names(s: ShardArrays, slots: NDArray[np.int32]) -> tuple[int, int]:
    """Bytes of the tenants' and of the entities' names of some rings."""
    tenants = names = 0
    for slot in slots:
        tenants += s.rings[slot].tenant_length
        names += s.rings[slot].name_length
    return tenants, names


@brief
def copy_names(
    s: ShardArrays,
    slots: NDArray[np.int32],
    tenants: NDArray[np.uint8],
    tenant_ends: NDArray[np.int32],
    names: NDArray[np.uint8],
    name_ends: NDArray[np.int32],
) -> None:
    """Copy the names of some rings one after another; name i ends at ends[i + 1]."""
    tenant_ends[0] = name_ends[0] = a = b = 0
    for i in range(len(slots)):
        slot = slots[i]
        for k in range(s.rings[slot].tenant_length):
            tenants[a + k] = s.rings[slot].tenant[k]
        for k in range(s.rings[slot].name_length):
            names[b + k] = s.rings[slot].name[k]
        a += s.rings[slot].tenant_length
        b += s.rings[slot].name_length
        tenant_ends[i + 1] = a
        name_ends[i + 1] = b


@kernel
def release_before(s: ShardArrays, oldest: int, pane: int) -> None:
    """Give back the rings whose newest pane is before `oldest` and that nothing pins; `pane` is the first open one."""
    kept = 0
    for i in range(s.head[ACTIVE]):
        if i + RINGS_AHEAD < s.head[ACTIVE] and s.newest[s.active[i + RINGS_AHEAD]] < oldest:
            prefetch(s.rings, s.active[i + RINGS_AHEAD], 0)
            prefetch(s.rings, s.active[i + RINGS_AHEAD], 64)
        slot = s.active[i]
        if s.hot[slot] or s.newest[slot] >= oldest or s.keep[slot] > pane:
            s.active[kept] = slot
            kept += 1
        else:
            let_go(s, slot)
            s.rings[slot].owner = 0
            s.free[s.head[FREE]] = slot
            s.head[FREE] += 1
    s.head[ACTIVE] = kept


@kernel
def refill(old: ShardArrays, new: ShardArrays, keep: NDArray[np.bool_]) -> None:
    """Enter the kept records of `old` into the empty table of `new` (the other arrays are shared)."""
    count = 0
    for i in range(len(old.records)):
        if old.records[i].hash == 0 or not keep[i]:
            continue
        at = find(new, old.records[i].hash)
        new.records[at] = old.records[i]
        if old.records[i].slot >= 0:
            new.rings[old.records[i].slot].record = at
        count += 1
    new.head[RECORDS] = count
