"""Messages that carry several events, opened before they are decoded."""

from collections.abc import Callable
from typing import Any

from flows.connectors.polled import Reader
from flows.formats.raw import RawBatch

Unwrap = Callable[[RawBatch, int], tuple[RawBatch, int]]
"""Gives the events of a batch's messages from one on, and the message to go on with."""


class Unwrapping:
    """A `Reader` of events over one of messages.

    A few bytes can carry very many events, so a micro-batch of messages is opened bit by bit: what is given at once is
    bounded, and all events of a message are in it.
    """

    def __init__(self, reader: Reader, unwrap: Unwrap) -> None:
        self._reader = reader
        self._unwrap = unwrap
        self._raw: RawBatch | None = None
        self._next = 0

    @property
    def ended(self) -> bool:
        """As `Reader`."""
        return self._raw is None and self._reader.ended

    @property
    def silent(self) -> bool:
        """As `Reader`."""
        return self._raw is None and self._reader.silent

    def read(self) -> RawBatch | None:
        """As `Reader`."""
        if self._raw is None:
            self._raw, self._next = self._reader.read(), 0
        raw = self._raw
        if raw is None:
            return None
        given, self._next = self._unwrap(raw, self._next)
        if self._next >= len(raw):
            self._raw = None
        return given

    def position(self, offset: int) -> Any:
        """As `Reader`."""
        return self._reader.position(offset)

    def close(self) -> None:
        """As `Reader`."""
        self._reader.close()
