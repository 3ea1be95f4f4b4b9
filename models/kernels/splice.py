"""Adds what is known of an event to its own bytes: text from columns, no object per event."""

import math

import numpy as np
from numpy.typing import NDArray

from models.base import HAS_ID, JUMPED, LATE, NO_FEATURE
from models.kernels.kernel import kernel

Bytes = NDArray[np.uint8]

MOST_ADDED = 800
"""No event grows by more bytes than this."""


def _text(literal: bytes) -> Bytes:
    return np.frombuffer(literal, np.uint8)


# Only what is written in this file may be a global of a cached kernel; tables made elsewhere are arguments.
_HEAD = _text(b',"lapwing":{"v":1,"time":')
_RISK = _text(b',"risk":')
_NULL = _text(b"null")
_LATE = _text(b',"late":true,"alerts":[')
_IN_TIME = _text(b',"late":false,"alerts":[')
_SCORES = _text(b'],"scores":{')
_QUANTILE = _text(b',"quantile":')
_Z = _text(b',"z":')
_EXPECTED = _text(b',"expected":')
_OBSERVED = _text(b',"observed":')
_JUMPED = _text(b',"jumped":true')
_ID = _text(b',"id":"')
_ALERTS_MORE = _text(b',"alerts_more":')
_IGNORED = _text(b',"ignored":[')
_IGNORED_MORE = _text(b',"ignored_more":')
_HEX = _text(b"0123456789abcdef")
_POWERS = np.array([10.0**i for i in range(10)])
_INT_POWERS = np.array([10**i for i in range(10)], np.int64)
_LEAST = np.array([1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5])  # each double is the first one not below its decimal


@kernel
def put_text(out: Bytes, at: int, text: Bytes) -> int:
    """Copies text to `out[at:]`; gives where it ends."""
    to = np.uint64(at)  # an unsigned index is never from the end: without that question the loop becomes wide moves
    for i in range(np.uint64(text.size)):
        out[to + i] = text[i]
    return at + text.size


@kernel
def put_int(out: Bytes, at: int, number: int) -> int:
    """Writes an integer in decimal; gives where it ends."""
    if number < 0:
        out[at] = 45
        at += 1
        number = -number
    left, ten, width = np.uint64(number), np.uint64(10), 1
    bound = ten
    while left >= bound and width < 19:
        width += 1
        bound *= ten
    for i in range(width):
        rest = left // ten
        out[np.uint64(at + width - 1 - i)] = np.uint64(48) + (left - ten * rest)
        left = rest
    return at + width


@kernel
def scaled(x: float, power: float) -> int:
    """Rounds the exact x * power half to even; power an exact double, the product below 2**51."""
    product = x * power
    c = 134217729.0 * x
    x_high = c - (c - x)
    x_low = x - x_high
    c = 134217729.0 * power
    power_high = c - (c - power)
    power_low = power - power_high
    error = ((x_high * power_high - product) + x_high * power_low + x_low * power_high) + x_low * power_low
    whole = int(product)
    part = product - whole
    up = part > 0.5 or (part == 0.5 and (error > 0.0 or (error == 0.0 and whole % 2 == 1)))
    return whole + 1 if up else whole


@kernel
def put_digits(out: Bytes, at: int, number: int, width: int) -> int:
    """Writes `width` digits less trailing zeros, one at least; gives where they end."""
    left, ten = np.uint64(number), np.uint64(10)
    while width > 1 and left % ten == 0:
        left //= ten
        width -= 1
    for i in range(width):
        rest = left // ten
        out[np.uint64(at + width - 1 - i)] = np.uint64(48) + (left - ten * rest)
        left = rest
    return at + width


