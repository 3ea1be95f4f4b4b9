"""Sealing: bytes that open only with the keys of all whom they are about."""

import hashlib
import hmac
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
_SEVERAL: Final = b"lapwing trail: key of several subjects"
_CIPHERS: Final = 1 << 16
"""Ciphers kept; making one costs several times what it costs to seal an event."""

_cipher = lru_cache(maxsize=_CIPHERS)(AESGCM)


class CannotOpen(Exception):
    """The bytes were sealed with other keys, or are not what was sealed."""


def seal(keys: Sequence[bytes], message: bytes, about: bytes) -> bytes:
    """The message so that nobody reads or changes it without every one of the keys: nonce, ciphertext, tag.

    AES-256-GCM under the key itself where there is one, else under one that follows from all of them (HMAC-SHA-256
    over each, keyed by the nonce), in any order: when one of the subjects is erased nobody opens it any more. `about`
    is bound to the message without being in it; the same must be given to open it. The nonce is random, 96 bits: fine
    for 2^32 messages of one subject. 28 bytes longer than the message; about a microsecond where the key has been used
    lately.

    Raises
    ------
    ValueError
        If there is no key, or it is none of AES-256.

    Examples
    --------
    >>> sam, ann = bytes(32), bytes([1]) * 32
    >>> letter = seal([sam, ann], b"sam told ann", b"leaf 7")
    >>> unseal([ann, sam], letter, b"leaf 7")
    b'sam told ann'
    """
    nonce = os.urandom(NONCE_BYTES)
    return seal_with(keys[0] if len(keys) == 1 else joined(keys, nonce), nonce, message, about)


def seal_with(key: bytes, nonce: bytes, message: bytes | memoryview, about: bytes) -> bytes:
    """As `seal`, under a key and a nonce that is used for nothing else."""
    return nonce + _cipher(key).encrypt(nonce, message, about)


def unseal(keys: Sequence[bytes], sealed_bytes: bytes, about: bytes) -> bytes:
    """The message that was sealed.

    Raises
    ------
    CannotOpen
        With other keys, other `about`, or bytes that were changed or cut.
    """
    if len(sealed_bytes) < NONCE_BYTES + TAG_BYTES:
        raise CannotOpen("too short to be sealed")
    nonce = sealed_bytes[:NONCE_BYTES]
    try:
        key = keys[0] if len(keys) == 1 else joined(keys, nonce)
        return _cipher(key).decrypt(nonce, sealed_bytes[NONCE_BYTES:], about)
    except InvalidTag:
        raise CannotOpen("another key, or changed bytes") from None


def forget() -> None:
    """Drop the ciphers that are kept, so that a destroyed key is in no memory of this module."""
    _cipher.cache_clear()


def joined(keys: Sequence[bytes], nonce: bytes) -> bytes:
    """The key that several subjects have together, another for each nonce."""
    if not keys:
        raise ValueError("sealing takes a key")
    found = hashlib.sha256(_SEVERAL)
    for key in sorted(set(keys)):
        found.update(hmac.digest(key, nonce, "sha256"))
    return found.digest()
