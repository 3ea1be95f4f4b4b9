"""From bytes to the spans of the members that matter: one walk over each message."""

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.kernels.grammar import EXPONENT, literal_end, number_end, space_end, string_end, value_end
from models.kernels.kernel import kernel
from models.kernels.number import MAX_DECIMAL
from models.kernels.text import Words, find_entry, index_of, same, size_of

STRING_KIND, NUMBER_KIND, ARRAY_KIND, RESERVED_KIND, ASCII_KIND = 1, 2, 4, 8, 16
"""What a member may be. ASCII_KIND, which `wanted` adds: a string with another character needs the slow path."""

KINDS: Final[dict[str, int]] = {
    "time": STRING_KIND | NUMBER_KIND,
    "received": STRING_KIND | NUMBER_KIND,
    "id": STRING_KIND,
    "tenant": STRING_KIND,
    "action": STRING_KIND,
    "outcome": STRING_KIND,
    "reason": STRING_KIND,
    "user": STRING_KIND,
    "username": STRING_KIND,
    "actor": STRING_KIND,
    "target": STRING_KIND,
    "ip": STRING_KIND,
    "endpoint": STRING_KIND,
    "status": STRING_KIND | NUMBER_KIND,
    "method": STRING_KIND,  # spans are always taken up to here, of the rest where a program needs them
    "error_code": STRING_KIND,
    "error": STRING_KIND,
    "actor_type": STRING_KIND,
    "session": STRING_KIND,
    "api_key": STRING_KIND,
    "request_id": STRING_KIND,
    "factor": STRING_KIND,
    "ip_type": STRING_KIND,
    "asn": NUMBER_KIND,
    "country": STRING_KIND,
    "city": STRING_KIND,
    "lat": NUMBER_KIND,
    "lon": NUMBER_KIND,
    "device": STRING_KIND,
    "user_agent": STRING_KIND,
    "app": STRING_KIND,
    "app_version": STRING_KIND,
    "latency_ms": NUMBER_KIND,
    "changes": ARRAY_KIND,
    "lapwing": RESERVED_KIND,
}
"""The canonical members and the JSON types each may have; `lapwing` is Lapwing's own."""
MEMBERS: Final = tuple(KINDS)
(TIME, RECEIVED, ID, TENANT, ACTION, OUTCOME, REASON, USER_ID, USERNAME, ACTOR, TARGET, ADDRESS, ENDPOINT, STATUS, METHOD) = range(15)  # fmt: skip  # noqa: E501
SPANS: Final = 15
"""How many of MEMBERS always have a span; their slot is their index."""
NO_SLOT: Final = -1
"""The slot of a member of which only the type matters."""

MAX_STRING: Final = 16_384
"""Bytes of UTF-8 in a canonical string; a longer one is a bad value."""
MAX_NUMBER: Final = 32
"""Characters of a number that is surely finite."""

ABSENT, TEXT, NUMBER, NORMAL, DOUBLE = range(5)
"""Tags: nothing; a string without escapes; a number without exponent; a string that is already normalised; the eight
bytes of a float64, which stand for a number that `models.kernels.number.decimal` cannot read."""

PLAIN, ODD, OUTSIDE = range(3)
"""States: all spans stand; something needs the slow path; the row does not lie in the buffer."""


class Wanted(NamedTuple):
    """What of each member the scanner takes."""

    kinds: NDArray[np.uint8]  # of each member
    slots: NDArray[np.int64]  # the column of each member's span, or NO_SLOT
    spans: int  # how many columns there are


def wanted(more: tuple[int, ...] = (), ascii_usernames: bool = False) -> Wanted:
    """The scanner's tables where beside the first SPANS members these have spans, in this order.

    `ascii_usernames` leaves all other usernames to the slow path, which normalises them.

    >>> int(wanted((MEMBERS.index("user_agent"),)).slots[MEMBERS.index("user_agent")])
    15
    """
    kinds = np.array([*KINDS.values()], np.uint8)
    slots = np.full(len(MEMBERS), NO_SLOT)
    slots[:SPANS] = np.arange(SPANS)
    slots[[*more]] = SPANS + np.arange(len(more))
    if ascii_usernames:
        kinds[USERNAME] |= ASCII_KIND
    return Wanted(kinds, slots, SPANS + len(more))


@kernel
def _is_ascii(buffer: NDArray[np.uint8], i: int, end: int) -> bool:
    """Whether buffer[i : end] is ASCII."""
    for k in range(i, end):
        if buffer[k] >= 0x80:
            return False
    return True


