"""When: RFC 3339 texts and epoch numbers to microseconds UTC, exactly, by integers."""

import numpy as np
from numpy.typing import NDArray

from models.base import NONE_TIME
from models.kernels.kernel import kernel

EARLIEST = 946_684_800_000_000
"""2000-01-01T00:00:00Z: nothing before it is an event's time."""
LATEST = 4_133_980_800_000_000
"""2101-01-01T00:00:00Z: nothing from it on is an event's time."""


@kernel
def _two(buffer: NDArray[np.uint8], i: int) -> int:
    """Two decimal digits as a number, or a number below 0."""
    tens = np.int64(buffer[i]) - 0x30
    ones = np.int64(buffer[i + 1]) - 0x30
    if tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return -100_000
    return tens * 10 + ones


@kernel
def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 in the Gregorian calendar, for years from 1970 on."""
    y = year - 1 if month <= 2 else year
    shifted = month + 9 if month <= 2 else month - 3
    return 365 * y + y // 4 - y // 100 + y // 400 + (153 * shifted + 2) // 5 + day - 1 - 719_468


@kernel
def _possible(micros: int) -> int:
    """The time itself where it lies between EARLIEST and LATEST, else NONE_TIME."""
    return micros if EARLIEST <= micros < LATEST else NONE_TIME


@kernel
def stamp(buffer: NDArray[np.uint8], at: int, size: int) -> int:
    """An RFC 3339 date-time with offset, cut to microseconds, or NONE_TIME; second 60 is the next minute's first."""
    if size < 20 or size > 64:
        return NONE_TIME
    end = at + size
    year = _two(buffer, at) * 100 + _two(buffer, at + 2)
    month = _two(buffer, at + 5)
    day = _two(buffer, at + 8)
    hour = _two(buffer, at + 11)
    minute = _two(buffer, at + 14)
    second = _two(buffer, at + 17)
    if buffer[at + 4] != 0x2D or buffer[at + 7] != 0x2D or buffer[at + 13] != 0x3A or buffer[at + 16] != 0x3A:
        return NONE_TIME
    between = buffer[at + 10]
    if between != 0x54 and between != 0x74 and between != 0x20:
        return NONE_TIME
    if year < 1999 or month < 1 or month > 12 or day < 1 or hour < 0 or minute < 0 or second < 0:
        return NONE_TIME
    if hour > 23 or minute > 59 or second > 60:
        return NONE_TIME
    longest = 31
    if month == 2:
        longest = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        longest = 30
    if day > longest:
        return NONE_TIME
    i = at + 19
    fraction = 0
    if buffer[i] == 0x2E:
        i += 1
        first = i
        weight = 100_000
        while i < end and 0x30 <= buffer[i] <= 0x39:
            fraction += weight * (np.int64(buffer[i]) - 0x30)
            weight //= 10
            i += 1
        if i == first or i >= end:
            return NONE_TIME
    seconds = ((_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
    zone = buffer[i]
    if zone == 0x5A or zone == 0x7A:
        if i + 1 != end:
            return NONE_TIME
    elif zone == 0x2B or zone == 0x2D:
        if i + 6 != end or buffer[i + 3] != 0x3A:
            return NONE_TIME
        ahead_hours = _two(buffer, i + 1)
        ahead_minutes = _two(buffer, i + 4)
        if ahead_hours < 0 or ahead_hours > 23 or ahead_minutes < 0 or ahead_minutes > 59:
            return NONE_TIME
        ahead = (ahead_hours * 60 + ahead_minutes) * 60
        seconds += -ahead if zone == 0x2B else ahead
    else:
        return NONE_TIME
    return _possible(seconds * 1_000_000 + fraction)


@kernel
def epoch(buffer: NDArray[np.uint8], at: int, size: int) -> int:
    """An epoch number without exponent, cut to microseconds, or NONE_TIME: below 1e11 s, 1e14 ms, 1e17 us, else ns."""
    end = at + size
    i = at
    whole = 0
    while i < end and 0x30 <= buffer[i] <= 0x39:
        if i - at >= 19:
            return NONE_TIME
        whole = whole * 10 + np.int64(buffer[i]) - 0x30
        i += 1
    if i == at or whole < 0:
        return NONE_TIME
    if whole >= 100_000_000_000_000_000:
        micros = whole // 1000
        places = 0
    elif whole >= 100_000_000_000_000:
        micros = whole
        places = 0
    elif whole >= 100_000_000_000:
        micros = whole * 1000
        places = 3
    else:
        micros = whole * 1_000_000
        places = 6
    if i < end:
        if buffer[i] != 0x2E or i + 1 == end:
            return NONE_TIME
        weight = 10**places // 10
        for k in range(i + 1, end):
            if buffer[k] < 0x30 or buffer[k] > 0x39:
                return NONE_TIME
            micros += weight * (np.int64(buffer[k]) - 0x30)
            weight //= 10
    return _possible(micros)
