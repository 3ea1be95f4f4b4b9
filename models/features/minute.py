"""What is counted of a tenant's minute, and the names under which it is shown."""

from typing import Final

COUNTS: Final = ("minute_events", "minute_failures", "minute_errors", "minute_deletions", "minute_resets")
"""The columns of a minute's row, in the order of `models.kernels.panes.minute_counts`; the first two are series."""
_CALLED: Final = ("events", "failed logins", "errors", "accounts deleted", "password resets asked for")
MEANING: Final = dict(zip(COUNTS, _CALLED, strict=True))
"""What each counts, for an alert's reader."""
