"""A minute ends: how its entities behaved is judged by what was known before it, then taught."""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.baseline import bucket_of
from models.kernels.behaviour import BEHAVIOURS, FRAMES, LEVELS, clear_sums
from models.kernels.close import END, GO_ON, note, warm_hot
from models.kernels.close import OPEN as OPENS
from models.kernels.close_behaviour import BehaviourArrays, ClosedArrays, describe_windows, teach_windows
from models.kernels.kernel import kernel
from models.kernels.layout import (
    ACTIVE,
    BUCKETS,
    MINUTE,
    MOST_EVENTS,
    NEVER,
    NEXT,
    RING5,
    RING5_AT,
    RuleArrays,
    ShardArrays,
)
from models.kernels.learn import DAY, sampled
from models.kernels.load import prefetch
from models.kernels.open_minutes import CLOSED, OPEN, KnownArrays, OpenArrays
from models.kernels.panes import at5

# Places in PastArrays.head: the period of the last halving; since when is counted; what was counted since
(HALVED, BEGAN, CLOSED_WINDOWS, ACCEPTED, UNSCORED) = range(5)
PAST_HEAD: Final = 5
_AHEAD: Final = 8  # windows


class PastArrays(NamedTuple):
    """What the guard remembers of the R records, and how strange the events of closed windows were."""

    head: NDArray[np.int64]
    guard_day: NDArray[np.int32]  # (R,) plus 1: last day on which a guarded window entered the histograms
    guard_since: NDArray[np.int32]  # (R,) plus 1: minute of the first of an unbroken run of guarded windows
    histogram: NDArray[np.int64]  # (BUCKETS,) heights, each window counted with its events
    below: NDArray[np.int64]  # (BUCKETS + 1,) cumulated


class MinuteArrays(NamedTuple):
    """All that one shard holds of behaviour."""

    open: OpenArrays
    known: KnownArrays
    past: PastArrays
    learned: BehaviourArrays  # its sums are those of `open`


class AnomalyArrays(NamedTuple):
    """The Q behaviour rules of a dimension, `rule` their place among all its rules."""

    rule: NDArray[np.int64]
    quantile: NDArray[np.float64]
    score: NDArray[np.float64]
    hits: NDArray[np.int64]
    windows: NDArray[np.int64]
    events: NDArray[np.int64]


class JudgedArrays(NamedTuple):
    """Room for what `judge_windows` says: K windows that are kept, and S steps."""

    slot: NDArray[np.int32]  # (K,)
    score: NDArray[np.float64]
    quantile: NDArray[np.float64]
    guarded: NDArray[np.bool_]
    weight: NDArray[np.float64]
    crosses: NDArray[np.int64]  # (S,) the window with which an incident opens or goes on, -1 for none


class MinuteParams(NamedTuple):
    """What is needed of the configuration, beside the parameters of what scores."""

    half_life: int  # minutes
    accept_after: int  # minutes
    keep_quantile: float
    keep_share: float


@kernel
def event_quantile(past: PastArrays, edges: NDArray[np.float64], height: float) -> float:
    """The share of events below a height (half of its own bucket), at most 1 - 1/n; NaN without any."""
    n = past.below[BUCKETS]
    if n == 0 or height != height:
        return np.nan
    bucket = bucket_of(edges, height)
    return min((past.below[bucket] + 0.5 * past.histogram[bucket]) / n, 1.0 - 1.0 / n)


@kernel
def cumulate_events(past: PastArrays) -> None:
    """Make quantiles answer from the histogram as it is now."""
    past.below[0] = 0
    for k in range(BUCKETS):
        past.below[k + 1] = past.below[k] + past.histogram[k]


@kernel
def guard_window(past: PastArrays, p: MinuteParams, minute: int, w: ClosedArrays, i: int) -> bool:
    """Whether a window enters the histograms; what stays guarded for long enough is accepted."""
    record = w.record[i]
    if not w.guarded[i]:
        past.guard_since[record] = 0
        return True
    since = past.guard_since[record] - 1
    if since < 0 or since > minute:
        past.guard_since[record] = minute + 1
    elif minute - since >= p.accept_after:
        w.guarded[i] = False
        past.head[ACCEPTED] += 1
        return True
    counted = past.guard_day[record] != minute // DAY + 1
    past.guard_day[record] = minute // DAY + 1
    return bool(counted)