@kernel
def _members(
    buffer: NDArray[np.uint8],
    i: int,
    end: int,
    words: Words,
    kinds: NDArray[np.uint8],
    slots: NDArray[np.int64],
    follow: NDArray[np.int64],
    stack: NDArray[np.uint8],
    max_depth: int,
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    row: int,
) -> int:
    """After the closing brace of the object whose first key should be at i, or -1 if anything is unusual."""
    seen = 0
    before = len(kinds)
    while True:
        if i >= end or buffer[i] != 0x22:
            return -1
        i += 1
        entry = follow[before]
        guess = i + size_of(words, entry)
        if entry > 0 and guess < end and buffer[guess] == 0x22 and same(words, entry, buffer, i):
            i = guess + 1
        else:
            close, escaped = string_end(buffer, i, end)
            if close < 0 or escaped:
                return -1
            entry = find_entry(words, buffer, i, close - i)
            follow[before] = entry
            i = close + 1
        member = index_of(words, entry) if entry > 0 else -1
        i = space_end(buffer, i, end)
        if i >= end or buffer[i] != 0x3A:
            return -1
        i = space_end(buffer, i + 1, end)
        if i >= end:
            return -1
        if member < 0:
            before = len(kinds) + 1
            i = value_end(buffer, i, end, stack, max_depth - 1)
            if i < 0:
                return -1
        else:
            before = member
            if (seen >> member) & 1:
                return -1
            seen |= 1 << member
            kind = kinds[member]
            slot = slots[member]
            c = buffer[i]
            if kind & RESERVED_KIND:
                return -1
            if c == 0x22:
                close, escaped = string_end(buffer, i + 1, end)
                n = close - i - 1
                if close < 0 or not kind & STRING_KIND or n > MAX_STRING:
                    return -1
                if slot >= 0 and (n > 0 or member == TIME):
                    if escaped and member != ID:
                        return -1
                    if kind & ASCII_KIND and not _is_ascii(buffer, i + 1, close):
                        return -1
                    at[row, slot] = i + 1
                    size[row, slot] = n
                    tag[row, slot] = TEXT
                i = close + 1
            elif c == 0x6E:
                i = literal_end(buffer, i, end)
                if i < 0:
                    return -1
            elif c == 0x5B:
                if not kind & ARRAY_KIND:
                    return -1
                i = value_end(buffer, i, end, stack, max_depth - 1)
                if i < 0:
                    return -1
            elif c == 0x2D or 0x30 <= c <= 0x39:
                close, form = number_end(buffer, i, end)
                n = close - i
                if close < 0 or not kind & NUMBER_KIND or form == EXPONENT or n > MAX_NUMBER:
                    return -1
                if slot >= 0:
                    if slot >= SPANS and n >= MAX_DECIMAL + form:
                        return -1
                    at[row, slot] = i
                    size[row, slot] = n
                    tag[row, slot] = NUMBER
                i = close
            else:
                return -1
        i = space_end(buffer, i, end)
        if i >= end:
            return -1
        if buffer[i] == 0x7D:
            return i + 1
        if buffer[i] != 0x2C:
            return -1
        i = space_end(buffer, i + 1, end)


@njit(cache=True, nogil=True)
def scan(
    buffer: NDArray[np.uint8],
    start: NDArray[np.int64],
    length: NDArray[np.int64],
    words: Words,
    kinds: NDArray[np.uint8],
    slots: NDArray[np.int64],
    max_depth: int,
    at: NDArray[np.int64],
    size: NDArray[np.int64],
    tag: NDArray[np.uint8],
    begin: NDArray[np.int64],
    extent: NDArray[np.int32],
    state: NDArray[np.uint8],
) -> None:
    """Fill (n, spans) spans and tags, the objects' own spans and each row's state; PLAIN: JSON, nothing odd."""
    follow = np.zeros(len(kinds) + 2, np.int64)  # the entry of the key that came after each key
    stack = np.empty(max_depth + 2, np.uint8)
    for row in range(len(start)):
        state[row] = ODD
        for slot in range(tag.shape[1]):
            tag[row, slot] = ABSENT
        i = start[row]
        end = i + length[row]
        if i < 0 or length[row] < 0 or end > len(buffer):
            state[row] = OUTSIDE
            continue
        i = space_end(buffer, i, end)
        if i >= end or buffer[i] != 0x7B:
            continue
        begin[row] = i
        i = space_end(buffer, i + 1, end)
        i = _members(buffer, i, end, words, kinds, slots, follow, stack, max_depth, at, size, tag, row)
        if i < 0:
            continue
        extent[row] = i - begin[row]
        if space_end(buffer, i, end) == end:
            state[row] = PLAIN