@kernel
def put_float(out: Bytes, at: int, x: float) -> int:
    """Writes x to four significant digits, always with a decimal point; null if it is not finite. At most 12 bytes."""
    if not math.isfinite(x):
        return put_text(out, at, _NULL)
    if x < 0.0:
        out[at] = 45
        at += 1
        x = -x
    if x == 0.0:
        out[at], out[at + 1], out[at + 2] = 48, 46, 48
        return at + 3
    if 1e-5 <= x < 1e9:
        exponent = 0
        while exponent < 8 and x >= _POWERS[exponent + 1]:
            exponent += 1
        while x < 1.0 and x < _LEAST[-exponent]:
            exponent -= 1
        if exponent <= 3:
            digits = scaled(x, _POWERS[3 - exponent])
        else:
            step = _INT_POWERS[exponent - 3]
            whole = int(x)
            digits, rest = whole // step, 2 * (whole % step)
            if rest > step or (rest == step and (x > whole or digits % 2 == 1)):
                digits += 1
    else:
        x = min(x, 1.797e308)  # the greatest doubles would round up to what reads back as infinity
        exponent = math.floor(math.log10(x))
        digits = 0
        for _ in range(3):  # the logarithm may be off by one next to a power of ten, and by more where x is subnormal
            power = 3 - exponent
            value = x * 1e300 * 10.0 ** (power - 300) if power > 300 else x * 10.0**power
            digits = int(np.rint(value))
            if digits < 1000:
                exponent -= 1
            elif value >= 10000.0:
                exponent += 1
            else:
                break
    if digits == 10000:
        digits = 1000
        exponent += 1
    if exponent >= 9 or exponent < -4:
        out[at] = 48 + digits // 1000
        out[at + 1] = 46
        at = put_digits(out, at + 2, digits % 1000, 3)
        out[at] = 101
        return put_int(out, at + 1, exponent)
    if exponent >= 3:
        at = put_int(out, at, digits * _INT_POWERS[exponent - 3])
        out[at], out[at + 1] = 46, 48
        return at + 2
    if exponent >= 0:
        step = _INT_POWERS[3 - exponent]
        at = put_int(out, at, digits // step)
        out[at] = 46
        return put_digits(out, at + 1, digits % step, 3 - exponent)
    out[at], out[at + 1] = 48, 46
    at += 2
    for _ in range(-exponent - 1):
        out[at] = 48
        at += 1
    return put_digits(out, at, digits, 4)


@kernel
def millionths(quantile: float) -> int:
    """The quantile in millionths: below 1 it never becomes 1; -1 if it is not known."""
    if not math.isfinite(quantile):
        return -1
    if quantile >= 1.0:
        return 1_000_000
    return min(999_999, scaled(max(quantile, 0.0), 1e6))


@kernel
def put_millionths(out: Bytes, at: int, number: int) -> int:
    """Writes a quantile with six decimals; null if it is -1."""
    if number < 0:
        return put_text(out, at, _NULL)
    out[at], out[at + 1] = 48 + number // 1_000_000, 46
    for i in range(at + 7, at + 1, -1):
        out[i] = 48 + number % 10
        number //= 10
    return at + 8


@kernel
def mixed(word: np.uint64) -> np.uint64:
    """A bijection of 64 bits that spreads every bit over all (SplitMix64's finaliser)."""
    word ^= word >> np.uint64(30)
    word *= np.uint64(0xBF58476D1CE4E5B9)
    word ^= word >> np.uint64(27)
    word *= np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


@kernel
def put_hex(out: Bytes, at: int, word: np.uint64) -> int:
    """Writes 16 hex digits."""
    for i in range(16):
        out[at + i] = _HEX[(word >> np.uint64(60 - 4 * i)) & np.uint64(15)]
    return at + 16


@kernel
def put_ignored(out: Bytes, at: int, note: Bytes, limit: int) -> int:
    """Copies a JSON list of strings as far as whole strings fit below `limit`, and counts the others."""
    start = at
    at = put_text(out, at, _IGNORED)
    room = limit - 30  # what the count of the others may take
    more, i, fits = 0, 1, True
    while i < note.size:
        if note[i] != 34:
            i += 1
            continue
        end = i + 1
        while end < note.size and note[end] != 34:
            end += 2 if note[end] == 92 else 1
        end = min(end + 1, note.size)
        fits = fits and at + 1 + end - i <= room
        if fits:
            if out[at - 1] != 91:
                out[at] = 44
                at += 1
            at = put_text(out, at, note[i:end])
        else:
            more += 1
        i = end
    out[at] = 93
    at += 1
    if more:
        at = put_int(out, put_text(out, at, _IGNORED_MORE), more)
    return at if at <= limit else start


@kernel
def splice(
    buffer: Bytes,
    start: NDArray[np.int64],
    length: NDArray[np.int32],
    note_start: NDArray[np.int64],
    note_length: NDArray[np.int32],
    offset: NDArray[np.int64],
    index: NDArray[np.int32],
    time: NDArray[np.int64],
    flags: NDArray[np.uint8],
    feature: NDArray[np.uint8],
    score: NDArray[np.float64],
    quantile: NDArray[np.float64],
    z: NDArray[np.float64],
    expected: NDArray[np.float64],
    observed: NDArray[np.float64],
    risk: NDArray[np.int16],
    uid_from: NDArray[np.int64],
    uids: Bytes,
    uids_more: NDArray[np.int32],
    source_key: NDArray[np.uint64],
    piece: Bytes,
    piece_size: NDArray[np.int64],
    out: Bytes,
    end: NDArray[np.int64],
) -> int:
    """Writes every row's object with its member `lapwing` and LF, and where each ends; gives the bytes used."""
    features = piece_size.size // 3
    at = 0
    for row in range(start.size):
        size = length[row]
        message = buffer[start[row] : start[row] + size]
        copy = out[at : at + size]
        for i in range(size):
            byte = message[i]
            copy[i] = 32 if byte == 10 or byte == 13 else byte
        limit = at + size + MOST_ADDED - 2  # the two braces that close; the LF stands for the object's own
        at = put_text(out, at + size - 1, _HEAD)
        at = put_int(out, at, time[row] // 1000)
        at = put_text(out, at, _RISK)
        at = put_text(out, at, _NULL) if risk[row] < 0 else put_int(out, at, risk[row])
        at = put_text(out, at, _LATE if flags[row] & LATE else _IN_TIME)
        for k in range(uid_from[row], uid_from[row + 1]):
            if k > uid_from[row]:
                out[at] = 44
                at += 1
            out[at] = 34
            for i in range(16):
                byte = uids[16 * k + i]
                out[at + 1 + 2 * i] = _HEX[byte >> 4]
                out[at + 2 + 2 * i] = _HEX[byte & 15]
            out[at + 33] = 34
            at += 34
        at = put_text(out, at, _SCORES)
        first = True
        for dimension in range(1, 4):
            name = int(feature[dimension, row])
            if name == NO_FEATURE:
                continue
            if not first:
                out[at] = 44
                at += 1
            first = False
            which = (dimension - 1) * features + name
            to, since = np.uint64(at), np.uint64(64 * which)
            # All of the slot: a fixed size is two moves, and what is too much is overwritten.
            for i in range(np.uint64(64)):
                out[to + i] = piece[since + i]
            at = put_float(out, at + piece_size[which], score[dimension, row])
            at = put_text(out, at, _QUANTILE)
            rank = millionths(quantile[dimension, row])
            at = put_millionths(out, at, rank)
            if rank >= 900_000:
                at = put_float(out, put_text(out, at, _Z), z[dimension, row])
                at = put_float(out, put_text(out, at, _EXPECTED), expected[dimension, row])
                at = put_float(out, put_text(out, at, _OBSERVED), observed[dimension, row])
            out[at] = 125
            at += 1
        out[at] = 125
        at += 1
        if flags[row] & JUMPED:
            at = put_text(out, at, _JUMPED)
        if not flags[row] & HAS_ID:
            high = mixed(np.uint64(offset[row]) + source_key[0])
            low = mixed((np.uint64(index[row]) + source_key[1]) ^ high)
            at = put_hex(out, put_hex(out, put_text(out, at, _ID), high), low)
            out[at] = 34
            at += 1
        if uids_more[row] > 0:
            at = put_int(out, put_text(out, at, _ALERTS_MORE), uids_more[row])
        if note_length[row] > 2:
            note = buffer[note_start[row] : note_start[row] + note_length[row]]
            at = put_ignored(out, at, note, limit)
        out[at], out[at + 1], out[at + 2] = 125, 125, 10
        at += 3
        end[row] = at
    return at
