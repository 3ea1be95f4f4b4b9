"""Counts in rings of panes. Adding commutes, so the order of arrival does not matter."""

import numpy as np

from models.base import DELETION, ERROR, FAILURE, RESET
from models.kernels.kernel import inlined
from models.kernels.layout import PER30, RING5, RING30, WINDOW5, WINDOW30, ShardArrays


@inlined
def sum5(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts over the minute that ends with base pane `pane`."""
    total = 0
    newest = s.newest[slot]
    for k in range(max(pane - WINDOW5 + 1, newest - RING5 + 1), min(pane, newest) + 1):
        total += s.rings[slot].ring5[k & (RING5 - 1), column]
    return int(total)


@inlined
def sum30(s: ShardArrays, slot: int, column: int, pane: int, window: int) -> int:
    """Counts over `window` 30 s panes that end with `pane`."""
    total = 0
    newest = s.newest30[slot]
    for k in range(max(pane - window + 1, newest - RING30 + 1), min(pane, newest) + 1):
        total += s.rings[slot].ring30[k & (RING30 - 1), column]
    return int(total)


@inlined
def at5(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts of one base pane."""
    if pane > s.newest[slot] or pane <= s.newest[slot] - RING5:
        return 0
    return int(s.rings[slot].ring5[pane & (RING5 - 1), column])


@inlined
def at30(s: ShardArrays, slot: int, column: int, pane: int) -> int:
    """Counts of one 30 s pane."""
    if pane > s.newest30[slot] or pane <= s.newest30[slot] - RING30:
        return 0
    return int(s.rings[slot].ring30[pane & (RING30 - 1), column])


@inlined
def advance(s: ShardArrays, slot: int, pane: int) -> None:
    """Make `pane` the newest of both rings; what it passes over becomes empty."""
    newest = s.newest[slot]
    if pane > newest:
        for k in range(max(newest + 1, pane - RING5 + 1), pane + 1):
            for c in range(3):
                s.rings[slot].ring5[k & (RING5 - 1), c] = 0
        s.newest[slot] = pane
        for c in range(3):
            s.rings[slot].sum5[c] = sum5(s, slot, c, pane) if pane - newest < WINDOW5 else 0
    pane30 = pane // PER30
    newest = s.newest30[slot]
    if pane30 > newest:
        for k in range(max(newest + 1, pane30 - RING30 + 1), pane30 + 1):
            for c in range(5):
                s.rings[slot].ring30[k & (RING30 - 1), c] = 0
        s.newest30[slot] = pane30
        for c in range(5):
            s.rings[slot].sum30[c] = sum30(s, slot, c, pane30, WINDOW30) if pane30 - newest < WINDOW30 else 0


@inlined
def add(s: ShardArrays, slot: int, pane: int, counts: int) -> None:
    """Count one event in its panes."""
    advance(s, slot, pane)
    failure = np.uint32(1) if counts & FAILURE else np.uint32(0)
    error = np.uint32(1) if counts & ERROR else np.uint32(0)
    k = pane & (RING5 - 1)
    s.rings[slot].ring5[k, 0] += np.uint32(1)
    s.rings[slot].ring5[k, 1] += failure
    s.rings[slot].ring5[k, 2] += error
    if pane > s.newest[slot] - WINDOW5:
        s.rings[slot].sum5[0] += 1
        s.rings[slot].sum5[1] += failure
        s.rings[slot].sum5[2] += error
    pane30 = pane // PER30
    k = pane30 & (RING30 - 1)
    deletion = np.uint32(1) if counts & DELETION else np.uint32(0)
    reset = np.uint32(1) if counts & RESET else np.uint32(0)
    s.rings[slot].ring30[k, 0] += np.uint32(1)
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
