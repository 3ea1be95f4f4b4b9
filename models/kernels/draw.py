"""Random numbers inside kernels: the same on every machine and in every version."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined


@inlined
def draw(state: NDArray[np.int64]) -> float:
    """From 0 to below 1; `state` (1,) is from 1 to 2**31 - 2 (Park, Miller and Stockmeyer, 1993)."""
    state[0] = state[0] * 48271 % 2147483647
    return (state[0] - 1) / 2147483646.0


@inlined
def below(state: NDArray[np.int64], n: int) -> int:
    """A whole number from 0 to below n."""
    return int(draw(state) * n)
