"""Closed lists of words, found by their bytes."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.load import load8

_SLOTS = 256
_BYTE = np.uint64(255)


class Words(NamedTuple):
    """A closed list of at most 255 words as a perfect hash over length, first, quarter, middle and last byte.

    The arrays are arguments of the kernels rather than their constants, so that a cached kernel never holds an old
    list.
    """

    size: NDArray[np.int64]
    slot: NDArray[np.int16]  # (256,), -1: empty
    turn: NDArray[np.int64]  # (5,) multipliers of length, first, quarter, middle, last
    eight: NDArray[np.uint64]  # (words, k): the word, eight bytes at a time
    mask: NDArray[np.uint64]  # (words, k): which of those bytes count


def words_of(words: tuple[str, ...]) -> Words:
    """The perfect hash of a closed list.

    Raises
    ------
    ValueError
        If two words agree in length, first, quarter, middle and last byte.

    Examples
    --------
    >>> import numpy as np
    >>> table = words_of(("login", "logout"))
    >>> find(table, np.frombuffer(b'"logout"', np.uint8), 1, 6)
    1
    """
    raw = [word.encode() for word in words]
    marks = np.array([(len(w), w[0], w[len(w) // 4], w[len(w) // 2], w[-1]) for w in raw], np.int64)
    random = np.random.default_rng(1)
    for _ in range(20_000):
        turn = random.integers(1, _SLOTS, 5)
        slots = (marks @ turn) % _SLOTS
        if len(np.unique(slots)) == len(raw):
            slot = np.full(_SLOTS, -1, np.int16)
            slot[slots] = np.arange(len(raw))
            width = -(-max(map(len, raw)) // 8) * 8
            eight = np.frombuffer(b"".join(w.ljust(width, b"\0") for w in raw), "<u8")
            mask = np.frombuffer(b"".join((b"\xff" * len(w)).ljust(width, b"\0") for w in raw), "<u8")
            shape = (len(raw), width // 8)
            size = np.array([len(w) for w in raw], np.int64)
            return Words(size, slot, turn.astype(np.int64), eight.reshape(shape).copy(), mask.reshape(shape).copy())
    raise ValueError("two words agree in length, first, quarter, middle and last byte")


@njit(cache=True, nogil=True)
def same(words: Words, word: int, buffer: NDArray[np.uint8], at: int) -> bool:
    """Whether buffer[at :] begins with a word; at + its size must lie inside. What is read beyond it is masked out."""
    blocks = words.mask.shape[1]
    if at + 8 * blocks <= len(buffer):
        differ = np.uint64(0)
        for k in range(blocks):
            differ |= (load8(buffer, at + 8 * k) & words.mask[word, k]) ^ words.eight[word, k]
        return differ == np.uint64(0)
    for k in range(words.size[word]):
        if np.uint64(buffer[at + k]) != (words.eight[word, k >> 3] >> np.uint64(8 * (k & 7))) & _BYTE:
            return False
    return True


@njit(cache=True, nogil=True)
def find(words: Words, buffer: NDArray[np.uint8], at: int, size: int) -> int:
    """Index of the word buffer[at : at + size], or -1."""
    if size == 0:
        return -1
    place = (
        size * words.turn[0]
        + np.int64(buffer[at]) * words.turn[1]
        + np.int64(buffer[at + (size >> 2)]) * words.turn[2]
        + np.int64(buffer[at + (size >> 1)]) * words.turn[3]
        + np.int64(buffer[at + size - 1]) * words.turn[4]
    )
    word = int(words.slot[place & 255])
    if word < 0 or words.size[word] != size or not same(words, word, buffer, at):
        return -1
    return word
