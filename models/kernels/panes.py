"""Counts in rings of panes. Adding commutes, so the order of arrival does not matter."""

import numpy as np
from numpy.typing import NDArray

from models.base import DELETION, ERROR, FAILURE, RESET
from models.kernels.kernel import brief, inlined
from models.kernels.layout import PER30, RING5, RING30, WINDOW5, WINDOW30, ShardArrays
from models.kernels.load import ONE, trailing_zeros

ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


@inlined
def among(seen: np.uint64, newest: int, pane: int, window: int) -> tuple[np.uint64, int]:
    """Which of the `window` panes that end with `pane` have events: a mask, and the pane of its lowest bit.

    Bit i + 1 is the pane before bit i's, as in `seen`, whose lowest is `newest`.
    """
    low = max(newest - pane, 0)
    high = min(newest - pane + window - 1, 63)
    if high < low:
        return np.uint64(0), newest
    return (seen >> np.uint64(low)) & (ALL >> np.uint64(63 - (high - low))), newest - low


@inlined
def at5(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts of one base pane."""
    back = s.newest[slot] - pane
    if back < 0 or back >= RING5 or not (s.rings[slot].seen5 >> np.uint64(back)) & np.uint64(1):
        return 0
    return int(s.rings[slot].ring5[pane & (RING5 - 1), column])


@inlined
def at30(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts of one 30 s pane."""
    back = s.newest30[slot] - pane
    if back < 0 or back >= RING30 or not (s.rings[slot].seen30 >> np.uint64(back)) & np.uint64(1):
        return 0
    return int(s.rings[slot].ring30[pane & (RING30 - 1), column])


@inlined
def sum5(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts over the minute that ends with base pane `pane`."""
    newest = s.newest[slot]
    if pane == newest:
        return int(s.rings[slot].sum5[column])
    total = 0
    bits, k = among(s.rings[slot].seen5, newest, pane, WINDOW5)
    while bits:
        total += s.rings[slot].ring5[(k - trailing_zeros(bits)) & (RING5 - 1), column]
        bits &= bits - ONE
    return int(total)


@inlined
def sum30(s: ShardArrays, slot: int, column: int, pane: int, window: int) -> int:
    """Counts over `window` 30 s panes that end with `pane`."""
    newest = s.newest30[slot]
    total = 0
    if pane == newest and window >= WINDOW30:
        total = int(s.rings[slot].sum30[column])
        if window == WINDOW30:
            return total
        pane, window = pane - WINDOW30, window - WINDOW30
    bits, k = among(s.rings[slot].seen30, newest, pane, window)
    while bits:
        total += s.rings[slot].ring30[(k - trailing_zeros(bits)) & (RING30 - 1), column]
        bits &= bits - ONE
    return int(total)


@inlined
def advance(s: ShardArrays, slot: int, pane: int) -> None:
    """Make `pane` the newest of both rings: the sums let go of what their windows leave behind."""
    newest = s.newest[slot]
    if pane > newest:
        step = pane - newest
        if step >= WINDOW5:
            for c in range(3):
                s.rings[slot].sum5[c] = 0
        else:
            bits, k = among(s.rings[slot].seen5, newest, pane - WINDOW5, step)
            while bits:
                left = (k - trailing_zeros(bits)) & (RING5 - 1)
                for c in range(3):
                    s.rings[slot].sum5[c] -= s.rings[slot].ring5[left, c]
                bits &= bits - ONE
        s.rings[slot].seen5 = s.rings[slot].seen5 << np.uint64(step) if step < 64 else np.uint64(0)
        s.newest[slot] = pane
    pane30 = pane // PER30
    newest = s.newest30[slot]
    if pane30 > newest:
        step = pane30 - newest
        if step >= WINDOW30:
            for c in range(5):
                s.rings[slot].sum30[c] = 0
        else:
            bits, k = among(s.rings[slot].seen30, newest, pane30 - WINDOW30, step)
            while bits:
                left = (k - trailing_zeros(bits)) & (RING30 - 1)
                for c in range(5):
                    s.rings[slot].sum30[c] -= s.rings[slot].ring30[left, c]
                bits &= bits - ONE
        s.rings[slot].seen30 = s.rings[slot].seen30 << np.uint64(step) if step < 64 else np.uint64(0)
        s.newest30[slot] = pane30


@inlined
def add(s: ShardArrays, slot: int, pane: int, counts: int) -> None:
    """Count one event in its panes, which are less than a ring behind the newest (AHEAD5)."""
    advance(s, slot, pane)
    one, none = np.uint32(1), np.uint32(0)
    failure = one if counts & FAILURE else none
    error = one if counts & ERROR else none
    deletion = one if counts & DELETION else none
    reset = one if counts & RESET else none
    s.rings[slot].ever[0] += one
    s.rings[slot].ever[1] += failure
    s.rings[slot].ever[2] += error
    s.rings[slot].ever[3] += deletion
    s.rings[slot].ever[4] += reset
    k = pane & (RING5 - 1)
    bit = np.uint64(1) << np.uint64(s.newest[slot] - pane)
    if not s.rings[slot].seen5 & bit:
        s.rings[slot].seen5 |= bit
        for c in range(3):
            s.rings[slot].ring5[k, c] = 0
    s.rings[slot].ring5[k, 0] += one
    s.rings[slot].ring5[k, 1] += failure
    s.rings[slot].ring5[k, 2] += error
    if pane > s.newest[slot] - WINDOW5:
        s.rings[slot].sum5[0] += 1
        s.rings[slot].sum5[1] += failure
        s.rings[slot].sum5[2] += error
    pane30 = pane // PER30
    k = pane30 & (RING30 - 1)
    bit = np.uint64(1) << np.uint64(s.newest30[slot] - pane30)
    if not s.rings[slot].seen30 & bit:
        s.rings[slot].seen30 |= bit
        for c in range(5):
            s.rings[slot].ring30[k, c] = 0
        for c in range(4):
            s.rings[slot].latest30[k, c] = 0
    s.rings[slot].ring30[k, 0] += one
    s.rings[slot].ring30[k, 1] += failure
    s.rings[slot].ring30[k, 2] += error
    s.rings[slot].ring30[k, 3] += deletion
    s.rings[slot].ring30[k, 4] += reset
    if pane30 > s.newest30[slot] - WINDOW30:
        s.rings[slot].sum30[0] += 1
        s.rings[slot].sum30[1] += failure
        s.rings[slot].sum30[2] += error
        s.rings[slot].sum30[3] += deletion
        s.rings[slot].sum30[4] += reset


@brief
def minute_counts(s: ShardArrays, slots: NDArray[np.int32], pane: int, counts: NDArray[np.float64]) -> None:
    """What `models.features.minute.COUNTS` names, of the minute that ends with base pane `pane`: a row a ring."""
    pane30 = pane // PER30
    for i in range(len(slots)):
        slot = slots[i]
        for column in range(5):
            counts[i, column] = 0.0
            if column > 0 and s.rings[slot].ever[column] == 0:
                continue
            if column < 3:
                counts[i, column] = sum5(s, slot, column, pane)
            else:
                counts[i, column] = sum30(s, slot, column, pane30, 2)
