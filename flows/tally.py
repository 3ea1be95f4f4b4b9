"""How many incidents each detection has had of late."""

from collections.abc import Collection, Iterable
from typing import Final

from models.alert import CANARY, CREATE, Alert

HOUR_US: Final = 3_600_000_000
HOURS: Final = 7 * 24
"""What is of late: seven days."""

Hours = dict[str, dict[int, list[int]]]
"""By detection and hour of event time since the epoch: incidents told, and those kept back."""


class Tally:
    """Counts incidents by detection and hour of event time, for seven days: at most 168 hours for each detection.

    An incident counts in the hour in which it was found, once, with its create; a digest is none, nor is an attack of
    our own. Kept back is what went nowhere but to what is suppressed. Old hours are forgotten as later ones come.
    Nothing hangs on batches.

    >>> tally = Tally({"gone": {1: [1, 0]}, "kept": {1: [2, 0]}}, ("kept",))
    >>> tally.hours, of_late(tally.hours, "kept", HOURS), of_late(tally.hours, "kept", HOURS + 2)
    ({'kept': {1: [2, 0]}}, (2, 0), (0, 0))
    """

    def __init__(self, hours: Hours, detections: Collection[str]) -> None:
        self.hours = {name: by_hour for name, by_hour in hours.items() if name in detections}

    def count(self, alerts: Iterable[Alert]) -> None:
        """Take what goes out."""
        for alert in alerts:
            if alert.activity != CREATE or alert.digest or alert.suppressed_by == CANARY:
                continue
            by_hour = self.hours.setdefault(alert.detection, {})
            hour = alert.time // HOUR_US
            by_hour.setdefault(hour, [0, 0])[bool(alert.suppressed_by)] += 1
            for old in [one for one in by_hour if one <= hour - HOURS - 1]:
                del by_hour[old]


def of_late(hours: Hours, detection: str, now: int) -> tuple[int, int]:
    """The incidents that a detection has told, and kept back, in the hour `now` and the seven days before it."""
    mine = [counts for hour, counts in hours.get(detection, {}).items() if hour > now - HOURS]
    return sum(told for told, _ in mine), sum(kept for _, kept in mine)
