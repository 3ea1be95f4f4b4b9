"""RFC 8259 as an acceptor: where a value ends, or -1 where it is not JSON. Nothing at or after `end` is read."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel
from models.kernels.load import HIGHS, ONES, first_lane, load8

_SPACES = np.uint64(0x2020202020202020)
_QUOTES = np.uint64(0x2222222222222222)
_SLASHES = np.uint64(0x5C5C5C5C5C5C5C5C)

INTEGER, DECIMAL, EXPONENT = range(3)
"""How a number is written."""


@inlined
def space_end(buffer: NDArray[np.uint8], i: int, end: int) -> int:
    """The first byte at or after i that is not JSON white space."""
    if i < end and buffer[i] > 0x20:
        return i
    while i < end and (buffer[i] == 0x20 or buffer[i] == 0x0A or buffer[i] == 0x0D or buffer[i] == 0x09):
        i += 1
    return i


@kernel
def _hex4(buffer: NDArray[np.uint8], i: int, end: int) -> int:
    """Four hexadecimal digits as a number, or -1."""
    if i + 4 > end:
        return -1
    unit = 0
    for k in range(i, i + 4):
        c = np.int64(buffer[k])
        if 0x30 <= c <= 0x39:
            unit = unit * 16 + c - 0x30
        elif 0x61 <= (c | 0x20) <= 0x66:
            unit = unit * 16 + (c | 0x20) - 0x57
        else:
            return -1
    return unit


@kernel
def _escape_end(buffer: NDArray[np.uint8], i: int, end: int) -> int:
    """After the escape whose backslash is at i; -1 also for a surrogate that is not one of a pair."""
    if i + 1 >= end:
        return -1
    c = buffer[i + 1]
    if c in (0x22, 0x5C, 0x2F, 0x62, 0x66, 0x6E, 0x72, 0x74):
        return i + 2
    if c != 0x75:
        return -1
    unit = _hex4(buffer, i + 2, end)
    if unit < 0 or 0xDC00 <= unit <= 0xDFFF:
        return -1
    if unit < 0xD800 or unit > 0xDFFF:
        return i + 6
    if i + 12 > end or buffer[i + 6] != 0x5C or buffer[i + 7] != 0x75:
        return -1
    low = _hex4(buffer, i + 8, end)
    return i + 12 if 0xDC00 <= low <= 0xDFFF else -1


@kernel
def utf8_end(buffer: NDArray[np.uint8], i: int, end: int) -> int:
    """After the multi-byte character at i, or -1 (Unicode 15, table 3-7: no overlongs, no surrogates)."""
    c = buffer[i]
    low = np.int64(0x80)
    high = np.int64(0xBF)
    if 0xC2 <= c <= 0xDF:
        more = 1
    elif 0xE0 <= c <= 0xEF:
        more = 2
        if c == 0xE0:
            low = np.int64(0xA0)
        elif c == 0xED:
            high = np.int64(0x9F)
    elif 0xF0 <= c <= 0xF4:
        more = 3
        if c == 0xF0:
            low = np.int64(0x90)
        elif c == 0xF4:
            high = np.int64(0x8F)
    else:
        return -1
    if i + more >= end:
        return -1
    if np.int64(buffer[i + 1]) < low or np.int64(buffer[i + 1]) > high:
        return -1
    for k in range(i + 2, i + more + 1):
        if (buffer[k] & 0xC0) != 0x80:
            return -1
    return i + more + 1


@inlined
def string_end(buffer: NDArray[np.uint8], i: int, end: int) -> tuple[int, bool]:
    """The closing quote of the string whose first byte is at i, or -1; and whether it holds an escape."""
    escaped = False
    while True:
        while i + 8 <= end:
            word = load8(buffer, i)
            quote = word ^ _QUOTES
            slash = word ^ _SLASHES
            marks = (((word - _SPACES) & ~word) | ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash) | word) & HIGHS
            if marks != np.uint64(0):
                i += first_lane(marks)
                break
            i += 8
        if i >= end:
            return -1, escaped
        c = buffer[i]
        if c == 0x22:
            return i, escaped
        if c >= 0x80:
            i = utf8_end(buffer, i, end)
        elif c == 0x5C:
            escaped = True
            i = _escape_end(buffer, i, end)
        elif c < 0x20:
            return -1, escaped
        else:
            i += 1
        if i < 0:
            return -1, escaped


@inlined
def number_end(buffer: NDArray[np.uint8], i: int, end: int) -> tuple[int, int]:
    """After the number at i, or -1; and how it is written."""
    form = INTEGER
    if buffer[i] == 0x2D:
        i += 1
    if i >= end:
        return -1, form
    if buffer[i] == 0x30:
        i += 1
    elif 0x31 <= buffer[i] <= 0x39:
        while i < end and 0x30 <= buffer[i] <= 0x39:
            i += 1
    else:
        return -1, form
    if i < end and buffer[i] == 0x2E:
        form = DECIMAL
        i += 1
        first = i
        while i < end and 0x30 <= buffer[i] <= 0x39:
            i += 1
        if i == first:
            return -1, form
    if i < end and (buffer[i] | 0x20) == 0x65:
        form = EXPONENT
        i += 1
        if i < end and (buffer[i] == 0x2B or buffer[i] == 0x2D):
            i += 1
        first = i
        while i < end and 0x30 <= buffer[i] <= 0x39:
            i += 1
        if i == first:
            return -1, form
    return i, form


@kernel
def literal_end(buffer: NDArray[np.uint8], i: int, end: int) -> int:
    """After the true, false or null at i, or -1."""
    if i + 4 <= end:
        if buffer[i] == 0x6E and buffer[i + 1] == 0x75 and buffer[i + 2] == 0x6C and buffer[i + 3] == 0x6C:
            return i + 4
        if buffer[i] == 0x74 and buffer[i + 1] == 0x72 and buffer[i + 2] == 0x75 and buffer[i + 3] == 0x65:
            return i + 4
    if i + 5 <= end and buffer[i] == 0x66 and buffer[i + 1] == 0x61 and buffer[i + 2] == 0x6C:
        return i + 5 if buffer[i + 3] == 0x73 and buffer[i + 4] == 0x65 else -1
    return -1


@kernel
def _key_end(buffer: NDArray[np.uint8], i: int, end: int) -> int:
    """The first byte of the value whose key should be at i, or -1."""
    if i >= end or buffer[i] != 0x22:
        return -1
    i, _ = string_end(buffer, i + 1, end)
    if i < 0:
        return -1
    i = space_end(buffer, i + 1, end)
    if i >= end or buffer[i] != 0x3A:
        return -1
    return space_end(buffer, i + 1, end)


@kernel
def value_end(buffer: NDArray[np.uint8], i: int, end: int, stack: NDArray[np.uint8], room: int) -> int:
    """After the value at i, or -1; at most `room` containers in each other, `stack` being longer than that."""
    depth = 0
    while True:
        if i >= end:
            return -1
        c = buffer[i]
        if c == 0x7B or c == 0x5B:
            depth += 1
            if depth > room:
                return -1
            stack[depth] = c
            i = space_end(buffer, i + 1, end)
            if i < end and buffer[i] == c + 2:
                i += 1
                depth -= 1
            else:
                if c == 0x7B:
                    i = _key_end(buffer, i, end)
                    if i < 0:
                        return -1
                continue
        elif c == 0x22:
            i, _ = string_end(buffer, i + 1, end)
            i += 1 if i >= 0 else 0
        elif c == 0x2D or 0x30 <= c <= 0x39:
            i, _ = number_end(buffer, i, end)
        else:
            i = literal_end(buffer, i, end)
        if i < 0:
            return -1
        while depth > 0:
            i = space_end(buffer, i, end)
            if i >= end:
                return -1
            if buffer[i] == stack[depth] + 2:
                i += 1
                depth -= 1
            elif buffer[i] == 0x2C:
                i = space_end(buffer, i + 1, end)
                if stack[depth] == 0x7B:
                    i = _key_end(buffer, i, end)
                    if i < 0:
                        return -1
                break
            else:
                return -1
        if depth == 0:
            return i


@kernel
def nesting(buffer: NDArray[np.uint8]) -> int:
    """The deepest nesting of brackets outside strings, whatever else the bytes are."""
    depth = 0
    deepest = 0
    inside = False
    i = 0
    while i < len(buffer):
        c = buffer[i]
        if inside:
            if c == 0x5C:
                i += 1
            elif c == 0x22:
                inside = False
        elif c == 0x22:
            inside = True
        elif c == 0x7B or c == 0x5B:
            depth += 1
            deepest = max(deepest, depth)
        elif c == 0x7D or c == 0x5D:
            depth -= 1
        i += 1
    return deepest
