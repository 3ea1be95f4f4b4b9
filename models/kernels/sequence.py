"""Order within a pane: which sign-ins came after failures. What lies in panes before it is in the rings and pairs."""

import numpy as np
from numpy.typing import NDArray

from models.base import ACTIONS, FAILURE, IP, SKIP, SUCCESS
from models.kernels.cells import add_to_cell, cell_of
from models.kernels.kernel import brief, inlined
from models.kernels.layout import MINUTE, PANE_US, PER30, WINDOW15M, RuleArrays, ShardArrays
from models.kernels.pairs import COUNTERPART, distinct, pair_key, within
from models.kernels.panes import at30, sum30
from models.kernels.table import spot

TOKEN_REFRESH = ACTIONS.index("token_refresh")


@inlined
def signs_in(counts: int, action: int) -> bool:
    """Whether somebody got in: a token that was merely refreshed tells nothing new."""
    return bool(counts & SUCCESS) and action != TOKEN_REFRESH


@inlined
def suspicious(s: ShardArrays, slot: int, pane: int, least: int) -> bool:
    """Whether an entity has `least` failures in the 15 minutes that end with a 30 s pane, and other events in it."""
    if s.rings[slot].ever[1] < least or at30(s, slot, 0, pane) == at30(s, slot, 1, pane):
        return False
    return sum30(s, slot, 1, pane, WINDOW15M) >= least


@inlined
def known(s: ShardArrays, slot: int, other: np.uint64, pane: int, failed: bool) -> bool:
    """Whether a counterpart failed (or succeeded) in the panes of the window before this one."""
    size = len(s.pairs)
    key = pair_key(s.rings[slot].owner, other, COUNTERPART)
    at = spot(s.secret, key, size)
    while s.pairs[at].key != 0 and s.pairs[at].key != key:
        at = (at + 1) & (size - 1)
    if s.pairs[at].key == 0 or s.pairs[at].slot != slot:
        return False
    mask = s.pairs[at].failed if failed else s.pairs[at].succeeded
    return within(mask, s.pairs[at].newest, pane - 1, WINDOW15M - 1)


@brief
def pick(
    rows: NDArray[np.int64],
    entity: NDArray[np.uint64],
    counts: NDArray[np.uint8],
    flags: NDArray[np.uint8],
    place: NDArray[np.int64],
    wanted: np.uint64,
    floor: int,
    pane: int,
    picked: NDArray[np.int64],
) -> int:
    """Pick the failures and successes of one entity and 30 s pane: how many they are.

    What was placed in panes before base pane `floor` counts in that.
    """
    n = 0
    for row in rows:
        if entity[row] != wanted or counts[row] & (FAILURE | SUCCESS) == 0 or flags[row] & SKIP:
            continue
        if max(place[row] // PANE_US, floor) // PER30 == pane:
            picked[n] = row
            n += 1
    return n


@brief
def firsts(
    order: NDArray[np.int64], other: NDArray[np.uint64], counts: NDArray[np.uint8], fresh: NDArray[np.bool_]
) -> None:
    """Mark in `fresh` the first row of each counterpart to fail, and to succeed; `order` sorts by counterpart."""
    failed = succeeded = False
    for k in range(len(order)):
        row = order[k]
        if k > 0 and other[row] != other[order[k - 1]]:
            failed = succeeded = False
        if counts[row] & FAILURE:
            fresh[row] = not failed
            failed = True
        else:
            fresh[row] = not succeeded
            succeeded = True


@brief
def follow(
    s: ShardArrays,
    r: RuleArrays,
    meter: int,
    dimension: int,
    slot: int,
    pane: int,
    least: int,
    place: NDArray[np.int64],
    other: NDArray[np.uint64],
    counts: NDArray[np.uint8],
    action: NDArray[np.uint8],
    fresh: NDArray[np.bool_],
    after: NDArray[np.bool_],
) -> None:
    """Mark in `after` the sign-ins of one entity and 30 s pane that follow failures, and count them in a meter.

    The rows are all its failures and successes of the pane by `place`; those of one place count together, so that
    nothing hangs on their order. `fresh` says which are the first of their counterpart to fail, or to succeed.
    """
    failed = sum30(s, slot, 1, pane - 1, WINDOW15M - 1)
    succeeded = 0
    if dimension == IP:
        _, failed, succeeded, _ = distinct(s, slot, pane - 1, WINDOW15M - 1)
    total = seen = 0
    for i in range(len(counts)):
        while seen < len(counts) and place[seen] <= place[i]:
            lost = counts[seen] & FAILURE != 0
            if dimension != IP:
                failed += lost
            elif fresh[seen] and other[seen] != 0 and not known(s, slot, other[seen], pane, lost):
                failed += lost
                succeeded += not lost
            seen += 1
        after[i] = signs_in(counts[i], action[i]) and failed >= least and (dimension != IP or failed > succeeded)
        total += after[i]
    at = cell_of(s, slot, r.cell[meter]) if total > 0 else -1
    if at >= 0:
        add_to_cell(s, at, pane, total)
        s.keep[slot] = max(s.keep[slot], (pane + r.meter_window[meter] + 1) * PER30 + MINUTE)
