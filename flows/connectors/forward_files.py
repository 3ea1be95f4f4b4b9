"""A file of results as a Bytewax source: whole lines, to the end or as they come."""

import hashlib
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.connectors.forward_progress import ForwardProgress
from flows.errors import InputError
from flows.formats.forwarded import Message, Read

_PIECE: Final = 1 << 20
_LONGEST: Final = 1 << 26
_HEAD: Final = 4096
_LOOK_S: Final = 0.05
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
State = tuple[int, int, str]
"""The offset behind the last whole line, how many bytes of the file's head are known, and their hash."""


class FileLines(FixedPartitionedSource[Read, State]):
    """The lines of one file from where the last run ended. A line's offset is the byte at which it begins.

    A last line that has no end yet is not read by a run that follows, and by one that ends only if it is a whole
    object: of any other the rest may be still to come. What was read is known again by the file's head: one that was
    replaced or cut is refused, not read from its middle.

    Raises
    ------
    InputError
        The file cannot be read, or is not the one that was read before.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        follow: bool,
        stop: threading.Event,
        progress: ForwardProgress,
    ) -> None:
        self._path, self._name, self._progress = path, name, progress
        self._built: list[_Lines] = []
        self._make = partial(_Lines, path, name, follow, stop, progress)

    def list_parts(self) -> list[str]:
        """The file."""
        return [self._name]

    def build_part(self, step_id: str, for_part: str, resume_state: State | None) -> "_Lines":
        """Begin, or go on."""
        self._built.append(self._make(resume_state))
        return self._built[-1]

    def measure(self) -> None:
        """Say how many bytes are not delivered. From any thread, also while the flow waits for its destination."""
        delivered = self._progress.delivered.get(self._name, 0)
        with suppress(OSError):
            self._progress.waiting[self._name] = max(0, os.stat(self._path).st_size - delivered)

    def finish(self) -> None:
        """Let the file go, once the flow is over: the engine closes nothing of a flow that fails."""
        self.measure()
        for part in self._built:
            part.close()


class _Lines(StatefulSourcePartition[Read, State]):
    def __init__(
        self,
        path: Path,
        name: str,
        follow: bool,
        stop: threading.Event,
        progress: ForwardProgress,
        state: State | None,
    ) -> None:
        self._path, self._name, self._follow, self._stop = path, name, follow, stop
        self._at, self._head_size, self._head = state or (0, 0, "")
        progress.deliver({name: self._at})
        self._file: Any = None
        self._rest = b""
        self._awake: datetime | None = None

    def next_batch(self) -> list[Read]:
        if self._stop.is_set():
            raise StopIteration
        try:
            return self._read()
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read ({error.strerror})") from error

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> State:
        return (self._at, self._head_size, self._head)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _read(self) -> list[Read]:
        self._awake = None
        if self._file is None and not self._open():
            return self._nothing()
        size = os.fstat(self._file.fileno()).st_size
        if size < self._at:
            raise InputError(f"{self._path}: has {size} bytes, but {self._at} were read before: truncated or replaced")
        piece = self._file.read(_PIECE)
        text = self._rest + piece
        end = text.rfind(b"\n") + 1
        if not piece and not self._follow:
            if not _whole(text):
                raise StopIteration
            end = len(text)
        if not end:
            self._rest = text
            if len(text) > _LONGEST:
                raise InputError(f"{self._path}: the line at byte {self._at} has more than {_LONGEST} bytes")
            return [] if piece else self._nothing()
        self._rest = text[end:]
        messages, at = [], self._at
        for line in text[:end].splitlines(keepends=True) if b"\r" not in text[:end] else _lines(text[:end]):
            if value := line.rstrip(b"\r\n"):
                messages.append(Message(self._name, at, value))
            at += len(line)
        if self._head_size < _HEAD:
            self._mark(at)
        self._at = at
        return [Read(messages, {self._name: at})]

    def _nothing(self) -> list[Read]:
        if not self._follow:
            raise InputError(f"{self._path}: no such file")
        if self._file is not None:
            self._check_same()
        self._awake = datetime.now(UTC) + timedelta(seconds=_LOOK_S)
        return []

    def _open(self) -> bool:
        try:
            self._file = self._path.open("rb")
        except FileNotFoundError:
            if self._at:
                raise InputError(f"{self._path}: is gone, and {self._at} bytes of it were read before") from None
            return False
        head = self._file.read(self._head_size)
        if hashlib.sha256(head).hexdigest() != self._head and self._head_size:
            raise InputError(
                f"{self._path}: is not the file that was read before: it was replaced; give another --state directory"
            )
        self._file.seek(self._at)
        return True

    def _check_same(self) -> None:
        """Another file has come to the path: a run without state has replaced its results."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return
        ours = os.fstat(self._file.fileno())
        if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise InputError(f"{self._path}: was replaced while it was followed")

    def _mark(self, end: int) -> None:
        self._head_size = min(end, _HEAD)
        self._head = hashlib.sha256(os.pread(self._file.fileno(), self._head_size, 0)).hexdigest()


def _whole(text: bytes) -> bool:
    """Whether a text is an object, of which no beginning is one.

    >>> _whole(b'{"a":{}}'), _whole(b'{"a":{}'), _whole(b"")
    (True, False, False)
    """
    try:
        return _OBJECT.decode(text) is not None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _lines(text: bytes) -> list[bytes]:
    """Lines, each with its LF, where other line breaks lie between."""
    found = text.split(b"\n")
    lines = [line + b"\n" for line in found[:-1]]
    return [*lines, found[-1]] if found[-1] else lines
