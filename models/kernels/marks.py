"""The expressions of all detections over the rows of a batch: which hold, and what is counted or summed there."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.address import LONGEST_ADDRESS, write_address
from models.kernels.columns import MAX_USERNAME, Columns
from models.kernels.compare import address_holds, number_holds, text_holds
from models.kernels.kernel import kernel
from models.kernels.load import load8
from models.kernels.number import decimal
from models.kernels.scan import ABSENT, ACTION, NUMBER, OUTCOME, TEXT
from models.kernels.siphash import entity_hash

COUNTED, CODED, STATUS_NUMBER, NAMED, NUMERIC, ADDRESSED, USERNAMED, TEXTUAL, OBJECT, IS_LATE = range(10)
"""Forms of a leaf, and of what is hashed or summed."""
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
_16 = np.uint64(16)
_MAPPED = np.uint64(0xFFFF_0000_0000)
_V4, _V6 = np.uint64(4), np.uint64(6)
_SLASH = 0x2F


class Code(NamedTuple):
    """Expressions as the kernel takes them.

    Expression e begins at step `entry[e]`; a step is a leaf and where to go on if it holds and if not: a step of a
    lower number, HOLDS or FAILS. A leaf is looked at once a row at most, and only where a step asks for it. Where a
    row lacks a leaf's member the leaf fails; a leaf without constants that is TURNED holds wherever the member is.
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
    hashed: NDArray[np.int64]  # (D, 2): form and slot of each row of `hashes`
    hash_marks: NDArray[np.uint64]  # (D,): it is wanted where one of these marks stands; all bits: everywhere
    summed: NDArray[np.int64]  # (S, 2): form and slot of each row of `numbers`
    sum_marks: NDArray[np.uint64]  # (S,)


class Marks(NamedTuple):
    """What `mark` writes, n rows each."""

    marks: NDArray[np.uint64]  # (1, n), or (2, n) where an expression has `late`: as if no row was late, as if all were
    hashes: NDArray[np.uint64]  # (D, n), 0: missing, or not wanted
    numbers: NDArray[np.float64]  # (S, n), NaN: missing, or not wanted


class Spans(NamedTuple):
    """Where the values of n rows stand in a buffer, as the scanner leaves it."""

    at: NDArray[np.int64]  # (n, spans)
    size: NDArray[np.int64]  # (n, spans)
    tag: NDArray[np.uint8]  # (n, spans)


class _Work(NamedTuple):
    """Room for one row's values."""

    groups: NDArray[np.int64]  # (12,) of write_address
    written: NDArray[np.uint8]  # of write_address
    address: NDArray[np.uint64]  # (3,): high, low, version
    lowered: NDArray[np.uint8]  # a username in lower case
    bits: NDArray[np.uint64]  # (1,): a float64,
    double: NDArray[np.float64]  # (1,): the same,
    octets: NDArray[np.uint8]  # (8,): the same


@kernel
def _lower(buffer: NDArray[np.uint8], at: int, size: int, out: NDArray[np.uint8]) -> None:
    """Write an ASCII username in lower case."""
    for k in range(size):
        c = buffer[at + k]
        out[k] = c | 0x20 if 0x41 <= c <= 0x5A else c


@kernel
def _read_address(
    buffer: NDArray[np.uint8],
    at: int,
    size: int,
    groups: NDArray[np.int64],
    written: NDArray[np.uint8],
    address: NDArray[np.uint64],
) -> None:
    """Read a valid address as two words and its version; IPv4 as mapped into IPv6."""
    after = write_address(buffer, at, size, 128, groups, written, 0)
    high = _NONE
    low = _NONE
    if written[after - 4] == _SLASH:
        for k in range(4):
            high = (high << _16) | np.uint64(groups[k])
            low = (low << _16) | np.uint64(groups[4 + k])
        address[2] = _V6
    else:
        low = _MAPPED
        for k in range(4):
            low |= np.uint64(groups[8 + k]) << np.uint64(24 - 8 * k)
        address[2] = _V4
    address[0] = high
    address[1] = low


@kernel
def _summand(value: float) -> float:
    """A number as it is summed: the nearest multiple of QUANTUM, or NaN."""
    if abs(value) > LARGEST:
        return np.nan
    return np.floor(value / QUANTUM + 0.5) * QUANTUM


