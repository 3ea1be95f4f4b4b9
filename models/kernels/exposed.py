"""Overwriting secrets where they have been picked from JSON objects, and telling where that does not do."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.blank import overwrite
from models.kernels.kernel import kernel
from models.kernels.pick import ABSENT, CLOSED, OPENED, TEXT

INTO, LIST, END, ANYTHING, SECRET = range(5)
"""Rules for a node, by what of it may hold a secret that is at no other node: a container that was not looked into;
that, and an object; a container in which a word is found; whatever holds something; the node is a secret itself.

A string without escapes holds no JSON with names in it."""


@njit(cache=True, nogil=True)
def exposed(
    buffer: NDArray[np.uint8],
    begin: NDArray[np.int64],
    rows: NDArray[np.int64],
    at: NDArray[np.int32],
    size: NDArray[np.int32],
    tag: NDArray[np.uint8],
    plain: NDArray[np.bool_],
    nodes: NDArray[np.int64],
    rules: NDArray[np.uint8],
    words: NDArray[np.uint8],
    ends: NDArray[np.int64],
    last: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Overwrite the SECRET ones of `nodes`, and say of each row whether it may hold another secret.

    It may where it is not plain, or one of the nodes is as its rule says. The words of node j are those from last[j] to
    last[j + 1], each up to its end.
    """
    out = np.ones(len(rows), np.bool_)
    for k in range(len(rows)):
        if not plain[k]:
            continue
        some = False
        for j in range(len(nodes)):
            what, rule = tag[k, nodes[j]], rules[j]
            if what == ABSENT:
                continue
            first = begin[rows[k]] + at[k, nodes[j]]
            stop = first + size[k, nodes[j]]
            if rule == SECRET:
                overwrite(buffer, first, stop)
            elif rule == ANYTHING:
                some |= what == TEXT or what == OPENED or what == CLOSED
            elif rule == END and (what == OPENED or what == CLOSED):
                some |= _holds(buffer, first, stop, words, ends, last[j], last[j + 1])
            elif what == CLOSED or (what == OPENED and rule == LIST and buffer[first] != 0x5B):
                some = True
        out[k] = some
    return out


@kernel
def _holds(
    buffer: NDArray[np.uint8],
    i: int,
    end: int,
    words: NDArray[np.uint8],
    ends: NDArray[np.int64],
    low: int,
    high: int,
) -> bool:
    """Whether one of the words from `low` to `high` stands in quotes in buffer[i : end], or there is an escape."""
    while i < end:
        if buffer[i] == 0x5C:
            return True
        if buffer[i] == 0x22:
            for word in range(low, high):
                begin = ends[word - 1] if word > 0 else 0
                size = ends[word] - begin
                same = 0
                while same < size and i + 1 + same < end and buffer[i + 1 + same] == words[begin + same]:
                    same += 1
                if same == size and i + 1 + same < end and buffer[i + 1 + same] == 0x22:
                    return True
        i += 1
    return False
