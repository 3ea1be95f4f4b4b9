"""Entities by hash: find, enter, give and take rings."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel
from models.kernels.layout import (
    ACTIVE,
    FREE,
    NAME,
    NEVER,
    OVERFLOWED,
    RECORD_LIMIT,
    RECORDS,
    RING5,
    RING30,
    TENANT_NAME,
    ShardArrays,
)


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


@kernel
def enter(
    s: ShardArrays,
    entity: np.uint64,
    names: NDArray[np.uint8],
    name_at: int,
    name_length: int,
    tenant_at: int,
    tenant_length: int,
) -> int:
    """The entity's ring, taken from the pool if it has none; -1 when records or rings are used up."""
    at = find(s, entity)
    if s.records[at].hash != 0 and s.records[at].slot >= 0:
        return int(s.records[at].slot)
    if s.head[FREE] == 0 or (s.records[at].hash == 0 and s.head[RECORDS] >= s.head[RECORD_LIMIT]):
        s.head[OVERFLOWED] += 1
        return -1
    if s.records[at].hash == 0:
        s.records[at].hash = entity
        s.head[RECORDS] += 1
    s.head[FREE] -= 1
    slot = s.free[s.head[FREE]]
    s.active[s.head[ACTIVE]] = slot
    s.head[ACTIVE] += 1
    s.records[at].slot = slot
    s.rings[slot].owner = entity
    s.rings[slot].record = at
    s.newest[slot] = NEVER
    s.newest30[slot] = NEVER
    for k in range(RING5):
        s.rings[slot].ring5[k, 0] = 0
    for k in range(RING30):
        s.rings[slot].ring30[k, 0] = 0
    for k in range(3):
        s.rings[slot].sum5[k] = 0
    for k in range(5):
        s.rings[slot].sum30[k] = 0
        s.rings[slot].ever[k] = 0
    for k in range(4):
        s.rings[slot].near[k] = 0
    s.rings[slot].near_at = NEVER
    s.rings[slot].chain = -1
    s.rings[slot].chained = 0
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
