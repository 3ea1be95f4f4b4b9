"""Times that options give, as microseconds UTC."""

from datetime import UTC, datetime

from flows.errors import UsageError


def micros(text: str | None, option: str) -> int | None:
    """A date, or a time in RFC 3339, as microseconds; None for None.

    >>> micros("2026-11-02", "--from"), micros("2026-11-02T01:00:00.5+01:00", "--to"), micros(None, "--to")
    (1793577600000000, 1793577600500000, None)
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is not None and len(text) == 10:
        moment = moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise UsageError(f"{option}: Expected a date or an RFC 3339 time such as 2026-11-07T08:00:00Z")
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def span(start: str | None, end: str | None) -> tuple[int | None, int | None]:
    """The range from `--from` (inclusive) to `--to` (exclusive).

    >>> span("2026-11-03", "2026-11-02")
    Traceback (most recent call last):
    flows.errors.UsageError: --to: is not later than --from
    """
    first, last = micros(start, "--from"), micros(end, "--to")
    if first is not None and last is not None and last <= first:
        raise UsageError("--to: is not later than --from")
    return first, last
