"""The arrays that are one shard's whole state, and their sizes. A kernel takes them as one named tuple.

Records are an open-addressing table: what is remembered of every entity. Rings are a pool: what is held only while an
entity has events in the longest window. Pairs say which counterparts an entity met in which pane. The model is what
all entities of the shard teach together.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numba import config
from numpy.typing import NDArray

from models.kernels.pages import zeros

PANE_US: Final = 5_000_000  # the base pane
MINUTE: Final = 12  # base panes in the learning window
PER30: Final = 6  # base panes in a 30 s pane
RING5: Final = 64  # base panes kept: 23 behind the first open one (sliding values of a minute), 40 ahead
RING30: Final = 64  # 30 s panes kept: 31 behind the first open one (15 minutes), 32 ahead
AHEAD5: Final = 40
WINDOW5: Final = 12  # 1 minute in base panes
WINDOW30: Final = 20  # 10 minutes in 30 s panes
WINDOW15M: Final = 30  # 15 minutes in 30 s panes
LINGER: Final = 192  # base panes after its newest one that an entity keeps its ring: the longest window and a minute
CELL_PANES: Final = 64
WALKED: Final = CELL_PANES + 2  # for each window that ends with a pane its counterparts; then the cell, and the pane
BUCKETS: Final = 1024
EDGE_FACTOR: Final = 1.005 / 0.995  # from one edge of the buckets to the next
EDGES_A_DOUBLING: Final = math.log(2.0) / math.log(EDGE_FACTOR)
WINDOWS, EVENTS = range(2)  # rows of the histogram: a window is one in so many windows, an event one in so many events
MOST_EVENTS: Final = 1000  # for which a window counts among the events at most
COUNTERPARTS: Final = 2000  # kept for an entity; failed ones have as many places again
NAME: Final = 128
TENANT_NAME: Final = 64
NEVER: Final = -(2**31)

# What is learned of a window (models.features.rates has the names); below RATES a silent minute teaches 0
(X_EVENTS, X_FAILURES, X_ERROR_SHARE, X_DELETIONS, X_RESETS, X_MET, X_FAILED, X_TARGETS) = range(8)
VALUES: Final = 8
WEEK: Final = 168  # hours
ROUNDS: Final = 4  # weeks, or days, of which each hour is remembered
RATES: Final = 2

# Places in `head`
(
    NEXT, ACTIVE, FREE, RECORDS, RECORD_LIMIT, PAIRS, PAIR_LIMIT, SEEN, HALVED, OVERTAKEN, OVERFLOWED, EVICTED,
    GUARDED, LEARNED, PAIRS_REFUSED, LATE_ROWS, EVIDENCE_DROPPED, FREE_CELLS, CELLS_REFUSED, HOURS, FREE_HOURS,
    ACCEPTED, CLOSED, UNSCORED, BEGAN,
) = range(25)  # fmt: skip
HEAD: Final = 25
COUNTERS: Final = {
    "overtaken": (OVERTAKEN,),
    "overflowed": (OVERFLOWED, PAIRS_REFUSED, EVIDENCE_DROPPED, CELLS_REFUSED),
    "evicted": (EVICTED,),
    "guarded": (GUARDED,),
    "learned": (LEARNED,),
    "accepted": (ACCEPTED,),
    "closed": (CLOSED,),
    "unscored": (UNSCORED,),
    "late": (LATE_ROWS,),
    "seen": (SEEN,),
    "entities": (RECORDS,),
    "active": (ACTIVE,),
}
"""What is told of a shard, as sums of places in `head`; totals since the state was new, of windows since BEGAN."""


RECORD: Final = np.dtype(
    [
        ("hash", np.uint64),
        ("slot", np.int32),  # ring, or -1
        ("first", np.int32),  # minute of the first learned window
        ("last", np.int32),  # minute of the last learned window
        ("count", np.int32),  # windows learned
        ("guard_day", np.int32),  # last day on which a guarded window entered the histogram
        ("guard_since", np.int32),  # minute of the first of an unbroken run of guarded windows
        ("mean", np.float32, (VALUES,)),
        ("square", np.float32, (VALUES,)),
        ("hours", np.int32),  # place in `hours`, or -1
    ],
    align=True,
)
"""What is remembered of an entity: 104 bytes."""
SQUARE_AT: Final[int] = RECORD.fields["square"][1]  # type: ignore[index]

HOUR_ROW: Final = np.dtype(
    [
        ("owner", np.uint64),  # the entity's hash, 0: free
        ("hour", np.int32),  # the hour under way, since the epoch
        ("since", np.int32),  # the minute from which it is known
        ("last", np.int32),  # the last minute that was passed
        ("guarded", np.int32),  # the last guarded minute
        ("total", np.float64),  # events of the hour under way
        ("seen", np.float64),  # what the usual hours make of the mean of late; -1: unknown
        ("spread", np.float64),  # mean squared distance from what the hours expect, over that; -1: unknown
        ("week", np.float32, (WEEK, ROUNDS)),  # mean events a minute by hour of the week, in the last rounds
        ("day", np.float32, (24, ROUNDS)),
        ("weeks", np.uint8, (WEEK,)),  # rounds that were learned; the next is put at this, modulo ROUNDS
        ("days", np.uint8, (24,)),
    ],
    align=True,
)
"""What is known of an entity's hours: 3 KB. Only tenants and endpoints have any (models.kernels.hours)."""

