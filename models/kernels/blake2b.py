"""Keyed BLAKE2b (RFC 7693) of many short pieces: what hashlib's `blake2b` does with one.

A key fills the first block of what is hashed: it is taken in once for all pieces, each of which then costs one block
as a rule. A third of what OpenSSL takes, which does both blocks of one piece after the other.
"""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel
from models.kernels.load import load8

TOKEN: Final = 16
"""Bytes of a hash here."""
_BLOCK: Final = 128
_LANES: Final = 32
"""Pieces that are hashed side by side, several by one instruction. With fewer the compiler takes them one by one."""
_FIRST: Final = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ], np.uint64,
)  # fmt: skip
_ORDER: Final = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ], np.int64,
)  # fmt: skip
"""Which words of a block each round takes in."""


_WHERE: Final = np.array(
    [
        [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
        [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
    ], np.int64,
)  # fmt: skip
"""Which words of the state are mixed with each other."""


@inlined
def _turned(word: np.uint64, bits: int) -> np.uint64:
    """A word with its bits moved round to the right."""
    return (word >> np.uint64(bits)) | (word << np.uint64(64 - bits))


@inlined
def _mix(v: NDArray[np.uint64], a: int, b: int, c: int, d: int, words: NDArray[np.uint64], x: int, y: int) -> None:
    """RFC 7693, 3.1: G, of every lane."""
    for lane in range(_LANES):
        one, two = v[a, lane] + v[b, lane] + words[x, lane], v[b, lane]
        four = _turned(v[d, lane] ^ one, 32)
        three = v[c, lane] + four
        two = _turned(two ^ three, 24)
        one = one + two + words[y, lane]
        four = _turned(four ^ one, 16)
        three = three + four
        v[a, lane], v[b, lane], v[c, lane], v[d, lane] = one, _turned(two ^ three, 63), three, four


@kernel
def _compress(
    state: NDArray[np.uint64], v: NDArray[np.uint64], words: NDArray[np.uint64], taken: NDArray[np.uint64],
    last: NDArray[np.uint64], still: NDArray[np.uint64],
) -> None:  # fmt: skip
    """RFC 7693, 3.2: F, of every lane that is `still` under way; `taken` are its bytes so far, with this block's."""
    for lane in range(_LANES):
        for k in range(8):
            v[k, lane], v[8 + k, lane] = state[k, lane], _FIRST[k]
        v[12, lane] ^= taken[lane]
        v[14, lane] ^= last[lane]
    for number in range(12):
        for g in range(8):
            _mix(
                v,
                _WHERE[g, 0],
                _WHERE[g, 1],
                _WHERE[g, 2],
                _WHERE[g, 3],
                words,
                _ORDER[number, 2 * g],
                _ORDER[number, 2 * g + 1],
            )
    for k in range(8):
        for lane in range(_LANES):
            state[k, lane] ^= (v[k, lane] ^ v[8 + k, lane]) & still[lane]


@njit(cache=True, nogil=True)
def tokens(
    key: NDArray[np.uint8],
    before: NDArray[np.uint8],
    starts: NDArray[np.int64],
    which: NDArray[np.int64],
    data: NDArray[np.uint8],
    begin: NDArray[np.int64],
    end: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """The hash of each piece behind a text of several (`which` of `starts`, one more than texts; none is empty), under
    a key.
    """
    every = np.uint64(0xFFFFFFFFFFFFFFFF)
    block, words = np.zeros(_BLOCK, np.uint8), np.empty((_BLOCK // 8, _LANES), np.uint64)
    keyed, state = np.empty((8, _LANES), np.uint64), np.empty((8, _LANES), np.uint64)
    v, taken = np.empty((16, _LANES), np.uint64), np.empty(_LANES, np.uint64)
    last, still = np.empty(_LANES, np.uint64), np.empty(_LANES, np.uint64)
    for k in range(len(key)):
        block[k] = key[k]
    for lane in range(_LANES):
        taken[lane], last[lane], still[lane] = np.uint64(_BLOCK), np.uint64(0), every
        for k in range(8):
            keyed[k, lane] = _FIRST[k]
        keyed[0, lane] ^= np.uint64(0x01010000 ^ (len(key) << 8) ^ TOKEN)
        for k in range(len(words)):
            words[k, lane] = load8(block, 8 * k)
    _compress(keyed, v, words, taken, last, still)
    for row in range(0, len(begin), _LANES):
        lanes = min(_LANES, len(begin) - row)
        most = 0
        for n in range(row, row + lanes):
            most = max(most, starts[which[n] + 1] - starts[which[n]] + end[n] - begin[n])
        for k in range(8):
            for lane in range(_LANES):
                state[k, lane] = keyed[k, lane]
        for done in range(0, most, _BLOCK):
            for lane in range(_LANES):
                n = row + lane
                still[lane] = np.uint64(0)
                if lane >= lanes:
                    continue
                at, first = starts[which[n]] + done, starts[which[n] + 1] - starts[which[n]] - done
                rest = first + end[n] - begin[n]
                if rest <= 0:
                    continue
                filled = min(_BLOCK, rest)
                some = max(0, min(filled, first))
                for k in range(some):
                    block[k] = before[at + k]
                for k in range(some, filled):
                    block[k] = data[begin[n] + k - first]
                for k in range(filled, _BLOCK):
                    block[k] = 0
                for k in range(len(words)):
                    words[k, lane] = load8(block, 8 * k)
                taken[lane] = _BLOCK + done + filled
                last[lane] = every if rest <= _BLOCK else np.uint64(0)
                still[lane] = every
            _compress(state, v, words, taken, last, still)
        for lane in range(lanes):
            for k in range(TOKEN):
                out[row + lane, k] = (state[k // 8, lane] >> np.uint64(8 * (k % 8))) & np.uint64(0xFF)
