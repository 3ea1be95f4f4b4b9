"""Work that pauses where compiled code runs, so that this may go on beside the work of others."""

from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Job = Callable[[], Any]
Steps = Generator[Job, Any, T]
"""What gives a job at each pause, is sent what the job returned, and returns the result."""


class Work(Generic[T]):
    """Steps under way: a job may be done on a thread, all else is done by whoever goes on with them.

    Between the two nothing of what the steps work on may be touched. The steps are the same ones in the same order
    whether there is a thread or not. An error is raised where it happens, and whenever the result is asked for.

    >>> def steps():
    ...     one = yield lambda: 1
    ...     return one + (yield lambda: 2)
    >>> Work(steps()).result()
    3
    """

    def __init__(self, steps: Steps[T], thread: Executor | None = None) -> None:
        self._steps = steps
        self._thread = thread
        self._lock = Lock()
        self._job: Future[Any] | None = None
        self._ended: tuple[T] | None = None
        self._error: BaseException | None = None
        self._go_on(lambda: None, thread)

    def go_on(self) -> None:
        """Wait for the job, and go on to the next pause: who has several in hand does so with each of them first."""
        with self._lock:
            if self._job is not None:
                self._go_on(self._job.result, self._thread)

    def result(self) -> T:
        """What the steps return; goes on with them where they have paused, once, whoever asks first."""
        with self._lock:
            if self._job is not None:
                self._go_on(self._job.result, None)
        if self._error is not None:
            raise self._error
        assert self._ended is not None
        return self._ended[0]

    def _go_on(self, job: Job, thread: Executor | None) -> None:
        """Go on to the next pause if its job can be done on a thread, else to the end."""
        self._job = None
        try:
            job = self._steps.send(job())
            while thread is None:
                job = self._steps.send(job())
            self._job = thread.submit(job)
        except StopIteration as end:
            self._ended = (end.value,)
        except BaseException as error:
            self._error = error
            raise
