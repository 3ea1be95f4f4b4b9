"""Simulated traffic as a Bytewax source, without a file in between."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Event
from typing import Any, Final, Protocol

from bytewax.inputs import FixedPartitionedSource

from flows.connectors.board import Board
from flows.connectors.lines import LineReader
from flows.connectors.partition import ClockParams, Partition
from flows.connectors.polled import PolledPartition, Snapshot, resumed, turn
from flows.connectors.read_ahead import AHEAD, ReadAhead
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch
from models.event import EventBatch

SYNTHETIC: Final = "synthetic"


class Chunk(Protocol):
    """Whole lines, and how many: what the simulator gives."""

    @property
    def lines(self) -> bytes:
        """ndjson, each line with its LF."""

    @property
    def count(self) -> int:
        """The number of lines."""


class SyntheticSource(FixedPartitionedSource[EventBatch, Snapshot]):
    """Plays `chunks()` as one partition, named `synthetic`; offsets are line numbers from 0.

    `chunks` must give the same bytes each time it is called: a restart generates and passes over what was read, whole
    chunks at a time. `rows`, `bytes_read`, `bytes_total` and `event_time` are those of `FileSource`.
    """

    partitions = (SYNTHETIC,)
    bytes_total = None

    def __init__(
        self,
        chunks: Callable[[], Iterator[Chunk]],
        decode: Callable[[RawBatch], Decoded],
        clock: ClockParams,
        stop: Event,
        close_at_end: bool,
        batch_rows: int = 4096,
    ) -> None:
        self._chunks = chunks
        self._decode = decode
        self._clock = clock
        self._stop = stop
        self._close_at_end = close_at_end
        self._batch_rows = batch_rows
        self._partition = Partition(SYNTHETIC, self.partitions, decode, clock, batch_rows)
        self._stream: _ChunkStream | None = None
        self.board = Board(clock.max_skew, self.partitions)

    def list_parts(self) -> list[str]:
        """The one partition."""
        return [SYNTHETIC]

    def build_part(self, step_id: str, for_part: str, resume_state: Snapshot | None) -> PolledPartition:
        """Begin the simulation, or go on behind the last line returned."""
        _, reached = resumed(resume_state, for_part)
        self._stream = _ChunkStream(self._chunks(), reached.offset + 1)
        threads = ThreadPoolExecutor(AHEAD, "read-ahead")
        most = turn(1, alone=True)
        reader = ReadAhead(_SyntheticReader(self._stream, self._batch_rows), self._decode, threads, most)
        self._partition = Partition(SYNTHETIC, self.partitions, reader.decode, self._clock, self._batch_rows, reached)
        return PolledPartition(
            self._partition, reader, self.board, self._stop, self._close_at_end, most=most, ready=reader.ready
        )

    @property
    def rows(self) -> int:
        """Events returned since the start."""
        return self._partition.messages

    @property
    def bytes_read(self) -> int:
        """Bytes generated and read."""
        return self._stream.taken if self._stream is not None else 0

    @property
    def event_time(self) -> int:
        """The greatest event time so far."""
        return self._partition.reached.greatest


class _ChunkStream:
    """The chunks' bytes from a line on, made when they are asked for."""

    path = SYNTHETIC

    def __init__(self, chunks: Iterator[Chunk], skip: int) -> None:
        self._chunks = chunks
        self._skip = skip
        self._left = memoryview(b"")
        self._taken = 0
        self.first_line = 0

    @property
    def taken(self) -> int:
        return self._taken

    def seek(self) -> int:
        """Pass over whole chunks; return the number of the first line that comes."""
        line = 0
        for chunk in self._chunks:
            if line + chunk.count > self._skip:
                self._chunks = chain((chunk,), self._chunks)
                break
            line += chunk.count
        return line

    def readinto(self, view: memoryview) -> int:
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk.lines)
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        self._taken += count
        return count

    def close(self) -> None:
        self._left = memoryview(b"")


class _SyntheticReader:
    """A LineReader over the simulation. Position is the offset alone."""

    silent = False

    def __init__(self, stream: _ChunkStream, batch_rows: int) -> None:
        self._stream = stream
        self._batch_rows = batch_rows
        self._lines: LineReader | None = None

    @property
    def ended(self) -> bool:
        return self._lines is not None and self._lines.ended

    def read(self) -> RawBatch | None:
        if self._lines is None:
            self._lines = LineReader(SYNTHETIC, self._stream, 0, self._stream.seek(), 0, self._batch_rows)
        return self._lines.read()

    def position(self, offset: int) -> Any:
        return None

    def close(self) -> None:
        self._stream.close()
