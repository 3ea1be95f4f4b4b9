"""The trail's primitives over many pieces at once: what `seal`, hashlib and the key store do with one.

Compiled code does it where that can be, else piece by piece; what comes of it is the same.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.formats.lapwing import sealed
from flows.trail.merkle import whole
from flows.trail.seal import KEY_BYTES, NONCE_BYTES, TAG_BYTES, joined, seal_with
from models.kernels import openssl
from models.kernels.blake2b import TOKEN, tokens

HASH_BYTES, TOKEN_BYTES = openssl.HASH, TOKEN
Bytes = NDArray[np.uint8]


class Pieces(NamedTuple):
    """Bytes by where they stand in one buffer."""

    buffer: Bytes
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.begin)

    def some(self, rows: NDArray[np.int64]) -> "Pieces":
        """Some of them."""
        return Pieces(self.buffer, self.begin[rows], self.end[rows])

    def each(self) -> list[memoryview]:
        """All of them, as they lie there."""
        view = self.buffer.data
        return [view[at:to] for at, to in zip(self.begin.tolist(), self.end.tolist(), strict=True)]

    def plain(self) -> tuple[Bytes, NDArray[np.int64], NDArray[np.int64]]:
        """As kernels take them."""
        return sealed(self.buffer, np.uint8), sealed(self.begin, np.int64), sealed(self.end, np.int64)


def seal_all(keys: Bytes, whose: NDArray[np.int64], pieces: Pieces, there: NDArray[np.bool_], about: bytes) -> pa.Array:
    """As `seal`, a column: the pieces that are there, each for all whose keys it names.

    The first of the keys, a row each, is for pieces that name nobody. `whose` has a column for each piece: numbers of
    keys, 0 for none.
    """
    rows = np.flatnonzero(there)
    # One after the other for the same subject: a key is made ready once. By 16 bits, which numpy sorts in one pass.
    rows = rows[np.argsort(whose[:, rows].max(axis=0).astype(np.uint16), kind="stable")]
    luck = os.urandom(NONCE_BYTES * len(rows))
    which, several = _keys_of(keys, whose[:, rows], luck)
    every = np.concatenate((keys, np.frombuffer(b"".join(several), np.uint8).reshape(-1, KEY_BYTES)))
    length = np.zeros(len(there), np.int64)
    length[rows] = (pieces.end - pieces.begin)[rows] + (NONCE_BYTES + TAG_BYTES)
    ends = np.zeros(len(there) + 1, np.int32)
    np.cumsum(length, out=ends[1:])
    place = ends[rows]
    some = pieces.some(rows)
    if openssl.AVAILABLE:
        out = np.empty(int(ends[-1]), np.uint8)
        nonces, of = np.frombuffer(luck, np.uint8), every.ravel()
        with openssl.sealing() as context:
            done = openssl.seal(context, of, which, nonces, *some.plain(), np.frombuffer(about, np.uint8), out, place)
        if not done:
            raise openssl.Failed("AES-256-GCM")
    else:
        each = (luck[at : at + NONCE_BYTES] for at in range(0, len(luck), NONCE_BYTES))
        told = zip(which.tolist(), each, some.each(), strict=True)
        found = [seal_with(every[key].tobytes(), nonce, one, about) for key, nonce, one in told]
        out = np.frombuffer(b"".join(found[at] for at in np.argsort(rows).tolist()), np.uint8)
    valid = None if len(rows) == len(there) else pa.py_buffer(np.packbits(there, bitorder="little"))
    return pa.Array.from_buffers(pa.binary(), len(there), [valid, pa.py_buffer(ends), pa.py_buffer(out)])


def _keys_of(keys: Bytes, whose: NDArray[np.int64], luck: bytes) -> tuple[NDArray[np.int64], list[bytes]]:
    """Which key seals each piece, and the keys behind the given ones that several subjects have together."""
    which = whose.max(axis=0)
    several: list[bytes] = []
    for row in np.flatnonzero(((whose > 0) & (whose != which)).any(axis=0)).tolist():
        own = {keys[one].tobytes() for one in whose[:, row].tolist() if one}
        if len(own) > 1:
            which[row] = len(keys) + len(several)
            several.append(joined(list(own), luck[row * NONCE_BYTES : (row + 1) * NONCE_BYTES]))
    return which, several


def sha256_all(pieces: Pieces) -> Bytes:
    """The hash of each piece, a row each."""
    if not openssl.AVAILABLE:
        found = b"".join(hashlib.sha256(piece).digest() for piece in pieces.each())
        return np.frombuffer(found, np.uint8).reshape(-1, HASH_BYTES)
    out = np.empty((len(pieces), HASH_BYTES), np.uint8)
    with openssl.hashing() as context:
        if not openssl.sha256(context, *pieces.plain(), out):
            raise openssl.Failed("SHA-256")
    return out


def subtree(leaves: bytes) -> bytes:
    """As `merkle.whole`."""
    if not openssl.AVAILABLE:
        return whole(leaves)
    nodes = np.frombuffer(bytearray(leaves), np.uint8)
    with openssl.hashing() as context:
        if not openssl.subtree(context, nodes):
            raise openssl.Failed("SHA-256")
    return nodes[:HASH_BYTES].tobytes()


def tokens_of(key: bytes, before: Sequence[bytes], which: NDArray[np.int64], pieces: Pieces) -> Bytes:
    """The token of each piece behind one of some texts (`which`), a row each: a BLAKE2b of 16 bytes under the key."""
    if not openssl.AVAILABLE:
        made = [hashlib.blake2b(text, digest_size=TOKEN_BYTES, key=key) for text in before]
        found = b"".join(map(_token, map(made.__getitem__, which.tolist()), pieces.each()))
        return np.frombuffer(found, np.uint8).reshape(-1, TOKEN_BYTES)
    out = np.empty((len(pieces), TOKEN_BYTES), np.uint8)
    starts = np.cumsum([0, *map(len, before)])
    own, texts = np.frombuffer(key, np.uint8), np.frombuffer(b"".join(before), np.uint8)
    tokens(own, texts, starts, sealed(which, np.int64), *pieces.plain(), out)
    return out


def _token(made: "hashlib.blake2b", piece: memoryview) -> bytes:
    own = made.copy()
    own.update(piece)
    return own.digest()
