"""A learning window ends: every window that is not silent is scored, and the unguarded ones teach."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import IP, USER
from models.kernels.arrive import Learned
from models.kernels.baseline import bucket_of, own, quantile_of, value_z
from models.kernels.hours import count_minute, learn_spread, pass_minute, turn_hours, usual
from models.kernels.kernel import inlined, kernel
from models.kernels.layout import (
    ACCEPTED,
    ACTIVE,
    BEGAN,
    BUCKETS,
    CLOSED,
    EVENTS,
    GUARDED,
    HALVED,
    LATEST30_AT,
    LEARNED,
    LEARNED_RULE,
    LINGER,
    MINUTE,
    MOST_EVENTS,
    NEVER,
    NEXT,
    PER30,
    RATES,
    RING30,
    SEEN,
    SPIKE,
    UNSCORED,
    VALUES,
    WINDOW15M,
    WINDOW30,
    WINDOWS,
    X_DELETIONS,
    X_ERROR_SHARE,
    X_EVENTS,
    X_FAILED,
    X_FAILURES,
    X_MET,
    X_RESETS,
    X_TARGETS,
    RuleArrays,
    ShardArrays,
)
from models.kernels.levels import rises
from models.kernels.load import prefetch
from models.kernels.meters import may_reach, share, stirs
from models.kernels.pairs import NEAR_TARGETS, met_at, near_at
from models.kernels.panes import at5, sum5, sum30
from models.kernels.table import RECORDS_AHEAD, RINGS_AHEAD, release_before

FEATURE_COUNT = 12
DAY = 1440  # minutes


class WindowArrays(NamedTuple):
    """The windows to be kept, one place each."""

    slot: NDArray[np.int32]
    feature: NDArray[np.int64]
    score: NDArray[np.float64]
    quantile: NDArray[np.float64]
    guarded: NDArray[np.bool_]
    expected: NDArray[np.float64]
    observed: NDArray[np.float64]
    weight: NDArray[np.float64]
    values: NDArray[np.float64]  # (n, FEATURE_COUNT) at the window's end
    peaks: NDArray[np.float64]  # (n, FEATURE_COUNT) largest sliding value that ends inside


def window_arrays(n: int) -> WindowArrays:
    """Room for n windows."""
    score, quantile, expected, observed, weight = np.empty((5, n))
    return WindowArrays(
        slot=np.empty(n, np.int32),
        feature=np.empty(n, np.int64),
        score=score,
        quantile=quantile,
        guarded=np.empty(n, np.bool_),
        expected=expected,
        observed=observed,
        weight=weight,
        values=np.empty((n, FEATURE_COUNT)),
        peaks=np.empty((n, FEATURE_COUNT)),
    )


@inlined
def window_values(s: ShardArrays, slot: int, pane: int, dimension: int, x: NDArray[np.float64]) -> None:
    """The learned values of the minute that ends with base pane `pane`."""
    events = sum5(s, slot, 0, pane)
    x[:] = 0.0
    x[X_EVENTS] = events
    if events == 0:
        return
    if s.rings[slot].ever[1] > 0:
        x[X_FAILURES] = sum5(s, slot, 1, pane)
    if s.rings[slot].ever[2] > 0:
        x[X_ERROR_SHARE] = sum5(s, slot, 2, pane) / events
    pane30 = pane // 6
    if s.rings[slot].ever[3] > 0:
        x[X_DELETIONS] = sum30(s, slot, 3, pane30, WINDOW30)
    if s.rings[slot].ever[4] > 0:
        x[X_RESETS] = sum30(s, slot, 4, pane30, WINDOW30)
    if dimension == IP or dimension == USER:
        x[X_MET], x[X_FAILED] = met_at(s, slot, pane30)
        if x[X_DELETIONS] > 0.0:
            x[X_TARGETS] = near_at(s, slot, NEAR_TARGETS, pane30, WINDOW30)


@kernel
def half_way(s: ShardArrays, r: RuleArrays, slot: int, pane: int) -> bool:
    """Whether any rule's measure reached half its threshold at a pane end inside the window."""
    for rule in range(len(r.kind)):
        if r.kind[rule] == SPIKE:
            # The ten minutes that end with the newest pane hold both minutes, because no ring is that far ahead.
            if 2 * s.rings[slot].sum30[0] < r.at_least[rule]:
                continue
            total = sum5(s, slot, 0, pane - MINUTE + 1)
            peak = total
            for k in range(pane - MINUTE + 2, pane + 1):
                total += at5(s, slot, 0, k)
                total -= at5(s, slot, 0, k - MINUTE)
                peak = max(peak, total)
            if 2 * peak >= r.at_least[rule]:
                return True
        elif r.kind[rule] != LEARNED_RULE and may_reach(s, r, rule, slot, 0.5):
            if rises(s, r, rule, slot, pane):
                return True
            grid = r.grid[rule]
            for k in range(-(-(pane - MINUTE + 2) // grid) * grid - 1, pane + 1, grid):  # pane ends inside the minute
                if 2.0 * share(s, r, r.main[rule], r.of[rule], slot, k // grid, 0, False) >= r.at_least[rule]:
                    return True
    return False


@kernel
def describe(
    s: ShardArrays, slot: int, pane: int, dimension: int, values: NDArray[np.float64], peaks: NDArray[np.float64]
) -> None:
    """Every named feature at the window's end, and its largest sliding value inside."""
    values[:] = np.nan
    peaks[:] = np.nan
    pane30 = pane // 6
    for k in range(pane - MINUTE + 1, pane + 1):
        events = float(sum5(s, slot, 0, k))
        if events == 0.0:
            continue
        failures = float(sum5(s, slot, 1, k))
        share = float(sum5(s, slot, 2, k)) / events
        values[0], values[1], values[2] = events, failures, share
        peaks[0] = max(events, peaks[0]) if peaks[0] == peaks[0] else events
        peaks[1] = max(failures, peaks[1]) if peaks[1] == peaks[1] else failures
        peaks[2] = max(share, peaks[2]) if peaks[2] == peaks[2] else share
    for k in range(pane30 - 1, pane30 + 1):
        events = float(sum30(s, slot, 0, k, WINDOW30))
        if events == 0.0:
            continue
        for feature, column in ((3, 0), (4, 1), (6, 3), (7, 4)):
            x = float(sum30(s, slot, column, k, WINDOW30))
            values[feature] = x
            peaks[feature] = max(x, peaks[feature]) if peaks[feature] == peaks[feature] else x
        share = float(sum30(s, slot, 2, k, WINDOW30)) / events
        values[5] = share
        peaks[5] = max(share, peaks[5]) if peaks[5] == peaks[5] else share
        if dimension == IP or dimension == USER:
            targets = float(near_at(s, slot, NEAR_TARGETS, k, WINDOW30))
            values[11] = targets
            peaks[11] = max(targets, peaks[11]) if peaks[11] == peaks[11] else targets
    if dimension == IP or dimension == USER:
        met = near_at(s, slot, 0, pane30, WINDOW15M)
        if dimension == IP:
            values[8] = peaks[8] = met
            values[9] = peaks[9] = near_at(s, slot, 1, pane30, WINDOW15M)
        else:
            values[10] = peaks[10] = met


@inlined
def teach(
    s: ShardArrays, p: Learned, record: int, minute: int, x: NDArray[np.float64], codes: NDArray[np.int64]
) -> None:
    """One unguarded window moves its entity's baseline and the pool's."""
    first = s.records[record].count == 0
    pool_weight = max(p.pool_alpha, 1.0 / (s.head[SEEN] + 1.0))
    if first:
        s.records[record].first = minute
        s.records[record].last = minute - 1
    elif minute <= s.records[record].last:  # an older input after a closed one: what was learned keeps its age
        s.records[record].first += minute - 1 - s.records[record].last
        s.records[record].last = minute - 1
    for value in range(VALUES):
        if codes[value] < 0:
            continue
        if value < RATES:
            weight = max(p.alpha, 1.0 / (minute - s.records[record].first + 1.0))
        else:
            weight = max(p.alpha, 1.0 / (s.records[record].count + 1.0))
        mean, square = own(s, record, value, minute, p.alpha)
        s.records[record]["mean"][value] = mean + weight * (x[value] - mean)
        s.records[record].square[value] = square + weight * (x[value] * x[value] - square)
        s.pool_mean[value] += pool_weight * (x[value] - s.pool_mean[value])
        s.pool_square[value] += pool_weight * (x[value] * x[value] - s.pool_square[value])
    s.records[record].last = minute
    s.records[record].count += 1
    s.head[SEEN] += 1
    s.head[LEARNED] += 1


@inlined
def pass_over(s: ShardArrays, p: Learned, record: int, minute: int) -> None:
    """A guarded window teaches nothing, not that the entity was silent either: its baseline stays as it was before."""
    if s.records[record].count == 0 or minute <= s.records[record].last:
        return
    for value in range(RATES):
        mean, square = own(s, record, value, minute, p.alpha)
        s.records[record]["mean"][value] = mean
        s.records[record].square[value] = square
    s.records[record].last = minute


@inlined
def sampled(entity: np.uint64, minute: int, share: float) -> bool:
    """A fixed share of (entity, window) pairs, by hash."""
    x = entity ^ (np.uint64(minute) * np.uint64(0x9E3779B97F4A7C15))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return float(x >> np.uint64(11)) * 2.0**-53 < share


@kernel
def cumulate(s: ShardArrays) -> None:
    """Make quantiles answer from the histogram as it is now."""
    for row in range(2):
        s.below[row, 0] = 0
        for b in range(BUCKETS):
            s.below[row, b + 1] = s.below[row, b] + s.histogram[row, b]


@kernel
def begin_minute(s: ShardArrays, half_life: int, slots: NDArray[np.int64], owners: NDArray[np.uint64]) -> int:
    """Before the minute before head[NEXT] is learned: forget by half-lives, turn hours, and find whose minute it is.

    The rings with events in it go to `slots`, their entities to `owners`; how many there are.
    """
    pane = s.head[NEXT] - 1
    minute = pane // MINUTE
    period = minute // half_life
    if s.head[HALVED] != NEVER and period > s.head[HALVED]:
        for b in range(BUCKETS):
            s.histogram[WINDOWS, b] >>= min(period - s.head[HALVED], 63)
            s.histogram[EVENTS, b] >>= min(period - s.head[HALVED], 63)
        cumulate(s)
    s.head[HALVED] = period
    if s.head[BEGAN] == NEVER:
        s.head[BEGAN] = minute
    turn_hours(s, minute)
    n = 0
    for i in range(s.head[ACTIVE]):
        if i + RINGS_AHEAD < s.head[ACTIVE] and s.newest[s.active[i + RINGS_AHEAD]] > pane - MINUTE:
            prefetch(s.rings, s.active[i + RINGS_AHEAD], 0)
        slot = s.active[i]
        newest = s.newest[slot]
        if newest > pane - MINUTE and (newest <= pane or sum5(s, slot, 0, pane) > 0):
            slots[n] = slot
            owners[n] = s.rings[slot].owner
            n += 1
    return n


@inlined
def look_ahead(s: ShardArrays, slots: NDArray[np.int64], j: int, pane30: int) -> None:
    """Have what a few entities on will touch on its way to the cache."""
    if j + RECORDS_AHEAD < len(slots):
        slot = slots[j + RECORDS_AHEAD]
        prefetch(s.rings, slot, 0)
        prefetch(s.rings, slot, 64)
        prefetch(s.rings, slot, LATEST30_AT + 8 * (pane30 & (RING30 - 1)))
    if j + RINGS_AHEAD < len(slots):
        slot = slots[j + RINGS_AHEAD]
        prefetch(s.records, s.rings[slot].record, 0)
        prefetch(s.records, s.rings[slot].record, 64)
        if s.newest30[slot] > pane30 and s.rings[slot].chain >= 0:
            prefetch(s.pairs, s.rings[slot].chain, 0)


@kernel
def learn_minute(
    s: ShardArrays,
    r: RuleArrays,
    p: Learned,
    edges: NDArray[np.float64],
    codes: NDArray[np.int64],
    dimension: int,
    keep_quantile: float,
    keep_share: float,
    slots: NDArray[np.int64],
    x: NDArray[np.float64],
    scores: NDArray[np.float64],
    guarded: NDArray[np.bool_],
    usual_again: NDArray[np.bool_],
    out: WindowArrays,
) -> int:
    """Score, keep, teach and forget at the end of the minute before head[NEXT]; how many windows are kept.

    `slots` are the rings that `begin_minute` found, in the order of their entities' hashes; the four arrays after it
    are room for what is known of each.
    """
    pane = s.head[NEXT] - 1
    minute = pane // MINUTE
    kept = 0
    for j in range(len(slots)):
        look_ahead(s, slots, j, pane // PER30)
        slot = slots[j]
        record = s.rings[slot].record
        window_values(s, slot, pane, dimension, x[j])
        warm = s.records[record].count >= p.entity_warm_up
        guarded[j] = False
        quantile = expected = scores[j] = np.nan
        feature = codes[X_EVENTS]
        observed = x[j, X_EVENTS]
        if warm or s.head[SEEN] >= p.entity_warm_up:
            best = -1e300
            for value in range(VALUES):
                if codes[value] < 0 or (x[j, value] == 0.0 and value != X_EVENTS):
                    continue
                if warm:
                    mean, square = usual(s, record, value, minute, p.alpha)
                else:
                    mean, square = s.pool_mean[value], s.pool_square[value]
                z = value_z(value, x[j, value], x[j, X_EVENTS], mean, square)
                if z > best:
                    best, feature, observed, expected = z, codes[value], x[j, value], mean
            scores[j] = max(best, 0.0)
            if s.head[SEEN] >= p.warm_up:
                quantile = quantile_of(s, WINDOWS, edges, scores[j])
                guarded[j] = quantile >= p.guard
        usual_again[j] = not guarded[j]
        floor = False
        if dimension == IP or dimension == USER:
            floor = x[j, X_FAILURES] >= p.floor_failures or x[j, X_TARGETS] >= p.floor_targets
        if guarded[j] and not floor:
            since = s.records[record].guard_since
            if since == NEVER or since > minute:
                s.records[record].guard_since = minute
            elif minute - since >= p.accept_after:
                guarded[j] = False
                s.head[ACCEPTED] += 1
        guarded[j] |= floor
        keep = quantile >= keep_quantile or (stirs(s, r, slot, 2) and half_way(s, r, slot, pane))
        if keep or sampled(s.rings[slot].owner, minute, keep_share):
            out.slot[kept] = slot
            out.feature[kept] = feature
            out.score[kept] = scores[j]
            out.quantile[kept] = quantile
            out.guarded[kept] = guarded[j]
            out.expected[kept] = expected
            out.observed[kept] = observed
            out.weight[kept] = 1.0 if keep else 1.0 / keep_share
            describe(s, slot, pane, dimension, out.values[kept], out.peaks[kept])
            kept += 1
    for j in range(len(slots)):
        record = s.rings[slots[j]].record
        count_it = True
        if guarded[j]:
            s.head[GUARDED] += 1
            count_it = s.records[record].guard_day != minute // DAY
            s.records[record].guard_day = minute // DAY
            pass_over(s, p, record, minute)
        else:
            learn_spread(s, record, minute, x[j, X_EVENTS], p.alpha)
            teach(s, p, record, minute, x[j], codes)
            if usual_again[j]:  # else it was accepted, and so is what follows while it is no less strange
                s.records[record].guard_since = NEVER
        count_minute(s, record, minute, x[j, X_EVENTS], guarded[j])
        if count_it and scores[j] == scores[j]:
            bucket = bucket_of(edges, scores[j])
            s.histogram[WINDOWS, bucket] += 1
            s.histogram[EVENTS, bucket] += min(np.int64(x[j, X_EVENTS]), MOST_EVENTS)
        s.head[UNSCORED] += scores[j] != scores[j]
    s.head[CLOSED] += len(slots)
    pass_minute(s, minute, p.alpha)
    cumulate(s)
    release_before(s, pane + 1 - LINGER, pane + 1)
    return kept
