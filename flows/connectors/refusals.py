"""Where records go that a destination refuses for good: a topic, or a file, each with the destination's answer."""

import os
from pathlib import Path
from typing import Final, Protocol

import msgspec

from flows.connectors.kafka_lines import LineSender
from flows.durable import cannot_write
from flows.formats.dead_letter import Body, bury, encode
from flows.formats.forwarded import Message

FILE: Final = "forward-dead-letters.ndjson"


class Refusals(Protocol):
    """Keeps what is refused. Raises `OutputError` where it cannot."""

    def add(self, destination: str, message: Message, id: str, reason: str, answer: str) -> None:
        """Keep one, durably by `flush`."""

    def flush(self) -> None:
        """Make what was added durable."""


def refusal(destination: str, message: Message, id: str, reason: str, answer: str, body: Body) -> bytes:
    """A dead letter with three members more: `destination`, `id`, and in `detail` the answer.

    >>> letter = refusal("siem", Message("audit.alerts/0", 7, b"{}"), "a-1", "refused", "HTTP 400: no", "redacted")
    >>> letter[:84], letter[-46:]
    (b'{"stage":"forward","reason":"refused","topic":"audit.alerts","partition":"0","offset',
     b'HTTP 400: no","destination":"siem","id":"a-1"}')
    """
    topic = message.source.rpartition("/")[0]
    letter = encode(bury(reason, message.source, message.offset, 0, message.value, answer, "forward"), topic, body)
    more = msgspec.json.encode({"destination": destination, "id": id})
    return letter[:-1] + b"," + more[1:]


class FileRefusals:
    """Lines at the end of a file, which is made when there is one."""

    def __init__(self, path: Path, body: Body) -> None:
        self._path, self._body = path, body
        self._file = -1

    def add(self, destination: str, message: Message, id: str, reason: str, answer: str) -> None:
        """As `Refusals`."""
        line = refusal(destination, message, id, reason, answer, self._body) + b"\n"
        try:
            if self._file < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                self._file = os.open(self._path, flags, 0o600)
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def flush(self) -> None:
        """As `Refusals`."""
        if self._file >= 0:
            try:
                os.fsync(self._file)
            except OSError as error:
                raise cannot_write(self._path, error) from error

    def close(self) -> None:
        """Let the file go."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class TopicRefusals:
    """Records of the topic `forward_dead_letters`, keyed as what was refused."""

    def __init__(self, sender: LineSender, body: Body) -> None:
        self._sender, self._body = sender, body

    def add(self, destination: str, message: Message, id: str, reason: str, answer: str) -> None:
        """As `Refusals`."""
        self._sender.send(refusal(destination, message, id, reason, answer, self._body), message.key or b"")

    def flush(self) -> None:
        """As `Refusals`."""
        self._sender.flush()
