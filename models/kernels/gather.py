"""Copies that numpy would make one row at a time."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.kernel import kernel


@kernel
def gather_bytes(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """Copy the pieces [start, start + length) of a buffer one after another."""
    at = 0
    for i in range(len(start)):
        for j in range(length[i]):
            out[at + j] = buffer[start[i] + j]
        at += length[i]


@kernel
def collect(
    rows: NDArray[np.int64],
    mask: np.uint64,
    longest: int,
    marks: NDArray[np.uint64],
    length: NDArray[np.int32],
    picked: NDArray[np.int64],
    size: NDArray[np.int64],
    begin: NDArray[np.int64],
) -> int:
    """Pick the rows that have a mark of `mask`, and where their messages lie one after another; how many there are.

    A message longer than `longest` takes no room.
    """
    n = at = 0
    for row in rows:
        if marks[row] & mask != 0:
            picked[n] = row
            size[n] = length[row] if length[row] <= longest else 0
            begin[n] = at
            at += size[n]
            n += 1
    return n


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
