"""Room for a shard's state: allocated small, grown by doubling up to its limits, then evicted from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels.arrive import RowArrays
from models.kernels.cells import prune_cells
from models.kernels.direct import direct
from models.kernels.layout import (
    BEGAN,
    EVICTED,
    FREE,
    FREE_CELLS,
    HALVED,
    HEAD,
    NEVER,
    NEXT,
    PAIR_LIMIT,
    PAIRS,
    PER30,
    RECORD_LIMIT,
    RECORDS,
    WINDOW15M,
    RuleArrays,
    ShardArrays,
    allocate_hours,
    allocate_model,
    allocate_pairs,
    allocate_records,
    allocate_rings,
)
from models.kernels.pairs import live_pairs, refill_pairs
from models.kernels.table import newcomers, refill

_NEWCOMERS, _REFILL = direct(newcomers), direct(refill)
_LIVE_PAIRS, _REFILL_PAIRS, _PRUNE_CELLS = direct(live_pairs), direct(refill_pairs), direct(prune_cells)

LOAD = 0.6
"""Greatest share of a table's places in use."""
PAIRS_A_RING = 16
LEAST_PAIRS = 30_000
"""Room for pairs that a shard of few rings may have all the same: a tenant meets everybody."""
LEAST = 1024
RING_COLUMNS = ("newest", "newest30", "keep", "hot", "crossed", "streak")


def places(n: int) -> int:
    """The least power of two that holds n at the load limit.

    >>> places(100)
    256
    """
    return 1 << max(4, int(np.ceil(np.log2(max(n, 1) / LOAD))))


def pair_limit(rings: int) -> int:
    """Places of the table of pairs, once it has grown to its limit, of a shard of so many rings.

    >>> pair_limit(390), pair_limit(12_500)
    (65536, 524288)
    """
    return places(max(rings * PAIRS_A_RING, LEAST_PAIRS))


def empty(rules: RuleArrays, records: int, rings: int, hours: int, secret: NDArray[np.uint64]) -> ShardArrays:
    """A shard that has seen nothing. Its pool of rings is an address range until they are used: some 30 bytes each."""
    head = np.zeros(HEAD, np.int64)
    head[NEXT] = NEVER
    head[HALVED] = head[BEGAN] = NEVER
    head[RECORD_LIMIT] = records
    head[FREE] = rings
    arrays: dict[str, Any] = {"head": head, "secret": secret}
    arrays |= {"records": allocate_records(LEAST), "pairs": allocate_pairs(LEAST), "hours": allocate_hours(hours)}
    pools = allocate_rings(rings, len(rules.kind), len(rules.in_cells))
    head[FREE_CELLS] = len(pools["cells"])
    return ShardArrays(**arrays, **pools, **allocate_model())


def make_room(s: ShardArrays, rules: RuleArrays, rows: RowArrays) -> ShardArrays:
    """The same shard with room for the entities of some rows and their pairs, as far as its limits allow."""
    n = len(rows.rows)
    if s.head[RECORDS] + n > s.head[RECORD_LIMIT]:
        s = _more_records(s, _NEWCOMERS(s, rows.entity, rows.rows))
    elif s.head[RECORDS] + n > LOAD * len(s.records):
        s = _more_records(s, n)  # below the limit nobody has to be counted: the table grows a little early
    pairs = n * (2 + s.cell.shape[1])
    if s.head[PAIRS] + pairs > LOAD * len(s.pairs):
        s = _more_pairs(s, rules, pairs, pair_limit(len(s.rings)))
    s.head[PAIR_LIMIT] = int(LOAD * len(s.pairs)) + 1
    return s


def _more_records(s: ShardArrays, new: int) -> ShardArrays:
    limit = int(s.head[RECORD_LIMIT])
    gone = _evicted(s, int(s.head[RECORDS]) + new - limit, limit)
    s.head[EVICTED] += len(gone)
    kept = int(s.head[RECORDS]) - len(gone)
    if not len(gone) and min(kept + new, limit) <= LOAD * len(s.records):
        return s
    keep = s.records["hash"] != 0
    keep[gone] = False
    size = places(min(kept + 2 * new + 3 * len(s.records) // 2, limit))
    grown = s._replace(records=allocate_records(max(size, LEAST)))
    _REFILL(s, grown, keep)
    return grown


def _evicted(s: ShardArrays, excess: int, limit: int) -> NDArray[np.intp]:
    """The records that make place for `excess` others: those with one window at most, then the regulars.

    Whoever was silent longest goes first, at least an eighth of them, so that it is not done with every batch. Regulars
    hold three quarters of the places: no number of one-shot entities can push them out of those.
    """
    if excess <= 0:
        return np.empty(0, np.intp)
    once = s.records["count"] < 2
    idle = (s.records["hash"] != 0) & (s.records["slot"] < 0)
    passing = np.flatnonzero(idle & once)
    passing = passing[np.argsort(s.records["last"][passing], kind="stable")]
    passing = passing[: max(excess, len(passing) // 8)]
    spare = int(np.count_nonzero(~once)) - limit * 7 // 8
    if excess <= len(passing) or spare <= 0:
        return passing
    regular = np.flatnonzero(idle & ~once)
    regular = regular[np.argsort(s.records["last"][regular], kind="stable")]
    return np.concatenate([passing, regular[: max(min(excess - len(passing), spare), len(regular) // 8)]])


def _more_pairs(s: ShardArrays, rules: RuleArrays, more: int, limit: int) -> ShardArrays:
    oldest = NEVER
    if s.head[NEXT] != NEVER:
        oldest = int(s.head[NEXT]) // PER30 - WINDOW15M - 1
        _PRUNE_CELLS(s, rules)
    new = s._replace(pairs=allocate_pairs(min(places(4 * _LIVE_PAIRS(s, oldest) + more), limit)))
    _REFILL_PAIRS(s, new, oldest)
    return new
