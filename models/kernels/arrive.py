"""Events arrive: counted in their panes, and scored at once against what was known before them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import DELETION, DIMENSIONS, FAILURE, IP, LATE, SKIP, SUCCESS, USER
from models.kernels.baseline import quantile_of, value_z
from models.kernels.cells import add_to_cell, cell_of, meet_in_cell
from models.kernels.conditions import crosses_now, expected_events, minute_of
from models.kernels.hours import usual
from models.kernels.kernel import inlined, kernel
from models.kernels.layout import (
    AHEAD5,
    CELL_DISTINCT,
    CELL_SUM,
    EVENTS,
    LATE_ROWS,
    LATEST30_AT,
    MINUTE,
    NEVER,
    NEXT,
    OVERTAKEN,
    PAIR_END,
    PANE_US,
    PER30,
    RING5,
    RING5_AT,
    RING30,
    RING30_AT,
    SEEN,
    SPIKE,
    SQUARE_AT,
    VALUES,
    X_DELETIONS,
    X_ERROR_SHARE,
    X_EVENTS,
    X_FAILED,
    X_FAILURES,
    X_MET,
    X_RESETS,
    RuleArrays,
    ShardArrays,
)
from models.kernels.load import prefetch
from models.kernels.meters import SUM_UNIT, stirs
from models.kernels.pairs import COUNTERPART, TARGET, leave_behind, meet, pair_key
from models.kernels.panes import add
from models.kernels.table import RECORDS_AHEAD, RINGS_AHEAD, enter, find, spot

DIMENSION_COUNT = len(DIMENSIONS)
EVERY_MARK = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class RowArrays(NamedTuple):
    """The columns of a batch that one dimension needs; `rows` are this shard's, in input order."""

    rows: NDArray[np.int64]
    entity: NDArray[np.uint64]
    other: NDArray[np.uint64]  # the counterpart's hash (ip: the user, user: the ip), 0: none
    target: NDArray[np.uint64]
    place: NDArray[np.int64]
    flags: NDArray[np.uint8]
    counts: NDArray[np.uint8]
    names: NDArray[np.uint8]
    name_start: NDArray[np.int64]
    name_length: NDArray[np.int32]
    tenant_start: NDArray[np.int64]
    tenant_length: NDArray[np.int32]
    entities: NDArray[np.uint64]  # (4, n)
    marks: NDArray[np.uint64]  # (n,), or (0,) without expressions
    hashes: NDArray[np.uint64]  # (D, n)
    numbers: NDArray[np.float64]  # (S, n)


class Learned(NamedTuple):
    """What the arithmetic of a detector needs from its parameters."""

    alpha: float
    pool_alpha: float
    warm_up: int
    entity_warm_up: int
    guard: float
    accept_after: int  # minutes
    floor_failures: int
    floor_targets: int


class ScoreArrays(NamedTuple):
    """What is known of a batch's rows on arrival, of shape (4, n): each shard writes its dimension and its rows."""

    feature: NDArray[np.uint8]
    score: NDArray[np.float64]
    quantile: NDArray[np.float64]
    z: NDArray[np.float64]
    expected: NDArray[np.float64]
    observed: NDArray[np.float64]
    severity: NDArray[np.uint8]  # of the gravest rule that has crossed, 0: none
    slot: NDArray[np.int32]  # the entity's ring, -1: it has none


@inlined
def current(s: ShardArrays, slot: int, value: int) -> float:
    """A learned value over the windows that end with the entity's newest panes."""
    if value == X_EVENTS:
        return float(s.rings[slot].sum5[0])
    if value == X_FAILURES:
        return float(s.rings[slot].sum5[1])
    if value == X_ERROR_SHARE:
        return float(s.rings[slot].sum5[2]) / float(max(s.rings[slot].sum5[0], 1))
    if value == X_DELETIONS:
        return float(s.rings[slot].sum30[3])
    if value == X_RESETS:
        return float(s.rings[slot].sum30[4])
    if value == X_MET:
        return float(s.rings[slot].near[0])
    if value == X_FAILED:
        return float(s.rings[slot].near[1])
    return float(s.rings[slot].near[3])


