"""Counts in rings of panes. Adding commutes, so the order of arrival does not matter."""

import numpy as np

from models.base import DELETION, ERROR, FAILURE, RESET
from models.kernels.kernel import inlined
from models.kernels.layout import PER30, RING5, RING30, WINDOW5, WINDOW30, ShardArrays


@inlined
def at5(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts of one base pane."""
    k = pane & (RING5 - 1)
    return int(s.rings[slot].ring5[k, column + 1]) if s.rings[slot].ring5[k, 0] == pane + 1 else 0


@inlined
def at30(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts of one 30 s pane."""
    k = pane & (RING30 - 1)
    return int(s.rings[slot].ring30[k, column + 1]) if s.rings[slot].ring30[k, 0] == pane + 1 else 0


@inlined
def sum5(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts over the minute that ends with base pane `pane`."""
    newest = s.newest[slot]
    if pane == newest:
        return int(s.rings[slot].sum5[column])
    total = 0
    for k in range(pane - WINDOW5 + 1, min(pane, newest) + 1):
        total += at5(s, slot, column, k)
    return total


@inlined
def sum30(s: ShardArrays, slot: int, column: int, pane: int, window: int) -> int:
    """Counts over `window` 30 s panes that end with `pane`."""
    newest = s.newest30[slot]
    if pane == newest and window == WINDOW30:
        return int(s.rings[slot].sum30[column])
    total = 0
    for k in range(pane - window + 1, min(pane, newest) + 1):
        total += at30(s, slot, column, k)
    return total


@inlined
def advance(s: ShardArrays, slot: int, pane: int) -> None:
    """Make `pane` the newest of both rings: the sums let go of what their windows leave behind."""
    newest = s.newest[slot]
    if pane > newest:
        if pane - newest >= WINDOW5:
            for c in range(3):
                s.rings[slot].sum5[c] = 0
        else:
            for k in range(newest - WINDOW5 + 1, pane - WINDOW5 + 1):
                if s.rings[slot].ring5[k & (RING5 - 1), 0] == k + 1:
                    for c in range(3):
                        s.rings[slot].sum5[c] -= s.rings[slot].ring5[k & (RING5 - 1), c + 1]
        s.newest[slot] = pane
    pane30 = pane // PER30
    newest = s.newest30[slot]
    if pane30 > newest:
        if pane30 - newest >= WINDOW30:
            for c in range(5):
                s.rings[slot].sum30[c] = 0
        else:
            for k in range(newest - WINDOW30 + 1, pane30 - WINDOW30 + 1):
                if s.rings[slot].ring30[k & (RING30 - 1), 0] == k + 1:
                    for c in range(5):
                        s.rings[slot].sum30[c] -= s.rings[slot].ring30[k & (RING30 - 1), c + 1]
        s.newest30[slot] = pane30


@inlined
def add(s: ShardArrays, slot: int, pane: int, counts: int) -> None:
    """Count one event in its panes."""
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
    if s.rings[slot].ring5[k, 0] != pane + 1:
        s.rings[slot].ring5[k, 0] = pane + 1
        for c in range(1, 4):
            s.rings[slot].ring5[k, c] = 0
    s.rings[slot].ring5[k, 1] += one
    s.rings[slot].ring5[k, 2] += failure
    s.rings[slot].ring5[k, 3] += error
    if pane > s.newest[slot] - WINDOW5:
        s.rings[slot].sum5[0] += 1
        s.rings[slot].sum5[1] += failure
        s.rings[slot].sum5[2] += error
    pane30 = pane // PER30
    k = pane30 & (RING30 - 1)
    if s.rings[slot].ring30[k, 0] != pane30 + 1:
        s.rings[slot].ring30[k, 0] = pane30 + 1
        for c in range(1, 6):
            s.rings[slot].ring30[k, c] = 0
    s.rings[slot].ring30[k, 1] += one
    s.rings[slot].ring30[k, 2] += failure
    s.rings[slot].ring30[k, 3] += error
    s.rings[slot].ring30[k, 4] += deletion
    s.rings[slot].ring30[k, 5] += reset
    if pane30 > s.newest30[slot] - WINDOW30:
        s.rings[slot].sum30[0] += 1
        s.rings[slot].sum30[1] += failure
        s.rings[slot].sum30[2] += error
        s.rings[slot].sum30[3] += deletion
        s.rings[slot].sum30[4] += reset
