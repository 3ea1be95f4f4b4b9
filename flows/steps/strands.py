"""Strands: work that goes on beside other work, each strand's in its own order."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from heapq import heappop, heappush, heappushpop
from threading import Lock
from typing import Any, Generic, TypeVar

Job = Callable[[], Any]
_T = TypeVar("_T")


class Result(Generic[_T]):
    """What a job comes to: a `Future` without its condition and its list of who waits, for there is one for each slice.

    >>> result = Result()
    >>> result.take(lambda: 1 + 1)
    >>> result.done(), result.result()
    (True, 2)
    """

    __slots__ = ("_error", "_over", "_turn", "_value")

    def __init__(self) -> None:
        self._turn = Lock()
        self._turn.acquire()
        self._value: Any = None
        self._error: BaseException | None = None
        self._over = False

    def take(self, job: Callable[[], _T]) -> None:
        """Do the job, and wake who waits for it."""
        try:
            self._value = job()
        except BaseException as error:  # noqa: BLE001 (who asks for the result gets it)
            self._error = error
        self._over = True
        self._turn.release()

    def done(self) -> bool:
        """Whether the job is over."""
        return self._over

    def result(self, timeout: float = -1) -> _T:
        """What the job gave, or raised, waiting for it; TimeoutError where that takes more than so many seconds."""
        if not self._over:
            if not self._turn.acquire(timeout=timeout):
                raise TimeoutError
            self._turn.release()  # for the next who waits
        if self._error is not None:
            raise self._error
        value: _T = self._value
        return value


class Strands:
    """Does jobs on threads: those of one strand one after another, those of several strands beside each other.

    Of all that can be done next, a job of the strand that has done least comes first: so where each of several batches
    gives every strand a job, the batches are done with in their order. Without threads a job is done on the spot.
    """

    def __init__(self, threads: Executor | None = None) -> None:
        self._threads = threads
        self._lock = Lock()
        self._due: list[tuple[int, int, Strand]] = []
        self._count = 0

    def strand(self) -> "Strand":
        """A new strand."""
        with self._lock:
            self._count += 1
            return Strand(self, self._count)

    def add(self, strand: "Strand", job: Job) -> Result[Any]:
        """A job for a strand."""
        result: Result[Any] = Result()
        if self._threads is None:
            result.take(job)
            return result
        with self._lock:
            strand.jobs.append((job, result))
            if len(strand.jobs) == 1:
                heappush(self._due, (strand.done, strand.number, strand))
                self._threads.submit(self._work)
        return result

    def _work(self) -> None:
        """Do what comes first, and go on for as long as the strand just left has more to do: one for each strand."""
        with self._lock:
            strand = heappop(self._due)[2]
        while True:
            job, result = strand.jobs[0]
            result.take(job)
            del job, result  # what they hold is not to stay until the next
            with self._lock:
                strand.jobs.popleft()
                strand.done += 1
                if not strand.jobs:
                    return
                strand = heappushpop(self._due, (strand.done, strand.number, strand))[2]


class Strand:
    """Jobs that follow each other. `jobs` has the one under way first, `done` counts those before it.

    >>> one = Strands().strand()
    >>> one.add(lambda: 1 + 1).result()
    2
    """

    def __init__(self, strands: Strands, number: int) -> None:
        self.number, self.done = number, 0
        self.jobs: deque[tuple[Job, Result[Any]]] = deque()
        self._strands = strands

    def add(self, job: Job) -> Result[Any]:
        """Do this after what was added before; what it raises is raised by the result."""
        return self._strands.add(self, job)
