"""Windows and the panes they are made of."""

import re
from typing import Final

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
AHEAD: Final = 200 * SECOND
"""Events may be so far ahead of the panes that close: their panes need room in the same ring."""
_RING: Final = 64

PANES: Final = (5 * SECOND, 30 * SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE)
"""Every pane, microseconds."""
MOST_PANES: Final = {pane: _RING - 1 - -(-AHEAD // pane) for pane in PANES}
"""Panes of a window at most, by pane."""
_FIXED: Final = {
    MINUTE: 5 * SECOND, 5 * MINUTE: 30 * SECOND, 10 * MINUTE: 30 * SECOND, 15 * MINUTE: MINUTE, HOUR: 5 * MINUTE,
    24 * HOUR: 30 * MINUTE,
}  # fmt: skip
_FORM: Final = re.compile(r"([0-9]{1,9})(s|m|h|d)", re.ASCII)
_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": 24 * HOUR}


def microseconds(text: str) -> int:
    """A duration in whole seconds, minutes, hours or days; -1 if it is none.

    >>> microseconds("15m"), microseconds("15 min")
    (900000000, -1)
    """
    found = _FORM.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found else -1


def pane_of(window: int) -> int:
    """The pane of a window, both in microseconds; 0 if no pane divides it into few enough.

    The usual windows have their fixed pane, any other the finest that fits.

    >>> [pane_of(microseconds(text)) // SECOND for text in ("1m", "10m", "15m", "30m", "60m", "24h", "48h", "7s")]
    [5, 30, 60, 60, 300, 1800, 0, 0]
    """
    if window <= 0:
        return 0
    fitting = (pane for pane in PANES if window % pane == 0 and window // pane <= MOST_PANES[pane])
    return _FIXED.get(window) or next(fitting, 0)


def spell(length: int) -> str:
    """A duration as people write it.

    >>> spell(90 * SECOND), spell(24 * HOUR)
    ('90s', '24h')
    """
    unit = next(unit for unit in "hms" if length % _UNITS[unit] == 0)
    return f"{length // _UNITS[unit]}{unit}"


def whole_minutes(text: str, path: str) -> list[str]:
    """What is wrong with a length that counts minutes, one line a fault.

    >>> whole_minutes("24h", "$.after"), whole_minutes("90s", "$.after")
    ([], ['Expected whole minutes, at most "90d", got "90s" - at $.after'])
    """
    length = microseconds(text)
    if 0 <= length <= 90 * 24 * HOUR and length % MINUTE == 0:
        return []
    return [f'Expected whole minutes, at most "90d", got "{text[:20]}" - at {path}']
