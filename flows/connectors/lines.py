"""Messages from a byte stream: LF ends a line, a trailing CR is dropped, and no line can be too long to hold."""

import hashlib
from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.connectors.streams import Stream
from flows.errors import InputError
from flows.formats.raw import RawBatch
from models.base import NONE_TIME
from models.event import DeadLetter
from models.kernels.lines import CR, LF, split_lines

BODY: Final = 64 * 1024
"""So many bytes of a refused message are kept."""
_LEAST: Final = 64 * 1024
_MOST: Final = 4 * 1024 * 1024


class LineReader:
    """Cuts a stream into micro-batches of lines, numbered from `line` on; offsets are `base | line number`.

    An empty line is a message of length 0; a last line without LF counts. A line above `max_message_bytes` is no
    row but an `oversize` dead letter with its true size, its sha256 and its first 64 KiB; it is streamed past, so
    memory is bounded by about 4 MiB and one message whatever the line's length. A buffer handed out is never
    written again: batches are views of it.

    To go on at a position above 0 the stream must begin one byte before it: where that byte is no LF, an open last
    line was counted before the file grew. Its line end, if that is what follows, is passed over; more text counts as
    a line of its own.
    """

    def __init__(
        self,
        source: str,
        stream: Stream,
        base: int = 0,
        line: int = 0,
        position: int = 0,
        batch_rows: int = 4096,
        max_message_bytes: int = 1 << 20,
    ) -> None:
        self.line = line
        self.ended = False
        self.starved = False
        self._source = source
        self._stream = stream
        self._base = base
        self._batch_rows = batch_rows
        self._max_message = max_message_bytes
        self._expected = 430.0
        self._buffer: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._at = self._end = 0
        self._buffer_position = max(0, position - 1)
        self._drained = False
        self._giant: _Giant | None = None
        self._behind = position > 0
        self._marks = deque([(line, position)])

    @property
    def position(self) -> int:
        """The stream's position of the next line."""
        return self._buffer_position + self._at

    def mark(self, line: int) -> tuple[int, int]:
        """The last known (line, position) at or before `line`; earlier ones are forgotten."""
        while len(self._marks) > 1 and self._marks[1][0] <= line:
            self._marks.popleft()
        return self._marks[0]

    def read(self) -> RawBatch | None:
        """The next micro-batch; None if the stream has no whole line now. At the end `ended` is set."""
        if self.ended:
            return None
        refused: list[DeadLetter] = []
        start = np.empty(self._batch_rows, np.int64)
        length = np.empty(self._batch_rows, np.int64)
        rows, next_at = (0, self._at) if self._giant or self._behind else self._split(start, length)
        if rows < self._batch_rows and not self._drained:
            self._fill()
            if self._behind:
                self._pass_line_end()
            if self._giant is not None:
                self._pass_giant(refused)
            rows, next_at = (0, self._at) if self._giant or self._behind else self._split(start, length)
        if rows < self._batch_rows and self._drained and not self._giant and not self._behind:
            if next_at < self._end:
                start[rows], length[rows] = next_at, self._without_cr(next_at, self._end)
                rows, next_at = rows + 1, self._end
            self.ended = next_at == self._end
        if rows == 0 and not self._drained and self._end - self._at > self._max_message + 1:
            self._giant = _Giant()
            self._giant.add(self._buffer[self._at : self._end])
            self._at = next_at = self._end
        if not rows and not refused:
            return None
        batch = self._batch(start[:rows], length[:rows], refused)
        self.line += rows
        self._at = next_at
        if rows:
            self._expected = max(16.0, (next_at - int(start[0])) / rows)
        if self._giant is None:
            self._marks.append((self.line, self.position))
        return batch

    def _split(self, start: NDArray[np.int64], length: NDArray[np.int64]) -> tuple[int, int]:
        words = self._buffer[: len(self._buffer) // 8 * 8].view(np.uint64)
        rows, next_at = split_lines(self._buffer, words, self._at, self._end, start, length)
        return int(rows), int(next_at)

    def _fill(self) -> None:
        """Move what is left to the front of a new buffer and read behind it about as much as a batch needs."""
        left = self._end - self._at
        want = int(self._expected * self._batch_rows * 1.1) - left
        want = min(max(want, _LEAST, left), _MOST)
        buffer = np.empty((left + want + 7) // 8 * 8, np.uint8)
        buffer[:left] = self._buffer[self._at : self._end]
        count = self._stream.readinto(memoryview(buffer)[left:])  # type: ignore[arg-type]
        self._buffer_position += self._at
        self._buffer, self._at, self._end = buffer, 0, left + max(count, 0)
        self.starved = count < 0
        self._drained = count == 0

    def _pass_line_end(self) -> None:
        """Pass the byte before the position, and the line end of an open last line."""
        head = self._buffer[self._at : self._at + 3][: self._end - self._at].tobytes()
        if len(head) < 3 and not self._drained:
            return
        if not head:
            raise InputError(f"{self._stream.path}: ends before the position read before: truncated or replaced")
        self._at += 1
        if head[0] != LF:
            self._at += 2 if head[1:] == b"\r\n" else int(head[1:2] == b"\n" or head[1:] == b"\r")
        self._behind = False
        self._marks[-1] = (self.line, self.position)

    def _pass_giant(self, refused: list[DeadLetter]) -> None:
        """Stream past the rest of a line that is too long to hold."""
        giant = self._giant
        assert giant is not None
        found = np.flatnonzero(self._buffer[self._at : self._end] == LF)
        stop = self._at + int(found[0]) if len(found) else self._end
        giant.add(self._buffer[self._at : stop])
        self._at = stop
        if len(found) or self._drained:
            self._at += bool(len(found))
            refused.append(giant.letter(self._source, self._base | self.line))
            self.line += 1
            self._giant = None

    def _without_cr(self, begin: int, end: int) -> int:
        return end - begin - int(self._buffer[end - 1] == CR)

    def _batch(self, start: NDArray[np.int64], length: NDArray[np.int64], refused: list[DeadLetter]) -> RawBatch:
        offset = np.arange(self.line, self.line + len(start)) | self._base
        kept = length <= self._max_message
        if not kept.all():
            for row in np.flatnonzero(~kept):
                giant = _Giant()
                giant.take(self._buffer[start[row] : start[row] + length[row]].tobytes())
                refused.append(giant.letter(self._source, int(offset[row])))
            start, length, offset = start[kept], length[kept], offset[kept]
        return RawBatch(
            source=self._source,
            buffer=self._buffer[: self._end],
            start=start,
            length=length,
            offset=offset,
            index=np.zeros(len(offset), np.int32),
            timestamp=np.full(len(offset), NONE_TIME),
            oversize=tuple(refused),
        )


class _Giant:
    """A line too long to be a message: counted and hashed, its head kept."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = 0
        self._body = b""
        self._held_cr = False

    def add(self, piece: NDArray[np.uint8]) -> None:
        """More of a line whose end is not known yet: a CR at the end is held back, it may belong to the line end."""
        if not len(piece):
            return
        if self._held_cr:
            self.take(b"\r")
        self._held_cr = bool(piece[-1] == CR)
        self.take(piece[: len(piece) - self._held_cr].tobytes())

    def take(self, piece: bytes) -> None:
        """More of the line, surely."""
        self._hash.update(piece)
        self._size += len(piece)
        self._body += piece[: BODY - len(self._body)]

    def letter(self, source: str, offset: int) -> DeadLetter:
        return DeadLetter(
            stage="source",
            reason="too_large",
            source=source,
            offset=offset,
            index=0,
            size=self._size,
            sha256=self._hash.hexdigest(),
            body=self._body,
        )
