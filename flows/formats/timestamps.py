"""Times as a declared mapping names them: RFC 3339, an epoch, or a format such as `%d/%b/%Y:%H:%M:%S %z`."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EPOCHS: Final = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
"""Microseconds in one of each."""
_TOLD: Final = {1_000_000: (1, 10**11), 1_000: (10**11, 10**14), 1: (10**14, 10**17)}
"""From where to before where a number says itself that it is one of them."""
RFC_3339: Final = "rfc3339"
PASSING: Final = (RFC_3339, *EPOCHS)
"""Formats whose ordinary times are passed on as they are."""
LONGEST: Final = 128

_MINUTE: Final = timedelta(minutes=1)
_FIELDS: Final = {
    "Y": r"\d{4}", "m": r"\d\d", "b": r"[A-Za-z]{3}", "d": r"\d\d", "H": r"\d\d", "M": r"\d\d", "S": r"\d\d",
    "f": r"\d{1,6}", "z": r"[+-]\d\d:?[0-5]\d",
}  # fmt: skip
_MONTHS: Final = {
    name: at
    for at, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1)
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US: Final = 4_102_444_800_000_000
_PROBE: Final = datetime(2026, 11, 23, 17, 6, 7, tzinfo=timezone(timedelta(hours=2)))
_WHOLE: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|\+\d\d:\d\d)", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,19}(?:\.\d{1,12})?", re.ASCII)

Reader = Callable[[Any], str | int | None]
"""A value to an RFC 3339 time with offset or an epoch number, or None where it is not of the format. Never raises."""


def zone(name: str) -> tzinfo:
    """The time zone of an IANA name.

    Raises
    ------
    ValueError
        If there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('Expected an IANA time zone such as "Europe/Berlin"') from None


def reader(form: str, within: tzinfo | None) -> Reader:
    """What reads times of a format; `within` is the zone of those that have no offset.

    Of the two times that one clock reading may mean when clocks are put back, the earlier.

    Raises
    ------
    ValueError
        If the format names no whole moment: no year, no hour, or neither `%z` nor a zone.

    >>> reader("%d/%b/%Y:%H:%M:%S %z", None)("23/Nov/2026:07:00:00 +0200")
    '2026-11-23T07:00:00+02:00'
    >>> reader("epoch_ms", None)("1795410000123"), reader("epoch_ms", None)(5)
    (1795410000123, '1970-01-01T00:00:00.005000+00:00')
    """
    if form in EPOCHS:
        return _epoch(EPOCHS[form])
    if form == RFC_3339:
        return lambda value: _iso(value, within)
    if "%" not in form:
        raise ValueError(f'Expected {RFC_3339}, {", ".join(EPOCHS)}, or a format such as "%Y-%m-%d %H:%M:%S"')
    if "%z" not in form and within is None:
        raise ValueError("Expected %z in it, or a timezone beside it")
    try:
        back = datetime.strptime(_PROBE.strftime(form), form)
    except (ValueError, re.error):
        raise ValueError("Expected a format that can be read, with directives such as %Y %m %d %H %M %S %z") from None
    if back.replace(tzinfo=None, second=0) != _PROBE.replace(tzinfo=None, second=0):
        raise ValueError("Expected a format with year, month, day, hour and minute (%p beside %I)")
    return _usual(form, within) or (lambda value: _strptime(value, form, within))


def _usual(form: str, within: tzinfo | None) -> Reader | None:
    """What reads the usual spelling of usual formats, a tenth of `strptime`'s work, and leaves all else to that."""
    names: list[str] = []
    pattern = ""
    for directive, literal in re.findall(r"%(.)|([^%]+)", form, re.DOTALL):
        if directive and (directive not in _FIELDS or directive in names or literal):
            return None
        names += directive
        pattern += f"({_FIELDS[directive]})" if directive else re.escape(literal)
    if not {*"YdHM"} <= {*names} or ("m" in names) == ("b" in names):
        return None
    match = re.compile(pattern, re.ASCII).fullmatch
    order = [names.index(name) if name in names else -1 for name in ("Y", "m" if "m" in names else "b", *"dHMSfz")]
    year, month, day, hour, minute, second, fraction, offset = order

    def read(value: Any) -> str | None:
        found = match(value) if type(value) is str and len(value) <= LONGEST else None
        if found is None:
            return _strptime(value, form, within)
        part = found.groups()
        name = part[month]
        try:
            moment = datetime(
                int(part[year]),
                _MONTHS[name.lower()] if name.isalpha() else int(name),
                int(part[day]),
                int(part[hour]),
                int(part[minute]),
                int(part[second]) if second >= 0 else 0,
                int(part[fraction].ljust(6, "0")) if fraction >= 0 else 0,
                _offset(part[offset]) if offset >= 0 else within,
            )
            return moment.isoformat() if offset >= 0 else _text(moment, within)
        except (KeyError, ValueError, OverflowError):
            return _strptime(value, form, within)

    return read


@lru_cache(256)
def _offset(text: str) -> timezone:
    """The zone of an offset such as `+0200`."""
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


def _text(moment: datetime, within: tzinfo | None) -> str | None:
    if moment.tzinfo is None:
        if within is None:
            return None
        moment = moment.replace(tzinfo=within)
    offset = moment.utcoffset()
    if offset is None or offset % _MINUTE:  # a local mean time: RFC 3339 has no seconds in an offset
        return moment.astimezone(UTC).isoformat()
    return moment.isoformat()


def _iso(value: Any, within: tzinfo | None) -> str | None:
    if type(value) is not str or len(value) > LONGEST:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return _text(moment, within) if _WHOLE.fullmatch(value) is None else value
    except (ValueError, OverflowError):
        return None


def _strptime(value: Any, form: str, within: tzinfo | None) -> str | None:
    if type(value) is not str or len(value) > LONGEST:
        return None
    try:
        return _text(datetime.strptime(value, form), within)
    except (ValueError, OverflowError):
        return None


def _epoch(unit: int) -> Reader:
    first, end = _TOLD[unit]

    def read(value: Any) -> str | int | None:
        if isinstance(value, str):
            if _NUMBER.fullmatch(value) is None:
                return None
            value = float(value) if "." in value else int(value)
        if type(value) is int and first <= value < end:
            return value
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) * unit < _LAST_US:
            return None
        return (_EPOCH + timedelta(microseconds=round(value * unit))).isoformat()

    return read
