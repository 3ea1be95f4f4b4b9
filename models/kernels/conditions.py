"""Whether a rule's condition holds for an entity over the window that ends with a pane."""

from models.kernels.baseline import count_z, own
from models.kernels.kernel import inlined, kernel
from models.kernels.layout import (
    DELETIONS,
    FAILURES_IP,
    FAILURES_USER,
    MINUTE,
    SEEN,
    SPRAY,
    WINDOW15M,
    WINDOW30,
    X_EVENTS,
    RuleArrays,
    ShardArrays,
)
from models.kernels.pairs import distinct
from models.kernels.panes import at5, at30, sum5, sum30


@inlined
def expected_events(
    s: ShardArrays, slot: int, minute: int, alpha: float, warm_up: int, entity_warm_up: int
) -> tuple[float, float]:
    """Mean and variance of the entity's events a minute: its own once known, else the pool's; (-1, -1) before that."""
    record = s.rings[slot].record
    if s.records[record].count >= entity_warm_up:
        mean, square = own(s, record, X_EVENTS, minute, alpha)
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
def measure(s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int) -> tuple[int, bool]:
    """The rule's value over the window that ends with a pane of its grid, and whether its condition holds."""
    kind = r.kind[rule]
    if kind == FAILURES_USER:
        failures = sum30(s, slot, 1, pane, WINDOW30)
        return failures, failures >= r.at_least[rule]
    if kind == FAILURES_IP:
        failures = sum30(s, slot, 1, pane, WINDOW30)
        if failures < r.at_least[rule]:
            return failures, False
        return failures, distinct(s, slot, pane, WINDOW30)[1] < r.extra[rule]
    if kind == SPRAY:
        if sum30(s, slot, 1, 2 * pane + 1, WINDOW15M) < r.at_least[rule]:
            return 0, False
        _, failed, succeeded, _ = distinct(s, slot, 2 * pane + 1, WINDOW15M)
        return failed, failed >= r.at_least[rule] and failed > succeeded
    if kind == DELETIONS:
        if sum30(s, slot, 3, pane, WINDOW30) < r.at_least[rule]:
            return 0, False
        targets = distinct(s, slot, pane, WINDOW30)[3]
        return targets, targets >= r.at_least[rule]
    return sum5(s, slot, 0, pane), False


@inlined
def counted(s: ShardArrays, r: RuleArrays, rule: int, slot: int, pane: int) -> int:
    """Events that a rule counts in one pane of its own grid."""
    kind = r.kind[rule]
    if kind == SPRAY:
        return at30(s, slot, 1, 2 * pane) + at30(s, slot, 1, 2 * pane + 1)
    if kind == DELETIONS:
        return at30(s, slot, 3, pane)
    if kind == FAILURES_USER or kind == FAILURES_IP:
        return at30(s, slot, 1, pane)
    return at5(s, slot, 0, pane)


@inlined
def crosses_now(s: ShardArrays, r: RuleArrays, rule: int, slot: int, mean: float, variance: float) -> bool:
    """Whether a rule's condition holds for what has been counted so far, for the event that has just arrived."""
    kind = r.kind[rule]
    if kind == FAILURES_USER:
        return bool(s.rings[slot].sum30[1] >= r.at_least[rule])
    if kind == FAILURES_IP:
        if s.rings[slot].sum30[1] < r.at_least[rule]:
            return False
        return distinct(s, slot, s.newest30[slot], WINDOW30)[1] < r.extra[rule]
    if kind == SPRAY:
        return bool(s.rings[slot].near[1] >= r.at_least[rule] and s.rings[slot].near[1] > s.rings[slot].near[2])
    if kind == DELETIONS:
        return bool(s.rings[slot].near[3] >= r.at_least[rule])
    if s.streak[slot, rule] < r.extra[rule] - 1:
        return False
    return spikes(r, rule, float(s.rings[slot].sum5[0]), mean, variance)


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