RING: Final = np.dtype(
    [
        ("owner", np.uint64),
        ("seen5", np.uint64),  # bit i: base pane newest - i has events, so its place in `ring5` is its own
        ("seen30", np.uint64),  # bit i: 30 s pane newest30 - i
        ("record", np.int32),
        ("sum5", np.int32, (3,)),  # over the window that ends with `newest`
        ("sum30", np.int32, (5,)),  # over the window that ends with `newest30`
        ("ever", np.uint32, (5,)),  # all that has been counted while the ring is held: no window can have more
        ("near", np.int32, (4,)),  # counterparts: met, failed, succeeded (15 min); targets (10 min), as `sum30`
        ("chain", np.int32),  # first pair, or -1
        ("chained", np.int32),  # pairs in the chain
        ("pruned", np.int32),  # the oldest 30 s pane that the chain was looked through for
        ("celled", np.int32),  # cells that the entity holds
        ("ring5", np.uint32, (RING5, 3)),  # events, failures, errors
        ("ring30", np.uint32, (RING30, 5)),  # events, failures, errors, deletions, resets
        ("latest30", np.uint16, (RING30, 4)),  # as `near`: the counterparts for whom this was the latest such pane
        ("name_length", np.int32),
        ("tenant_length", np.int32),
        ("name", np.uint8, (NAME,)),
        ("tenant", np.uint8, (TENANT_NAME,)),
    ],
    align=True,
)
"""What is held while an entity has events in the longest window: 2.9 KB.

Most panes of most entities have no events. `seen5` and `seen30` say which have, so that the others cost no look at
memory, and no place need be cleared before it is used.
"""
RING5_AT: Final[int] = RING.fields["ring5"][1]  # type: ignore[index]
RING30_AT: Final[int] = RING.fields["ring30"][1]  # type: ignore[index]
LATEST30_AT: Final[int] = RING.fields["latest30"][1]  # type: ignore[index]

PAIR: Final = np.dtype(
    [
        ("key", np.uint64),
        ("met", np.uint64),  # bit i: met in 30 s pane newest - i
        ("failed", np.uint64),
        ("succeeded", np.uint64),
        ("slot", np.int32),  # the ring in whose chain it is, or in that of one of whose cells; or -1
        ("next", np.int32),
        ("newest", np.int32),  # a 30 s pane, or a pane of the cell's meter
        ("kind", np.uint16),  # of models.kernels.pairs; from IN_CELL on the cell's column
    ],
    align=True,
)
"""One entity and one counterpart: 48 bytes."""
PAIR_END: Final = PAIR.itemsize - 1


