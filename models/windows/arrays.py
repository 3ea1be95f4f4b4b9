"""Room for a shard's state: allocated small, grown by doubling up to its limits, then evicted from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels.layout import (
    ACTIVE,
    EVICTED,
    FREE,
    HALVED,
    NEVER,
    NEXT,
    PAIR_LIMIT,
    PAIRS,
    PER30,
    RECORD_LIMIT,
    RECORDS,
    WINDOW15M,
    ShardArrays,
    allocate_model,
    allocate_pairs,
    allocate_records,
    allocate_rings,
)
from models.kernels.pairs import refill_pairs
from models.kernels.table import refill

LOAD = 0.6
"""Greatest share of a table's places in use."""
PAIRS_A_RING = 16
RING_COLUMNS = ("rings", "newest", "newest30", "hot", "crossed", "streak")


def places(n: int) -> int:
    """The least power of two that holds n at the load limit.

    >>> places(100)
    256
    """
    return 1 << max(4, int(np.ceil(np.log2(max(n, 1) / LOAD))))


def empty(rules: int, record_limit: int, secret: NDArray[np.uint64]) -> ShardArrays:
    """A shard that has seen nothing; about 300 KB."""
    head = np.zeros(16, np.int64)
    head[NEXT] = NEVER
    head[HALVED] = NEVER
    head[RECORD_LIMIT] = record_limit
    rings = 64
    head[FREE] = rings
    arrays: dict[str, Any] = {"head": head, "secret": secret}
    arrays |= {"records": allocate_records(256), "pairs": allocate_pairs(256)}
    return ShardArrays(**arrays, **allocate_rings(rings, rules), **allocate_model())


def make_room(s: ShardArrays, rows: int, ring_limit: int) -> ShardArrays:
    """The same shard with room for `rows` more entities and their pairs, as far as its limits allow."""
    if s.head[FREE] < rows and len(s.rings) < ring_limit:
        s = _more_rings(s, min(ring_limit, max(2 * len(s.rings), len(s.rings) + rows)))
    if s.head[RECORDS] + rows > LOAD * len(s.records) or s.head[RECORDS] + rows > s.head[RECORD_LIMIT]:
        s = _more_records(s, rows)
    if s.head[PAIRS] + 2 * rows > LOAD * len(s.pairs):
        s = _more_pairs(s, 2 * rows, ring_limit * PAIRS_A_RING)
    s.head[PAIR_LIMIT] = int(LOAD * len(s.pairs)) + 1
    return s


def _more_rings(s: ShardArrays, size: int) -> ShardArrays:
    old = len(s.rings)
    grown: dict[str, Any] = allocate_rings(size, s.crossed.shape[1])
    for column in RING_COLUMNS:
        grown[column][:old] = getattr(s, column)
    grown["active"][: s.head[ACTIVE]] = s.active[: s.head[ACTIVE]]
    free = np.concatenate([np.arange(size - 1, old - 1, -1, dtype=np.int32), s.free[: s.head[FREE]]])
    grown["free"][: len(free)] = free
    s.head[FREE] = len(free)
    return s._replace(**grown)


def _more_records(s: ShardArrays, rows: int) -> ShardArrays:
    keep = s.records["hash"] != 0
    excess = int(s.head[RECORDS]) + rows - int(s.head[RECORD_LIMIT])
    if excess > 0:
        # Newcomers (one window at most) go first, then whoever was silent longest: junk cannot push out regulars.
        idle = np.flatnonzero(keep & (s.records["slot"] < 0))
        order = np.lexsort((s.records["last"][idle], s.records["count"][idle] >= 2))
        gone = idle[order[: max(excess, len(idle) // 8)]]
        keep[gone] = False
        s.head[EVICTED] += len(gone)
    size = places(min(int(keep.sum()) + 2 * rows + len(s.records) // 2, int(s.head[RECORD_LIMIT])))
    new = s._replace(records=allocate_records(max(size, 256)))
    refill(s, new, keep)
    return new


def _more_pairs(s: ShardArrays, more: int, limit: int) -> ShardArrays:
    oldest = int(s.head[NEXT]) // PER30 - WINDOW15M - 1 if s.head[NEXT] != NEVER else NEVER
    live = int(np.count_nonzero((s.pairs["key"] != 0) & (s.pairs["slot"] >= 0) & (s.pairs["newest"] >= oldest)))
    new = s._replace(pairs=allocate_pairs(min(places(2 * live + more), places(limit))))
    refill_pairs(s, new, oldest)
    return new
