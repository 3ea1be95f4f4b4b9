"""MessagePack of many rows at once, column after column: each row has its place in one buffer, and a cursor in it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.kernel import inlined
from models.kernels.load import copied
from models.kernels.number import decimal
from models.kernels.scan import ABSENT, DOUBLE, NUMBER

PACKED = 5
"""A tag beside those of the scanner: bytes that are MessagePack already."""
MOST_HEAD = 9
"""Bytes that a value takes at most beside its text."""
_NIL, _FALSE, _FLOAT = np.uint8(0xC0), np.uint8(0xC2), np.uint8(0xCB)


@inlined
def _big(out: NDArray[np.uint8], i: int, value: np.uint64, size: int) -> int:
    """Write the lowest bytes of a number, the highest first; the place after them."""
    for k in range(size):
        out[i + k] = np.uint8((value >> np.uint64(8 * (size - 1 - k))) & np.uint64(0xFF))
    return i + size


@inlined
def _text_head(out: NDArray[np.uint8], i: int, size: int) -> int:
    """The head of a string of so many bytes."""
    if size < 32:
        out[i] = np.uint8(0xA0 + size)
        return i + 1
    width = 1 if size < 1 << 8 else 2 if size < 1 << 16 else 4
    out[i] = np.uint8(0xD9 if width == 1 else 0xDA if width == 2 else 0xDB)
    return _big(out, i + 1, np.uint64(size), width)


@inlined
def _binary_head(out: NDArray[np.uint8], i: int, size: int) -> int:
    """The head of so many bytes."""
    width = 1 if size < 1 << 8 else 2 if size < 1 << 16 else 4
    out[i] = np.uint8(0xC4 if width == 1 else 0xC5 if width == 2 else 0xC6)
    return _big(out, i + 1, np.uint64(size), width)


@inlined
def _whole(out: NDArray[np.uint8], i: int, value: int) -> int:
    """A whole number in its shortest form."""
    bits = np.uint64(value)
    if value >= 0:
        if value < 128:
            out[i] = np.uint8(value)
            return i + 1
        level = 0 if value < 1 << 8 else 1 if value < 1 << 16 else 2 if value < 1 << 32 else 3
        out[i] = np.uint8(0xCC + level)
    else:
        if value >= -32:
            out[i] = np.uint8(value & 0xFF)
            return i + 1
        level = 0 if value >= -(1 << 7) else 1 if value >= -(1 << 15) else 2 if value >= -(1 << 31) else 3
        out[i] = np.uint8(0xD0 + level)
    return _big(out, i + 1, bits, 1 << level)


@njit(cache=True, nogil=True)
def pack_heads(
    heads: NDArray[np.uint8], rows: NDArray[np.int64], out: NDArray[np.uint8], cursor: NDArray[np.int64]
) -> None:
    """The same bytes to some rows: heads of theirs."""
    for row in rows:
        cursor[row] = copied(out, cursor[row], heads, 0, len(heads))


@njit(cache=True, nogil=True)
def pack_bytes(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    valid: NDArray[np.uint8],
    is_text: bool,
    out: NDArray[np.uint8],
    cursor: NDArray[np.int64],
) -> None:
    """A column of strings or of bytes to every row; nil where it is not valid."""
    for row in range(len(cursor)):
        i = cursor[row]
        if not valid[row]:
            out[i] = _NIL
            cursor[row] = i + 1
            continue
        at = np.int64(offsets[row])
        size = np.int64(offsets[row + 1]) - at
        i = _text_head(out, i, size) if is_text else _binary_head(out, i, size)
        cursor[row] = copied(out, i, data, at, size)


@njit(cache=True, nogil=True)
def pack_ints(
    values: NDArray[np.int64], valid: NDArray[np.uint8], out: NDArray[np.uint8], cursor: NDArray[np.int64]
) -> None:
    """A column of whole numbers to every row."""
    for row in range(len(cursor)):
        i = cursor[row]
        if valid[row]:
            cursor[row] = _whole(out, i, values[row])
        else:
            out[i] = _NIL
            cursor[row] = i + 1


@njit(cache=True, nogil=True)
def pack_flags(
    values: NDArray[np.uint8], valid: NDArray[np.uint8], out: NDArray[np.uint8], cursor: NDArray[np.int64]
) -> None:
    """A column of truths to every row."""
    for row in range(len(cursor)):
        out[cursor[row]] = _FALSE + values[row] if valid[row] else _NIL
        cursor[row] += 1


@njit(cache=True, nogil=True)
def pack_bits(
    values: NDArray[np.uint64], valid: NDArray[np.uint8], out: NDArray[np.uint8], cursor: NDArray[np.int64]
) -> None:
    """A column of float64, given by their bits, to every row."""
    for row in range(len(cursor)):
        i = cursor[row]
        if valid[row]:
            out[i] = _FLOAT
            cursor[row] = _big(out, i + 1, values[row], 8)
        else:
            out[i] = _NIL
            cursor[row] = i + 1


@njit(cache=True, nogil=True)
def pack_members(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    slots: NDArray[np.int64],
    rows: NDArray[np.int64],
    out: NDArray[np.uint8],
    cursor: NDArray[np.int64],
) -> None:
    """Members by their spans to some rows: strings, numbers as float64, and what is packed already as it is."""
    one = np.empty(1, np.float64)
    bits = one.view(np.uint64)
    for row in rows:
        i = cursor[row]
        for slot in slots:
            kind = tag[row, slot]
            start = at[row, slot]
            extent = size[row, slot]
            if kind == ABSENT:
                out[i] = _NIL
                i += 1
            elif kind == PACKED:
                i = copied(out, i, buffer, start, extent)
            elif kind == NUMBER:
                one[0] = decimal(buffer, start, extent)
                out[i] = _FLOAT
                i = _big(out, i + 1, bits[0], 8)
            elif kind == DOUBLE:
                out[i] = _FLOAT
                for k in range(8):
                    out[i + 1 + k] = buffer[start + 7 - k]
                i += 9
            else:
                i = _text_head(out, i, extent)
                i = copied(out, i, buffer, start, extent)
        cursor[row] = i