@inlined
def score_slot(
    s: ShardArrays,
    r: RuleArrays,
    p: Learned,
    edges: NDArray[np.float64],
    codes: NDArray[np.int64],
    slot: int,
    minute: int,
    d: int,
    i: np.uint64,
    out: ScoreArrays,
) -> None:
    """The value that stands out most of an entity's current windows, and the gravest rule that they cross."""
    record = s.rings[slot].record
    warm = s.records[record].count >= p.entity_warm_up
    feature = codes[X_EVENTS]
    observed = float(s.rings[slot].sum5[0])
    if warm or s.head[SEEN] >= p.entity_warm_up:
        best = -1e300
        expected = np.nan
        for value in range(VALUES):
            if codes[value] < 0:
                continue
            x = current(s, slot, value)
            if x == 0.0 and value != X_EVENTS:
                continue
            if warm:
                mean, square = usual(s, record, value, minute, p.alpha)
            else:
                mean, square = s.pool_mean[value], s.pool_square[value]
            z = value_z(value, x, float(s.rings[slot].sum5[0]), mean, square)
            if z > best:
                best = z
                feature = codes[value]
                observed = x
                expected = mean
        out.z[d, i] = best
        out.expected[d, i] = expected
        out.score[d, i] = max(best, 0.0)
        if s.head[SEEN] >= p.warm_up:
            out.quantile[d, i] = quantile_of(s, EVENTS, edges, max(best, 0.0))
    out.feature[d, i] = feature
    out.observed[d, i] = observed
    out.severity[d, i] = crossed_now(s, r, p, slot, minute) if s.hot[slot] or s.stirred[slot] else 0


@inlined
def crossed_now(s: ShardArrays, r: RuleArrays, p: Learned, slot: int, minute: int) -> int:
    """The severity of the gravest rule that has crossed, 0: none."""
    severity = 0
    mean = variance = -1.0
    looked = False
    for rule in range(len(r.kind)):
        if r.severity[rule] <= severity:
            continue
        if s.hot[slot] and s.crossed[slot, rule] != NEVER:
            severity = r.severity[rule]
            continue
        if r.kind[rule] == SPIKE:
            if s.streak[slot, rule] < r.extra[rule] - 1 or s.rings[slot].sum5[0] < r.at_least[rule]:
                continue
            if not looked:
                mean, variance = expected_events(s, slot, minute, p.alpha, p.warm_up, p.entity_warm_up)
                looked = True
        if crosses_now(s, r, rule, slot, mean, variance):
            severity = r.severity[rule]
    return int(severity)


