"""Rings and cells go back to their pools."""

from models.kernels.cells import free_cells_of
from models.kernels.kernel import kernel
from models.kernels.layout import ACTIVE, FREE, ShardArrays


@kernel
def release_before(s: ShardArrays, oldest: int, pane: int) -> None:
    """Give back the rings whose newest pane is before `oldest` and that nothing pins; `pane` is the first open one."""
    kept = 0
    for i in range(s.head[ACTIVE]):
        slot = s.active[i]
        if s.hot[slot] or s.newest[slot] >= oldest or s.keep[slot] > pane:
            s.active[kept] = slot
            kept += 1
        else:
            s.records[s.rings[slot].record].slot = -1
            at = s.rings[slot].chain
            while at >= 0:
                s.pairs[at].slot = -1
                at = s.pairs[at].next
            free_cells_of(s, slot)
            s.rings[slot].owner = 0
            s.free[s.head[FREE]] = slot
            s.head[FREE] += 1
    s.head[ACTIVE] = kept
