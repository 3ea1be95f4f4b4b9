"""Times and durations that options give."""

from datetime import UTC, datetime
from typing import Final

from flows.durations import is_duration, microseconds
from flows.errors import UsageError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_SHOWN: Final = 40


def micros(text: str | None, option: str, now: float | None = None) -> int | None:
    """A date (its midnight, UTC) or a time in RFC 3339, as microseconds; None for None.

    Where `now` (epoch seconds) is given it may also be a duration: so long before then.

    Raises
    ------
    UsageError
        It is none of these.

    >>> micros("2026-11-02", "--from"), micros("2026-11-02T01:00:00.5+01:00", "--to"), micros(None, "--to")
    (1793577600000000, 1793577600500000, None)
    >>> micros("2h", "--since", 7200.5)
    500000
    """
    if text is None:
        return None
    if now is not None and is_duration(text):
        return round(now * 1e6) - length(text, option)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None and len(text) == len("2026-11-02"):
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        also = "" if now is None else "a duration such as 2h, "
        raise UsageError(
            f"{option}: Expected {also}a date or an RFC 3339 time with its offset from UTC such as "
            f"2026-11-07T08:00:00Z, got {text[:_LONGEST_SHOWN]!a}"
        )
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def millis(text: str | None, option: str, now: float | None = None) -> int | None:
    """The same as epoch milliseconds, rounded down."""
    found = micros(text, option, now)
    return None if found is None else found // 1000


def minute(text: str | None, option: str) -> int | None:
    """The same as epoch milliseconds, where panes must not lie across it.

    Raises
    ------
    UsageError
        It is no time, or no whole minute.

    >>> minute("2026-11-23", "--from"), minute("2026-11-23T05:00:00+01:00", "--from"), minute(None, "--from")
    (1795392000000, 1795406400000, None)
    """
    found = micros(text, option)
    if found is None:
        return None
    if found % 60_000_000:
        raise UsageError(f"{option}: Expected a whole minute, so that no pane lies across it, got {text}")
    return found // 1000


def span(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """The range from `--from` (inclusive) to `--to` (exclusive), microseconds.

    >>> span("2026-11-03", "2026-11-02")
    Traceback (most recent call last):
    flows.errors.UsageError: --to: is not later than --from
    """
    first, last = micros(start, "--from"), micros(end, "--to")
    if first is not None and last is not None and last <= first:
        raise UsageError("--to: is not later than --from")
    return first, last


def length(text: str, option: str) -> int:
    """A duration as microseconds.

    Raises
    ------
    UsageError
        It is none.

    >>> length("2h", "--for")
    7200000000
    """
    try:
        return microseconds(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None
