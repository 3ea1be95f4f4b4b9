"""Paths as entities: identifiers in them become `{id}`."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import kernel

LONGEST_SEGMENT = 64
"""Bytes of the longest path segment that may be a name."""

_NAMING, _TELLING, _SLASH, _STOP = range(4)
_SORTS = np.zeros(256, np.uint8)
_SORTS[[*b"0123456789@|%"]] = _TELLING  # no identifier within LONGEST_SEGMENT is without one of them
_SORTS[ord("/")] = _SLASH
_SORTS[[*b"?#"]] = _STOP


@kernel
def is_identifier(buffer: NDArray[np.uint8], at: int, size: int) -> bool:
    """Whether a path segment names one object rather than a kind.

    True if the segment (1) is longer than LONGEST_SEGMENT bytes, or (2) holds `@`, `|`, `%40` or `%7C`, or (3) has only
    digits, or (4) has only digits, dashes and hexadecimal letters, a digit among them, and at least 8 bytes, or (5) is
    letters, one `-` or `_`, then digits only (`u-17`), or (6) has at least 16 bytes and in them a digit before a letter
    or three digits in a row. So `v2`, `oauth2`, `mfa-challenge` and `oauth2-authorize-endpoint` stay.
    """
    if size == 0:
        return False
    if size > LONGEST_SEGMENT:
        return True
    digits = 0
    hexes = 0  # hexadecimal letters and dashes
    turns = 0  # a digit before a letter
    run = 0
    longest = 0
    letters_first = 0
    marks = 0  # one separator after letters
    digits_last = 0
    for i in range(at, at + size):
        c = np.int64(buffer[i])
        lower = c | 0x20
        if 0x30 <= c <= 0x39:
            digits += 1
            run += 1
            longest = max(longest, run)
            if marks == 1:
                digits_last += 1
            continue
        if 0x61 <= lower <= 0x7A:
            if run > 0:
                turns += 1
            if lower <= 0x66:
                hexes += 1
            if marks == 0 and i - at == letters_first:
                letters_first += 1
        elif c == 0x2D or c == 0x5F:
            if c == 0x2D:
                hexes += 1
            if marks == 0 and letters_first > 0 and i - at == letters_first:
                marks = 1
        elif c == 0x40 or c == 0x7C:
            return True
        elif c == 0x25 and i + 2 < at + size:
            second = np.int64(buffer[i + 1])
            third = np.int64(buffer[i + 2]) | 0x20
            if (second == 0x34 and third == 0x30) or (second == 0x37 and third == 0x63):
                return True
        run = 0
    if digits == size:
        return True
    if digits > 0 and size >= 8 and digits + hexes == size:
        return True
    if marks == 1 and digits_last > 0 and letters_first + 1 + digits_last == size:
        return True
    return size >= 16 and (turns > 0 or longest >= 3)


@kernel
def write_path(buffer: NDArray[np.uint8], at: int, size: int, out: NDArray[np.uint8], i: int) -> int:
    """Write a path without query, fragment and identifiers at out[i :] (room 3 size + 4); the place after it."""
    end = at + size
    first, put = at, i  # where the segment began, here and there
    suspicious = False
    for k in range(at, end + 1):
        sort = _SORTS[buffer[k]] if k < end else _STOP
        if sort < _SLASH:
            suspicious |= sort == _TELLING
            out[i] = buffer[k]
            i += 1
            continue
        if (suspicious or i - put > LONGEST_SEGMENT) and is_identifier(buffer, first, k - first):
            out[put] = 0x7B
            out[put + 1] = 0x69
            out[put + 2] = 0x64
            out[put + 3] = 0x7D
            i = put + 4
        if sort == _STOP:
            break
        out[i] = 0x2F
        i += 1
        first, put = k + 1, i
        suspicious = False
    return i
