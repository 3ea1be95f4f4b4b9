"""The bytes that hashes of leaves are over, of many rows at once: `schema.leaf_bytes` from columns of Arrow."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.formats.lapwing import sealed
from flows.trail.many import Bytes, Pieces, sha256_all
from flows.trail.members import Packed
from models.kernels.pack import MOST_HEAD, pack_bits, pack_bytes, pack_flags, pack_heads, pack_ints

_ARRAY: Final = 0xDC
"""The head of an array of 16 values and more."""


def leaf_hashes(columns: Sequence[pa.Array]) -> Bytes:
    """The hashes of rows' leaves, given all columns that these are over: `schema.leaf_hash` of each."""
    n = len(columns[0])
    room = Packed.of(sum((_most(column) for column in columns), np.full(n, 8, np.int64)))
    heads = np.array([0, _ARRAY, len(columns) >> 8, len(columns) & 0xFF], np.uint8)
    pack_heads(sealed(heads, np.uint8), np.arange(n), room.out, room.cursor)
    for column in columns:
        _pack(column, room)
    return sha256_all(Pieces(room.out, room.begin, room.cursor))


def pieces_of(column: pa.Array) -> Pieces:
    """The values of a column of bytes without nulls, as they lie there."""
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1].astype(np.int64)
    return Pieces(_bytes(column, 2), offsets[:-1], offsets[1:])


def _most(column: pa.Array) -> NDArray[np.int64]:
    """How long the values of a column can become."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: len(column) + 1]
        return np.diff(offsets).astype(np.int64) + MOST_HEAD
    return np.full(len(column), MOST_HEAD + (kind.byte_width if pa.types.is_fixed_size_binary(kind) else 0))


def _pack(column: pa.Array, room: Packed) -> None:
    """Append a column to every row."""
    kind, n = column.type, len(column)
    valid = np.ones(n, np.uint8)
    if column.null_count:
        valid = column.is_valid().to_numpy(zero_copy_only=False).view(np.uint8)
    if pa.types.is_null(kind):
        pack_flags(valid, np.zeros(n, np.uint8), room.out, room.cursor)
    elif pa.types.is_boolean(kind):
        values = column.fill_null(False).to_numpy(zero_copy_only=False).view(np.uint8)
        pack_flags(values, valid, room.out, room.cursor)
    elif pa.types.is_fixed_size_binary(kind):
        width = kind.byte_width
        offsets = np.arange(column.offset, column.offset + n + 1, dtype=np.int32) * np.int32(width)
        pack_bytes(_bytes(column, 1), sealed(offsets, np.int32), valid, False, room.out, room.cursor)
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset :][: n + 1]
        text = pa.types.is_string(kind)
        pack_bytes(_bytes(column, 2), sealed(offsets, np.int32), valid, text, room.out, room.cursor)
    elif pa.types.is_floating(kind):
        bits = np.array(column.fill_null(0.0).to_numpy(zero_copy_only=False), np.float64).view(np.uint64)
        pack_bits(bits, valid, room.out, room.cursor)
    else:
        whole: Any = column.cast(pa.int64())
        whole = pc.fill_null(whole, 0) if whole.null_count else whole
        pack_ints(np.array(whole.to_numpy(zero_copy_only=False), np.int64), valid, room.out, room.cursor)


def _bytes(column: pa.Array, at: int) -> NDArray[np.uint8]:
    """One of a column's buffers."""
    buffer = column.buffers()[at]
    return sealed(np.empty(0, np.uint8) if buffer is None else np.frombuffer(buffer, np.uint8), np.uint8)