CELL: Final = np.dtype(
    [
        ("ever", np.int64),  # what was added while the cell is held
        ("near_at", np.int32),  # the pane for which `near` holds
        ("near", np.int32),  # counterparts over the window that ends with it
        ("chain", np.int32),  # first pair, or -1
        ("chained", np.int32),
        ("pruned", np.int32),  # the oldest pane that its counterparts were looked through for
        ("tag", np.uint32, (CELL_PANES,)),  # which pane it is, plus 1
        ("value", np.int64, (CELL_PANES,)),  # events, or a sum in 1/1024
    ],
    align=True,
)
"""What one meter of the users' detections has seen of one entity: 0.8 KB, held while its window reaches back to it."""


class ShardArrays(NamedTuple):
    """One shard of one dimension. N records and M pairs (powers of two), P rings, Q cells, R rules, K cell meters."""

    head: NDArray[np.int64]  # counters, see the places above
    secret: NDArray[np.uint64]  # where things lie in tables, never what they are
    records: NDArray[Any]  # RECORD (N,)
    hours: NDArray[Any]  # HOUR_ROW (H,), the first head[HOURS] of them in use or given back
    rings: NDArray[Any]  # RING (P,)
    pairs: NDArray[Any]  # PAIR (M,)
    free: NDArray[np.int32]  # stack of free rings
    active: NDArray[np.int32]  # rings in use, the first head[ACTIVE] of them
    newest: NDArray[np.int32]  # (P,) newest base pane; apart from the rings, because every pane end scans it
    newest30: NDArray[np.int32]
    keep: NDArray[np.int32]  # (P,) the base pane until which some cell is needed
    cell: NDArray[np.int32]  # (P, K) the entity's cell of each meter that has cells, or -1
    cells: NDArray[Any]  # CELL (Q,)
    free_cells: NDArray[np.int32]  # stack of free cells
    walked: NDArray[np.int64]  # (K, WALKED) room for the last walk through a cell's counterparts (models.kernels.cells)
    hot: NDArray[np.uint8]  # (P,) has an open incident or a streak: looked at in every pane
    stirred: NDArray[np.uint8]  # (P,) what is counted may reach some rule's threshold (models.kernels.meters.stirs)
    crossed: NDArray[np.int32]  # (P, R) last crossing pane of the open incident, or NEVER
    streak: NDArray[np.int32]  # (P, R) pane ends in a row at which a statistical condition held
    pool_mean: NDArray[np.float64]  # (VALUES,)
    pool_square: NDArray[np.float64]
    histogram: NDArray[np.int64]  # (2, BUCKETS) scores of closed windows: WINDOWS as they are, EVENTS by their events
    below: NDArray[np.int64]  # (2, BUCKETS + 1) cumulated


class RuleArrays(NamedTuple):
    """The R rules of one dimension and the M meters that they read, as columns. Lengths are in panes of the own grid.

    A METERED rule holds where `main` (a share of `of`, where that is a meter) reaches `at_least`, `floor` has
    `floor_least`, and the conditions hold; a SPIKE where a minute's events are far above what was learned. What an
    ORDER rule meters is found in Python, where `extra` failures may have come before (models.windows.hold_back).
    """

    kind: NDArray[np.int64]
    grid: NDArray[np.int64]  # base panes in a pane of the rule
    window: NDArray[np.int64]
    at_least: NDArray[np.float64]
    extra: NDArray[np.int64]  # SPIKE: panes in a row; ORDER: failures
    times: NDArray[np.float64]  # SPIKE
    z: NDArray[np.float64]  # SPIKE
    quiet: NDArray[np.int64]
    severity: NDArray[np.int64]
    monotone: NDArray[np.bool_]  # more events can never undo it: it may open before its pane is final
    main: NDArray[np.int64]  # a meter
    of: NDArray[np.int64]  # a meter, or -1
    floor: NDArray[np.int64]  # a meter, or -1
    floor_least: NDArray[np.float64]
    counted: NDArray[np.int64]  # the meter of the events that its alert counts
    conditions: NDArray[np.float64]  # (R, C, CONDITION)
    store: NDArray[np.int64]  # (M,) where a meter's counts lie
    column: NDArray[np.int64]  # of the ring or of `near`; in the cells: a sum's row of `numbers`, a distinct's source
    meter_grid: NDArray[np.int64]  # base panes in a pane of the meter
    meter_window: NDArray[np.int64]
    mark: NDArray[np.int64]  # bit, or -1: every event
    cell: NDArray[np.int64]  # column of the cells, or -1
    salt: NDArray[np.uint64]  # what tells one meter's pairs from another's, the same in every run
    least: NDArray[np.int64]  # (6,) of what a ring has counted `ever`, and of the events of its last ten minutes: below
    # all of these no rule can hold
    in_cells: NDArray[np.int64]  # (K,) the meters that have cells, by column
    marks: NDArray[np.uint64]  # (2,) bits that some cell counts; bits whose events are evidence


