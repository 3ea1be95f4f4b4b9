"""What is archived, as a Bytewax source: topics, files of results, raw events; each goes on where the trail has it."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from threading import Event
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from numpy.typing import NDArray

from flows.connectors.kafka_reader import KafkaReader, Place
from flows.connectors.lines import LineReader
from flows.connectors.streams import Pipe, open_stream
from flows.errors import InputError
from flows.formats.raw import RawBatch, raw_batch
from flows.kafka_block import Kafka
from models.event import DeadLetter
from models.kernels.lines import LF

_NAP: Final = timedelta(milliseconds=20)
_WINDOWS_AT_ONCE: Final = 4_096

Reached = Callable[[str, str], int]
"""The offset up to which the table of a kind has a source, -1 for none."""


@dataclass(slots=True, frozen=True)
class Came:
    """Messages of one log. `source` is the log, and what tells it from another that came under the same name."""

    kind: str
    log: str
    source: str
    raw: RawBatch


class Reader(Protocol):
    """Where the messages of one log come from."""

    source: str

    def read(self) -> RawBatch | None:
        """The next messages that the trail does not have; None if there are none for now."""

    @property
    def ended(self) -> bool:
        """Whether nothing will come any more."""

    @property
    def silent(self) -> bool:
        """Whether there was nothing at the last `read`."""

    @property
    def bytes_read(self) -> int:
        """Bytes taken so far."""

    def snapshot(self) -> None:
        """An epoch has ended."""

    def close(self) -> None:
        """Let go."""


@dataclass(slots=True, frozen=True)
class Part:
    """A log to be archived, and what opens it once the flow runs."""

    kind: str
    log: str
    open: Callable[[Reached], Reader]


class ArchiveSource(FixedPartitionedSource[Came, None]):
    """Reads logs, each from where the trail ends: that place is kept nowhere else.

    Parameters
    ----------
    parts : the logs.
    reached : how far the trail has each.
    stop : once set, every log ends where it is.
    bytes_total : the size of all files together, None where that cannot be known.
    """

    def __init__(self, parts: Sequence[Part], reached: Reached, stop: Event, bytes_total: int | None = None) -> None:
        self._parts: Mapping[str, Part] = {f"{part.kind}:{part.log}": part for part in parts}
        self._reached, self._stop = reached, stop
        self._readers: list[Reader] = []
        self.bytes_total = bytes_total
        self.rows = 0

    def list_parts(self) -> list[str]:
        """Every log, with its kind."""
        return sorted(self._parts)

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "ArchivePartition":
        """Begin a log. Touches no file yet."""
        part = self._parts[for_part]
        reader = part.open(self._reached)
        self._readers.append(reader)
        return ArchivePartition(part, reader, self._stop, self)

    @property
    def bytes_read(self) -> int:
        """Bytes taken from files or brokers."""
        return sum(reader.bytes_read for reader in list(self._readers))


class ArchivePartition(StatefulSourcePartition[Came, None]):
    """One log as Bytewax polls it: at most one item a call, never blocking for long."""

    def __init__(self, part: Part, reader: Reader, stop: Event, source: ArchiveSource) -> None:
        self._part, self._reader, self._stop, self._source = part, reader, stop, source
        self._wait = False

    def next_batch(self) -> list[Came]:
        """One batch or nothing; StopIteration at the end or when stopped."""
        reader = self._reader
        if self._stop.is_set() or reader.ended:
            raise StopIteration
        raw = reader.read()
        self._wait = raw is None and reader.silent
        if raw is None:
            return []
        self._source.rows += len(raw) + len(raw.oversize)
        return [Came(self._part.kind, self._part.log, reader.source, raw)]

    def next_awake(self) -> datetime | None:
        """A short nap while there is nothing."""
        return datetime.now(UTC) + _NAP if self._wait else None

    def snapshot(self) -> None:
        """Nothing is kept here: the trail's commits say how far it is."""
        self._reader.snapshot()

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()


class FileLog:
    """The lines of a file or a pipe.

    It is known again by its first line: another file of the same name is another source, read from its beginning; one
    that grew goes on. A last line without a line end that is no whole JSON yet is being written: it is left for the
    next run.
    """

    def __init__(self, kind: str, log: str, path: str, reached: Reached, rows: int, max_message_bytes: int) -> None:
        self._kind, self._log, self._path, self._reached = kind, log, path, reached
        self._rows, self._max = rows, max_message_bytes
        self._stream: Any = None
        self._lines: LineReader | None = None
        self._behind = -1
        self.source = ""

    @property
    def ended(self) -> bool:
        """As `Reader`."""
        return self._lines is not None and self._lines.ended

    @property
    def silent(self) -> bool:
        """As `Reader`."""
        return isinstance(self._stream, Pipe) and self._lines is not None and self._lines.starved

    @property
    def bytes_read(self) -> int:
        """As `Reader`."""
        return self._stream.taken if self._stream is not None else 0

    def read(self) -> RawBatch | None:
        """As `Reader`. Raises InputError where the file cannot be read, or has become shorter."""
        if self._lines is None:
            self._stream = open_stream(self._path)
            self._lines = LineReader(self._log, self._stream, 0, 0, 0, self._rows, self._max)
        raw = self._lines.read()
        if raw is not None and not self.source:
            self.source = f"{self._log}@{_first(raw)}"
            self._behind = self._reached(self._kind, self.source)
        if self._lines.ended and self._lines.line <= self._behind:
            raise InputError(
                f"{self._path}: has {self._lines.line} lines, but {self._behind + 1} were archived: it was cut"
            )
        if raw is not None and self._lines.ended and not isinstance(self._stream, Pipe):
            raw = _whole(raw)
        return None if raw is None else later(raw, self._behind)

    def snapshot(self) -> None:
        """As `Reader`."""

    def close(self) -> None:
        """As `Reader`."""
        if self._stream is not None:
            self._stream.close()


