"""What a rule's value is at every pane end that a minute decides, so that another threshold needs no second pass."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.cells import forget_walks
from models.kernels.conditions import counted
from models.kernels.kernel import inlined
from models.kernels.layout import CELL_SUM, METERED, MINUTE, RuleArrays, ShardArrays
from models.kernels.meters import may_reach, rest_holds, share


class Levels(NamedTuple):
    """Some lists of levels, one for each window and rule that has any; `value` has them one behind the other.

    A list begins with the first pane that ends inside the window and goes on over those that end after it, as they are
    if nothing more comes. A level is the rule's value where all else holds that the rule asks for, else 0: a threshold
    is crossed where the level reaches it. In a pane without a counted event nothing opens: its level is negative.
    """

    window: NDArray[np.int64]  # its place among the kept ones
    rule: NDArray[np.int64]
    length: NDArray[np.int64]
    value: NDArray[np.float64]


@inlined
def may_rise(r: RuleArrays, rule: int) -> bool:
    """Whether a rule's value may grow while nothing comes: a share or a sum, as other events leave the window."""
    return r.of[rule] >= 0 or r.store[r.main[rule]] == CELL_SUM


@inlined
def rises(s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int) -> bool:
    """Whether a value that may rise is half its threshold in the silence before or after the minute that ends here.

    Such a minute has to be kept, or it would not be known when the silence before it ended.
    """
    grid = r.grid[rule]
    if r.kind[rule] != METERED or grid > MINUTE or not may_rise(r, rule):
        return False
    forget_walks(s)
    for end in (pane // grid, (pane - MINUTE) // grid):
        for less in range(1, r.window[rule]):
            if 2.0 * share(s, r, r.main[rule], r.of[rule], slot, end, less, False) >= r.at_least[rule]:
                return True
    return False


@inlined
def level(
    s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int, less: int, least: float, value: float
) -> float:
    """A rule's value over the window that ends with a pane, 0 where it is below `least` or the rest does not hold."""
    if value <= 0.0 or value < least or not rest_holds(s, r, rule, slot, pane, less, False, value):
        return 0.0
    return value


@njit(cache=True, nogil=True)
def levels(
    s: ShardArrays, r: RuleArrays, slots: NDArray[np.int32], pane: int, part: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The levels of some entities' minute that ends with base pane `pane`, from `part` of each threshold on.

    Rules whose panes are longer than a minute have none: their panes may end while the entity is silent.
    """
    forget_walks(s)
    most = lists = 0
    for slot in slots:
        for rule in range(len(r.kind)):
            if r.kind[rule] == METERED and r.grid[rule] <= MINUTE and may_reach(s, r, rule, slot, part):
                lists += 1
                most += MINUTE // r.grid[rule] + r.window[rule] - 1
    window, of, length = np.empty(lists, np.int64), np.empty(lists, np.int64), np.empty(lists, np.int64)
    value = np.empty(most, np.float64)
    n = used = 0
    for i in range(len(slots)):
        slot = slots[i]
        for rule in range(len(r.kind)):
            if r.kind[rule] != METERED or r.grid[rule] > MINUTE or not may_reach(s, r, rule, slot, part):
                continue
            end, inside, least = pane // r.grid[rule], MINUTE // r.grid[rule], part * r.at_least[rule]
            last = -1  # of the list, that is not 0
            for k in range(inside):
                at = end - inside + 1 + k
                reached = share(s, r, r.main[rule], r.of[rule], slot, at, 0, False)
                found = level(s, r, rule, slot, at, 0, least, reached)
                value[used + k] = found if found == 0.0 or counted(s, r, rule, slot, at) > 0 else -found
                if found > 0.0:
                    last = k
            for less in range(1, r.window[rule]):
                k = inside + less - 1
                reached = share(s, r, r.main[rule], r.of[rule], slot, end, less, False)
                if reached < least and not may_rise(r, rule):
                    break  # what is shorter reaches no more
                value[used + k] = 0.0 - level(s, r, rule, slot, end, less, least, reached)
                if value[used + k] < 0.0:
                    last = k
            if last >= 0:
                window[n], of[n], length[n] = i, rule, last + 1
                n += 1
                used += last + 1
    return window[:n], of[:n], length[:n], value[:used]
