"""Copies that numpy would make one row at a time."""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.kernel import brief, kernel
from models.kernels.layout import PANE_US
from models.kernels.load import copied

SIEVE: Final = 4096


@brief
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


@brief
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


@brief
def collect_owned(
    rows: NDArray[np.int64],
    owners: NDArray[np.uint64],
    sieve: NDArray[np.bool_],
    oldest: int,
    newest: int,
    entity: NDArray[np.uint64],
    place: NDArray[np.int64],
    time: NDArray[np.int64],
    found: NDArray[np.int64],
    owner: NDArray[np.uint64],
) -> int:
    """Pick the rows of `owners` (in order) in base panes from `oldest` to `newest`: how many there are.

    `found` gets (pane, time, row) of each, `owner` its entity. `sieve`, of SIEVE places, is true at the low bits of
    each of the owners: few rows are theirs, and for most of the others one look is enough.
    """
    n = 0
    for row in rows:
        one = entity[row]
        if not sieve[one & np.uint64(SIEVE - 1)]:
            continue
        low, high = 0, len(owners)
        while low < high:
            middle = (low + high) >> 1
            if owners[middle] < one:
                low = middle + 1
            else:
                high = middle
        if low == len(owners) or owners[low] != one:
            continue
        pane = place[row] // PANE_US
        if oldest <= pane <= newest:
            found[0, n] = pane
            found[1, n] = time[row]
            found[2, n] = row
            owner[n] = one
            n += 1
    return n


@njit(cache=True)
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
