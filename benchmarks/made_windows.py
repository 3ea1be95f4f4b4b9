"""What windows say that a detection reached, made of its greatest value in each."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.formats.windows import LEVELS


def levels(detection: str, peak: NDArray[np.float64], held: int = 0) -> pa.Array:
    """The column `levels`: the value is reached in a window's first pane and held for so many; null where it is 0.

    >>> levels("brute_force_ip", np.array([0.0, 7.0]), held=2).to_pylist()
    [None, [('brute_force_ip', [7.0, -7.0, -7.0])]]
    """
    there = peak[peak > 0.0]
    each = np.repeat(there, held + 1)
    each[np.arange(len(each)) % (held + 1) > 0] *= -1.0
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, len(each) + 1, held + 1, np.int32)), pa.array(each))
    ends = np.concatenate([[0], np.cumsum(peak > 0.0)]).astype(np.int32)
    offsets = pa.array(ends, mask=np.append(peak <= 0.0, False))
    return pa.MapArray.from_arrays(offsets, pa.array([detection] * len(there), pa.string()), lists).cast(LEVELS)
