"""Columns as one block of bytes: what travels to another process."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIGNED = 8
Packed = tuple[bytes, tuple[tuple[str, tuple[int, ...]], ...]]
"""The bytes of all columns, and each one's type and shape."""


def pack(columns: Sequence[NDArray[Any]]) -> Packed:
    """All columns, each copied once."""
    blocks: list[memoryview | bytes] = []
    for column in columns:
        size = column.nbytes
        if size:
            blocks.append(np.ascontiguousarray(column).reshape(-1).view(np.uint8).data)
            blocks.append(bytes(-size % _ALIGNED))
    return b"".join(blocks), tuple((column.dtype.str, column.shape) for column in columns)


def unpack(packed: Packed) -> list[NDArray[Any]]:
    """The columns again, as views of one block: compiled code takes only what can be written to and is aligned.

    >>> one, two = unpack(pack([np.arange(3, dtype=np.uint8), np.ones((2, 1))]))
    >>> one.tolist(), two.tolist(), two.flags.writeable, two.flags.aligned
    ([0, 1, 2], [[1.0], [1.0]], True, True)
    """
    block = np.frombuffer(bytearray(packed[0]), np.uint8)
    columns, at = [], 0
    for kind, shape in packed[1]:
        size = np.dtype(kind).itemsize * int(np.prod(shape))
        columns.append(block[at : at + size].view(kind).reshape(shape))
        at += size + -size % _ALIGNED
    return columns


def trimmed(
    texts: NDArray[np.uint8], start: NDArray[np.int64], length: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Of a block of texts what some of them use, and where each begins there.

    A batch is mostly one run of a larger micro-batch; where it is not, because a few texts lie elsewhere, they are put
    one behind the other.
    """
    used = length > 0
    if not used.any():
        return np.zeros(start.shape, np.int32), texts[:0]
    first, last = int(start[used].min()), int((start + length)[used].max())
    size = int(length.sum(dtype=np.int64))
    if last - first <= 2 * size + 4096:
        return np.where(used, start - first, 0).astype(np.int32), texts[first:last]
    flat, sizes = start.reshape(-1), length.reshape(-1).astype(np.int64)
    ends = np.cumsum(sizes)
    at = np.arange(size) + np.repeat(flat - (ends - sizes), sizes)
    return (ends - sizes).reshape(start.shape).astype(np.int32), texts[at]