@kernel
def look_back(
    known: KnownArrays, a: AnomalyArrays, q: int, slot: int, minute: int
) -> tuple[int, int, int, int, int, bool]:
    """The strange windows among the last ones of an entity.

    How many there are and were before this minute, their events in this minute and before, the oldest one's minute,
    and whether one more strange window could complete them.
    """
    hits = now = before = 0
    oldest = minute
    soon = 0
    for back in range(a.windows[q]):
        m = minute - back
        k = m & (CLOSED - 1)
        if known.minute[slot, k] != m + 1:
            continue
        if not (known.quantile[slot, k] >= a.quantile[q] and known.score[slot, k] >= a.score[q]):
            continue
        hits += 1
        soon += back < a.windows[q] - 1
        oldest = m
        if back == 0:
            now = np.int64(known.events[slot, k])
        else:
            before += np.int64(known.events[slot, k])
    return hits, now, before, oldest, soon, soon >= a.hits[q] - 1


@kernel
def follow(
    s: ShardArrays,
    r: RuleArrays,
    known: KnownArrays,
    a: AnomalyArrays,
    q: int,
    slot: int,
    minute: int,
    steps: NDArray[np.int64],
    numbers: NDArray[np.float64],
    n: int,
) -> tuple[int, bool]:
    """One rule, one entity, one closed minute: the number of steps written, and whether the last one crosses."""
    rule = a.rule[q]
    hits, now, before, oldest, _, soon = look_back(known, a, q, slot, minute)
    s.streak[slot, rule] = soon
    holds = now > 0 and hits >= a.hits[q] and now + before >= a.events[q]
    value = known.score[slot, minute & (CLOSED - 1)] if now > 0 else 0.0
    crossed = s.crossed[slot, rule]
    if crossed == NEVER:
        if not holds:
            return n, False
        s.crossed[slot, rule] = minute
        n = note(steps, numbers, n, OPENS, rule, slot, minute, value, now, True, oldest, before, -1.0, -1.0)
        return n, True
    if holds:
        s.crossed[slot, rule] = max(minute, crossed)
    elif minute - crossed >= r.quiet[rule]:
        s.crossed[slot, rule] = NEVER
        return note(steps, numbers, n, END, rule, slot, minute, value, now, False, 0, 0, -1.0, -1.0), False
    return note(steps, numbers, n, GO_ON, rule, slot, minute, value, now, holds, 0, 0, -1.0, -1.0), holds


