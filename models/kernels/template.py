"""Records by their shape: the signature that says it, and the text that a template makes of one.

What stands where is as `models.kernels.pick` has found it.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel
from models.kernels.pick import ABSENT, CLOSED, EMPTY, OPENED, TEXT

INNER, CARRIED, DECISIVE, TIME, REFUSED, ADDRESS, HIDDEN = range(7)
"""Kinds of nodes: on the way; its value is passed on; its value decides; a time; none may stand there; an address; what
stands there is not read."""
AS_IS, LOWERED, BARE, QUOTED = range(4)
"""How a value is written: as it stands; with ASCII letters made small; a string without its quotes; in quotes."""
LONGEST_SIGNATURE: Final = 1024
LONGEST_VERBATIM: Final = 96
LONGEST_CARRIED: Final = 1024
LONGEST_NUMBER: Final = 15
"""Characters of a number that is read alike, whoever reads it."""


@njit(cache=True, nogil=True)
def sign(
    buffer: NDArray[np.uint8],
    begin: NDArray[np.int64],
    rows: NDArray[np.int64],
    at: NDArray[np.int32],
    size: NDArray[np.int32],
    tag: NDArray[np.uint8],
    plain: NDArray[np.bool_],
    kinds: NDArray[np.uint8],
    words: NDArray[np.uint8],
    ends: NDArray[np.int64],
    heads: NDArray[np.uint8],
    head_ends: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> NDArray[np.int64]:
    """The signatures of rows, one after another in `out`, and where each ends; one without a byte is of none.

    A signature says of every node that is read what stands there: what is passed on by its kind, what decides byte for
    byte. So
    rows of one signature differ in nothing but in what is passed on. `words`, in small letters and each up
    to its end, decide anywhere, however written; so does which of `heads` a string begins with.
    """
    stops = np.empty(len(plain), np.int64)
    used = 0
    for k in range(len(plain)):
        if plain[k]:
            end = _signed(
                buffer, begin[rows[k]], at[k], size[k], tag[k], kinds, words, ends, heads, head_ends, out, used
            )  # fmt: skip
            used = max(used, end)
        stops[k] = used
    return stops


@kernel
def _signed(
    buffer: NDArray[np.uint8],
    origin: int,
    at: NDArray[np.int32],
    size: NDArray[np.int32],
    tag: NDArray[np.uint8],
    kinds: NDArray[np.uint8],
    words: NDArray[np.uint8],
    ends: NDArray[np.int64],
    heads: NDArray[np.uint8],
    head_ends: NDArray[np.int64],
    out: NDArray[np.uint8],
    used: int,
) -> int:
    """After the signature of a row that begins at `used`, or -1."""
    most = used + LONGEST_SIGNATURE
    for node in range(1, len(kinds)):
        what, kind, i, n = tag[node], kinds[node], origin + at[node], np.int64(size[node])
        if kind == HIDDEN:
            continue
        if used + 2 + LONGEST_VERBATIM > most:
            return -1
        form = np.uint8(0)
        if what == ABSENT:
            form = np.uint8(0x41)
        elif kind == REFUSED or what == CLOSED:
            return -1
        elif what == OPENED:
            form = np.uint8(0x4F) if buffer[i] == 0x7B else np.uint8(0x4C)
        elif what == EMPTY:
            form = buffer[i]
        elif kind == CARRIED or kind == TIME or kind == ADDRESS:
            if what == TEXT:
                form = _text(buffer, i, n, kind, words, ends, heads, head_ends)
            else:
                form = _number(buffer, i, n, kind == TIME)
            if form == 0x2D:
                return -1
        if form:
            out[used] = form
            used += 1
            continue
        if n > LONGEST_VERBATIM:
            return -1
        out[used], out[used + 1] = 0x76, n
        for j in range(n):
            out[used + 2 + j] = buffer[i + j]
        used += 2 + n
    return used


@inlined
def _small(c: np.uint8) -> np.uint8:
    """An ASCII letter made small, anything else as it is."""
    return np.uint8(c | 0x20) if 0x41 <= c <= 0x5A else c


@kernel
def _text(
    buffer: NDArray[np.uint8],
    i: int,
    n: int,
    kind: int,
    words: NDArray[np.uint8],
    ends: NDArray[np.int64],
    heads: NDArray[np.uint8],
    head_ends: NDArray[np.int64],
) -> np.uint8:
    """The form of a string, with its quotes, that is passed on; 0 if it decides, - if unknown.

    S, U (not ASCII), Z (a time), 0xA0 and the number of digits (also a time), I (an address), a, b and so on (by what
    it begins with).
    """
    if n - 2 > LONGEST_CARRIED:
        return np.uint8(0x2D)
    if n == 2:
        return np.uint8(0)
    first = 0
    for end in ends:
        if end - first == n - 2:
            same = 0
            while same < n - 2 and _small(buffer[i + 1 + same]) == words[first + same]:
                same += 1
            if same == n - 2:
                return np.uint8(0)
        first = end
    ascii_only = True
    for j in range(i, i + n):
        ascii_only &= buffer[j] < 0x80
    if kind == TIME:
        if _is_moment(buffer, i + 1, i + n - 1):
            return np.uint8(0x5A)
        digits = _number(buffer, i + 1, n - 2, True)
        return np.uint8(digits | 0x20) if digits > 0x80 else np.uint8(0x2D)
    if kind == ADDRESS:
        colon = 0x30 <= buffer[i + 1] <= 0x39
        for j in range(i, i + n):
            colon |= buffer[j] == 0x3A
        if colon or not ascii_only:
            return np.uint8(0x49) if ascii_only else np.uint8(0x2D)
    first = 0
    for head in range(len(head_ends)):
        wide = head_ends[head] - first
        same = 0
        while same < wide and same < n - 2 and buffer[i + 1 + same] == heads[first + same]:
            same += 1
        if same == wide:
            return np.uint8(0x61 + head) if ascii_only else np.uint8(0x2D)
        first = head_ends[head]
    return np.uint8(0x53) if ascii_only else np.uint8(0x55)


@kernel
def _is_moment(buffer: NDArray[np.uint8], i: int, end: int) -> bool:
    """Whether buffer[i : end] is a time of RFC 3339, with a zone of Z or +hh:mm; of 29 February it is not said."""
    if end - i < 20 or not (buffer[i + 10] == 0x54 or buffer[i + 10] == 0x20):
        return False
    if buffer[i + 4] != 0x2D or buffer[i + 7] != 0x2D or buffer[i + 13] != 0x3A or buffer[i + 16] != 0x3A:
        return False
    if _two(buffer, i) < 0 or _two(buffer, i + 2) < 0 or _two(buffer, i) + _two(buffer, i + 2) == 0:
        return False
    month, day = _two(buffer, i + 5), _two(buffer, i + 8)
    most = 28 if month == 2 else 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31
    if not (1 <= month <= 12 and 1 <= day <= most):
        return False
    hour, minute, second = _two(buffer, i + 11), _two(buffer, i + 14), _two(buffer, i + 17)
    if not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return False
    at = i + 19
    if buffer[at] == 0x2E:
        at += 1
        while at < end and 0x30 <= buffer[at] <= 0x39:
            at += 1
        if at == i + 20 or at > i + 29:
            return False
    if end - at == 1:
        return buffer[at] == 0x5A
    if end - at != 6 or buffer[at] != 0x2B or buffer[at + 3] != 0x3A:
        return False
    return 0 <= _two(buffer, at + 1) <= 23 and 0 <= _two(buffer, at + 4) <= 59


@inlined
def _two(buffer: NDArray[np.uint8], i: int) -> int:
    """The number of two digits at buffer[i], -1 where they are none."""
    high, low = np.int64(buffer[i]) - 0x30, np.int64(buffer[i + 1]) - 0x30
    return high * 10 + low if 0 <= high <= 9 and 0 <= low <= 9 else -1


@kernel
def _number(buffer: NDArray[np.uint8], i: int, n: int, time: bool) -> np.uint8:
    """The form of a number that is passed on: N (whole) or F; 0 for zero and literals, - for an unusual one.

    Of a whole one that is a time 0x80 and how many digits it has.
    """
    if buffer[i] > 0x39:
        return np.uint8(0)
    if n > LONGEST_NUMBER:
        return np.uint8(0x2D)
    form, some, digits = 0x4E, False, 0
    for j in range(i, i + n):
        c = buffer[j]
        digits += 0x30 <= c <= 0x39
        if c == 0x2E:
            form = 0x46
        elif c > 0x39 or c == 0x2B:
            return np.uint8(0x2D)
        elif c > 0x30:
            some = True
    if time and form == 0x4E and some:
        return np.uint8(0x80 + n) if digits == n >= 8 and buffer[i] > 0x30 else np.uint8(0x2D)
    return np.uint8(form) if some else np.uint8(0)


@njit(cache=True, nogil=True)
def measure(
    size: NDArray[np.int32],
    which: NDArray[np.int64],
    first: NDArray[np.int64],
    node: NDArray[np.int64],
    style: NDArray[np.uint8],
    literal: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Where each row's text ends that `write` makes; see there."""
    ends = np.empty(len(which), np.int64)
    used = 0
    for k in range(len(which)):
        if which[k] >= 0:
            for piece in range(first[which[k]], first[which[k] + 1]):
                if node[piece] < 0:
                    used += literal[piece + 1] - literal[piece]
                else:
                    used += size[k, node[piece]]
                    used += 2 * (np.int64(style[piece] == QUOTED) - np.int64(style[piece] == BARE))
        ends[k] = used
    return ends


