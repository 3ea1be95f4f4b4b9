"""Eight bytes at a time: the unaligned load that numba has no name for."""

from typing import Any

import numpy as np
from numba import config, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from models.kernels.kernel import inlined

ONES = np.uint64(0x0101010101010101)
HIGHS = np.uint64(0x8080808080808080)
LANES = np.uint64(0x0001020304050607)
SEVEN = np.uint64(7)
FIFTY_SIX = np.uint64(56)
ONE = np.uint64(1)

if config.DISABLE_JIT:  # type: ignore[attr-defined]  # numba sets its settings when it is imported

    def load8(buffer: NDArray[np.uint8], at: int) -> np.uint64:
        """Bytes at .. at + 8 as a little-endian word."""
        if at < 0 or at + 8 > len(buffer):
            raise IndexError(at)
        return np.uint64(int.from_bytes(buffer[at : at + 8].tobytes(), "little"))

else:

    @intrinsic
    def load8(typing_context: Any, buffer: Any, at: Any) -> Any:
        """Bytes at .. at + 8 as a little-endian word. Not checked: the caller holds at + 8 <= len(buffer)."""
        if not (isinstance(buffer, types.Array) and buffer.dtype == types.uint8 and buffer.layout == "C"):
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            word = context.get_value_type(types.uint64)
            byte = builder.gep(array.data, [arguments[1]])
            return builder.load(builder.bitcast(byte, word.as_pointer()), align=1)

        return types.uint64(buffer, types.intp), generate


@inlined
def first_lane(marks: np.uint64) -> int:
    """Which byte holds the lowest mark, where marks are the top bits of bytes and at least one is set."""
    lowest = marks & (~marks + ONE)
    return np.int64(((lowest >> SEVEN) * LANES) >> FIFTY_SIX)
