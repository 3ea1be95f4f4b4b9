"""Spans of bytes and addresses beside the constants of an expression."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import kernel

EQUAL, LESS, AT_MOST, PREFIX, SUFFIX, CONTAINS = range(6)
"""Operators. Above and at least are AT_MOST and LESS turned round, as are != and `not in`."""


@kernel
def _begins(buffer: NDArray[np.uint8], at: int, text: NDArray[np.uint8], first: int, size: int) -> bool:
    """Whether buffer[at :] begins with text[first : first + size]; both lie inside."""
    for k in range(size):
        if buffer[at + k] != text[first + k]:
            return False
    return True


@kernel
def _contains(buffer: NDArray[np.uint8], at: int, size: int, text: NDArray[np.uint8], first: int, wanted: int) -> bool:
    """Whether a text stands anywhere in buffer[at : at + size]."""
    head = text[first]
    for i in range(at, at + size - wanted + 1):
        if buffer[i] == head and _begins(buffer, i, text, first, wanted):
            return True
    return False


@kernel
def _order(buffer: NDArray[np.uint8], at: int, size: int, text: NDArray[np.uint8], first: int, other: int) -> int:
    """Below 0, 0 or above 0 as buffer[at : at + size] comes before, is, or comes after a text, byte by byte."""
    for k in range(min(size, other)):
        difference = np.int64(buffer[at + k]) - np.int64(text[first + k])
        if difference != 0:
            return difference
    return size - other


@kernel
def text_holds(
    operator: int,
    buffer: NDArray[np.uint8],
    at: int,
    size: int,
    text: NDArray[np.uint8],
    text_from: NDArray[np.int64],
    begin: int,
    stop: int,
) -> bool:
    """Whether buffer[at : at + size] stands in the relation to any of the texts from `begin` to `stop`."""
    for k in range(begin, stop):
        first = text_from[k]
        wanted = text_from[k + 1] - first
        if operator == EQUAL:
            if size == wanted and _begins(buffer, at, text, first, size):
                return True
        elif operator == CONTAINS:
            if _contains(buffer, at, size, text, first, wanted):
                return True
        elif operator == PREFIX:
            if size >= wanted and _begins(buffer, at, text, first, wanted):
                return True
        elif operator == SUFFIX:
            if size >= wanted and _begins(buffer, at + size - wanted, text, first, wanted):
                return True
        else:
            order = _order(buffer, at, size, text, first, wanted)
            if order < 0 or (order == 0 and operator == AT_MOST):
                return True
    return False


@kernel
def number_holds(operator: int, value: float, number: NDArray[np.float64], begin: int, stop: int) -> bool:
    """Whether a value stands in the relation to any of the numbers from `begin` to `stop`."""
    for k in range(begin, stop):
        if value == number[k]:
            if operator != LESS:
                return True
        elif value < number[k] and operator != EQUAL:
            return True
    return False


@kernel
def address_holds(address: NDArray[np.uint64], network: NDArray[np.uint64], begin: int, stop: int) -> bool:
    """Whether an address (high, low, version) lies in any of the networks (high, low, their masks, version)."""
    for k in range(begin, stop):
        if (
            address[2] == network[k, 4]
            and (address[0] & network[k, 2]) == network[k, 0]
            and (address[1] & network[k, 3]) == network[k, 1]
        ):
            return True
    return False
