"""What the scores of a batch come to, event by event: its risk, and whether it is strange."""

import numpy as np
from numpy.typing import NDArray

from models.base import SKIP
from models.kernels.kernel import kernel


@kernel
def risk_rows(
    quantile: NDArray[np.float64],
    severity: NDArray[np.uint8],
    steps: NDArray[np.float64],
    floor: NDArray[np.int16],
    out: NDArray[np.int16],
) -> None:
    """The risk of each row: how many `steps` its largest quantile has reached (-1: unknown), lifted to its `floor`."""
    for i in range(quantile.shape[1]):
        largest = -1.0
        for d in range(len(quantile)):
            largest = max(largest, quantile[d, i]) if quantile[d, i] == quantile[d, i] else largest
        risk = -1
        if largest >= 0.0:
            risk, high = 0, len(steps)
            while risk < high:
                middle = (risk + high) >> 1
                if steps[middle] <= largest:
                    risk = middle + 1
                else:
                    high = middle
        gravest = 0
        for d in range(len(severity)):
            gravest = max(gravest, severity[d, i])
        out[i] = max(risk, floor[gravest]) if gravest > 0 else risk


@kernel
def count_strange(
    place: NDArray[np.int64],
    flags: NDArray[np.uint8],
    quantile: NDArray[np.float64],
    at_least: float,
    strange: NDArray[np.int64],
    known: NDArray[np.int64],
) -> tuple[int, int]:
    """Count, by dimension, the counted rows of known quantile and those of at least so much; first and last place.

    Without such rows the last is before the first.
    """
    first, last = np.int64(2**62), np.int64(-(2**62))
    for i in range(len(place)):
        if flags[i] & SKIP:
            continue
        first, last = min(first, place[i]), max(last, place[i])
        for d in range(len(quantile)):
            known[d] += quantile[d, i] == quantile[d, i]
            strange[d] += quantile[d, i] >= at_least
    return first, last
