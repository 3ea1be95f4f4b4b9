"""Strands: work that goes on beside other work, each strand's in its own order."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from heapq import heappop, heappush, heappushpop
from threading import Lock
from typing import Any

Job = Callable[[], Any]


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

    def add(self, strand: "Strand", job: Job) -> "Future[Any]":
        """A job for a strand."""
        future: Future[Any] = Future()
        if self._threads is None:
            _do(job, future)
            return future
        with self._lock:
            strand.jobs.append((job, future))
            if len(strand.jobs) == 1:
                heappush(self._due, (strand.done, strand.number, strand))
                self._threads.submit(self._work)
        return future

    def _work(self) -> None:
        """Do what comes first, and go on for as long as the strand just left has more to do: one for each strand."""
        with self._lock:
            strand = heappop(self._due)[2]
        while True:
            _do(*strand.jobs[0])
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
        self.jobs: deque[tuple[Job, Future[Any]]] = deque()
        self._strands = strands

    def add(self, job: Job) -> "Future[Any]":
        """Do this after what was added before; what it raises is raised by the result."""
        return self._strands.add(self, job)


def _do(job: Job, future: "Future[Any]") -> None:
    try:
        result = job()
    except BaseException as error:  # noqa: BLE001 (who asks for the result gets it)
        future.set_exception(error)
    else:
        future.set_result(result)
