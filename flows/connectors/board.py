"""Alignment: no partition runs more than `max_skew` of event time ahead of the slowest (TIME.md 1.8)."""

from collections.abc import Iterable
from threading import Lock
from typing import Final

from flows.connectors.pulse import Pulse
from models.base import END_OF_TIME, NONE_TIME

_OUT: Final = END_OF_TIME  # idle or ended: nobody waits for it


class Board:
    """Where the partitions of one process post how far they are. Shared by its workers' threads.

    A partition posts its front, the place of the first row it has pending, and may return that row only while the
    front is at most `max_skew` beyond every other partition that is neither idle nor ended: beyond its front where
    one is posted, else beyond the greatest time it has returned. A partition that has not spoken yet holds all
    others back, so `expected` must name only partitions that this process will build.

    No deadlock: of the partitions with a front the one with the smallest always passes the others' fronts, and one
    without a front is about to read, to fall idle or to end.
    """

    def __init__(self, max_skew: int, expected: Iterable[str] = ()) -> None:
        self.pulse = Pulse()
        self._max_skew = max_skew
        self._lock = Lock()
        self._at = dict.fromkeys(expected, NONE_TIME)

    def join(self, partition: str) -> None:
        """A partition was built: from now on the others wait for it."""
        with self._lock:
            self._at[partition] = NONE_TIME

    def may_return(self, partition: str, front: int) -> bool:
        """Post the front; whether its row may leave now."""
        with self._lock:
            self._at[partition] = front
            return all(front <= at + self._max_skew for other, at in self._at.items() if other != partition)

    def returned(self, partition: str, greatest: int) -> None:
        """All that was pending has left; the partition's greatest time is now this."""
        with self._lock:
            self._at[partition] = greatest

    def leave(self, partition: str) -> None:
        """The partition is idle or has ended. It counts again as soon as it posts a front."""
        with self._lock:
            self._at[partition] = _OUT
