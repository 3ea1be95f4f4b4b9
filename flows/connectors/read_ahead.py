"""The next micro-batches are read and decoded while the flow is at the one before."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from threading import Condition
from typing import Any, Final, NamedTuple

from flows.connectors.polled import Reader
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch

AHEAD: Final = 2
"""Micro-batches of a partition at least that are ready or on their way, and threads they are decoded on: where decoding
takes longer than the rest of the flow, as it does of long records, a second core helps."""


class _Read(NamedTuple):
    raw: RawBatch | None
    decoded: Decoded | None
    ended: bool
    silent: bool


class ReadAhead:
    """A `Reader` that is some micro-batches ahead of whom it serves, on threads that partitions may share.

    It is two ahead, or as many as whom it serves takes at `most` at once.

    The reader behind serves one thread at a time, in order; what it gave is decoded beside its next read. What this
    one says of itself is what the reader said when the micro-batch given last was read. It runs ahead only after a
    micro-batch, so that a silent source is asked when it is polled and not before; a failed read is raised by the
    `read` that it would have served. `decode` knows the micro-batch given last and has it already; any other it decodes
    on the spot.
    """

    def __init__(self, reader: Reader, decode: Callable[[RawBatch], Decoded], threads: Executor, most: int = 1) -> None:
        self._reader = reader
        self._decode = decode
        self._threads = threads
        self._most = max(AHEAD, most)
        self._turn = Condition()
        self._reading = False
        self._more = True
        self._ahead: deque[Future[_Read]] = deque()
        self._given = _Read(None, None, False, False)

    @property
    def ended(self) -> bool:
        """As `Reader`."""
        return self._given.ended

    @property
    def silent(self) -> bool:
        """As `Reader`."""
        return self._given.silent

    def ready(self) -> bool:
        """Whether `read` has something to give, and need not wait for it."""
        with self._turn:
            first = self._ahead[0] if self._ahead else None
            return first is not None and first.done() and first.exception() is None and first.result().raw is not None

    def read(self) -> RawBatch | None:
        """As `Reader`; waits for the read that is under way."""
        with self._turn:
            if not self._ahead:
                self._more = True
                self._go_on()
            job = self._ahead[0]
        try:
            self._given = job.result()
        finally:
            with self._turn:
                self._ahead.popleft()
                self._go_on()
        return self._given.raw

    def decode(self, raw: RawBatch) -> Decoded:
        """What `decode` makes of a micro-batch."""
        given = self._given
        if raw is not given.raw or given.decoded is None:
            return self._decode(raw)
        self._given = given._replace(decoded=None)  # the caller writes into it: it is given once
        return given.decoded

    def position(self, offset: int) -> Any:
        """As `Reader`."""
        with self._turn:
            self._turn.wait_for(lambda: not self._reading)
            return self._reader.position(offset)

    def close(self) -> None:
        """As `Reader`."""
        with self._turn:
            self._more = False
            self._turn.wait_for(lambda: not self._reading)
            self._reader.close()
        wait(self._ahead)

    def _go_on(self) -> None:
        """Begin the next read, unless one is under way or there is no need for it. `_turn` is held."""
        if self._more and not self._reading and len(self._ahead) < self._most:
            self._reading = True
            self._ahead.append(self._threads.submit(self._read))

    def _read(self) -> _Read:
        raw, ended, silent = None, True, False
        try:
            raw = self._reader.read()
            ended, silent = self._reader.ended, self._reader.silent
        finally:
            with self._turn:
                self._reading = False
                self._more &= raw is not None and not ended
                self._go_on()
                self._turn.notify_all()
        return _Read(raw, self._decode(raw) if raw is not None and len(raw) else None, ended, silent)