class WindowLog:
    """The rows of a `windows.parquet`, as the messages that a topic of windows has."""

    silent = False

    def __init__(self, kind: str, log: str, path: str, reached: Reached) -> None:
        self._path, self._log = path, log
        self._batches: Iterator[pa.RecordBatch] | None = None
        self._reached: Callable[[str], int] = lambda source: reached(kind, source)
        self._behind, self._at = -1, 0
        self.ended = False
        self.bytes_read = 0
        self.source = ""

    def read(self) -> RawBatch | None:
        """As `Reader`. Raises InputError where the file is no table."""
        try:
            if self._batches is None:
                self._batches = pq.ParquetFile(self._path).iter_batches(_WINDOWS_AT_ONCE)
            batch = next(self._batches, None)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self._path}: not a table of windows ({str(error).splitlines()[0]})") from error
        if batch is None:
            self.ended = True
            return None
        plain = {
            name: batch.column(name).cast(pa.int64()) if pa.types.is_timestamp(kind) else batch.column(name)
            for name, kind in zip(batch.schema.names, batch.schema.types, strict=True)
        }
        raw = raw_batch(self._log, [msgspec.json.encode(row) for row in pa.record_batch(plain).to_pylist()])
        raw = replace(raw, offset=raw.offset + self._at)
        self._at += len(raw)
        if not self.source:
            self.source = f"{self._log}@{_first(raw)}"
            self._behind = self._reached(self.source)
        return later(raw, self._behind)

    def snapshot(self) -> None:
        """As `Reader`."""

    def close(self) -> None:
        """As `Reader`."""


class TopicLog:
    """A partition of a topic, committed records only. A topic made anew under the same name is another source."""

    def __init__(
        self, kind: str, block: Kafka, place: Place, start: int, reached: Reached, *, rows: int, max_bytes: int,
        until: int, share: float, tell: Callable[[str], None], on_count: Callable[[str, int], None],
    ) -> None:  # fmt: skip
        self.source = f"{place.name}@{place.id}"
        behind = reached(kind, self.source)
        self._last = behind
        self._reader = KafkaReader(
            block, place, behind + 1 if behind >= 0 else start, rows, max_bytes, until=until, share=share, on_gap=tell,
            on_count=lambda count: on_count(place.topic, count),
        )  # fmt: skip

    @property
    def ended(self) -> bool:
        """As `Reader`."""
        return self._reader.ended

    @property
    def silent(self) -> bool:
        """As `Reader`."""
        return True

    @property
    def bytes_read(self) -> int:
        """As `Reader`."""
        return self._reader.bytes_read

    def read(self) -> RawBatch | None:
        """As `Reader`. Raises InputError as `KafkaReader`."""
        raw = self._reader.read()
        if raw is not None:
            self._last = max(self._last, _last(raw))
        return raw

    def snapshot(self) -> None:
        """Tell the consumer group what an epoch ago was reached, which is in the trail by now."""
        self._reader.position(self._last)

    def close(self) -> None:
        """As `Reader`."""
        self._reader.close()


def later(raw: RawBatch, offset: int) -> RawBatch | None:
    """The messages after an offset, None if there are none."""
    if offset < 0:
        return raw
    refused = tuple(letter for letter in raw.oversize if letter.offset > offset)
    return _some(raw, np.flatnonzero(raw.offset > offset), refused)


def _some(raw: RawBatch, rows: NDArray[np.intp], refused: tuple[DeadLetter, ...]) -> RawBatch | None:
    if len(rows) == len(raw) and len(refused) == len(raw.oversize):
        return raw
    if not len(rows) and not refused:
        return None
    return replace(
        raw, start=raw.start[rows], length=raw.length[rows], offset=raw.offset[rows], index=raw.index[rows],
        timestamp=raw.timestamp[rows], oversize=refused, envelopes=raw.envelopes and raw.envelopes.take(rows),
    )  # fmt: skip


def file_size(paths: Sequence[str]) -> int | None:
    """The size of all files together; None where one is a pipe."""
    return sum(map(os.path.getsize, paths)) if all(map(os.path.isfile, paths)) else None


def _whole(raw: RawBatch) -> RawBatch | None:
    """A file's last messages, without one that is still being written."""
    if not len(raw) or raw.buffer[-1] == LF:
        return raw
    try:
        msgspec.json.decode(raw.message(len(raw) - 1), type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _some(raw, np.arange(len(raw) - 1), raw.oversize)
    return raw


def _first(raw: RawBatch) -> str:
    """What a log is known by: a hash of its first message."""
    if len(raw) and not (raw.oversize and raw.oversize[0].offset < int(raw.offset[0])):
        return blake2b(raw.message(0), digest_size=8).hexdigest()
    return raw.oversize[0].sha256[:16]


def _last(raw: RawBatch) -> int:
    last = int(raw.offset[-1]) if len(raw) else -1
    return max(last, raw.oversize[-1].offset) if raw.oversize else last