SPIKES: Final = 5  # RuleArrays.least: that of the events of ten minutes; before it those of the columns of `ever`
METERED, SPIKE, ORDER, LEARNED_RULE = range(4)  # RuleArrays.kind
"""A LEARNED_RULE is looked at by models.kernels.close_minutes alone."""
RINGS_5, RINGS_30, NEAR, CELL_COUNT, CELL_SUM, CELL_DISTINCT = range(6)  # RuleArrays.store
CONDITION: Final = 5
ALSO, UNLESS, NO_CONDITION = range(3)  # conditions[..., 0]; then meter, of, at_least, times


def by_attribute(array: NDArray[Any]) -> NDArray[Any]:
    """Structured rows as kernels read them; with NUMBA_DISABLE_JIT only a recarray has their fields as attributes."""
    plain: bool = config.DISABLE_JIT  # type: ignore[attr-defined]
    return array.view(np.recarray) if plain else array


def allocate_records(n: int) -> NDArray[Any]:
    """Empty records, `n` a power of two."""
    records = by_attribute(zeros(n, RECORD))
    records["slot"] = -1
    records["hours"] = -1
    for column in ("first", "last", "guard_day", "guard_since"):
        records[column] = NEVER
    return records


def allocate_hours(n: int) -> NDArray[Any]:
    """Room for the hours of n entities: an address range until it is used."""
    return by_attribute(zeros(n, HOUR_ROW))


def allocate_pairs(m: int) -> NDArray[Any]:
    """Empty pairs, `m` a power of two."""
    pairs = by_attribute(zeros(m, PAIR))
    pairs["slot"] = -1
    pairs["next"] = -1
    return pairs


def allocate_rings(p: int, rules: int, meters: int) -> dict[str, NDArray[Any]]:
    """Empty rings and cells, all of them free; two cells for each ring, where any meter has cells."""
    q = 2 * p if meters else 0
    return {
        "keep": np.full(p, NEVER, np.int32),
        "cell": np.full((p, meters), -1, np.int32),
        "cells": by_attribute(zeros(q, CELL)),
        "free_cells": np.arange(q - 1, -1, -1, dtype=np.int32),
        "walked": np.zeros((meters, WALKED), np.int64),
        "rings": by_attribute(zeros(p, RING)),
        "free": np.arange(p - 1, -1, -1, dtype=np.int32),
        "active": np.zeros(p, np.int32),
        "newest": np.full(p, NEVER, np.int32),
        "newest30": np.full(p, NEVER, np.int32),
        "hot": np.zeros(p, np.uint8),
        "stirred": np.zeros(p, np.uint8),
        "crossed": np.full((p, rules), NEVER, np.int32),
        "streak": np.zeros((p, rules), np.int32),
    }


def allocate_model() -> dict[str, NDArray[Any]]:
    """A model that knows nothing."""
    return {
        "pool_mean": np.zeros(VALUES),
        "pool_square": np.zeros(VALUES),
        "histogram": np.zeros((2, BUCKETS), np.int64),
        "below": np.zeros((2, BUCKETS + 1), np.int64),
    }
