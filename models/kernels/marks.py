"""The expressions of all detections over the rows of a batch: which hold, and what is counted or summed there."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.address import LONGEST_ADDRESS, write_address
from models.kernels.columns import MAX_USERNAME, Columns
from models.kernels.compare import address_holds, number_holds, text_holds
from models.kernels.kernel import kernel
from models.kernels.load import load8
from models.kernels.number import decimal
from models.kernels.scan import (
    ABSENT,
    ACTION,
    DOUBLE,
    ENDPOINT,
    NUMBER,
    OUTCOME,
    REASON,
    STATUS,
    TARGET,
    TENANT,
    TEXT,
    USERNAME,
)
from models.kernels.siphash import entity_hash

COUNTED, CODED, PRESENT, NUMERIC, TEXTUAL, ADDRESSED, IS_LATE = range(7)
"""Forms of a leaf."""
FORM, SLOT, OPERATOR, BEGIN, STOP, TURNED = range(6)
"""Columns of a leaf. Its constants are those from BEGIN to STOP of its form's array."""
HOLDS, FAILS = -1, -2
"""Where an expression's steps end."""

QUANTUM = 1.0 / 1024.0
"""What is summed is a multiple of this, so that sums are exact and the order of adding does not matter."""
LARGEST = 4294967296.0
"""A larger number is not summed."""

_ONE = np.uint64(1)
_NONE = np.uint64(0)
_16, _32 = np.uint64(16), np.uint64(32)
_MAPPED = np.uint64(0xFFFF_0000_0000)
_V4, _V6 = np.uint64(4), np.uint64(6)
_SLASH = 0x2F
_TENANT_NAME, _ENDPOINT_NAME = 0, 2
_UNKNOWN = -1


class Code(NamedTuple):
    """Expressions as the kernel takes them.

    Expression e begins at step `entry[e]`; a step is a leaf and where to go on if it holds and if not: a step of a
    lower number, HOLDS or FAILS. A leaf is looked at once a row at most, and only where a step asks for it.
    """

    leaf: NDArray[np.int64]  # (L, 6)
    step: NDArray[np.int64]  # (S, 3)
    entry: NDArray[np.int64]  # (E,)
    codes: NDArray[np.uint64]  # sets of codes as bits
    number: NDArray[np.float64]
    text: NDArray[np.uint8]  # all texts, one behind the other
    text_from: NDArray[np.int64]  # where each begins, and the end
    network: NDArray[np.uint64]  # (N, 5): high, low, their masks, version
    late: NDArray[np.uint64]  # (1,): the bit of the leaf `late`, 0 if no expression has it
    hash_slot: NDArray[np.int64]  # (D,): the member of each row of `hashes`
    hash_marks: NDArray[np.uint64]  # (D,): it is wanted where one of these marks stands
    sum_slot: NDArray[np.int64]  # (S,): the member of each row of `numbers`
    sum_marks: NDArray[np.uint64]  # (S,)


class Marks(NamedTuple):
    """What `mark` writes, n rows each."""

    marks: NDArray[np.uint64]  # (1, n), or (2, n) where an expression has `late`: as if no row was late, as if all were
    hashes: NDArray[np.uint64]  # (D, n), 0: missing, or not wanted
    numbers: NDArray[np.float64]  # (S, n), NaN: missing, or not wanted


class _Work(NamedTuple):
    """One row's values that several leaves may need."""

    groups: NDArray[np.int64]  # (12,) of write_address
    address: NDArray[np.uint64]  # (3,): high, low, version; version 0 is not yet read
    written: NDArray[np.uint8]  # of write_address
    lowered: NDArray[np.uint8]  # the username in lower case,
    length: NDArray[np.int64]  # (1,): and its length, or _UNKNOWN
    bits: NDArray[np.uint64]  # (1,): a float64,
    double: NDArray[np.float64]  # (1,): the same,
    octets: NDArray[np.uint8]  # (8,): the same


