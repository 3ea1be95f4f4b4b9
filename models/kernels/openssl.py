"""AES-256-GCM and SHA-256 over many pieces at once: OpenSSL's own, called from compiled code.

Python's hashlib is linked with OpenSSL. A call of it from Python waits longer than it computes: for the call, for
objects of what goes in and comes out, and for a cipher whose key is made ready anew. Kernels call the same functions
without. They are found where hashlib has them; where none are (linked into Python and hidden, older than 3.0, or no
code is compiled) `AVAILABLE` is false, and nothing here may be called.

Pieces are spans of one buffer. A kernel says whether OpenSSL did all that it was asked.
"""

import ctypes
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import llvmlite.binding as llvm
import numpy as np
from numba import config, njit, types
from numba.core.types import ExternalFunction
from numpy.typing import NDArray

KEY, NONCE, TAG, HASH = 32, 12, 16, 32
"""Bytes of what the primitives take and give."""
_GET_TAG: Final = 0x10
_AT, _INT = types.intp, types.int32
_SHAPES: Final[dict[str, Any]] = {
    "EVP_EncryptInit_ex": _INT(_AT, _AT, _AT, _AT, _AT),
    "EVP_EncryptUpdate": _INT(_AT, _AT, _AT, _AT, _INT),
    "EVP_EncryptFinal_ex": _INT(_AT, _AT, _AT),
    "EVP_CIPHER_CTX_ctrl": _INT(_AT, _INT, _INT, _AT),
    "EVP_DigestInit_ex": _INT(_AT, _AT, _AT),
    "EVP_DigestUpdate": _INT(_AT, _AT, _AT),
    "EVP_DigestFinal_ex": _INT(_AT, _AT, _AT),
}
"""What kernels call. Kernels that are kept on disk know these by name: each process says where they are."""


def _named(name: str) -> Any:
    return ExternalFunction(f"lapwing_{name}", _SHAPES[name])


_encrypt_init, _encrypt, _encrypt_end = (_named(f"EVP_Encrypt{step}") for step in ("Init_ex", "Update", "Final_ex"))
_cipher_control = _named("EVP_CIPHER_CTX_ctrl")
_digest_init, _digest, _digest_end = (_named(f"EVP_Digest{step}") for step in ("Init_ex", "Update", "Final_ex"))


def _library() -> ctypes.CDLL | None:
    """The library that hashlib is linked with; None where it does not have everything."""
    found = importlib.util.find_spec("_hashlib")
    compiled = not config.DISABLE_JIT  # type: ignore[attr-defined]
    if not compiled or found is None or not found.has_location or found.origin is None:
        return None
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    try:
        library = ctypes.CDLL(found.origin)
        for name in _SHAPES:
            llvm.add_symbol(f"lapwing_{name}", ctypes.cast(getattr(library, name), pointer).value)
        for name, answer, *asked in (
            *((f"EVP_{kind}_fetch", pointer, pointer, text, text) for kind in ("CIPHER", "MD")),
            *((f"EVP_{kind}_CTX_free", None, pointer) for kind in ("CIPHER", "MD")),
            ("EVP_CIPHER_CTX_new", pointer), ("EVP_MD_CTX_new", pointer),
            ("EVP_EncryptInit_ex", ctypes.c_int, pointer, pointer, pointer, text, text),
        ):  # fmt: skip
            function = getattr(library, name)
            function.restype, function.argtypes = answer, asked
    except (OSError, AttributeError):
        return None
    return library


_LIBRARY: Final[Any] = _library()


def _fetched(algorithm: str, name: bytes) -> int:
    """An algorithm of the library, 0 where it has none of that name."""
    return (getattr(_LIBRARY, f"EVP_{algorithm}_fetch")(None, name, None) if _LIBRARY else None) or 0


_CIPHER: Final = _fetched("CIPHER", b"AES-256-GCM")
_DIGEST: Final = _fetched("MD", b"SHA256")
AVAILABLE: Final = bool(_CIPHER and _DIGEST)
"""Whether kernels and what they take can be called."""


class Failed(Exception):
    """OpenSSL did not do what it was asked: it is out of memory, or may not by its own configuration."""


@contextmanager
def sealing() -> Iterator[int]:
    """What `seal` works with. It is cleared of keys afterwards."""
    context = _LIBRARY.EVP_CIPHER_CTX_new()
    try:
        if not context or _LIBRARY.EVP_EncryptInit_ex(context, _CIPHER, None, None, None) != 1:
            raise Failed("AES-256-GCM")
        yield context
    finally:
        _LIBRARY.EVP_CIPHER_CTX_free(context)


@contextmanager
def hashing() -> Iterator[tuple[int, int]]:
    """What `sha256` and `subtree` work with."""
    context = _LIBRARY.EVP_MD_CTX_new()
    try:
        if not context:
            raise Failed("SHA-256")
        yield context, _DIGEST
    finally:
        _LIBRARY.EVP_MD_CTX_free(context)


@njit(cache=True, nogil=True)
def seal(
    context: int,
    keys: NDArray[np.uint8],
    which: NDArray[np.int64],
    nonces: NDArray[np.uint8],
    data: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    about: NDArray[np.uint8],
    out: NDArray[np.uint8],
    place: NDArray[np.int32],
) -> bool:
    """Seal pieces, each with the key that is its own (`which`) and a nonce: nonce, ciphertext and tag at its place."""
    size = np.zeros(1, np.int32)
    length = size.ctypes.data
    ready = -1
    for k in range(len(which)):
        extent = end[k] - begin[k]
        at = place[k]
        for n in range(NONCE):
            out[at + n] = nonces[k * NONCE + n]
        key = 0 if which[k] == ready else keys.ctypes.data + which[k] * KEY  # one that is ready need not be made so
        ready = which[k]
        to = out.ctypes.data + at + NONCE
        done = _encrypt_init(context, 0, 0, key, nonces.ctypes.data + k * NONCE)
        done += _encrypt(context, 0, length, about.ctypes.data, len(about))
        done += _encrypt(context, to, length, data.ctypes.data + begin[k], extent)
        done += _encrypt_end(context, to + extent, length)
        done += _cipher_control(context, _GET_TAG, TAG, to + extent)
        if done != 5:
            return False
    return True


@njit(cache=True, nogil=True)
def sha256(
    context: tuple[int, int],
    data: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> bool:
    """The hash of each piece."""
    for k in range(len(begin)):
        done = _digest_init(context[0], context[1], 0)
        done += _digest(context[0], data.ctypes.data + begin[k], end[k] - begin[k])
        done += _digest_end(context[0], out.ctypes.data + k * HASH, 0)
        if done != 3:
            return False
    return True


@njit(cache=True, nogil=True)
def subtree(context: tuple[int, int], nodes: NDArray[np.uint8]) -> bool:
    """RFC 9162, 2.1.1: the hash of a whole subtree from those of its leaves, put in the first one's place."""
    head = np.ones(1, np.uint8)
    count = len(nodes) // HASH
    while count > 1:
        count //= 2
        for k in range(count):
            done = _digest_init(context[0], context[1], 0)
            done += _digest(context[0], head.ctypes.data, 1)
            done += _digest(context[0], nodes.ctypes.data + 2 * k * HASH, 2 * HASH)
            done += _digest_end(context[0], nodes.ctypes.data + k * HASH, 0)
            if done != 4:
                return False
    return True
