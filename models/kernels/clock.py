"""A source partition's clock, row by row: watermark, lateness, and the row that jumps ahead (TIME.md 1.1-1.4).

A row moves the clock by min(time, record time). A row more than `max_jump` beyond the partition's greatest time waits
for the next row: one that is also beyond confirms it (the greatest becomes the smaller of the two), one within refutes
it. Before the first row the greatest is NONE_TIME, below everything, so that the same rule guards a partition's start.

The clock's state after a row is (greatest, candidate). The candidate is the time of a jumping row that was released
before its case was decided, because rows leave in input order: NONE_TIME while there is none.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import JUMPED, LATE, NONE_TIME, SKIP
from models.kernels.kernel import kernel

HOLD_MESSAGES: Final = 256
"""A row waits for a deciding row at most so many messages: a flood of dead letters cannot make it pile them up."""


@kernel
def tick(
    time: NDArray[np.int64],
    record_time: NDArray[np.int64],
    ordinal: NDArray[np.int64],
    messages: int,
    ended: bool,
    greatest: int,
    candidate: int,
    lateness: int,
    late_count_max: int,
    max_jump: int,
    place: NDArray[np.int64],
    flags: NDArray[np.uint8],
    greatest_after: NDArray[np.int64],
    candidate_after: NDArray[np.int64],
) -> int:
    """Decide rows in order; return how many are decided: n, or n - 1 while the last one waits for its next.

    `ordinal` is each row's position among all messages, dead ones too; `messages` the position after the last.
    """
    n = len(time)
    for i in range(n):
        moves = time[i]
        if record_time[i] != NONE_TIME:
            moves = min(moves, record_time[i])
        if moves > greatest + max_jump and candidate != NONE_TIME:
            if moves <= candidate:
                greatest = moves
                if candidate <= moves + max_jump:
                    candidate = NONE_TIME
            else:
                greatest = candidate
                candidate = NONE_TIME
        elif moves <= greatest + max_jump:
            candidate = NONE_TIME
        counted = True
        if moves > greatest + max_jump:
            end = ordinal[i + 1] if i + 1 < n else messages
            if end - ordinal[i] > HOLD_MESSAGES or (ended and i + 1 == n):
                if greatest != NONE_TIME:
                    counted = False
                    candidate = moves
                    place[i] = greatest - lateness
            elif i + 1 == n:
                return i
            else:
                next_moves = time[i + 1]
                if record_time[i + 1] != NONE_TIME:
                    next_moves = min(next_moves, record_time[i + 1])
                if next_moves <= greatest + max_jump:
                    counted = False
                    place[i] = greatest - lateness
                elif moves > next_moves + max_jump:
                    counted = False
                    candidate = moves
                    place[i] = next_moves - lateness
        if counted:
            greatest = max(greatest, moves)
            watermark = greatest - lateness
            if time[i] < watermark:
                flags[i] |= LATE
                if watermark - time[i] > late_count_max:
                    flags[i] |= SKIP
            place[i] = max(time[i], watermark)
        else:
            flags[i] |= JUMPED | SKIP
        greatest_after[i] = greatest
        candidate_after[i] = candidate
    return n


@kernel
def batch_end(place: NDArray[np.int64], begin: int, end: int, span: int) -> int:
    """Where a batch that begins at row `begin` is cut, so that its places span at most `span`."""
    low = high = place[begin]
    for i in range(begin + 1, end):
        low = min(low, place[i])
        high = max(high, place[i])
        if high - low > span:
            return i
    return end
