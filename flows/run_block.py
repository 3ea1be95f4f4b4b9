"""The block `[run]`: how many processes work, and when they are given up."""

from typing import Annotated

import msgspec
from msgspec import Meta

from flows import durations


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """On how many processes of this machine a run works, and how often they start again when one has failed.

    `max_restarts` are those within `restart_period`. Before the first they wait `backoff`, before each further one
    twice as long as before, `max_backoff` at most.
    """

    processes: Annotated[int, Meta(ge=1, le=64)] = 1
    max_restarts: Annotated[int, Meta(ge=0, le=1_000)] = 5
    restart_period: str = "10m"
    backoff: str = "1s"
    max_backoff: str = "1m"

    @property
    def restart_period_s(self) -> float:
        """Seconds within which restarts are counted."""
        return durations.microseconds(self.restart_period) / 1e6

    def wait_s(self, restarts: int) -> float:
        """Seconds to wait before the next start when there were so many restarts within the period.

        >>> [Run(max_backoff="5s").wait_s(restarts) for restarts in range(4)]
        [1.0, 2.0, 4.0, 5.0]
        """
        first, most = durations.microseconds(self.backoff), durations.microseconds(self.max_backoff)
        return min(first << min(restarts, 40), most) / 1e6
