"""Panes close: conditions are looked at over final counts, and incidents cross, go on and end."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.arrive import Learned
from models.kernels.conditions import counted, expected_events, measure, minute_of, spikes, window_start
from models.kernels.kernel import brief, inlined, kernel
from models.kernels.layout import (
    ACTIVE,
    LEARNED_RULE,
    MINUTE,
    NEVER,
    NEXT,
    ORDER,
    SPIKE,
    RuleArrays,
    ShardArrays,
)
from models.kernels.meters import may_reach
from models.kernels.sequence import suspicious

OPEN, GO_ON, END, JUDGE = range(4)  # what a step of an incident says; JUDGE: look at the order of events first
STEP_FIELDS = 8
(KIND, RULE, SLOT, PANE, COUNT, HOLDS, OLDEST, BEFORE) = range(STEP_FIELDS)
NUMBERS = 3
(VALUE, MEAN, VARIANCE) = range(NUMBERS)  # of a step, in an array of floats beside it


@inlined
def note(
    steps: NDArray[np.int64],
    numbers: NDArray[np.float64],
    n: int,
    kind: int,
    rule: int,
    slot: int,
    pane: int,
    value: float,
    count: int,
    holds: bool,
    oldest: int,
    before: int,
    mean: float,
    variance: float,
) -> int:
    """Write one step of an incident; the number of steps written."""
    steps[n, KIND] = kind
    steps[n, RULE] = rule
    steps[n, SLOT] = slot
    steps[n, PANE] = pane
    steps[n, COUNT] = count
    steps[n, HOLDS] = holds
    steps[n, OLDEST] = oldest
    steps[n, BEFORE] = before
    numbers[n, VALUE] = value
    numbers[n, MEAN] = mean
    numbers[n, VARIANCE] = variance
    return n + 1


@inlined
def look(
    s: ShardArrays,
    r: RuleArrays,
    p: Learned,
    rule: int,
    slot: int,
    pane: int,
    minute: int,
    steps: NDArray[np.int64],
    numbers: NDArray[np.float64],
    n: int,
) -> int:
    """One rule, one entity, one closed pane; without a counted event of its own it opens nothing, starts no streak."""
    if r.kind[rule] == LEARNED_RULE:
        return n
    is_open = s.crossed[slot, rule] != NEVER
    count = counted(s, r, rule, slot, pane)
    if not is_open and count == 0 and s.streak[slot, rule] == 0:
        return n
    value, holds = measure(s, r, rule, slot, pane)
    mean = variance = -1.0
    if r.kind[rule] == SPIKE:
        if value >= r.at_least[rule]:
            mean, variance = expected_events(s, slot, minute, p.alpha, p.warm_up, p.entity_warm_up)
        if spikes(r, rule, value, mean, variance):
            s.streak[slot, rule] += 1
        else:
            s.streak[slot, rule] = 0
        holds = s.streak[slot, rule] >= r.extra[rule]
    if not is_open:
        if not holds:
            return n
        s.crossed[slot, rule] = pane
        oldest, before = window_start(s, r, rule, slot, pane)
        return note(steps, numbers, n, OPEN, rule, slot, pane, value, count, True, oldest, before, mean, variance)
    if holds:
        s.crossed[slot, rule] = max(pane, s.crossed[slot, rule])
    elif pane - s.crossed[slot, rule] >= r.quiet[rule]:
        s.crossed[slot, rule] = NEVER
        return note(steps, numbers, n, END, rule, slot, pane, value, count, False, 0, 0, mean, variance)
    return note(steps, numbers, n, GO_ON, rule, slot, pane, value, count, holds, 0, 0, mean, variance)


@inlined
def warm_hot(s: ShardArrays, r: RuleArrays, slot: int) -> None:
    """Keep in `hot` whether any rule has to look at the entity in every pane: an open incident, or a streak."""
    hot = False
    for rule in range(len(r.kind)):
        if s.crossed[slot, rule] != NEVER or s.streak[slot, rule] > 0:
            hot = True
    s.hot[slot] = hot


@kernel
def close_panes(
    s: ShardArrays,
    r: RuleArrays,
    p: Learned,
    until: int,
    due: NDArray[np.int64],
    steps: NDArray[np.int64],
    numbers: NDArray[np.float64],
) -> tuple[int, bool]:
    """Close base panes before `until`, at most to a learning window's end: the steps written, and whether one ended.

    Stops early while `steps` might not hold what one more pane can write; call again while head[NEXT] < until. `due`
    is room for the rules whose pane ends.
    """
    n = 0
    while s.head[NEXT] < until:
        pane = s.head[NEXT]
        if n + s.head[ACTIVE] * len(r.kind) > len(steps):
            return n, False
        rules = longest = 0
        for rule in range(len(r.kind)):
            if (pane + 1) % r.grid[rule] == 0 and r.kind[rule] != LEARNED_RULE:
                due[rules] = rule
                rules += 1
                longest = max(longest, r.grid[rule])
        for i in range(s.head[ACTIVE] if rules else 0):
            slot = s.active[i]
            newest, hot = s.newest[slot], s.hot[slot]
            if not hot and (newest <= pane - longest or not s.stirred[slot]):
                continue
            looked = False
            for k in range(rules):
                rule = due[k]
                grid = r.grid[rule]
                if newest <= pane - grid and not hot:
                    continue
                if r.kind[rule] == ORDER:
                    if s.crossed[slot, rule] != NEVER or suspicious(s, slot, pane // grid, r.extra[rule]):
                        n = note(steps, numbers, n, JUDGE, rule, slot, pane // grid, 0.0, 0, False, 0, 0, -1.0, -1.0)
                else:
                    n = look(s, r, p, rule, slot, pane // grid, minute_of(pane), steps, numbers, n)
                    looked = True
            if looked:
                warm_hot(s, r, slot)
        s.head[NEXT] = pane + 1
        if (pane + 1) % MINUTE == 0:
            return n, True
    return n, False


@brief
def open_early(
    s: ShardArrays,
    r: RuleArrays,
    slots: NDArray[np.int32],
    steps: NDArray[np.int64],
    numbers: NDArray[np.float64],
) -> int:
    """Monotone rules open in the first open pane of their grid: nothing can undo them there. The steps written.

    `slots` are the rings of entities that may open something, -1: none.
    """
    n = 0
    for rule in range(len(r.kind)):
        if not r.monotone[rule]:
            continue
        pane = s.head[NEXT] // r.grid[rule]
        first = pane * r.grid[rule]
        for slot in slots:
            if (
                slot < 0
                or not s.stirred[slot]
                or s.newest[slot] < first
                or (s.hot[slot] and s.crossed[slot, rule] != NEVER)
            ):
                continue
            if not may_reach(s, r, rule, slot, 1.0):
                continue
            count = counted(s, r, rule, slot, pane)
            if count == 0:
                continue
            value, holds = measure(s, r, rule, slot, pane)
            if holds:
                s.crossed[slot, rule] = pane
                s.hot[slot] = True
                oldest, before = window_start(s, r, rule, slot, pane)
                n = note(steps, numbers, n, OPEN, rule, slot, pane, value, -count, True, oldest, before, -1.0, -1.0)
    return n


@brief
def settle(
    s: ShardArrays,
    r: RuleArrays,
    p: Learned,
    rule: int,
    slot: int,
    pane: int,
    steps: NDArray[np.int64],
    numbers: NDArray[np.float64],
) -> int:
    """A rule on order at one entity and closed pane, now that what follows is counted. The steps written."""
    n = look(s, r, p, rule, slot, pane, 0, steps, numbers, 0)
    warm_hot(s, r, slot)
    return n