@kernel
def mark_rows(
    code: Code, buffer: NDArray[np.uint8], rows: NDArray[np.int64], spans: Spans, to: Columns, work: _Work, out: Marks
) -> None:
    """Fill the marks of the rows without fault. Calls in here pass few arrays: each costs a call seven registers."""
    for row in rows:
        if to.fault[row]:
            continue
        known = _NONE
        held = _NONE
        for variant in range(len(out.marks)):
            known |= code.late[0]
            held = held | code.late[0] if variant == 1 else held & ~code.late[0]
            found = _NONE
            for e in range(len(code.entry)):
                step = code.entry[e]
                while step >= 0:
                    k = code.step[step, 0]
                    bit = _ONE << np.uint64(k)
                    if known & bit == _NONE:
                        known |= bit
                        form, slot, operator = code.leaf[k, FORM], code.leaf[k, SLOT], code.leaf[k, OPERATOR]
                        begin, stop = code.leaf[k, BEGIN], code.leaf[k, STOP]
                        turned = code.leaf[k, TURNED] != 0
                        holds = False
                        if form == COUNTED:
                            holds = to.counts[row] & slot != 0
                        elif form == CODED:
                            value = to.reason[row]
                            if slot == ACTION:
                                value = to.action[row]
                            elif slot == OUTCOME:
                                value = to.outcome[row]
                            holds = (code.codes[begin] >> np.uint64(value)) & _ONE != _NONE
                        elif form == STATUS_NUMBER:
                            if to.status[row] != 0:
                                holds = (
                                    number_holds(operator, float(to.status[row]), code.number, begin, stop) != turned
                                )
                        elif form == NAMED:
                            length = np.int64(to.name_length[slot, row])
                            if length > 0:
                                first = to.name_start[slot, row]
                                holds = turned != text_holds(
                                    operator, to.names, first, length, code.text, code.text_from, begin, stop
                                )
                        elif spans.tag[row, slot] != ABSENT:
                            first, length = spans.at[row, slot], spans.size[row, slot]
                            tag = spans.tag[row, slot]
                            if form == NUMERIC:
                                if tag == NUMBER:
                                    work.double[0] = decimal(buffer, first, length)
                                else:
                                    work.bits[0] = load8(buffer, first)
                                holds = number_holds(operator, work.double[0], code.number, begin, stop) != turned
                            elif form == ADDRESSED:
                                _read_address(buffer, first, length, work.groups, work.written, work.address)
                                holds = address_holds(work.address, code.network, begin, stop) != turned
                            elif form == USERNAMED and tag == TEXT:
                                _lower(buffer, first, length, work.lowered)
                                holds = turned != text_holds(
                                    operator, work.lowered, 0, length, code.text, code.text_from, begin, stop
                                )
                            else:
                                holds = turned != text_holds(
                                    operator, buffer, first, length, code.text, code.text_from, begin, stop
                                )
                        if holds:
                            held |= bit
                    step = code.step[step, 1] if held & bit != _NONE else code.step[step, 2]
                if step == HOLDS:
                    found |= _ONE << np.uint64(e)
            out.marks[variant, row] = found


@kernel
def hash_rows(
    code: Code, buffer: NDArray[np.uint8], rows: NDArray[np.int64], spans: Spans, to: Columns, work: _Work, out: Marks
) -> None:
    """Fill the hashes of (tenant, value), as an entity's, where a mark wants them."""
    for d in range(len(code.hashed)):
        form, slot, wanted = code.hashed[d, 0], code.hashed[d, 1], code.hash_marks[d]
        for row in rows:
            if to.fault[row] or (wanted != ~_NONE and (out.marks[0, row] | out.marks[-1, row]) & wanted == _NONE):
                continue
            tenant = to.entity[0, row]
            if form == OBJECT and to.target[row] != _NONE:
                out.hashes[d, row] = to.target[row]
                continue
            if form == CODED or form == STATUS_NUMBER:
                value = np.int64(to.reason[row])
                if form == STATUS_NUMBER:
                    value = np.int64(to.status[row])
                elif slot == ACTION:
                    value = np.int64(to.action[row])
                elif slot == OUTCOME:
                    value = np.int64(to.outcome[row])
                if value != 0 or slot == ACTION or slot == OUTCOME:
                    work.double[0] = float(value)
                    out.hashes[d, row] = entity_hash(work.octets, 0, 8, tenant)
                continue
            tag = spans.tag[row, slot]
            if tag == ABSENT:
                continue
            first, length = spans.at[row, slot], spans.size[row, slot]
            if form == NUMERIC:
                if tag == NUMBER:
                    work.double[0] = decimal(buffer, first, length)
                else:
                    work.bits[0] = load8(buffer, first)
                work.double[0] += 0.0  # -0.0 is 0.0
                out.hashes[d, row] = entity_hash(work.octets, 0, 8, tenant)
            elif form == USERNAMED and tag == TEXT:
                _lower(buffer, first, length, work.lowered)
                out.hashes[d, row] = entity_hash(work.lowered, 0, length, tenant)
            else:
                out.hashes[d, row] = entity_hash(buffer, first, length, tenant)


@kernel
def sum_rows(
    code: Code, buffer: NDArray[np.uint8], rows: NDArray[np.int64], spans: Spans, to: Columns, work: _Work, out: Marks
) -> None:
    """Fill the numbers that are summed where a mark wants them."""
    for s in range(len(code.summed)):
        form, slot, wanted = code.summed[s, 0], code.summed[s, 1], code.sum_marks[s]
        for row in rows:
            if to.fault[row] or (wanted != ~_NONE and (out.marks[0, row] | out.marks[-1, row]) & wanted == _NONE):
                continue
            if form == STATUS_NUMBER:
                if to.status[row] != 0:
                    out.numbers[s, row] = float(to.status[row])
            elif spans.tag[row, slot] == NUMBER:
                out.numbers[s, row] = _summand(decimal(buffer, spans.at[row, slot], spans.size[row, slot]))
            elif spans.tag[row, slot] != ABSENT:
                work.bits[0] = load8(buffer, spans.at[row, slot])
                out.numbers[s, row] = _summand(work.double[0])


def mark(code: Code, buffer: NDArray[np.uint8], rows: NDArray[np.int64], spans: Spans, to: Columns, out: Marks) -> None:
    """Fill the marks, hashes and numbers of those of the rows that have no fault, from spans and filled columns.

    `out` comes as zeros and NaNs; `marks` has a row at least.
    """
    bits = np.zeros(1, np.uint64)
    work = _Work(
        np.zeros(12, np.int64), np.zeros(LONGEST_ADDRESS, np.uint8), np.zeros(3, np.uint64),
        np.zeros(MAX_USERNAME, np.uint8), bits, bits.view(np.float64), bits.view(np.uint8),
    )  # fmt: skip
    mark_rows(code, buffer, rows, spans, to, work, out)
    if len(code.hashed):
        hash_rows(code, buffer, rows, spans, to, work, out)
    if len(code.summed):
        sum_rows(code, buffer, rows, spans, to, work, out)