@kernel
def _present(slot: int, row: int, tag: NDArray[np.uint8], to: Columns) -> bool:
    """Whether a row has a member."""
    if slot == STATUS:
        return to.status[row] != 0
    if slot == REASON:
        return to.reason[row] != 0
    if slot == ENDPOINT:
        return to.name_length[_ENDPOINT_NAME, row] > 0
    return slot == TENANT or slot == ACTION or slot == OUTCOME or tag[row, slot] != ABSENT


@kernel
def _coded(slot: int, row: int, to: Columns) -> int:
    """A row's code of a closed list."""
    if slot == ACTION:
        return np.int64(to.action[row])
    return np.int64(to.outcome[row]) if slot == OUTCOME else np.int64(to.reason[row])


@kernel
def _number(
    slot: int,
    row: int,
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    to: Columns,
    work: _Work,
) -> float:
    """The number in a member that the row has."""
    if slot == STATUS:
        return float(to.status[row])
    if tag[row, slot] == NUMBER:
        return decimal(buffer, at[row, slot], size[row, slot])
    work.bits[0] = load8(buffer, at[row, slot])
    return work.double[0]


@kernel
def _lower(buffer: NDArray[np.uint8], at: int, size: int, work: _Work) -> int:
    """Write an ASCII username in lower case, once a row; its length."""
    if work.length[0] == _UNKNOWN:
        for k in range(size):
            c = buffer[at + k]
            work.lowered[k] = c | 0x20 if 0x41 <= c <= 0x5A else c
        work.length[0] = size
    return work.length[0]


@kernel
def _read_address(buffer: NDArray[np.uint8], at: int, size: int, work: _Work) -> None:
    """Read a valid address as two words and its version, once a row."""
    if work.address[2] != _NONE:
        return
    after = write_address(buffer, at, size, 128, work.groups, work.written, 0)
    high = _NONE
    low = _NONE
    if work.written[after - 4] == _SLASH:
        for k in range(4):
            high = (high << _16) | np.uint64(work.groups[k])
            low = (low << _16) | np.uint64(work.groups[4 + k])
        work.address[2] = _V6
    else:
        low = _MAPPED
        for k in range(4):
            low |= np.uint64(work.groups[8 + k]) << np.uint64(24 - 8 * k)
        work.address[2] = _V4
    work.address[0] = high
    work.address[1] = low


@kernel
def _leaf_holds(
    code: Code,
    k: int,
    row: int,
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    to: Columns,
    work: _Work,
) -> bool:
    """Whether a leaf holds for a row."""
    form, slot, operator = code.leaf[k, FORM], code.leaf[k, SLOT], code.leaf[k, OPERATOR]
    begin, stop, turned = code.leaf[k, BEGIN], code.leaf[k, STOP], code.leaf[k, TURNED] != 0
    if form == COUNTED:
        return to.counts[row] & slot != 0
    if form == CODED:
        return (code.codes[begin] >> np.uint64(_coded(slot, row, to))) & _ONE != _NONE
    if not _present(slot, row, tag, to):
        return False
    if form == PRESENT:
        return True
    if form == NUMERIC:
        value = _number(slot, row, buffer, at, size, tag, to, work)
        return number_holds(operator, value, code.number, begin, stop) != turned
    first, length = at[row, slot], size[row, slot]
    if form == ADDRESSED:
        _read_address(buffer, first, length, work)
        return address_holds(work.address, code.network, begin, stop) != turned
    if slot == TENANT or slot == ENDPOINT:
        name = _TENANT_NAME if slot == TENANT else _ENDPOINT_NAME
        first, length = to.name_start[name, row], np.int64(to.name_length[name, row])
        return text_holds(operator, to.names, first, length, code.text, code.text_from, begin, stop) != turned
    if slot == USERNAME and tag[row, slot] == TEXT:
        length = _lower(buffer, first, length, work)
        return text_holds(operator, work.lowered, 0, length, code.text, code.text_from, begin, stop) != turned
    return text_holds(operator, buffer, first, length, code.text, code.text_from, begin, stop) != turned


