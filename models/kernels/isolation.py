"""Isolation trees (Liu, Ting and Zhou, 2008), grown from a sample of rows that may be exchanged later."""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.draw import below, draw
from models.kernels.kernel import inlined

LEAF: Final = -1
_TRIES: Final = 8  # features drawn before the rest is looked through in order


class IsolationArrays(NamedTuple):
    """T trees with at most M nodes."""

    feature: NDArray[np.int32]  # (T, M) LEAF at a leaf
    value: NDArray[np.float64]  # (T, M) threshold, below it to the left; at a leaf, the length of the path to it
    left: NDArray[np.int32]  # (T, M) the right child follows it


@inlined
def expected_path(rows: int) -> float:
    """The mean length of a path to one of some rows (equation 1)."""
    if rows <= 2:
        return float(rows - 1) if rows > 0 else 0.0
    return 2.0 * (math.log(rows - 1.0) + 0.5772156649015329) - 2.0 * (rows - 1.0) / rows


@njit(cache=True, nogil=True)
def _divide(
    rows: NDArray[np.float64], at: NDArray[np.int64], start: int, end: int, state: NDArray[np.int64]
) -> tuple[int, float, int]:
    """Part rows at[start:end] at a random threshold of a random feature that is not the same in all of them."""
    features = rows.shape[1]
    first = below(state, features)
    for k in range(features):
        f = (first + k) % features
        if 0 < k < _TRIES:
            f = below(state, features)
        low = high = rows[at[start], f]
        for i in range(start + 1, end):
            low = min(low, rows[at[i], f])
            high = max(high, rows[at[i], f])
        if high > low:
            cut = low + draw(state) * (high - low)
            if cut <= low:
                cut = high
            middle = start
            for i in range(start, end):
                if rows[at[i], f] < cut:
                    at[i], at[middle] = at[middle], at[i]
                    middle += 1
            return f, cut, middle
    return LEAF, 0.0, start


@njit(cache=True, nogil=True)
def grow(trees: IsolationArrays, rows: NDArray[np.float64], kept: int, sample: int, state: NDArray[np.int64]) -> None:
    """Grow every tree anew, each from `sample` of the first `kept` rows, drawn without replacement."""
    deepest = math.ceil(math.log2(max(sample, 2)))
    at = np.arange(kept)
    waiting = np.empty((2 * deepest + 2, 4), np.int64)  # start, end, depth, node
    for t in range(len(trees.feature)):
        for i in range(sample):
            j = i + below(state, kept - i)
            at[i], at[j] = at[j], at[i]
        waiting[0, 0], waiting[0, 1], waiting[0, 2], waiting[0, 3] = 0, sample, 0, 0
        left, nodes = 1, 1
        while left > 0:
            left -= 1
            start, end, depth, node = waiting[left, 0], waiting[left, 1], waiting[left, 2], waiting[left, 3]
            feature, cut, middle = LEAF, 0.0, start
            if end - start > 1 and depth < deepest:
                feature, cut, middle = _divide(rows, at, start, end, state)
            trees.feature[t, node] = feature
            if feature == LEAF:
                trees.value[t, node] = depth + expected_path(end - start)
                continue
            trees.value[t, node] = cut
            trees.left[t, node] = nodes
            for side in range(2):
                waiting[left, 0] = start if side == 0 else middle
                waiting[left, 1] = middle if side == 0 else end
                waiting[left, 2] = depth + 1
                waiting[left, 3] = nodes + side
                left += 1
            nodes += 2


@inlined
def path(trees: IsolationArrays, row: NDArray[np.float64]) -> float:
    """The mean length of a row's path."""
    total = 0.0
    for t in range(len(trees.feature)):
        node = 0
        while trees.feature[t, node] != LEAF:
            node = trees.left[t, node] + (row[trees.feature[t, node]] >= trees.value[t, node])
        total += trees.value[t, node]
    return total / len(trees.feature)
