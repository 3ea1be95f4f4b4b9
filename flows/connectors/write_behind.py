"""Writes that the flow does not wait for."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

WAITING = 2
"""Writes that may wait in any case, the one under way among them: each holds a batch's lines in memory."""


class WriteBehind:
    """Does writes one after another on a thread of its own, while the flow goes on.

    A write that fails is the last one: what was handed over after it is not done. Its error is raised by the next
    call of `write`, `look` or `settle`. Nothing is sure to be written before `settle` has returned. Beyond those
    that may be `waiting`, as many wait as have `room` together for the bytes that each holds.

    >>> behind, seen = WriteBehind(), []
    >>> for i in range(5):
    ...     behind.write(lambda i=i: seen.append(i))
    >>> behind.settle()
    >>> seen
    [0, 1, 2, 3, 4]
    >>> behind.close()
    """

    def __init__(self, room: int = 0, waiting: int = WAITING) -> None:
        self._thread = ThreadPoolExecutor(1, "write-behind")
        self._pending: deque[tuple[Future[None], int]] = deque()
        self._room, self._waiting = room, waiting
        self._held = 0
        self._failed = False

    def write(self, job: Callable[[], object], size: int = 0) -> None:
        """Hand over a write that holds `size` bytes; waits while too many do."""
        self.look()
        self._pending.append((self._thread.submit(self._do, job), size))
        self._held += size
        while len(self._pending) > self._waiting and self._held >= self._room:
            self._take()

    def look(self) -> None:
        """Raise the error of a write that has failed; waits for nothing."""
        while self._pending and self._pending[0][0].done():
            self._take()

    def settle(self) -> None:
        """Wait for all writes."""
        while self._pending:
            self._take()

    def close(self) -> None:
        """Wait for all writes, and end the thread; says nothing of failures: it also comes when another step has."""
        self._thread.shutdown()

    def _take(self) -> None:
        done, size = self._pending.popleft()
        self._held -= size
        done.result()

    def _do(self, job: Callable[[], object]) -> None:
        if self._failed:
            return
        try:
            job()
        except BaseException:
            self._failed = True
            raise
