"""Joint entities: one of two dimensions, such as an account at an address."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.columns import write_name
from models.kernels.siphash import entity_hash

ROOM = 126
"""Bytes of both names together; what is longer is cut as a single name is."""


@njit(cache=True, nogil=True)
def join(
    names: NDArray[np.uint8],
    entity: NDArray[np.uint64],
    start: NDArray[np.int64],
    length: NDArray[np.int32],
    marks: NDArray[np.uint64],
    wanted: np.uint64,
    first: int,
    second: int,
    joint: int,
    used: int,
) -> int:
    """Fill row `joint` of some columns from two others; names, for rows that are `wanted`, from `used` on.

    A name is the number of bytes of the first, the first, the second. Returns how much of `names` is used.
    """
    both = np.empty(16, np.uint8)
    every = len(marks) == 0
    for row in range(entity.shape[1]):
        a, b = entity[first, row], entity[second, row]
        if a == 0 or b == 0:
            continue
        for k in range(8):
            shift = np.uint64(8 * k)
            both[k] = (a >> shift) & np.uint64(0xFF)
            both[8 + k] = (b >> shift) & np.uint64(0xFF)
        entity[joint, row] = entity_hash(both, 0, 16, np.uint64(joint))
        if not every and marks[row] & wanted == 0:
            continue
        room = max(ROOM // 2, ROOM - length[second, row])
        at = write_name(names, start[first, row], length[first, row], room, a, names, used + 1)
        names[used] = at - used - 1
        room = ROOM - (at - used - 1)
        end = write_name(names, start[second, row], length[second, row], room, b, names, at)
        start[joint, row] = used
        length[joint, row] = end - used
        used = end
    return used
