"""Distinct counterparts, exactly: which entity met which counterpart in which 30 s panes."""

import numpy as np

from models.kernels.kernel import brief, inlined, kernel
from models.kernels.layout import (
    ACTIVE,
    COUNTERPARTS,
    NEXT,
    PAIR_LIMIT,
    PAIRS,
    PAIRS_REFUSED,
    PER30,
    RING30,
    WINDOW15M,
    WINDOW30,
    ShardArrays,
)
from models.kernels.load import ONE, trailing_zeros
from models.kernels.panes import among
from models.kernels.table import spot

COUNTERPART, TARGET, IN_CELL = range(3)  # PAIR.kind; from IN_CELL on a column of the cells
NEAR_TARGETS = 3  # column of `near`


@inlined
def within(mask: np.uint64, newest: int, pane: int, window: int) -> bool:
    """Whether a mask has a bit among the `window` panes that end with `pane`."""
    if newest >= pane:
        back = newest - pane
        if back > 63:
            return False
        return bool((mask >> np.uint64(back)) & ((np.uint64(1) << np.uint64(window)) - np.uint64(1)))
    left = window - (pane - newest)
    if left <= 0:
        return False
    return bool(mask & ((np.uint64(1) << np.uint64(left)) - np.uint64(1)))


@inlined
def distinct(s: ShardArrays, slot: int, pane: int, window: int) -> tuple[int, int, int, int]:
    """Counterparts met, failed and succeeded, and targets, over `window` 30 s panes that end with `pane`."""
    met = failed = succeeded = targets = 0
    at = s.rings[slot].chain
    while at >= 0:
        newest = s.pairs[at].newest
        if s.pairs[at].kind == TARGET:
            targets += within(s.pairs[at].met, newest, pane, window)
        else:
            met += within(s.pairs[at].met, newest, pane, window)
            failed += within(s.pairs[at].failed, newest, pane, window)
            succeeded += within(s.pairs[at].succeeded, newest, pane, window)
        at = s.pairs[at].next
    return met, failed, succeeded, targets


@brief
def users_at(s: ShardArrays, slot: int, pane: int, window: int) -> tuple[int, int]:
    """The users who failed and who succeeded at an address, over `window` 30 s panes that end with `pane`."""
    _, failed, succeeded, _ = distinct(s, slot, pane, window)
    return failed, succeeded


@inlined
def near_window(column: int) -> int:
    """The 30 s panes over which `near` counts."""
    return WINDOW30 if column == NEAR_TARGETS else WINDOW15M


@inlined
def near_at(s: ShardArrays, slot: int, column: int, pane: int, window: int) -> int:
    """One column of `distinct`; no walk unless the entity has events after `pane`."""
    newest = s.newest30[slot]
    if pane == newest and window == near_window(column):
        return int(s.rings[slot].near[column])
    if pane < newest:
        met, failed, succeeded, targets = distinct(s, slot, pane, window)
        return met if column == 0 else failed if column == 1 else succeeded if column == 2 else targets
    total = 0
    bits, k = among(s.rings[slot].seen30, newest, pane, window)
    while bits:
        total += s.rings[slot].latest30[(k - trailing_zeros(bits)) & (RING30 - 1), column]
        bits &= bits - ONE
    return int(total)


@inlined
def met_at(s: ShardArrays, slot: int, pane: int) -> tuple[int, int]:
    """Counterparts met and failed over the window of `near` that ends with a pane, in one walk if it takes any."""
    if pane < s.newest30[slot]:
        met, failed, _, _ = distinct(s, slot, pane, WINDOW15M)
        return met, failed
    failed = near_at(s, slot, 1, pane, WINDOW15M) if s.rings[slot].ever[1] > 0 else 0
    return near_at(s, slot, 0, pane, WINDOW15M), failed


@inlined
def leave_behind(s: ShardArrays, slot: int, pane: int) -> None:
    """Take from `near` what its windows let go of when `pane` becomes the entity's newest 30 s pane."""
    newest = s.newest30[slot]
    if pane <= newest or (s.rings[slot].near[0] == 0 and s.rings[slot].near[NEAR_TARGETS] == 0):
        return
    for column in range(4):
        window = near_window(column)
        if pane - newest >= window:
            s.rings[slot].near[column] = 0
            continue
        bits, k = among(s.rings[slot].seen30, newest, pane - window, pane - newest)
        while bits:
            left = (k - trailing_zeros(bits)) & (RING30 - 1)
            s.rings[slot].near[column] -= s.rings[slot].latest30[left, column]
            bits &= bits - ONE


@inlined
def move_latest(s: ShardArrays, slot: int, column: int, mask: np.uint64, newest: int, pane: int) -> None:
    """A counterpart whose panes so far are `mask` (bit i: newest - i) is met in `pane`: in `latest30` and `near`."""
    last = s.newest30[slot]
    if mask:
        latest = newest - trailing_zeros(mask)
        if latest >= pane:
            return
        back = last - latest
        if back < RING30 and (s.rings[slot].seen30 >> np.uint64(back)) & np.uint64(1):
            s.rings[slot].latest30[latest & (RING30 - 1), column] -= np.uint16(1)
            if back < near_window(column):
                s.rings[slot].near[column] -= 1
    s.rings[slot].latest30[pane & (RING30 - 1), column] += np.uint16(1)
    if last - pane < near_window(column):
        s.rings[slot].near[column] += 1


