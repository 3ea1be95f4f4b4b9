"""Which worker Bytewax sends a key to: its fixed hash of the key, modulo the number of workers."""

from functools import lru_cache
from typing import Final

_MASK: Final = 2**64 - 1


@lru_cache(maxsize=4096)
def worker_of(key: str, workers: int) -> int:
    """The worker that has a key's state."""
    return _hash(key.encode() + b"\xff") % workers


@lru_cache(maxsize=4096)
def key_at(name: str, worker: int, workers: int) -> str:
    """A key of that name which a given worker has: with the least salt that brings it there."""
    salt = 0
    while worker_of(key := f"{name}.{salt}", workers) != worker:
        salt += 1
    return key


def _hash(message: bytes) -> int:
    """SipHash-1-3 under no key, as Rust's `DefaultHasher`. Costs some 20 us."""
    v = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        _round(v)
        v[0] ^= word
    v[2] ^= 255
    for _ in range(3):
        _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _round(v: list[int]) -> None:
    v[0] = (v[0] + v[1]) & _MASK
    v[2] = (v[2] + v[3]) & _MASK
    v[1] = _turned(v[1], 13) ^ v[0]
    v[3] = _turned(v[3], 16) ^ v[2]
    v[0] = _turned(v[0], 32)
    v[2] = (v[2] + v[1]) & _MASK
    v[0] = (v[0] + v[3]) & _MASK
    v[1] = _turned(v[1], 17) ^ v[2]
    v[3] = _turned(v[3], 21) ^ v[0]
    v[2] = _turned(v[2], 32)


def _turned(x: int, by: int) -> int:
    return (x << by | x >> (64 - by)) & _MASK
