"""Zeroed memory for tables that are read all over: on large pages, where the system has them.

A table of a hundred megabytes spans 25,000 pages of 4 KiB, far more than a processor remembers the places of, so that
nearly every look costs a walk through the page table on top of the memory itself; and the first touch of each page is
a call of the system's. On pages of 2 MiB both are some hundred times rarer. Memory is still taken only where it is
touched, though 2 MiB at a time: what is small or seldom full stays on ordinary pages.
"""

import mmap
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LARGE = 2 << 20
"""Bytes of a large page; a smaller array is on ordinary ones."""
_ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux alone has it


def zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """An array of zeros as numpy's, of its own memory, which goes when the array does.

    Raises MemoryError where there is no room.

    >>> zeros((2, 3), np.int32).tolist()
    [[0, 0, 0], [0, 0, 0]]
    """
    kind = np.dtype(dtype)
    size = prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
    if _ADVICE is None or size < LARGE:
        return np.zeros(shape, kind)
    try:
        memory = mmap.mmap(-1, size + LARGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no room for {size} bytes: {error.strerror}") from error
    whole = np.frombuffer(memory, np.uint8)
    begin = -int(whole.ctypes.data) % LARGE
    with suppress(OSError):  # a system built without large pages: the array is as good on small ones
        memory.madvise(_ADVICE, begin, size)
    return whole[begin : begin + size].view(kind).reshape(shape)
