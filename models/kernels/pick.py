"""What stands at known paths of JSON objects, and what kind of thing: one walk over each object.

Paths are a tree of nodes, numbered so that those below a node follow it; node 0 is the object itself.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.grammar import space_end, string_end, value_end
from models.kernels.kernel import kernel

ABSENT, SCALAR, TEXT, OPENED, CLOSED, EMPTY = range(6)
"""Tags: nothing; a number or literal; a string; a container looked into; one not looked into; one without members."""
ELEMENT: Final = 0
"""The column of a table of steps for an element of a list; names follow."""
NONE: Final = -1
DEEPEST: Final = 200


@njit(cache=True, nogil=True)
def pick(
    buffer: NDArray[np.uint8],
    begin: NDArray[np.int64],
    extent: NDArray[np.int32],
    rows: NDArray[np.int64],
    names: NDArray[np.uint8],
    ends: NDArray[np.int64],
    lengths: NDArray[np.int64],
    steps: NDArray[np.int32],
    inner: NDArray[np.bool_],
    last: NDArray[np.bool_],
    after: NDArray[np.int32],
    below: NDArray[np.int64],
    at: NDArray[np.int32],
    size: NDArray[np.int32],
    tag: NDArray[np.uint8],
) -> NDArray[np.bool_]:
    """Find the nodes' values in each row's object, which is JSON, from its begin on, and whether the row is ordinary.

    Names are sorted by length: those of length n are lengths[n] to lengths[n + 1]. `inner` says which nodes have
    members below, `last` which are the last elements of lists, `after` which node an element's neighbour is, `below`
    where the nodes below each end. A row is not ordinary where a name on the way is written with escapes, a value at a
    node too, or a node stands there twice, as it does where a list has more elements than are known.
    """
    plain = np.zeros(len(rows), np.bool_)
    kinds = np.empty(DEEPEST + 2, np.uint8)
    states = np.empty(DEEPEST + 2, np.int32)
    element = np.empty(DEEPEST + 2, np.int32)
    stack = np.empty(DEEPEST + 2, np.uint8)
    for k in range(len(rows)):
        tag[k] = ABSENT
        origin = begin[rows[k]]
        i = origin
        end = i + extent[rows[k]]
        depth = 0
        node = np.int32(0)
        while i >= 0 and i < end:
            c = buffer[i]
            opening = False
            if node < 0:
                i = value_end(buffer, i, end, stack, DEEPEST)
            elif tag[k, node] != ABSENT:
                i = -1
            elif c == 0x22:
                close, escaped = string_end(buffer, i + 1, end)
                at[k, node], size[k, node], tag[k, node] = i - origin, close + 1 - i, TEXT
                i = close + 1 if close >= 0 and not escaped else -1
            elif c == 0x7B or c == 0x5B:
                at[k, node] = i - origin
                inside = space_end(buffer, i + 1, end)
                if inside < end and buffer[inside] == c + 2:
                    tag[k, node], size[k, node] = EMPTY, inside + 1 - i
                    i = inside + 1
                elif (inner[node] if c == 0x7B else steps[node, ELEMENT] >= 0) and depth < DEEPEST:
                    tag[k, node] = OPENED
                    depth += 1
                    kinds[depth], states[depth] = c, node
                    opening = True
                    i = inside
                else:
                    tag[k, node] = CLOSED
                    i = value_end(buffer, i, end, stack, DEEPEST)
                    size[k, node] = i - origin - at[k, node]
            else:
                stop = value_end(buffer, i, end, stack, DEEPEST)
                at[k, node], size[k, node], tag[k, node] = i - origin, stop - i, SCALAR
                i = stop
            following = opening
            while i >= 0 and depth > 0 and not following:
                i = space_end(buffer, i, end)
                if i >= end:
                    i = -1
                elif buffer[i] == kinds[depth] + 2:
                    i += 1
                    size[k, states[depth]] = i - origin - at[k, states[depth]]
                    depth -= 1
                else:
                    i = space_end(buffer, i + 1, end)
                    following = True
            if i < 0 or depth == 0:
                break
            if kinds[depth] == 0x5B:
                node = steps[states[depth], ELEMENT] if opening else after[element[depth]]
                element[depth] = node
                if last[node]:
                    tag[k, node : below[node]] = ABSENT
                continue
            close, escaped = string_end(buffer, i + 1, end)
            if close < 0 or escaped:
                i = -1
                break
            node = steps[states[depth], _column(buffer, i + 1, close - i - 1, names, ends, lengths)]
            i = space_end(buffer, close + 1, end)
            i = space_end(buffer, i + 1, end)
        plain[k] = i >= 0 and depth == 0
    return plain


@kernel
def _column(
    buffer: NDArray[np.uint8],
    at: int,
    size: int,
    names: NDArray[np.uint8],
    ends: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> int:
    """The column of the name in buffer[at : at + size]; the last one for a name that no path has."""
    if size + 1 < len(lengths):
        for k in range(lengths[size], lengths[size + 1]):
            first = ends[k] - size
            same = 0
            while same < size and buffer[at + same] == names[first + same]:
                same += 1
            if same == size:
                return k + 1
    return len(ends) + 1
