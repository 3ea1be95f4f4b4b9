"""Half-Space Trees (Tan, Ting and Liu, 2011) whose score is looked up at the leaf.

A tree is a heap: node i has the children 2i + 1 and 2i + 2, and the leaves follow the last inner node. What a walk sums
on its way down hangs only on the masses of the window before, so it is worked out for every leaf when the windows swap:
between two swaps, scoring is a walk and a look-up, learning is one addition at the leaf.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel

COUNT, SWAPS = range(2)  # places in ForestArrays.head: rows in the window under way, windows completed
FOREST_HEAD: Final = 2
UNKNOWN: Final = 65535  # instead of a leaf: the row is not finite
SIZE_LIMIT: Final = 0.1  # share of the window under which a walk ends (the paper's, section 5)


class TreeArrays(NamedTuple):
    """What never changes, the same for all forests: T trees of height H."""

    feature: NDArray[np.uint8]  # (T, 2**H - 1)
    threshold: NDArray[np.float64]  # (T, 2**H - 1); below it to the left


class ForestArrays(NamedTuple):
    """What one forest has learned."""

    head: NDArray[np.int64]
    mass: NDArray[np.int32]  # (T, 2**H) rows in each leaf in the window under way
    table: NDArray[np.int32]  # (T, 2**H) what a walk to each leaf adds to the score
    walk: NDArray[np.int32]  # (2, 2**(H + 1) - 1) room in which a tree's table is worked out


@inlined
def leaf_of(trees: TreeArrays, height: int, t: int, x: NDArray[np.float64], i: int) -> int:
    """The leaf of a tree in which row i falls; what is not below a threshold goes right."""
    node = 0
    for _ in range(height):
        node = 2 * node + 2 - (x[i, trees.feature[t, node]] < trees.threshold[t, node])
    return node - ((1 << height) - 1)


@inlined
def leaves_of(
    trees: TreeArrays, height: int, t: tuple[int, int, int, int], x: NDArray[np.float64], i: tuple[int, int, int, int]
) -> tuple[int, int, int, int]:
    """Four walks at once: each waits for its own loads only, which makes them three times as fast as one by one."""
    two = np.uint64(2)  # unsigned: no look for negative indices
    t0, t1, t2, t3 = np.uint64(t[0]), np.uint64(t[1]), np.uint64(t[2]), np.uint64(t[3])
    i0, i1, i2, i3 = np.uint64(i[0]), np.uint64(i[1]), np.uint64(i[2]), np.uint64(i[3])
    a = b = c = d = np.uint64(0)
    for _ in range(height):
        a = two * a + two - np.uint64(x[i0, trees.feature[t0, a]] < trees.threshold[t0, a])
        b = two * b + two - np.uint64(x[i1, trees.feature[t1, b]] < trees.threshold[t1, b])
        c = two * c + two - np.uint64(x[i2, trees.feature[t2, c]] < trees.threshold[t2, c])
        d = two * d + two - np.uint64(x[i3, trees.feature[t3, d]] < trees.threshold[t3, d])
    first = (1 << height) - 1
    return np.int64(a) - first, np.int64(b) - first, np.int64(c) - first, np.int64(d) - first


@inlined
def known(x: NDArray[np.float64], i: int) -> bool:
    """Whether row i can be scored and learned: all of it is finite."""
    total = 0.0
    for k in range(x.shape[1]):
        total += x[i, k] - x[i, k]
    return total == 0.0


@inlined
def share(total: int, trees: int, height: int, window: int) -> float:
    """The score of a sum of masses: 1 is the strangest. The same operations as River's, for the same bits."""
    return 1.0 - float(total) / float(trees * window * ((1 << (height + 1)) - 1))


@inlined
def find_leaves(
    trees: TreeArrays, height: int, x: NDArray[np.float64], i: int, leaf: NDArray[np.uint16], row: int
) -> None:
    """The leaf of row i of x in every tree, into a row of `leaf`; trees do not change, so both uses share one walk."""
    if not known(x, i):
        leaf[row, 0] = UNKNOWN
        return
    count = len(trees.feature)
    for t in range(0, count - 3, 4):
        a, b, c, d = leaves_of(trees, height, (t, t + 1, t + 2, t + 3), x, (i, i, i, i))
        leaf[row, t] = a
        leaf[row, t + 1] = b
        leaf[row, t + 2] = c
        leaf[row, t + 3] = d
    for t in range(count & ~3, count):
        leaf[row, t] = leaf_of(trees, height, t, x, i)


