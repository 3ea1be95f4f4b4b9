"""Whether a Parquet row group can hold a value, by the bloom filter that was written with it."""

import struct
from typing import Final, Protocol

import pyarrow.parquet as pq

_WORD: Final = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
_SALTS: Final = (
    0x47B6137B, 0x44974D91, 0x8824AD5B, 0xA2B7289D, 0x705495C7, 0x2DF1424B, 0x9EFC4947, 0x5C6BFB31,
)  # fmt: skip
_BLOCK: Final = 32
_BLOCK_OF: Final = struct.Struct("<8I")


class Bytes(Protocol):
    """A file that is read anywhere."""

    def read_at(self, nbytes: int, offset: int, /) -> bytes:
        """So many bytes from a place on."""


def hashed(value: bytes) -> int:
    """xxHash64, seed 0, of at most 31 bytes whose number is a multiple of 8: ids and tokens have 16.

    >>> hex(hashed(bytes(range(16))))
    '0x44b6ef2fb84169f7'
    """
    h = (_P5 + len(value)) & _WORD
    for (lane,) in struct.iter_unpack("<Q", value):
        k = _turned(lane * _P2 & _WORD, 31) * _P1 & _WORD
        h = (_turned(h ^ k, 27) * _P1 + _P4) & _WORD
    h = (h ^ h >> 33) * _P2 & _WORD
    h = (h ^ h >> 29) * _P3 & _WORD
    return h ^ h >> 32


def may_hold(file: Bytes, chunk: pq.ColumnChunkMetaData, hashes: list[int]) -> bool:
    """Whether a column of a row group may hold one of the values hashed; true where it has no filter.

    A filter is a split block one (the only kind that Parquet has). One read, of its header and the blocks: an answer
    costs as much as the filter is long, 4 KiB or so.
    """
    if chunk.bloom_filter_offset is None or not chunk.bloom_filter_length:
        return True
    found = file.read_at(chunk.bloom_filter_length, chunk.bloom_filter_offset)
    size, begin = _size(found)
    blocks = size // _BLOCK
    return any(_in_block(found, begin + (h >> 32) * blocks // (1 << 32) * _BLOCK, h) for h in hashes)


def _in_block(found: bytes, at: int, h: int) -> bool:
    low = h & 0xFFFFFFFF
    words = _BLOCK_OF.unpack_from(found, at)
    return all(word >> ((low * salt & 0xFFFFFFFF) >> 27) & 1 for word, salt in zip(words, _SALTS, strict=True))


def _size(found: bytes) -> tuple[int, int]:
    """The bytes of a filter, and where they begin: its header is Thrift's compact form of four fields."""
    number, shift, at = 0, 0, 1  # the first byte says: field 1, a 32-bit number
    while True:
        byte = found[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            break
    size = number >> 1  # zigzag of what is not negative
    return size, len(found) - size


def _turned(word: int, by: int) -> int:
    return (word << by | word >> 64 - by) & _WORD
