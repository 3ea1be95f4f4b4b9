"""What a destination makes of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from flows.formats.forwarded import Record
from flows.forward_block import JSON_FORMS

LONGEST_TOLD: Final = 512
"""Characters of an answer that are kept."""
_NOT_OF_WHAT_WAS_SENT: Final = (401, 403, 404, 407, 408, 429, 503)


@dataclass(slots=True, frozen=True)
class Answer:
    """`taken` are batches, or what of them, that are known to be taken, `again` are the records that have to be sent
    again, in their order, `refused` those that never need to be, each with the answer. `why` says what is wrong,
    `wait_s` is how long the destination asks to be left alone.

    With `halve` nothing was taken because of something in the batch: it is to be sent in halves, and one that is alone
    is refused. `pending_s` is when to ask again whether what was sent has been taken; 0 where nothing is open.
    """

    taken: Sequence[Sequence[Record]] = ()
    again: Sequence[Record] = ()
    refused: Sequence[tuple[Record, str]] = ()
    why: str = ""
    wait_s: float = 0.0
    halve: bool = False
    pending_s: float = 0.0


class Client(Protocol):
    """Speaks with one destination, a batch at a time."""

    @property
    def full(self) -> bool:
        """Whether so much is open that it has to be settled before more is sent."""

    def send(self, records: Sequence[Record]) -> Answer:
        """Send a batch, and what became of it. Never raises for anything that a network or a destination does."""

    def settle(self) -> Answer:
        """What has become of what is open. Asks once."""

    def size(self, record: Record) -> int:
        """The bytes that a record takes in a batch."""

    def close(self) -> None:
        """Let go of connections."""


def text_or_json(body: bytes, form: str) -> msgspec.Raw | str:
    """A body as a member of a JSON object: as it is where it is JSON, else as a string."""
    return msgspec.Raw(body) if form in JSON_FORMS else body.decode("utf-8", "replace")


def shown(status: int, text: str | bytes) -> str:
    """What a log may tell of an answer: its text only where that is of who asks or of the service.

    Else it may quote what was sent, and that is personal.

    >>> shown(403, "Invalid token"), shown(500, "cannot read sam@example.com")
    ('HTTP 403: Invalid token', 'HTTP 500')
    """
    text = told(text) if status in _NOT_OF_WHAT_WAS_SENT else ""
    return f"HTTP {status}: {text}" if text else f"HTTP {status}"


def told(text: str | bytes) -> str:
    """An answer's text as it may be kept and shown: bounded, on one line, no control characters.

    >>> told(b"no\\x1b[31m\\nway")
    'no?[31m?way'
    """
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(c if c.isprintable() else "?" for c in plain[:LONGEST_TOLD])
