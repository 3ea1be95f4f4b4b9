"""Durations as people write them in config: a number and a unit in one string."""

import re
from typing import Final

UNITS: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
"""Microseconds of each unit."""

LONGEST: Final = 3_660 * UNITS["d"]
"""Ten years; nothing in Lapwing waits longer."""

_FORM: Final = re.compile(r"([0-9]{1,15})(us|ms|s|m|h|d)", re.ASCII)


def microseconds(text: str) -> int:
    """The duration as integer microseconds.

    Raises
    ------
    ValueError
        If it is not a whole number directly followed by one of the units us, ms, s, m, h, d, or is above ten years.

    >>> microseconds("5s"), microseconds("500ms"), microseconds("7d")
    (5000000, 500000, 604800000000)
    >>> microseconds("5 seconds")
    Traceback (most recent call last):
    ValueError: Expected a duration such as "500ms", "5s", "10m" or "7d"
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError('Expected a duration such as "500ms", "5s", "10m" or "7d"')
    length = int(found[1]) * UNITS[found[2]]
    if length > LONGEST:
        raise ValueError("Expected a duration of at most ten years")
    return length


def is_duration(value: object) -> bool:
    """Whether a value is a string that `microseconds` reads.

    >>> is_duration("10m"), is_duration("lapwing"), is_duration(5)
    (True, False, False)
    """
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


def spell(length: int) -> str:
    """The shortest string that `microseconds` reads as this length, in the largest unit that divides it.

    >>> spell(600_000_000), spell(1_500_000), spell(0)
    ('10m', '1500ms', '0s')
    """
    if length == 0:
        return "0s"
    unit = next(unit for unit in reversed(UNITS) if length % UNITS[unit] == 0)
    return f"{length // UNITS[unit]}{unit}"