@njit(cache=True, nogil=True)
def closed_windows(
    s: ShardArrays, m: MinuteArrays, p: MinuteParams, half: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[int, ClosedArrays]:
    """The windows of the minute before head[NEXT], described; and how many half-lives have ended since the last."""
    minute = s.head[NEXT] // MINUTE - 1
    o, past = m.open, m.past
    period = minute // p.half_life
    halvings = 0
    if past.head[HALVED] != NEVER and period > past.head[HALVED]:
        halvings = period - past.head[HALVED]
        for k in range(BUCKETS):
            past.histogram[k] >>= min(halvings, 63)
        cumulate_events(past)
    past.head[HALVED] = period
    if past.head[BEGAN] == NEVER:
        past.head[BEGAN] = minute
    line = minute % OPEN
    slots = np.empty(o.length[line], np.int64)
    n = 0
    last = o.length[line] - 1
    for i in range(o.length[line]):
        ahead = np.int64(o.line[line, min(i + _AHEAD, last)])
        prefetch(s.rings, ahead, 0)
        prefetch(s.newest, ahead, 0)
        prefetch(o.owner, ahead, 0)
        prefetch(o.events, ahead * OPEN + line, 0)
        prefetch(o.listed, ahead * OPEN + line, 0)
        slot = np.int64(o.line[line, i])
        o.listed[slot * OPEN + line] = 0
        if o.events[slot * OPEN + line] > 0 and s.rings[slot].owner == o.owner[slot]:
            slots[n] = slot
            n += 1
    o.length[line] = 0
    order = np.argsort(o.owner[slots[:n]])
    w = ClosedArrays(
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty(n, np.int64),
        np.empty((n, FRAMES), np.int64),
        np.empty((n, LEVELS)),
        np.empty((n, BEHAVIOURS)),
        np.empty(n),
        np.empty(n),
        np.empty(n),
        np.empty(n, np.bool_),
        np.empty(n, np.bool_),
    )
    panes = RING5_AT + minute * MINUTE % RING5 * 12
    for i in range(n):
        ahead = slots[order[min(i + _AHEAD, n - 1)]]
        prefetch(s.rings, ahead, panes)
        prefetch(s.rings, ahead, panes + 64)
        slot = slots[order[i]]
        w.slot[i] = slot
        w.record[i] = s.rings[slot].record
        w.place[i] = slot * OPEN + line
        for k in range(FRAMES):
            w.panes[i, k] = at5(s, slot, 0, minute * MINUTE + k)
    describe_windows(m.learned, half, weight, minute, w)
    return halvings, w


@kernel
def judge_windows(
    s: ShardArrays,
    r: RuleArrays,
    a: AnomalyArrays,
    m: MinuteArrays,
    p: MinuteParams,
    edges: NDArray[np.float64],
    w: ClosedArrays,
    steps: NDArray[np.int64],
    numbers: NDArray[np.float64],
    out: JudgedArrays,
) -> tuple[int, int]:
    """Follow what windows that were scored lead to: steps written, windows kept.

    `steps` and `numbers` have room for a step of every rule and active ring, `out` for all windows and steps.
    """
    minute = s.head[NEXT] // MINUTE - 1
    o, known, past = m.open, m.known, m.past
    n, k = len(w.record), minute & (CLOSED - 1)
    kept = 0
    for i in range(n):
        slot = w.slot[i]
        w.counted[i] = guard_window(past, p, minute, w, i)
        known.minute[slot, k] = minute + 1
        known.events[slot, k] = o.events[w.place[i]]
        known.score[slot, k] = w.score[i]
        known.quantile[slot, k] = w.quantile[i]
        known.rare[slot] = event_quantile(past, edges, w.height[i]) if w.quantile[i] == w.quantile[i] else np.nan
        keep = w.quantile[i] >= p.keep_quantile
        if keep or sampled(o.owner[slot], minute, p.keep_share):
            out.slot[kept] = slot
            out.score[kept] = w.score[i]
            out.quantile[kept] = w.quantile[i]
            out.guarded[kept] = w.guarded[i]
            out.weight[kept] = 1.0 if keep else 1.0 / p.keep_share
            kept += 1
    written = 0
    for q in range(len(a.rule)):
        rule = a.rule[q]
        for i in range(n):
            slot = w.slot[i]
            if w.quantile[i] != w.quantile[i] and s.crossed[slot, rule] == NEVER and s.streak[slot, rule] == 0:
                continue
            before = written
            written, crosses = follow(s, r, known, a, q, slot, minute, steps, numbers, written)
            if s.hot[slot] or s.streak[slot, rule] > 0 or s.crossed[slot, rule] != NEVER:
                warm_hot(s, r, slot)
            if written > before:
                out.crosses[before] = i if crosses else -1
        for i in range(s.head[ACTIVE]):
            slot = np.int64(s.active[i])
            if not s.hot[slot] or known.minute[slot, k] == minute + 1:
                continue
            if s.crossed[slot, rule] != NEVER or s.streak[slot, rule] > 0:
                before = written
                written, _ = follow(s, r, known, a, q, slot, minute, steps, numbers, written)
                warm_hot(s, r, slot)
                if written > before:
                    out.crosses[before] = -1
    return written, kept


@kernel
def end_windows(s: ShardArrays, m: MinuteArrays, edges: NDArray[np.float64], w: ClosedArrays) -> None:
    """Teach what windows say of their entities, count them, and leave their places to others."""
    o, past = m.open, m.past
    teach_windows(m.learned, s.head[NEXT] // MINUTE - 1, w)
    for i in range(len(w.record)):
        if w.counted[i] and w.score[i] == w.score[i]:
            past.histogram[bucket_of(edges, w.height[i])] += min(np.int64(o.events[w.place[i]]), MOST_EVENTS)
        past.head[UNSCORED] += w.score[i] != w.score[i]
        clear_sums(o.sums, w.place[i])
        o.events[w.place[i]] = 0
    past.head[CLOSED_WINDOWS] += len(w.record)
    cumulate_events(past)
