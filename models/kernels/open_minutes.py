"""How entities behave in minutes that are still open, and what was last known of them, row by row."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import ENDPOINT, FEATURES, SKIP
from models.kernels.arrive import RowArrays, ScoreArrays
from models.kernels.behaviour import RecentArrays, SumArrays, add_event, cells_of, clear_sums, forget_recent
from models.kernels.kernel import inlined, kernel
from models.kernels.layout import MINUTE, NEXT, PANE_US, ShardArrays
from models.kernels.load import prefetch
from models.kernels.table import find

OPEN: Final = 5  # minutes that the base panes ahead of the first open one may touch
CLOSED: Final = 8  # closed windows that are remembered of an entity, at most so many minutes old
FRESH: Final = 5  # minutes for which what was known of an entity's behaviour is said of its events
_AHEAD: Final = 8  # rows
BEHAVIOUR: Final[int] = FEATURES.index("behaviour")


class CallArrays(NamedTuple):
    """What of a batch's rows only behaviour needs."""

    method: NDArray[np.uint8]
    action: NDArray[np.uint8]
    outcome: NDArray[np.uint8]
    status: NDArray[np.int16]


class OpenArrays(NamedTuple):
    """The open minutes of the entities that hold the P rings: minute m of ring p has place p * OPEN + m % OPEN."""

    sums: SumArrays
    events: NDArray[np.int32]  # (P * OPEN,)
    listed: NDArray[np.uint8]  # (P * OPEN,) is in `line`
    line: NDArray[np.int32]  # (OPEN, P) the rings that have been counted in, by minute
    length: NDArray[np.int64]  # (OPEN,)
    owner: NDArray[np.uint64]  # (P,) the entity whose behaviour this is


class KnownArrays(NamedTuple):
    """The last closed windows of the entities that hold the P rings; minute m lies at m % CLOSED."""

    minute: NDArray[np.int32]  # (P, CLOSED) plus 1
    events: NDArray[np.int32]  # (P, CLOSED)
    score: NDArray[np.float64]  # (P, CLOSED)
    quantile: NDArray[np.float64]  # (P, CLOSED) among windows
    rare: NDArray[np.float64]  # (P,) quantile of the last one among events; NaN: not known


@inlined
def take_over(o: OpenArrays, recent: RecentArrays, known: KnownArrays, slot: int, entity: np.uint64) -> None:
    """A ring has another owner: nothing of the last one's behaviour is left."""
    o.owner[slot] = entity
    forget_recent(recent, slot)
    for k in range(CLOSED):
        known.minute[slot, k] = 0
    known.rare[slot] = np.nan
    for k in range(OPEN):
        place = slot * OPEN + k
        if o.events[place] > 0:
            clear_sums(o.sums, place)
            o.events[place] = 0


@inlined
def count_call(
    s: ShardArrays,
    o: OpenArrays,
    recent: RecentArrays,
    known: KnownArrays,
    rows: RowArrays,
    calls: CallArrays,
    classes: NDArray[np.uint8],
    dimension: int,
    row: int,
    slot: int,
    pane: int,
) -> None:
    """Count one row in its entity's open minute."""
    entity = rows.entity[row]
    if o.owner[slot] != entity:
        take_over(o, recent, known, slot, entity)
    k = pane // MINUTE % OPEN
    place = slot * OPEN + k
    if not o.listed[place]:
        o.listed[place] = 1
        o.line[k, o.length[k]] = slot
        o.length[k] += 1
    o.events[place] += 1
    mix, outcomes = cells_of(
        dimension,
        rows.entities[ENDPOINT, row],
        np.int64(calls.method[row]),
        np.int64(calls.action[row]),
        np.int64(calls.outcome[row]),
        np.int64(calls.status[row]),
        np.int64(rows.counts[row]),
        classes,
    )
    add_event(o.sums, place, mix, outcomes, rows.other[row])


@kernel
def count_calls(
    s: ShardArrays,
    o: OpenArrays,
    recent: RecentArrays,
    known: KnownArrays,
    rows: RowArrays,
    calls: CallArrays,
    classes: NDArray[np.uint8],
    dimension: int,
    skip_before: int,
    ahead: NDArray[np.bool_],
    out: ScoreArrays,
) -> None:
    """Count the rows that `arrive` has counted, and say what was last known of their entities' behaviour.

    Of an event stands the rarer of the two: its rates, or how its entity behaved in its last closed minute. How an
    endpoint behaves says nothing of one event there: that is many callers' doing.
    """
    first_open = s.head[NEXT]
    end = len(rows.rows) - 1
    for i in range(len(rows.rows)):
        ahead_row = rows.rows[min(i + _AHEAD, end)]
        there = np.int64(out.slot[dimension, ahead_row])
        if there >= 0:
            place = there * OPEN + rows.place[ahead_row] // PANE_US // MINUTE % OPEN
            prefetch(s.rings, there, 0)
            prefetch(o.owner, there, 0)
            prefetch(o.events, place, 0)
            prefetch(o.sums.mix, place, 0)
            prefetch(o.sums.mix, place, 63)
            prefetch(o.sums.met, place, 0)
            prefetch(recent.last, there, 0)
            prefetch(recent.minutes, there, 0)
            prefetch(known.rare, there, 0)
        row = rows.rows[i]
        slot = np.int64(out.slot[dimension, row])
        if slot < 0 or s.rings[slot].owner != rows.entity[row]:
            continue
        pane = max(rows.place[row] // PANE_US, first_open)
        if i >= skip_before and not rows.flags[row] & SKIP and not ahead[i]:
            count_call(s, o, recent, known, rows, calls, classes, dimension, row, slot, pane)
        if dimension == ENDPOINT or o.owner[slot] != rows.entity[row] or recent.minutes[slot] == 0:
            continue
        last = np.int64(recent.last[slot])
        if pane // MINUTE - last > FRESH:
            continue
        rare = known.rare[slot]
        if rare == rare and not rare <= out.quantile[dimension, row]:
            score = known.score[slot, last & (CLOSED - 1)]
            out.feature[dimension, row] = BEHAVIOUR
            out.quantile[dimension, row] = rare
            out.score[dimension, row] = score
            out.observed[dimension, row] = score
            out.expected[dimension, row] = np.nan
            out.z[dimension, row] = np.nan


@kernel
def count_waiting_calls(
    s: ShardArrays,
    o: OpenArrays,
    recent: RecentArrays,
    known: KnownArrays,
    rows: RowArrays,
    calls: CallArrays,
    classes: NDArray[np.uint8],
    dimension: int,
    before: NDArray[np.bool_],
    done: NDArray[np.bool_],
) -> None:
    """Count the waiting rows that were not done before, and are now."""
    for i in range(len(rows.rows)):
        if before[i] or not done[i]:
            continue
        row = rows.rows[i]
        at = find(s, rows.entity[row])
        if s.records[at].hash == 0 or s.records[at].slot < 0:
            continue
        slot = np.int64(s.records[at].slot)
        pane = max(rows.place[row] // PANE_US, s.head[NEXT])
        count_call(s, o, recent, known, rows, calls, classes, dimension, row, slot, pane)
