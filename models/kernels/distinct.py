"""Members of many events by their spans: which rows have the same, byte by byte, and columns of them."""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.kernel import inlined
from models.kernels.load import HIGHS, ONES, copied, load8
from models.kernels.number import decimal
from models.kernels.scan import ABSENT, DOUBLE

ABOUT, DID, TO = 1, 2, 3
"""Whom a target is: the one whom the event is about, the one who did it, or another."""


_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)


@inlined
def _mixed(found: np.uint64, word: np.uint64) -> np.uint64:
    """A hash with eight bytes more."""
    found = (found ^ word) * _ODD
    return found ^ (found >> _HALF)


@inlined
def _hashed(buffer: NDArray[np.uint8], at: int, size: int, found: np.uint64) -> np.uint64:
    """A hash with a span more: good enough to say where to look."""
    found = _mixed(found, np.uint64(size + 1))
    if size >= 8:
        for k in range(0, size - 8, 8):
            found = _mixed(found, load8(buffer, at + k))
        return _mixed(found, load8(buffer, at + size - 8))
    word = np.uint64(0)
    for k in range(size):
        word = (word << np.uint64(8)) | np.uint64(buffer[at + k])
    return _mixed(found, word)


@inlined
def _alike(buffer: NDArray[np.uint8], at: int, size: int, other: int, other_size: int) -> bool:
    """Whether two spans hold the same bytes."""
    if size != other_size:
        return False
    if size >= 8:
        for k in range(0, size - 8, 8):
            if load8(buffer, at + k) != load8(buffer, other + k):
                return False
        return load8(buffer, at + size - 8) == load8(buffer, other + size - 8)
    for k in range(size):
        if buffer[at + k] != buffer[other + k]:
            return False
    return True


@inlined
def _zeros(word: np.uint64) -> np.uint64:
    """Not zero if a byte of a word is zero."""
    return (word - ONES) & ~word & HIGHS


@inlined
def _is_ascii(buffer: NDArray[np.uint8], begin: int, end: int) -> bool:
    """Whether all bytes of a span are ASCII."""
    if end - begin < 8:
        for k in range(begin, end):
            if buffer[k] >= 0x80:
                return False
        return True
    found = load8(buffer, end - 8)
    for k in range(begin, end - 8, 8):
        found |= load8(buffer, k)
    return found & HIGHS == 0


@inlined
def _same(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    slots: NDArray[np.int64],
    row: int,
    other: int,
) -> bool:
    """Whether two rows have the same members."""
    for slot in slots:
        if tag[row, slot] != tag[other, slot]:
            return False
        if tag[row, slot] != ABSENT and not _alike(
            buffer, at[row, slot], size[row, slot], at[other, slot], size[other, slot]
        ):
            return False
    return True


@njit(cache=True, nogil=True)
def distinct(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    slots: NDArray[np.int64],
    code: NDArray[np.int64],
    rows: NDArray[np.int64],
    seed: np.uint64,
    which: NDArray[np.int64],
    first: NDArray[np.int64],
) -> int:
    """Number some rows by (code, members), in the order in which each comes first; how many there are.

    `code` is of every row, `which` of those asked for; `first` gets the first row of each number. Hashes only say
    where to look: what is alike is compared byte by byte. They begin with `seed`, which is to be random, so that nobody
    can send what all comes to the same place.
    """
    places = 16
    while places < 2 * len(rows):
        places *= 2
    mask = places - 1
    table = np.full(places, -1, np.int64)
    hashes = np.empty(len(rows), np.uint64)
    count = 0
    for k in range(len(rows)):
        row = rows[k]
        found = _mixed(seed, np.uint64(code[row]))
        for slot in slots:
            if tag[row, slot] != ABSENT:
                found = _hashed(buffer, at[row, slot], size[row, slot], found)
            else:
                found = _mixed(found, np.uint64(0))
        place = np.int64((found ^ (found >> np.uint64(32))) & np.uint64(mask))
        while True:
            number = table[place]
            if number < 0:
                table[place] = count
                hashes[count] = found
                first[count] = row
                which[k] = count
                count += 1
                break
            other = first[number]
            if hashes[number] == found and code[other] == code[row] and _same(buffer, at, size, tag, slots, row, other):
                which[k] = number
                break
            place = (place + 1) & mask
    return count


