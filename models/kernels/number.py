"""Numbers of a few digits from text to float64, rounded as the language rounds them."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import kernel

MAX_DECIMAL = 20
"""Characters of a decimal number that `decimal` reads; one less where it has no point, so never above 19 digits."""

_TENS = np.array([float(10**k) for k in range(20)])
_SPLIT = 134217729.0
_EXACT = np.uint64(1 << 53)
_TEN = np.uint64(10)


@kernel
def decimal(buffer: NDArray[np.uint8], at: int, size: int) -> float:
    """The float64 nearest to the number without exponent at buffer[at : at + size], of at most MAX_DECIMAL characters.

    Above 2**53 in digits one division rounds twice; its remainder (Dekker, 1971) is then added to the quotient.
    """
    end = at + size
    negative = buffer[at] == 0x2D
    digits = np.uint64(0)
    places = 0
    after = 0
    for i in range(at + 1 if negative else at, end):
        c = buffer[i]
        if c == 0x2E:
            after = 1
        else:
            digits = digits * _TEN + np.uint64(c - 0x30)
            places += after
    divisor = _TENS[places]
    high = float(digits)
    found = high / divisor
    if digits > _EXACT:
        whole = np.uint64(high)
        low = float(digits - whole) if digits >= whole else -float(whole - digits)
        a = found * _SPLIT
        a = a - (a - found)
        b = divisor * _SPLIT
        b = b - (b - divisor)
        product = found * divisor
        rest = ((a * b - product) + a * (divisor - b) + (found - a) * b) + (found - a) * (divisor - b)
        found += ((high - product) - rest + low) / divisor
    return -found if negative else found
