"""The next micro-batch is read and decoded while the flow is at the one before."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, wait
from typing import Any, NamedTuple

from flows.connectors.polled import Reader
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch


class _Read(NamedTuple):
    raw: RawBatch | None
    decoded: Decoded | None
    ended: bool
    silent: bool


class ReadAhead:
    """A `Reader` that is one micro-batch ahead of whom it serves, on a thread that partitions may share.

    What it says of itself is what the reader behind it said when the micro-batch given last was read. It runs ahead
    only after a micro-batch, so that a silent source is asked when it is polled and not before; a failed read is
    raised by the `read` that it would have served. `decode` knows the micro-batch given last and has it already; any
    other it decodes on the spot.
    """

    def __init__(self, reader: Reader, decode: Callable[[RawBatch], Decoded], thread: Executor) -> None:
        self._reader = reader
        self._decode = decode
        self._thread = thread
        self._next: Future[_Read] | None = None
        self._given = _Read(None, None, False, False)

    @property
    def ended(self) -> bool:
        """As `Reader`."""
        return self._given.ended

    @property
    def silent(self) -> bool:
        """As `Reader`."""
        return self._given.silent

    def read(self) -> RawBatch | None:
        """As `Reader`; waits for the read that is under way."""
        job = self._next or self._thread.submit(self._read)
        self._next = None
        self._given = job.result()
        if self._given.raw is not None and not self._given.ended:
            self._next = self._thread.submit(self._read)
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
        self._rest()
        return self._reader.position(offset)

    def close(self) -> None:
        """As `Reader`."""
        self._rest()
        self._reader.close()

    def _rest(self) -> None:
        """Let the read under way end: the reader behind serves one thread at a time."""
        if self._next is not None:
            wait((self._next,))

    def _read(self) -> _Read:
        raw = self._reader.read()
        decoded = self._decode(raw) if raw is not None and len(raw) else None
        return _Read(raw, decoded, self._reader.ended, self._reader.silent)
