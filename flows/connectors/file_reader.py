"""The files of one source partition, read one after another."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

from flows.connectors.file_tree import STDIN, FileTree
from flows.connectors.lines import LineReader
from flows.connectors.streams import Pipe, Stream, named, open_stream
from flows.connectors.unwrapping import Unwrap
from flows.errors import InputError
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch
from models.base import END_OF_TIME

SEQUENCE_SHIFT: Final = 40
"""An offset is (the file's place in the partition's sequence << 40) | line number."""
_HEAD: Final = 1024
_SNIFF_BYTES: Final = 256 * 1024
_SNIFF_ROWS: Final = 64


@dataclass(slots=True, frozen=True)
class Stretch:
    """A piece of a file in the partition's sequence; a file that grew after its end has another one later."""

    name: str
    position: int = 0  # in the (decompressed) bytes
    line: int = 0
    end_position: int = -1  # -1: not read to its end
    end_line: int = 0
    size: int = 0  # on disk, when its end was reached
    head_size: int = 0
    head: str = ""  # a hash of the file's first bytes, to know it again


class FileReader:
    """Reads a partition's files in the order of the first event time in them, ties by name.

    The order is kept in the position, so that later runs go on in it: files that came later stand after it, and so
    does what a finished file has grown by. The position is plain: (stretches, sequence number, byte, line), at or
    shortly before the next message: some messages come again, and `Partition` passes over them by their offset.

    Raises `InputError` where a file vanished before it was read, shrank, is another one than before or is damaged.
    """

    def __init__(
        self,
        tree: FileTree,
        partition: str,
        decode: Callable[[RawBatch], Decoded],
        batch_rows: int,
        max_message_bytes: int,
        position: Any = None,
        reached: int = -1,
        unwrap: Unwrap | None = None,
    ) -> None:
        self._tree = tree
        self._partition = partition
        self._decode = decode
        self._unwrap = unwrap
        self._batch_rows = batch_rows
        self._max_message = max_message_bytes
        self._saved = position
        self._reached = reached
        self._stretches: list[Stretch] = []
        self._at = -1  # sequence number of the open one
        self._lines: dict[int, LineReader] = {}
        self._stream: Stream | None = None
        self._bytes_before = 0
        self.ended = False
        self.silent = False

    @property
    def bytes_read(self) -> int:
        """Bytes taken from disk so far, all files."""
        stream = self._stream
        return self._bytes_before + (stream.taken if stream is not None else 0)

    def read(self) -> RawBatch | None:
        """The next micro-batch of the open file; None at a file's end, and while there is nothing."""
        if self.ended:
            return None
        if self._at < 0:
            self._line_up()
        elif self._stream is None:
            following = self._stretches[self._at + 1]
            self._open(self._at + 1, following.position, following.line)
        if self.ended:
            return None
        lines = self._lines[self._at]
        raw = lines.read()
        self.silent = lines.starved and isinstance(self._stream, Pipe)
        if lines.ended:
            self._finish(lines)
        return raw

    def position(self, offset: int) -> Any:
        """As `Reader`: the stretches, and the mark at or before the message after `offset`."""
        if not self._lines:
            return self._saved
        sequence, line = divmod(offset + 1, 1 << SEQUENCE_SHIFT)
        for passed in [number for number in self._lines if number < sequence]:
            del self._lines[passed]
        first = min(self._lines)
        line, position = self._lines[first].mark(line if first == sequence else 0)
        stretches = tuple(astuple(stretch) for stretch in self._stretches)
        return (stretches, first, position, line)

    def close(self) -> None:
        """Close the open file."""
        if self._stream is not None:
            self._bytes_before += self._stream.taken
            self._stream.close()
            self._stream = None

    def _line_up(self) -> None:
        """Fix the sequence of files and open the first that is not done."""
        position = line = sequence = 0
        if self._saved is not None:
            stretches, sequence, position, line = self._saved
            self._stretches = [Stretch(*s) for s in stretches]
        known = {s.name for s in self._stretches}
        fresh = [Stretch(name) for name in self._tree.files.get(self._partition, ()) if name not in known]
        newest = {s.name: (number, s) for number, s in enumerate(self._stretches)}
        for number, stretch in newest.values():
            if number < sequence and self._grown(stretch):
                fresh.append(replace(stretch, position=stretch.end_position, line=stretch.end_line))
        if len(fresh) > 1:
            fresh.sort(key=lambda s: (self._first_time(s), s.name))
        self._stretches += fresh
        if sequence < len(self._stretches) and self._done_and_gone(self._stretches[sequence], position):
            sequence, position, line = sequence + 1, 0, 0
        self._stretches[sequence:] = [replace(s, end_position=-1) for s in self._stretches[sequence:]]
        if sequence == len(self._stretches):
            self.ended = True
        else:
            first = self._stretches[sequence]
            self._open(sequence, max(position, first.position), max(line, first.line))

    def _open(self, sequence: int, position: int, line: int) -> None:
        path = self._tree.path(self._partition, self._stretches[sequence].name)
        self._check_head(sequence, path)
        self._stream = open_stream(path, max(0, position - 1))
        if isinstance(self._stream, Pipe):
            position, line = 0, (self._reached + 1) & ((1 << SEQUENCE_SHIFT) - 1)
        self._at = sequence
        self._lines[sequence] = LineReader(
            self._partition, self._stream, sequence << SEQUENCE_SHIFT, line, position,
            self._batch_rows, self._max_message,
        )  # fmt: skip

    def _finish(self, lines: LineReader) -> None:
        """Note where the open file ended."""
        assert self._stream is not None
        self._stretches[self._at] = replace(
            self._stretches[self._at],
            end_position=lines.position,
            end_line=lines.line,
            size=self._stream.taken,
        )
        self.close()
        self.ended = self._at + 1 == len(self._stretches)

    def _done_and_gone(self, stretch: Stretch, position: int) -> bool:
        """Whether a file was read to its end by an earlier run and has been deleted since."""
        path = self._tree.path(self._partition, stretch.name)
        return 0 <= stretch.end_position == position and self._partition != STDIN and not os.path.lexists(path)

    def _check_head(self, sequence: int, path: str) -> None:
        """Know a file again by its first bytes, or learn them."""
        if self._partition == STDIN or not os.path.isfile(path):
            return
        stretch = self._stretches[sequence]
        with named(path), open(path, "rb") as file:
            head = file.read(stretch.head_size or _HEAD)
        digest = hashlib.blake2b(head, digest_size=8).hexdigest()
        if stretch.head_size and digest != stretch.head:
            raise InputError(f"{path}: is not the file that was read before: its first bytes differ")
        self._stretches[sequence] = replace(stretch, head_size=len(head), head=digest)

    def _grown(self, stretch: Stretch) -> bool:
        path = self._tree.path(self._partition, stretch.name)
        if not os.path.isfile(path):
            return False
        size = os.path.getsize(path)
        if size < stretch.size:
            raise InputError(f"{path}: has {size} bytes, but {stretch.size} were read before: truncated or replaced")
        return size > stretch.size

    def _first_time(self, stretch: Stretch) -> int:
        """The first event's time among the first lines; END_OF_TIME, so that it comes last, if none can be read."""
        path = self._tree.path(self._partition, stretch.name)
        stream = open_stream(path, max(0, stretch.position - 1))
        lines = LineReader(
            self._partition, stream, 0, stretch.line, stretch.position, _SNIFF_ROWS, self._max_message
        )  # fmt: skip
        try:
            while not lines.ended and lines.position - stretch.position < _SNIFF_BYTES:
                raw = lines.read()
                if raw is not None and len(raw):
                    times = self._times(raw)
                    if times:
                        return times[0]
        finally:
            stream.close()
        return END_OF_TIME

    def _times(self, raw: RawBatch) -> list[int]:
        """The event times of a few messages, or of the first of them that give some."""
        first, times = 0, list[int]()
        while first < len(raw) and not times:
            some, first = (raw, len(raw)) if self._unwrap is None else self._unwrap(raw, first)
            times = self._decode(some).time.tolist()
        return times
