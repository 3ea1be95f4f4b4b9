"""Copies that numpy would make one row at a time."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.kernel import kernel
from models.kernels.load import copied


@kernel
def collect(
    rows: NDArray[np.int64],
    mask: np.uint64,
    longest: int,
    marks: NDArray[np.uint64],
    length: NDArray[np.int32],
    picked: NDArray[np.int64],
) -> tuple[int, int]:
    """Pick the rows that have a mark of `mask`: how many there are, and the bytes of their messages.

    A message longer than `longest` takes no room.
    """
    n = size = 0
    for row in rows:
        if marks[row] & mask != 0:
            picked[n] = row
            size += length[row] if length[row] <= longest else 0
            n += 1
    return n, size


@kernel
def copy_rows(
    picked: NDArray[np.int64],
    longest: int,
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    length: NDArray[np.int32],
    entity: NDArray[np.uint64],
    place: NDArray[np.int64],
    time: NDArray[np.int64],
    marks: NDArray[np.uint64],
    identity: NDArray[np.uint64],
    number: NDArray[np.int64],
    blob: NDArray[np.uint8],
) -> int:
    """Copy picked rows: (entity, marks) to `identity`, (place, time, where the message is, its size) to `number`.

    Messages go to `blob` one after another. Returns the greatest place.
    """
    at = 0
    newest = place[picked[0]]
    for i in range(len(picked)):
        row = picked[i]
        size = length[row] if length[row] <= longest else 0
        identity[0, i] = entity[row]
        identity[1, i] = marks[row]
        number[0, i] = place[row]
        number[1, i] = time[row]
        number[2, i] = at
        number[3, i] = size
        at = copied(blob, at, buffer, start[row], size)
        newest = max(newest, place[row])
    return int(newest)


@njit(cache=True, nogil=True)
def partition_rows(entity: NDArray[np.uint64], bits: int, order: NDArray[np.int64], bounds: NDArray[np.int64]) -> None:
    """Rows by shard, input order kept; shard i has order[bounds[i]:bounds[i + 1]]. Hash 0 belongs to none."""
    bounds[:] = 0
    for i in range(len(entity)):
        if entity[i] != 0:
            bounds[shard_of(entity[i], bits) + 1] += 1
    for i in range(1, len(bounds)):
        bounds[i] += bounds[i - 1]
    filled = bounds.copy()
    for i in range(len(entity)):
        if entity[i] != 0:
            shard = shard_of(entity[i], bits)
            order[filled[shard]] = i
            filled[shard] += 1


@kernel
def shard_of(entity: np.uint64, bits: int) -> int:
    """The highest bits of an entity's public hash."""
    return np.int64(entity >> np.uint64(64 - bits)) if bits > 0 else np.int64(0)
