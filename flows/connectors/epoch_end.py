"""The pause that a source partition makes where an epoch ends, if several processes have to end it together."""

from typing import Final

_RESTED: Final = 0.75
_LONGEST_S: Final = 1.0


class EpochEnd:
    """When an epoch is about to end, and for how long it is of no use to be polled then.

    Processes end an epoch together: shards are saved, transactions committed, and all have to hear of it. That takes
    some tenths of a second, in which Bytewax polls no partition, but a worker with one that is due asks again and again
    whether it may, and takes a core from those who save. So a partition calls itself due later: after three quarters
    of what the last end took, as it was seen from here. If that is too long the next is shorter.

    An epoch ends with the first poll that comes so long after the one that ended the last epoch. How long is learned
    from the ends that there have been. When the first epoch began is not known, so there is no pause before the third
    end. Times are seconds on one clock.

    >>> end = EpochEnd()
    >>> for time in (1.0, 2.0):
    ...     end.polled(time)
    ...     end.saved(time)
    ...     end.polled(time + 0.4)
    >>> end.rest()
    0.0
    >>> end.polled(3.0)
    >>> round(end.rest(), 3)
    0.3
    """

    def __init__(self) -> None:
        self._polled = self._began = float("-inf")
        self._length = float("inf")
        self._saved: float | None = None
        self._took = 0.0

    def polled(self, now: float) -> None:
        """The partition is asked for its next item."""
        self._polled = now
        if self._saved is not None:
            self._took, self._saved = now - self._saved, None

    def saved(self, now: float) -> None:
        """The partition is asked for its state: the last poll has ended the epoch."""
        self._length = min(self._length, self._polled - self._began)
        self._began, self._saved = self._polled, now

    def rest(self) -> float:
        """For how many seconds the partition need not be polled."""
        if self._polled - self._began < self._length:
            return 0.0
        return min(self._took * _RESTED, _LONGEST_S)