def numbered(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Whole numbers by numbers from 0 on, in the order in which each comes first; and where that is.

    >>> which, first = numbered(np.array([30, 7, 30, 9]))
    >>> which.tolist(), first.tolist()
    ([0, 1, 0, 2], [0, 1, 3])
    """
    which, first = np.empty(len(values), np.int64), np.empty(len(values), np.int64)
    return which, first[: _number(np.array(values, np.int64), which, first)]


@njit(cache=True, nogil=True)
def _number(values: NDArray[np.int64], which: NDArray[np.int64], first: NDArray[np.int64]) -> int:
    places = 16
    while places < 2 * len(values):
        places *= 2
    mask = np.uint64(places - 1)
    table = np.full(places, -1, np.int64)
    count = 0
    for k in range(len(values)):
        value = values[k]
        mixed = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)
        place = np.int64((mixed ^ (mixed >> np.uint64(32))) & mask)
        while table[place] >= 0 and values[first[table[place]]] != value:
            place = (place + 1) & (places - 1)
        if table[place] < 0:
            table[place] = count
            first[count] = k
            count += 1
        which[k] = table[place]
    return count


@njit(cache=True, nogil=True)
def whom(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    slots: NDArray[np.int64],
    did: NDArray[np.bool_],
    to: NDArray[np.uint8],
) -> None:
    """Whether somebody else than whom an event is about did it, and who its object is: slots of user, username,
    actor and target.
    """
    user, username, actor, target = slots[0], slots[1], slots[2], slots[3]
    for row in range(len(did)):
        other = tag[row, actor] != ABSENT
        object_ = TO if tag[row, target] != ABSENT else 0
        for name in (user, username):
            if tag[row, name] == ABSENT:
                continue
            start, extent = at[row, name], size[row, name]
            if other and _alike(buffer, at[row, actor], size[row, actor], start, extent):
                other = False
            if object_ and _alike(buffer, at[row, target], size[row, target], start, extent):
                object_ = ABOUT
        if (
            object_ == TO
            and other
            and _alike(buffer, at[row, target], size[row, target], at[row, actor], size[row, actor])
        ):
            object_ = DID
        did[row] = other
        to[row] = object_


@njit(cache=True, nogil=True)
def extents(size: NDArray[np.int64], tag: NDArray[np.uint8], total: NDArray[np.int64]) -> None:
    """How long all members of each row are together; absent ones get no length."""
    for row in range(len(total)):
        found = np.int64(0)
        for slot in range(size.shape[1]):
            if tag[row, slot] == ABSENT:
                size[row, slot] = 0
            found += size[row, slot]
        total[row] = found


@njit(cache=True, nogil=True)
def holding(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    slot: int,
    byte: int,
    found: NDArray[np.bool_],
) -> None:
    """Which rows' members hold a byte."""
    every = ONES * np.uint64(byte)
    for row in range(len(found)):
        found[row] = False
        if tag[row, slot] == ABSENT:
            continue
        begin, end = at[row, slot], at[row, slot] + size[row, slot]
        if end - begin < 8:
            for k in range(begin, end):
                if buffer[k] == byte:
                    found[row] = True
            continue
        zero = _zeros(load8(buffer, end - 8) ^ every)
        for k in range(begin, end - 8, 8):
            zero |= _zeros(load8(buffer, k) ^ every)
        found[row] = zero != 0


@njit(cache=True, nogil=True)
def lengths(size: NDArray[np.int64], tag: NDArray[np.uint8], slot: int, offsets: NDArray[np.int32]) -> None:
    """Where each row's string ends in a column of its own; offsets[0] is 0."""
    end = np.int32(0)
    offsets[0] = end
    for row in range(len(size)):
        if tag[row, slot] != ABSENT:
            end += np.int32(size[row, slot])
        offsets[row + 1] = end


@njit(cache=True, nogil=True)
def texts(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    slot: int,
    offsets: NDArray[np.int32],
    out: NDArray[np.uint8],
) -> None:
    """A member's strings one behind the other, as `lengths` has made room for them."""
    for row in range(len(size)):
        if tag[row, slot] != ABSENT:
            copied(out, np.int64(offsets[row]), buffer, at[row, slot], size[row, slot])


@njit(cache=True, nogil=True)
def numbers(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    slot: int,
    rows: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """A member's numbers, of some rows; those of absent ones are left as they are."""
    bits = out.view(np.uint64)
    for place in range(len(rows)):
        row = rows[place]
        kind = tag[row, slot]
        if kind == DOUBLE:
            word = np.uint64(0)
            for k in range(8):
                word |= np.uint64(buffer[at[row, slot] + k]) << np.uint64(8 * k)
            bits[place] = word
        elif kind != ABSENT:
            out[place] = decimal(buffer, at[row, slot], size[row, slot])


@njit(cache=True, nogil=True)
def named(
    buffer: NDArray[np.uint8],
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    slots: NDArray[np.int64],
    names: NDArray[np.uint8],
    start: NDArray[np.int64],
    length: NDArray[np.int32],
    found: NDArray[np.bool_],
) -> None:
    """Which rows' paths may hold one of some members as a part: sure where all is plain ASCII, said of all others."""
    for row in range(len(found)):
        begin, end = start[row], start[row] + length[row]
        odd = False
        extents, part = np.uint64(0), begin  # a bit for each length that a part has, the highest for all longer ones
        for i in range(begin, end + 1):
            if i == end or names[i] == 0x2F:
                extents |= np.uint64(1) << np.uint64(min(i - part, 63))
                part = i + 1
            elif names[i] >= 0x80 or names[i] == 0x25 or names[i] == 0x40:
                odd = True
        for slot in slots:
            if odd:
                break
            if tag[row, slot] == ABSENT:
                continue
            first, extent = at[row, slot], size[row, slot]
            odd = not _is_ascii(buffer, first, first + extent)
            if not extents >> np.uint64(min(extent, 63)) & np.uint64(1):
                continue
            part = begin
            while part < end and not odd:
                after = part
                while after < end and names[after] != 0x2F:
                    after += 1
                if after - part == extent:
                    same = True
                    for k in range(extent):
                        a, b = names[part + k], buffer[first + k]
                        a = a | 0x20 if 0x41 <= a <= 0x5A else a
                        b = b | 0x20 if 0x41 <= b <= 0x5A else b
                        if a != b:
                            same = False
                            break
                    odd = same
                part = after + 1
        found[row] = odd
