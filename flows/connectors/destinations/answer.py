"""What a destination makes of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from flows.formats.forwarded import Record

LONGEST_TOLD: Final = 512
"""Characters of an answer that are kept."""


@dataclass(slots=True, frozen=True)
class Answer:
    """`again` are the records that have to be sent again, in their order, `refused` those that never need to be, each
    with the answer; all others are delivered. `why` says what is wrong, `wait_s` is how long the destination asks for.

    With `halve` nothing was taken because of something in the batch: it is to be sent in halves, and one that is alone
    is refused.
    """

    again: Sequence[Record] = ()
    refused: Sequence[tuple[Record, str]] = ()
    why: str = ""
    wait_s: float = 0.0
    halve: bool = field(default=False)


class Client(Protocol):
    """Speaks with one destination, a batch at a time. It keeps no record longer than until `settle`."""

    def send(self, records: Sequence[Record]) -> Answer:
        """Send a batch, and what became of it. Never raises for anything that a network or a destination does."""

    def settle(self) -> Answer:
        """Wait for what was sent and is not confirmed yet."""

    def size(self, record: Record) -> int:
        """The bytes that a record takes in a batch."""

    def close(self) -> None:
        """Let go of connections."""


def told(text: str | bytes) -> str:
    """An answer's text as it may be kept and shown: bounded, on one line, no control characters.

    >>> told(b"no\\x1b[31m\\nway")
    'no?[31m?way'
    """
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(c if c.isprintable() else "?" for c in plain[:LONGEST_TOLD])
