"""AES-256-GCM, SHA-256 and BLAKE2b over many pieces at once: OpenSSL's own, called from compiled code.

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

KEY, NONCE, TAG, HASH, TOKEN = 32, 12, 16, 32, 16
"""Bytes of what the primitives take and give; a token is a keyed BLAKE2b of that length."""
_GET_TAG: Final = 0x10
_UNSIGNED: Final = 2
_AT, _INT = types.intp, types.int32
_SHAPES: Final[dict[str, Any]] = {
    "EVP_EncryptInit_ex": _INT(_AT, _AT, _AT, _AT, _AT),
    "EVP_EncryptUpdate": _INT(_AT, _AT, _AT, _AT, _INT),
    "EVP_EncryptFinal_ex": _INT(_AT, _AT, _AT),
    "EVP_CIPHER_CTX_ctrl": _INT(_AT, _INT, _INT, _AT),
    "EVP_DigestInit_ex": _INT(_AT, _AT, _AT),
    "EVP_DigestUpdate": _INT(_AT, _AT, _AT),
    "EVP_DigestFinal_ex": _INT(_AT, _AT, _AT),
    "EVP_MAC_init": _INT(_AT, _AT, _AT, _AT),
    "EVP_MAC_update": _INT(_AT, _AT, _AT),
    "EVP_MAC_final": _INT(_AT, _AT, _AT, _AT),
}
"""What kernels call. Kernels that are kept on disk know these by name: each process says where they are."""


def _named(name: str) -> Any:
    return ExternalFunction(f"lapwing_{name}", _SHAPES[name])


_encrypt_init, _encrypt, _encrypt_end = (_named(f"EVP_Encrypt{step}") for step in ("Init_ex", "Update", "Final_ex"))
_cipher_control = _named("EVP_CIPHER_CTX_ctrl")
_digest_init, _digest, _digest_end = (_named(f"EVP_Digest{step}") for step in ("Init_ex", "Update", "Final_ex"))
_mac_init, _mac, _mac_end = (_named(f"EVP_MAC_{step}") for step in ("init", "update", "final"))


class _Parameter(ctypes.Structure):
    _fields_ = (
        ("key", ctypes.c_char_p), ("kind", ctypes.c_uint), ("data", ctypes.c_void_p), ("size", ctypes.c_size_t),
        ("returned", ctypes.c_size_t),
    )  # fmt: skip


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
            *((f"EVP_{kind}_fetch", pointer, pointer, text, text) for kind in ("CIPHER", "MD", "MAC")),
            *((f"EVP_{kind}_CTX_free", None, pointer) for kind in ("CIPHER", "MD", "MAC")),
            ("EVP_CIPHER_CTX_new", pointer), ("EVP_MD_CTX_new", pointer), ("EVP_MAC_CTX_new", pointer, pointer),
            ("EVP_EncryptInit_ex", ctypes.c_int, pointer, pointer, pointer, text, text),
            ("EVP_MAC_init", ctypes.c_int, pointer, text, ctypes.c_size_t, pointer),
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
_MAC: Final = _fetched("MAC", b"BLAKE2BMAC")
AVAILABLE: Final = bool(_CIPHER and _DIGEST and _MAC)
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


@contextmanager
def token_making(key: bytes) -> Iterator[int]:
    """What `tokens` works with. It is cleared of the key afterwards."""
    context = _LIBRARY.EVP_MAC_CTX_new(_MAC)
    size = ctypes.c_size_t(TOKEN)
    parameters = (_Parameter * 2)(
        _Parameter(b"size", _UNSIGNED, ctypes.cast(ctypes.pointer(size), ctypes.c_void_p), ctypes.sizeof(size), 0)
    )
    try:
        if not context or _LIBRARY.EVP_MAC_init(context, key, len(key), ctypes.addressof(parameters)) != 1:
            raise Failed("BLAKE2b")
        yield context
    finally:
        _LIBRARY.EVP_MAC_CTX_free(context)


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


@njit(cache=True, nogil=True)
def tokens(
    context: int,
    before: NDArray[np.uint8],
    starts: NDArray[np.int64],
    which: NDArray[np.int64],
    data: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> bool:
    """The token of each piece behind a text of several (`which` of `starts`, one more than texts)."""
    size = np.zeros(1, np.int64)
    for k in range(len(begin)):
        at = starts[which[k]]
        done = _mac_init(context, 0, 0, 0)
        done += _mac(context, before.ctypes.data + at, starts[which[k] + 1] - at)
        done += _mac(context, data.ctypes.data + begin[k], end[k] - begin[k])
        done += _mac_end(context, out.ctypes.data + k * TOKEN, size.ctypes.data, TOKEN)
        if done != 4:
            return False
    return True