@inlined
def prune_ring(s: ShardArrays, slot: int) -> None:
    """Let go of counterparts that no window can reach any more, at most once for each 30 s pane."""
    # As far as a window that ends within the last learning window reaches back.
    oldest = s.head[NEXT] // PER30 - WINDOW15M - 1
    if s.rings[slot].pruned >= oldest:
        return
    s.rings[slot].pruned = oldest
    at = s.rings[slot].chain
    s.rings[slot].chain = -1
    s.rings[slot].chained = 0
    while at >= 0:
        following = s.pairs[at].next
        if s.pairs[at].newest < oldest:
            s.pairs[at].slot = -1
        else:
            s.pairs[at].next = s.rings[slot].chain
            s.rings[slot].chain = at
            s.rings[slot].chained += 1
        at = following


@inlined
def pair_key(owner: np.uint64, other: np.uint64, kind: int) -> np.uint64:
    """One number for (entity, counterpart, kind), never 0."""
    x = owner ^ (other * np.uint64(0x9E3779B97F4A7C15)) ^ np.uint64(kind + 1)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return x if x != 0 else np.uint64(1)


@inlined
def meet(s: ShardArrays, slot: int, pane: int, other: np.uint64, kind: int, failed: bool, succeeded: bool) -> None:
    """Note that the entity met a counterpart in a 30 s pane that is not newer than its newest."""
    size = len(s.pairs)
    owner = s.rings[slot].owner
    key = pair_key(owner, other, kind)
    at = spot(s.secret, key, size)
    while s.pairs[at].key != 0 and s.pairs[at].key != key:
        at = (at + 1) & (size - 1)
    one = np.uint64(1)
    if s.pairs[at].key == 0 or s.pairs[at].slot != slot:
        fresh = s.pairs[at].key == 0
        limit = 2 * COUNTERPARTS if failed else COUNTERPARTS
        if s.rings[slot].chained >= limit:
            prune_ring(s, slot)
        if s.rings[slot].chained >= limit or (fresh and s.head[PAIRS] >= s.head[PAIR_LIMIT]):
            s.head[PAIRS_REFUSED] += 1
            return
        if fresh:
            s.head[PAIRS] += 1
        s.pairs[at].key = key
        s.pairs[at].slot = slot
        s.pairs[at].kind = kind
        s.pairs[at].newest = pane
        s.pairs[at].met = 0
        s.pairs[at].failed = 0
        s.pairs[at].succeeded = 0
        s.pairs[at].next = s.rings[slot].chain
        s.rings[slot].chain = at
        s.rings[slot].chained += 1
    newest = s.pairs[at].newest
    move_latest(s, slot, NEAR_TARGETS if kind == TARGET else 0, s.pairs[at].met, newest, pane)
    if failed:
        move_latest(s, slot, 1, s.pairs[at].failed, newest, pane)
    if succeeded:
        move_latest(s, slot, 2, s.pairs[at].succeeded, newest, pane)
    if pane > newest:
        step = pane - newest
        if step > 63:
            s.pairs[at].met = 0
            s.pairs[at].failed = 0
            s.pairs[at].succeeded = 0
        else:
            s.pairs[at].met <<= np.uint64(step)
            s.pairs[at].failed <<= np.uint64(step)
            s.pairs[at].succeeded <<= np.uint64(step)
        s.pairs[at].newest = pane
        newest = pane
    if newest - pane <= 63:
        bit = one << np.uint64(newest - pane)
        s.pairs[at].met |= bit
        if failed:
            s.pairs[at].failed |= bit
        if succeeded:
            s.pairs[at].succeeded |= bit


@inlined
def lives(s: ShardArrays, at: int, oldest: int) -> bool:
    """Whether a place holds a pair still in use and met since 30 s pane `oldest`; of a cell: as long as the cell."""
    if s.pairs[at].key == 0 or s.pairs[at].slot < 0:
        return False
    return bool(s.pairs[at].kind >= IN_CELL or s.pairs[at].newest >= oldest)


@kernel
def live_pairs(s: ShardArrays, oldest: int) -> int:
    """How many pairs `refill_pairs` would keep."""
    count = 0
    for i in range(len(s.pairs)):
        count += lives(s, i, oldest)
    return count


@kernel
def refill_pairs(old: ShardArrays, new: ShardArrays, oldest: int) -> None:
    """Enter the pairs that live into the empty table of `new`, and chain them anew."""
    for i in range(new.head[ACTIVE]):
        slot = new.active[i]
        new.rings[slot].chain = -1
        new.rings[slot].chained = 0
        for column in range(new.cell.shape[1]):
            if new.cell[slot, column] >= 0:
                new.cells[new.cell[slot, column]].chain = -1
                new.cells[new.cell[slot, column]].chained = 0
    size = len(new.pairs)
    count = 0
    for i in range(len(old.pairs)):
        if not lives(old, i, oldest):
            continue
        slot = old.pairs[i].slot
        kind = old.pairs[i].kind
        at = spot(new.secret, old.pairs[i].key, size)
        while new.pairs[at].key != 0:
            at = (at + 1) & (size - 1)
        new.pairs[at] = old.pairs[i]
        if kind >= IN_CELL:
            cell = new.cell[slot, kind - IN_CELL]
            new.pairs[at].next = new.cells[cell].chain
            new.cells[cell].chain = at
            new.cells[cell].chained += 1
        else:
            new.pairs[at].next = new.rings[slot].chain
            new.rings[slot].chain = at
            new.rings[slot].chained += 1
        count += 1
    new.head[PAIRS] = count