@njit(cache=True, nogil=True)
def write(
    buffer: NDArray[np.uint8],
    begin: NDArray[np.int64],
    rows: NDArray[np.int64],
    at: NDArray[np.int32],
    size: NDArray[np.int32],
    which: NDArray[np.int64],
    first: NDArray[np.int64],
    node: NDArray[np.int64],
    style: NDArray[np.uint8],
    literal: NDArray[np.int64],
    text: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """Write rows after their templates, none for -1: template t is the pieces first[t] to first[t + 1].

    A piece is a node's value in its style, or text[literal[p] : literal[p + 1]].
    """
    used = 0
    for k in range(len(which)):
        if which[k] < 0:
            continue
        for piece in range(first[which[k]], first[which[k] + 1]):
            if node[piece] < 0:
                i, n = literal[piece], literal[piece + 1] - literal[piece]
                for j in range(n):
                    out[used + j] = text[i + j]
            else:
                i, n = begin[rows[k]] + at[k, node[piece]], np.int64(size[k, node[piece]])
                if style[piece] == BARE:
                    i, n = i + 1, n - 2
                elif style[piece] == QUOTED:
                    out[used], out[used + n + 1] = 0x22, 0x22
                    used += 1
                for j in range(n):
                    out[used + j] = buffer[i + j]
                if style[piece] == LOWERED:
                    for j in range(used, used + n):
                        out[j] = _small(out[j])
                elif style[piece] == QUOTED:
                    used += 1
            used += n
