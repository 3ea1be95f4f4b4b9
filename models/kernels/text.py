"""Closed lists of words, found by their bytes."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel
from models.kernels.load import load8

Words: TypeAlias = NDArray[np.uint64]
"""A closed list of words as a perfect hash over length, first, quarter, middle and last byte, in one flat array.

First the five multipliers and the blocks of eight bytes that a word takes, then 256 entries: length << 16 | index + 1
(0: empty), the blocks, and their masks. It is an argument of the kernels rather than their constant, so that a cached
kernel never holds an old list; one array rather than several, because each costs a call seven registers.
"""

_SLOTS = 256
_HEAD = 6
_BYTE = np.uint64(255)
_INDEX = np.uint64(0xFFFF)
_16 = np.uint64(16)


def words_of(words: tuple[str, ...]) -> Words:
    """The perfect hash of a closed list of at most 255 words.

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
    blocks = -(-max(map(len, raw)) // 8)
    random = np.random.default_rng(1)
    for _ in range(20_000):
        turn = random.integers(1, _SLOTS, 5)
        slots = (marks @ turn) % _SLOTS
        if len(np.unique(slots)) == len(raw):
            break
    else:
        raise ValueError("two words agree in length, first, quarter, middle and last byte")
    table = np.zeros((_SLOTS, 1 + 2 * blocks), np.uint64)
    for index, (slot, word) in enumerate(zip(slots, raw, strict=True)):
        table[slot, 0] = len(word) << 16 | (index + 1)
        table[slot, 1 : 1 + blocks] = np.frombuffer(word.ljust(8 * blocks, b"\0"), "<u8")
        table[slot, 1 + blocks :] = np.frombuffer((b"\xff" * len(word)).ljust(8 * blocks, b"\0"), "<u8")
    return np.concatenate((turn.astype(np.uint64), np.array([blocks], np.uint64), table.ravel()))


@inlined
def size_of(words: Words, entry: int) -> int:
    """A word's length in bytes, by its entry."""
    return np.int64(words[entry] >> _16)


@inlined
def index_of(words: Words, entry: int) -> int:
    """A word's place in its list, by its entry."""
    return np.int64(words[entry] & _INDEX) - 1


@inlined
def same(words: Words, entry: int, buffer: NDArray[np.uint8], at: int) -> bool:
    """Whether buffer[at :] begins with a word; at + its size must lie inside. What is read beyond it is masked out."""
    blocks = np.int64(words[5])
    if at + 8 * blocks <= len(buffer):
        differ = np.uint64(0)
        for k in range(entry + 1, entry + 1 + blocks):
            differ |= (load8(buffer, at) & words[k + blocks]) ^ words[k]
            at += 8
        return differ == np.uint64(0)
    for k in range(size_of(words, entry)):
        if np.uint64(buffer[at + k]) != (words[entry + 1 + (k >> 3)] >> np.uint64(8 * (k & 7))) & _BYTE:
            return False
    return True


@inlined
def find_entry(words: Words, buffer: NDArray[np.uint8], at: int, size: int) -> int:
    """The entry of the word buffer[at : at + size], or 0."""
    if size == 0:
        return 0
    place = (
        size * np.int64(words[0])
        + np.int64(buffer[at]) * np.int64(words[1])
        + np.int64(buffer[at + (size >> 2)]) * np.int64(words[2])
        + np.int64(buffer[at + (size >> 1)]) * np.int64(words[3])
        + np.int64(buffer[at + size - 1]) * np.int64(words[4])
    )
    entry = _HEAD + int(place & 255) * (1 + 2 * int(words[5]))
    if size_of(words, int(entry)) != size or not same(words, int(entry), buffer, at):
        return 0
    return entry


@kernel
def find(words: Words, buffer: NDArray[np.uint8], at: int, size: int) -> int:
    """Index of the word buffer[at : at + size], or -1."""
    entry = find_entry(words, buffer, at, size)
    return index_of(words, entry) if entry > 0 else -1
