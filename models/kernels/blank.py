"""Overwriting the values at known paths of JSON objects, in place."""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.grammar import space_end, string_end, value_end

DEAD, START, SECRET = 0, 1, 2
"""States: no path goes on here; an object's own; the value is to go."""
OTHER, ELEMENT = 0, 1
"""The first columns of a table of steps: a name that no path has; an element of a list. Names follow."""
DEEPEST: Final = 200


@njit(cache=True, nogil=True)
def blank(
    buffer: NDArray[np.uint8],
    begin: NDArray[np.int64],
    extent: NDArray[np.int32],
    rows: NDArray[np.int64],
    names: NDArray[np.uint8],
    ends: NDArray[np.int64],
    steps: NDArray[np.int32],
    odd: NDArray[np.bool_],
) -> None:
    """Follow `steps` (state, column), whose columns from 2 on have `names`, each up to its end, through
    each row's object, which is JSON, and overwrite what is SECRET.

    Of a string every byte becomes `*`; anything else becomes `null` and spaces, or `0` where it is shorter. `odd` says
    of a row that it has a name with escapes, or a string that may hold JSON, on a path: that is for someone slower.
    """
    kinds = np.empty(DEEPEST + 2, np.uint8)
    states = np.empty(DEEPEST + 2, np.int32)
    stack = np.empty(DEEPEST + 2, np.uint8)
    for row in rows:
        odd[row] = False
        i = begin[row]
        end = i + extent[row]
        depth = 0
        state = START
        while i >= 0 and i < end:
            c = buffer[i]
            opening = False
            live = state != DEAD and state != SECRET
            if live and c == 0x22:
                close, _ = string_end(buffer, i + 1, end)
                if close < 0:
                    i = -1
                    break
                for k in range(i + 1, close):
                    if buffer[k] == 0x7B or buffer[k] == 0x5B or buffer[k] == 0x5C:
                        odd[row] = True
                i = close + 1
            elif live and (c == 0x7B or c == 0x5B):
                depth += 1
                if depth > DEEPEST:
                    i = -1
                    break
                kinds[depth] = c
                states[depth] = state
                i = space_end(buffer, i + 1, end)
                opening = i < end and buffer[i] != c + 2
                if not opening:
                    i += 1
                    depth -= 1
            else:
                stop = value_end(buffer, i, end, stack, DEEPEST)
                if state == SECRET and stop > i:
                    overwrite(buffer, i, stop)
                i = stop
            if i < 0:
                break
            following = opening
            while depth > 0 and not following:
                i = space_end(buffer, i, end)
                if i >= end:
                    i = -1
                    break
                if buffer[i] == kinds[depth] + 2:
                    i += 1
                    depth -= 1
                else:
                    i = space_end(buffer, i + 1, end)
                    following = True
            if i < 0 or depth == 0:
                break
            if kinds[depth] == 0x5B:
                state = steps[states[depth], ELEMENT]
                continue
            close, escaped = string_end(buffer, i + 1, end)
            if close < 0:
                i = -1
                break
            if escaped:
                odd[row] = True
            state = steps[states[depth], _column(buffer, i + 1, close - i - 1, names, ends)]
            i = space_end(buffer, close + 1, end)
            i = space_end(buffer, i + 1, end)
        if i < 0:
            odd[row] = True


@njit(cache=True, nogil=True)
def _column(buffer: NDArray[np.uint8], at: int, size: int, names: NDArray[np.uint8], ends: NDArray[np.int64]) -> int:
    """The column of the name in buffer[at : at + size]."""
    first = 0
    for k in range(len(ends)):
        if ends[k] - first == size:
            same = 0
            while same < size and buffer[at + same] == names[first + same]:
                same += 1
            if same == size:
                return k + 2
        first = ends[k]
    return OTHER


@njit(cache=True, nogil=True)
def overwrite(buffer: NDArray[np.uint8], i: int, end: int) -> None:
    """Overwrite the value in buffer[i : end]; an empty container, or null, holds nothing."""
    if buffer[i] == 0x22:
        buffer[i + 1 : end - 1] = 0x2A
        return
    if (buffer[i] == 0x7B or buffer[i] == 0x5B) and (end - i < 3 or (end - i == 3 and buffer[i + 1] <= 0x20)):
        return
    if end - i >= 4:
        buffer[i] = 0x6E
        buffer[i + 1] = 0x75
        buffer[i + 2] = 0x6C
        buffer[i + 3] = 0x6C
        buffer[i + 4 : end] = 0x20
    else:
        buffer[i] = 0x30
        buffer[i + 1 : end] = 0x20
