"""Which parts of a table's rows are not what they were, without a second copy of them: by a keyed hash of each part."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import kernel
from models.kernels.siphash import FINAL, V0, V1, V2, V3, sip_round

PART: Final = 8
"""Words of 8 bytes in a part; the last part of a row may be shorter. Of a ring an event changes a few parts only."""


@kernel
def find_changed(
    words: NDArray[np.uint64],
    places: NDArray[np.int64],
    seen: NDArray[np.uint64],
    key: NDArray[np.uint64],
    changed: NDArray[np.int64],
) -> int:
    """List the parts of the rows at `places` that are not as `seen`, and see them; how many they are.

    What has not been seen counts as 0, which much of a ring is. The hash is SipHash-1-3: whoever chooses names cannot
    choose two parts that are taken for one.
    """
    width = words.shape[1]
    parts = (width + PART - 1) // PART
    found = 0
    for place in places:
        for part in range(parts):
            begin, end = part * PART, min(part * PART + PART, width)
            bits = np.uint64(0)
            for at in range(begin, end):
                bits = bits | words[place, at]
            mark = np.uint64(0)
            if bits != np.uint64(0):
                v0 = key[0] ^ V0
                v1 = key[1] ^ V1
                v2 = key[0] ^ V2
                v3 = key[1] ^ V3
                for at in range(begin, end):
                    word = words[place, at]
                    v3 = v3 ^ word
                    v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
                    v0 = v0 ^ word
                v2 = v2 ^ FINAL
                for _ in range(3):
                    v0, v1, v2, v3 = sip_round(v0, v1, v2, v3)
                mark = (v0 ^ v1 ^ v2 ^ v3) | np.uint64(1)
            number = place * parts + part
            if seen[number] != mark:
                seen[number] = mark
                changed[found] = number
                found += 1
    return found


@kernel
def take_parts(words: NDArray[np.uint64], numbers: NDArray[np.int64], out: NDArray[np.uint64]) -> int:
    """Copy parts one after another; how many words they are."""
    width = words.shape[1]
    parts = (width + PART - 1) // PART
    end = 0
    for number in numbers:
        place, begin = number // parts, number % parts * PART
        for at in range(begin, min(begin + PART, width)):
            out[end] = words[place, at]
            end += 1
    return end


@kernel
def put_parts(words: NDArray[np.uint64], numbers: NDArray[np.int64], content: NDArray[np.uint64]) -> int:
    """Put parts that lie one after another where they belong; how many words they were."""
    width = words.shape[1]
    parts = (width + PART - 1) // PART
    end = 0
    for number in numbers:
        place, begin = number // parts, number % parts * PART
        for at in range(begin, min(begin + PART, width)):
            words[place, at] = content[end]
            end += 1
    return end