@inlined
def look_ahead(s: ShardArrays, rows: RowArrays, i: int, dimension: int) -> None:
    """Have what a few rows on will touch on its way to the cache: tables are far larger than it."""
    if i + RECORDS_AHEAD < len(rows.rows):
        row = np.uint64(rows.rows[i + RECORDS_AHEAD])
        entity = rows.entity[row]
        at = spot(s.secret, entity, len(s.records))
        prefetch(s.records, at, 0)
        prefetch(s.records, at, SQUARE_AT)
        if (dimension == IP or dimension == USER) and rows.other[row] != 0:
            at = spot(s.secret, pair_key(entity, rows.other[row], COUNTERPART), len(s.pairs))
            prefetch(s.pairs, at, 0)
            prefetch(s.pairs, at, PAIR_END)
    if i + RINGS_AHEAD < len(rows.rows):
        row = np.uint64(rows.rows[i + RINGS_AHEAD])
        at = spot(s.secret, rows.entity[row], len(s.records))
        if s.records[at].hash == rows.entity[row] and s.records[at].slot >= 0:
            slot = s.records[at].slot
            pane = rows.place[row] // PANE_US
            prefetch(s.rings, slot, 0)
            prefetch(s.rings, slot, 64)
            prefetch(s.rings, slot, RING5_AT - 1)
            prefetch(s.rings, slot, RING5_AT + 12 * (pane & (RING5 - 1)))
            prefetch(s.rings, slot, RING30_AT + 20 * (pane // PER30 & (RING30 - 1)))
            prefetch(s.rings, slot, LATEST30_AT + 8 * (pane // PER30 & (RING30 - 1)))
            prefetch(s.newest, slot, 0)
            prefetch(s.newest30, slot, 0)


@inlined
def count_in_cells(s: ShardArrays, r: RuleArrays, rows: RowArrays, row: np.uint64, slot: int, pane: int) -> None:
    """Count one row in the cells of the meters that it has a mark of."""
    marks = rows.marks[row]
    every = r.marks[0] == EVERY_MARK
    if not every and marks & r.marks[0] == 0:
        return
    for column in range(len(r.in_cells)):
        meter = r.in_cells[column]
        if r.mark[meter] >= 0 and not (marks >> np.uint64(r.mark[meter])) & np.uint64(1):
            continue
        store, source = r.store[meter], r.column[meter]
        amount, other = 1, np.uint64(0)
        if store == CELL_SUM:
            number = rows.numbers[source, row]
            if number != number:
                continue
            amount = int(number * SUM_UNIT)
        elif store == CELL_DISTINCT:
            other = (
                rows.entities[source, row] if source < DIMENSION_COUNT else rows.hashes[source - DIMENSION_COUNT, row]
            )
            if other == 0:
                continue
        at = cell_of(s, slot, column)
        if at < 0:
            continue
        grid = r.meter_grid[meter]
        add_to_cell(s, at, pane // grid, amount)
        if store == CELL_DISTINCT:
            meet_in_cell(s, r, meter, slot, at, pane // grid, other)
        s.keep[slot] = max(s.keep[slot], (pane // grid + r.meter_window[meter] + 1) * grid + MINUTE)


@inlined
def count_row(s: ShardArrays, r: RuleArrays, rows: RowArrays, row: np.uint64, dimension: int, pane: int) -> int:
    """Count one row in its entity's panes and pairs; its ring, or -1 where there is no room."""
    at = find(s, rows.entity[row])
    slot = int(s.records[at].slot)  # -1 of an empty place too
    if slot < 0:
        slot = enter(
            s,
            at,
            rows.entity[row],
            rows.names,
            rows.name_start[row],
            rows.name_length[row],
            rows.tenant_start[row],
            rows.tenant_length[row],
        )
        if slot < 0:
            return -1
    counts = rows.counts[row]
    pane30 = pane // PER30
    if dimension == IP or dimension == USER:
        leave_behind(s, slot, pane30)
    add(s, slot, pane, counts)
    if dimension == IP or dimension == USER:
        if rows.other[row] != 0:
            meet(s, slot, pane30, rows.other[row], COUNTERPART, counts & FAILURE != 0, counts & SUCCESS != 0)
        if counts & DELETION and rows.target[row] != 0:
            meet(s, slot, pane30, rows.target[row], TARGET, False, False)
    if len(r.in_cells) > 0:
        count_in_cells(s, r, rows, row, slot, pane)
    s.stirred[slot] = stirs(s, r, slot, 1)
    return slot


@kernel
def arrive(
    s: ShardArrays,
    r: RuleArrays,
    p: Learned,
    edges: NDArray[np.float64],
    codes: NDArray[np.int64],
    dimension: int,
    rows: RowArrays,
    skip_before: int,
    out: ScoreArrays,
    ahead: NDArray[np.bool_],
) -> tuple[int, int, int, int, int]:
    """Count and score a slice's rows; rows too far ahead of the open panes are marked in `ahead` and only scored.

    The first `skip_before` rows were counted before a restart: they are scored, not added. `out` is as
    `models.windows.slice.unknown` makes it. Returns how many rows are ahead, are to be counted, are evidence among
    those, the newest pane of those, and how many rows' entities are hot.

    Rows are unsigned: an index that cannot be counted from the end costs no question.
    """
    waiting = fresh = witnessed = hot = 0
    marked = len(rows.marks) > 0
    newest = NEVER
    for i in range(len(rows.rows)):
        if dimension == IP or dimension == USER:
            look_ahead(s, rows, i, dimension)
        row = np.uint64(rows.rows[i])
        pane = rows.place[row] // PANE_US
        ahead[i] = False
        slot = -1
        flags = rows.flags[row]
        if flags & LATE:
            s.head[LATE_ROWS] += 1
        if i >= skip_before and not flags & SKIP:
            fresh += 1
            newest = max(newest, pane)
            if marked and rows.marks[row] & r.marks[1] != 0:
                witnessed += 1
            if s.head[NEXT] == NEVER or pane >= s.head[NEXT] + AHEAD5:
                ahead[i] = True
                waiting += 1
            else:
                if pane < s.head[NEXT]:
                    s.head[OVERTAKEN] += 1
                    pane = s.head[NEXT]
                slot = count_row(s, r, rows, row, dimension, pane)
        if slot < 0:
            at = find(s, rows.entity[row])
            if s.records[at].hash != 0:
                slot = s.records[at].slot
        out.slot[dimension, row] = slot
        if slot >= 0:
            hot += s.hot[slot]
            score_slot(s, r, p, edges, codes, slot, minute_of(pane), dimension, row, out)
        else:
            out.feature[dimension, row] = codes[X_EVENTS]
            out.observed[dimension, row] = 0.0
    return waiting, fresh, witnessed, newest, hot


@kernel
def add_waiting(s: ShardArrays, r: RuleArrays, dimension: int, rows: RowArrays, done: NDArray[np.bool_]) -> int:
    """Count the waiting rows that are no longer too far ahead; how many still are."""
    waiting = 0
    for i in range(len(rows.rows)):
        if done[i]:
            continue
        row = np.uint64(rows.rows[i])
        pane = rows.place[row] // PANE_US
        if s.head[NEXT] == NEVER or pane >= s.head[NEXT] + AHEAD5:
            waiting += 1
            continue
        if pane < s.head[NEXT]:
            s.head[OVERTAKEN] += 1
            pane = s.head[NEXT]
        count_row(s, r, rows, row, dimension, pane)
        done[i] = True
    return waiting