@inlined
def score_leaves(forest: ForestArrays, height: int, window: int, leaf: NDArray[np.uint16], row: int) -> float:
    """How strange a row is, from 0 to 1; NaN before the first window is complete or if a value is not finite."""
    if forest.head[SWAPS] == 0 or leaf[row, 0] == UNKNOWN:
        return np.nan
    total = 0
    for t in range(leaf.shape[1]):
        total += forest.table[t, leaf[row, t]]
    return share(total, leaf.shape[1], height, window)


@kernel
def swap(forest: ForestArrays, height: int, window: int) -> None:
    """A window is complete: what it counted becomes what scores."""
    leaves = 1 << height
    mass, total = forest.walk[0], forest.walk[1]
    limit = SIZE_LIMIT * window
    for t in range(len(forest.mass)):
        for leaf in range(leaves):
            mass[leaves - 1 + leaf] = forest.mass[t, leaf]
            forest.mass[t, leaf] = 0
        for node in range(leaves - 2, -1, -1):
            mass[node] = mass[2 * node + 1] + mass[2 * node + 2]
        total[0] = mass[0]
        weight = 1
        first = 0
        for _ in range(height):
            weight *= 2
            for node in range(first, 2 * first + 1):
                # A walk goes no further than a node with fewer rows than the limit: it has that node's sum below, too.
                ended = mass[node] < limit
                for child in range(2 * node + 1, 2 * node + 3):
                    total[child] = total[node] if ended else total[node] + mass[child] * weight
                    if ended:
                        mass[child] = 0
            first = 2 * first + 1
        for leaf in range(leaves):
            forest.table[t, leaf] = total[leaves - 1 + leaf]
    forest.head[COUNT] = 0
    forest.head[SWAPS] += 1


@inlined
def learn_leaves(forest: ForestArrays, height: int, window: int, leaf: NDArray[np.uint16], row: int) -> None:
    """Count a row in its leaves; one that is not finite teaches nothing."""
    if leaf[row, 0] == UNKNOWN:
        return
    for t in range(leaf.shape[1]):
        forest.mass[t, leaf[row, t]] += 1
    forest.head[COUNT] += 1
    if forest.head[COUNT] == window:
        swap(forest, height, window)


@inlined
def visit(forest: ForestArrays, t: int, leaf: int, totals: NDArray[np.int64], i: int) -> None:
    """Add what a leaf says to the row's sum, then count the row in it; a row that is not known does neither."""
    if totals[i] >= 0:
        totals[i] += forest.table[t, leaf]
        forest.mass[t, leaf] += 1


@kernel
def score_learn(
    trees: TreeArrays,
    forest: ForestArrays,
    height: int,
    window: int,
    x: NDArray[np.float64],
    scores: NDArray[np.float64],
    totals: NDArray[np.int64],
) -> None:
    """Score each row, then learn it, in order. Between two swaps the order is free: trees first, they stay in cache."""
    count = len(trees.feature)
    start = 0
    while start < len(x):
        end = start
        room = window - forest.head[COUNT]
        taught = 0
        while end < len(x) and taught < room:
            totals[end] = 0 if known(x, end) else -1
            taught += totals[end] == 0
            end += 1
        fours = start + ((end - start) & ~3)
        for t in range(count):
            for i in range(start, fours, 4):
                a, b, c, d = leaves_of(trees, height, (t, t, t, t), x, (i, i + 1, i + 2, i + 3))
                visit(forest, t, a, totals, i)
                visit(forest, t, b, totals, i + 1)
                visit(forest, t, c, totals, i + 2)
                visit(forest, t, d, totals, i + 3)
            for i in range(fours, end):
                visit(forest, t, leaf_of(trees, height, t, x, i), totals, i)
        warm = forest.head[SWAPS] > 0
        for i in range(start, end):
            scores[i] = share(totals[i], count, height, window) if warm and totals[i] >= 0 else np.nan
        forest.head[COUNT] += taught
        if forest.head[COUNT] == window:
            swap(forest, height, window)
        start = end
