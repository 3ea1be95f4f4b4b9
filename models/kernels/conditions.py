"""Whether a rule's condition holds for an entity over the window that ends with a pane."""

from models.kernels.baseline import count_z
from models.kernels.hours import usual
from models.kernels.kernel import inlined, kernel
from models.kernels.layout import LEARNED_RULE, MINUTE, SEEN, SPIKE, X_EVENTS, RuleArrays, ShardArrays
from models.kernels.meters import in_pane, metered
from models.kernels.panes import at5, sum5


@inlined
def expected_events(
    s: ShardArrays, slot: int, minute: int, alpha: float, warm_up: int, entity_warm_up: int
) -> tuple[float, float]:
    """Mean and variance of the entity's events a minute: its own once known, else the pool's; (-1, -1) before that."""
    record = s.rings[slot].record
    if s.records[record].count >= entity_warm_up:
        mean, square = usual(s, record, X_EVENTS, minute, alpha)
        return mean, square - mean * mean
    if s.head[SEEN] >= warm_up:
        return s.pool_mean[X_EVENTS], s.pool_square[X_EVENTS] - s.pool_mean[X_EVENTS] * s.pool_mean[X_EVENTS]
    return -1.0, -1.0


@inlined
def spikes(r: RuleArrays, rule: int, events: float, mean: float, variance: float) -> bool:
    """A minute's events are above the floor, the multiple of the mean, and z."""
    if mean < 0.0 or events < r.at_least[rule] or events <= r.times[rule] * mean:
        return False
    return count_z(events, mean, variance) > r.z[rule]


@kernel
def measure(s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int) -> tuple[float, bool]:
    """The rule's value over the window that ends with a pane of its grid, and whether its condition holds."""
    if r.kind[rule] == SPIKE:
        return float(sum5(s, slot, 0, pane)), False
    return metered(s, r, rule, slot, pane, False)


@inlined
def counted(s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int) -> int:
    """Events that a rule counts in one pane of its own grid."""
    return at5(s, slot, 0, pane) if r.kind[rule] == SPIKE else in_pane(s, r, r.counted[rule], slot, pane)


@inlined
def crosses_now(s: ShardArrays, r: RuleArrays, rule: int, slot: int, mean: float, variance: float) -> bool:
    """Whether a rule's condition holds for what has been counted so far, for the event that has just arrived."""
    if r.kind[rule] == LEARNED_RULE:
        return False
    if r.kind[rule] == SPIKE:
        if s.streak[slot, rule] < r.extra[rule] - 1:
            return False
        return spikes(r, rule, float(s.rings[slot].sum5[0]), mean, variance)
    return metered(s, r, rule, slot, s.newest[slot] // r.grid[rule], True)[1]


@inlined
def minute_of(pane: int) -> int:
    """The learning window in which a base pane lies."""
    return pane // MINUTE


@kernel
def window_start(s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int) -> tuple[int, int]:
    """The oldest pane with a counted event in the window that ends with `pane`, and the count before it."""
    oldest = pane
    total = 0
    for k in range(pane - r.window[rule] + 1, pane):
        n = counted(s, r, rule, slot, k)
        if n > 0 and total == 0:
            oldest = k
        total += n
    return oldest, total
