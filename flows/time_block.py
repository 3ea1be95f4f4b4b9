"""`[time]`: what counts as late, as from the future, and as silence."""

import msgspec

from flows import durations
from flows.kafka_block import moment_ms

NOW = "now"
"""What `learn_until` may say instead of a time."""


class Time(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as late, as from the future, and as silence. The properties are microseconds."""

    lateness: str = "5s"
    max_skew: str = "30s"
    max_future: str = "60s"
    max_jump: str = "10m"
    late_count_max: str = "10m"
    idle_after: str = "5s"
    learn_until: str = ""

    def learn_until_us(self, now: int) -> int:
        """The end of what a first run only learns from, -1 for nothing. `now` is what now stands for."""
        if self.learn_until in ("", NOW):
            return now if self.learn_until else -1
        return moment_ms(self.learn_until) * 1000

    @property
    def lateness_us(self) -> int:
        """How far the watermark stays behind the greatest event time."""
        return durations.microseconds(self.lateness)

    @property
    def max_skew_us(self) -> int:
        """How far a partition may run ahead of the slowest."""
        return durations.microseconds(self.max_skew)

    @property
    def max_future_us(self) -> int:
        """How far an event may lie after its record timestamp."""
        return durations.microseconds(self.max_future)

    @property
    def max_jump_us(self) -> int:
        """The step in event time that a second row must confirm."""
        return durations.microseconds(self.max_jump)

    @property
    def late_count_max_us(self) -> int:
        """The lateness beyond which an event is scored but no longer added."""
        return durations.microseconds(self.late_count_max)

    @property
    def idle_after_us(self) -> int:
        """The silence after which a partition no longer holds the watermark."""
        return durations.microseconds(self.idle_after)
