"""How a kernel is compiled.

A shard's state is a tuple of some twenty arrays. By default every call between kernels counts a reference to each of
them up and down, which cost three times the arithmetic. Kernels only borrow what Python holds while they run, so
`kernel` leaves the counting out. Numba then refuses to compile an allocation: the few kernels that allocate stay with
plain `njit`. None may return an array.
"""

from typing import Any, Final

from numba import njit

_BORROWED: Final[dict[str, Any]] = {"_nrt": False}

kernel = njit(cache=True, nogil=True, **_BORROWED)

brief = njit(cache=True, nogil=False, **_BORROWED)
"""A kernel that is over in microseconds: to let go of Python's lock, and wait until it is free again, takes longer."""

inlined = njit(cache=True, nogil=True, forceinline=True, **_BORROWED)
"""A kernel that is part of its callers: passing a shard's tuple of arrays costs more than most of them do."""
