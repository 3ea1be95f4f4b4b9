"""What numba has no name for: eight bytes at once wherever they are, trailing zeros, a hint what will be needed."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
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

    def store8(buffer: NDArray[np.uint8], at: int, word: np.uint64) -> None:
        """Write a little-endian word to bytes at .. at + 8."""
        if at < 0 or at + 8 > len(buffer):
            raise IndexError(at)
        buffer[at : at + 8] = np.frombuffer(int(word).to_bytes(8, "little"), np.uint8)

    def prefetch(rows: NDArray[Any], at: int | np.int64, offset: int | np.int64) -> None:
        """Nothing: there is no cache to speak of."""

    def trailing_zeros(word: np.uint64) -> int:
        """How many of a word's lowest bits are zero; 64 for 0."""
        return (int(word) & -int(word)).bit_length() - 1 if word else 64

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

    @intrinsic
    def store8(typing_context: Any, buffer: Any, at: Any, word: Any) -> Any:
        """Write a little-endian word to bytes at .. at + 8. Not checked: the caller holds at + 8 <= len(buffer)."""
        if not (isinstance(buffer, types.Array) and buffer.dtype == types.uint8 and buffer.layout == "C"):
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            byte = builder.gep(array.data, [arguments[1]])
            to = builder.bitcast(byte, context.get_value_type(types.uint64).as_pointer())
            builder.store(arguments[2], to, align=1)
            return context.get_dummy_value()

        return types.none(buffer, types.intp, types.uint64), generate

    @intrinsic
    def prefetch(typing_context: Any, rows: Any, at: Any, offset: Any) -> Any:
        """Ask for the cache line `offset` bytes into rows[at]; a place outside the array does no harm."""
        if not (isinstance(rows, types.Array) and rows.layout == "C"):
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            stride = builder.extract_value(array.strides, 0)
            data = builder.bitcast(array.data, ir.IntType(8).as_pointer())
            byte = builder.gep(data, [builder.add(builder.mul(arguments[1], stride), arguments[2])])
            number = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte.type, number, number, number])
            name = "llvm.prefetch.p0"
            hint = cgutils.get_or_insert_function(builder.module, kind, name)  # type: ignore[no-untyped-call]
            builder.call(hint, [byte, number(0), number(3), number(1)])
            return context.get_dummy_value()

        return types.none(rows, types.intp, types.intp), generate

    @intrinsic
    def trailing_zeros(typing_context: Any, word: Any) -> Any:
        """How many of a word's lowest bits are zero; 64 for 0."""
        if word != types.uint64:
            return None

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

        return types.intp(types.uint64), generate


@inlined
def copied(out: NDArray[np.uint8], i: int, data: NDArray[np.uint8], at: int, size: int) -> int:
    """Copy bytes, most of them eight at a time; the place after them."""
    if size < 8:
        for k in range(size):
            out[i + k] = data[at + k]
    else:
        for k in range(0, size - 8, 8):
            store8(out, i + k, load8(data, at + k))
        store8(out, i + size - 8, load8(data, at + size - 8))
    return i + size


@inlined
def first_lane(marks: np.uint64) -> int:
    """Which byte holds the lowest mark, where marks are the top bits of bytes and at least one is set."""
    lowest = marks & (~marks + ONE)
    return np.int64(((lowest >> SEVEN) * LANES) >> FIFTY_SIX)
