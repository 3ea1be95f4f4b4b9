"""Finding line ends in a buffer, eight bytes at a time."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import kernel

LF: Final = 10
CR: Final = 13
_LFS: Final = np.uint64(0x0A0A0A0A0A0A0A0A)
_LOWS: Final = np.uint64(0x7F7F7F7F7F7F7F7F)
_HIGHS: Final = np.uint64(0x8080808080808080)


@kernel
def next_lf(words: NDArray[np.uint64], word: int, end: int) -> int:
    """The first word from `word` on that has an LF, else `end`."""
    while word + 4 <= end:
        a = words[word] ^ _LFS
        b = words[word + 1] ^ _LFS
        c = words[word + 2] ^ _LFS
        d = words[word + 3] ^ _LFS
        # a byte's high bit stays clear only where the byte is 0; the sums cannot carry into the next byte
        full = (((a & _LOWS) + _LOWS) | a) & (((b & _LOWS) + _LOWS) | b)
        full &= (((c & _LOWS) + _LOWS) | c) & (((d & _LOWS) + _LOWS) | d)
        if full & _HIGHS != _HIGHS:
            break
        word += 4
    while word < end:
        a = words[word] ^ _LFS
        if (((a & _LOWS) + _LOWS) | a) & _HIGHS != _HIGHS:
            break
        word += 1
    return word


@kernel
def split_lines(
    buffer: NDArray[np.uint8],
    words: NDArray[np.uint64],
    at: int,
    end: int,
    start: NDArray[np.int64],
    length: NDArray[np.int64],
) -> tuple[int, int]:
    """Cut buffer[at:end] at its LFs, a trailing CR dropped, until `start` is full; return (lines, where they end).

    `words` is the buffer seen as 64-bit words, as many as fit.
    """
    lines = 0
    limit = len(start)
    begin = at
    i = at
    while i < end and lines < limit:
        if i & 7 == 0:
            i = min(end, next_lf(words, i >> 3, end >> 3) << 3)
        stop = min(end, (i | 7) + 1)
        while i < stop and lines < limit:
            if buffer[i] == LF:
                size = i - begin
                if size > 0 and buffer[i - 1] == CR:
                    size -= 1
                start[lines] = begin
                length[lines] = size
                lines += 1
                begin = i + 1
            i += 1
    return lines, begin