@kernel
def _hash(
    slot: int,
    row: int,
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    to: Columns,
    work: _Work,
) -> np.uint64:
    """The hash of (tenant, value) of a member, as an entity's; 0 where the row lacks it."""
    if slot == TARGET and to.target[row] != _NONE:
        return to.target[row]
    if not _present(slot, row, tag, to):
        return _NONE
    tenant = to.entity[0, row]
    if slot == USERNAME and tag[row, slot] == TEXT:
        return entity_hash(work.lowered, 0, _lower(buffer, at[row, slot], size[row, slot], work), tenant)
    if slot == ACTION or slot == OUTCOME or slot == REASON:
        work.double[0] = float(_coded(slot, row, to))
    elif slot == STATUS or tag[row, slot] == NUMBER or tag[row, slot] == DOUBLE:
        work.double[0] = _number(slot, row, buffer, at, size, tag, to, work) + 0.0
    else:
        return entity_hash(buffer, at[row, slot], size[row, slot], tenant)
    return entity_hash(work.octets, 0, 8, tenant)


@kernel
def _summand(value: float) -> float:
    """A number as it is summed: the nearest multiple of QUANTUM, or NaN."""
    if abs(value) > LARGEST:
        return np.nan
    return np.floor(value / QUANTUM + 0.5) * QUANTUM


@kernel
def _marks(
    code: Code,
    variant: int,
    known: np.uint64,
    held: np.uint64,
    row: int,
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    to: Columns,
    work: _Work,
) -> tuple[np.uint64, np.uint64, np.uint64]:
    """The expressions that hold for a row; which leaves are known by now, and which of them hold."""
    late = code.late[0]
    known |= late
    held = held | late if variant == 1 else held & ~late
    found = _NONE
    for e in range(len(code.entry)):
        step = code.entry[e]
        while step >= 0:
            k = code.step[step, 0]
            bit = _ONE << np.uint64(k)
            if known & bit == _NONE:
                known |= bit
                if _leaf_holds(code, k, row, buffer, at, size, tag, to, work):
                    held |= bit
            step = code.step[step, 1] if held & bit != _NONE else code.step[step, 2]
        if step == HOLDS:
            found |= _ONE << np.uint64(e)
    return found, known, held


@njit(cache=True, nogil=True)
def mark(
    code: Code,
    buffer: NDArray[np.uint8],
    rows: NDArray[np.int64],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    to: Columns,
    out: Marks,
) -> None:
    """Fill the marks, hashes and numbers of those of the rows that have no fault, from spans and filled columns."""
    bits = np.zeros(1, np.uint64)
    work = _Work(
        np.zeros(12, np.int64), np.zeros(3, np.uint64), np.zeros(LONGEST_ADDRESS, np.uint8),
        np.zeros(MAX_USERNAME, np.uint8), np.zeros(1, np.int64), bits, bits.view(np.float64), bits.view(np.uint8),
    )  # fmt: skip
    for row in rows:
        if to.fault[row]:
            continue
        work.address[2] = _NONE
        work.length[0] = _UNKNOWN
        known = _NONE
        held = _NONE
        either = _NONE
        for variant in range(len(out.marks)):
            found, known, held = _marks(code, variant, known, held, row, buffer, at, size, tag, to, work)
            out.marks[variant, row] = found
            either |= found
        for d in range(len(code.hash_slot)):
            out.hashes[d, row] = _NONE
            if either & code.hash_marks[d] != _NONE or code.hash_marks[d] == ~_NONE:
                out.hashes[d, row] = _hash(code.hash_slot[d], row, buffer, at, size, tag, to, work)
        for s in range(len(code.sum_slot)):
            out.numbers[s, row] = np.nan
            if either & code.sum_marks[s] != _NONE or code.sum_marks[s] == ~_NONE:
                if _present(code.sum_slot[s], row, tag, to):
                    out.numbers[s, row] = _summand(_number(code.sum_slot[s], row, buffer, at, size, tag, to, work))
