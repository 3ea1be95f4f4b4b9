"""Files, directories and standard input as a Bytewax source."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from bytewax.inputs import FixedPartitionedSource

from flows.connectors.board import Board
from flows.connectors.file_reader import FileReader
from flows.connectors.file_tree import check_input, find_files
from flows.connectors.partition import ClockParams, Partition
from flows.connectors.polled import PolledPartition, Snapshot, resumed, turn
from flows.connectors.read_ahead import AHEAD, ReadAhead
from flows.connectors.unwrapping import Unwrap, Unwrapping
from flows.errors import InputError
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch
from models.base import NONE_TIME
from models.event import EventBatch

__all__ = ["ClockParams", "FileSource", "check_input"]


class FileSource(FixedPartitionedSource[EventBatch, Snapshot]):
    """Reads a file (also `.gz`, `.zst`), a directory of files, a pipe or `-`, standard input.

    A file is one partition, its offset the line number from 0. A directory's own files are one partition, read one
    after another by the first event time in them; each directory below it is one more. Offsets there are (place in
    the sequence << 40) | line. Make a new source for each run: it holds the run's alignment and progress.

    Parameters
    ----------
    path : the input. `InputError` at once if there is nothing to read.
    decode : bytes to columns; called in the source, in the order of the messages.
    clock : lateness, alignment and idleness.
    stop : once set, every partition ends without flushing, so that the next run goes on there.
    close_at_end : whether the end of the input closes everything (no state is kept) or only falls idle.
    batch_rows : most rows of an item. max_message_bytes: longer lines are dead letters.
    known : partitions of earlier runs with the same state. One that has gone meanwhile stays, ended, since Bytewax
        cannot resume without it.
    only : all partitions there are, where several processes must agree on them.
    alone : whether this process runs all partitions. If not, `board` must hear of the others.
    on_ignored : told once which files there were passed over (the first 100).
    on_failure : told why the input cannot be read on; `stop` is set then and the flow ends in good order. Without it
        the `InputError` is raised through Bytewax, which wraps it and prints a panic.
    unwrap : what takes events out of messages that carry several, None where none do.

    Notes
    -----
    `rows`, `bytes_read`, `bytes_total` (None for a pipe) and `event_time` (NONE_TIME at first) may be read from
    another thread while the flow runs. Compressed files are skipped to a saved position by decompressing. Standard
    input cannot be read twice: after a crash, what was read since the last epoch is gone.
    """

    def __init__(
        self,
        path: str,
        decode: Callable[[RawBatch], Decoded],
        clock: ClockParams,
        stop: Event,
        close_at_end: bool,
        batch_rows: int = 4096,
        max_message_bytes: int = 1 << 20,
        *,
        known: tuple[str, ...] = (),
        only: tuple[str, ...] | None = None,
        alone: bool = True,
        on_ignored: Callable[[tuple[str, ...]], None] | None = None,
        on_failure: Callable[[InputError], None] | None = None,
        unwrap: Unwrap | None = None,
    ) -> None:
        self._tree = find_files(path)
        self.partitions = tuple(sorted({*self._tree.partitions, *known})) if only is None else only
        self.bytes_total = self._tree.bytes_total()
        self._decode = decode
        self._unwrap = unwrap
        self._clock = clock
        self._stop = stop
        self._close_at_end = close_at_end
        self._batch_rows = batch_rows
        self._max_message = max_message_bytes
        self._alone = alone
        self.board = Board(clock.max_skew, self.partitions)
        self._built: dict[str, tuple[Partition, FileReader]] = {}
        self._on_failure = on_failure
        self._threads = ThreadPoolExecutor(AHEAD, "read-ahead")
        if on_ignored is not None and self._tree.ignored:
            on_ignored(self._tree.ignored)

    def list_parts(self) -> list[str]:
        """Every partition: all processes see the same files."""
        return list(self.partitions)

    def build_part(self, step_id: str, for_part: str, resume_state: Snapshot | None) -> PolledPartition:
        """Begin a partition, or go on where a snapshot says. Touches no file yet."""
        position, reached = resumed(resume_state, for_part)
        reader = FileReader(
            self._tree, for_part, self._decode, self._batch_rows, self._max_message, position, reached.offset,
            self._unwrap,
        )  # fmt: skip
        whole = reader if self._unwrap is None else Unwrapping(reader, self._unwrap)
        most = turn(len(self.partitions), self._alone)
        ahead = ReadAhead(whole, self._decode, self._threads, most)
        partition = Partition(for_part, self.partitions, ahead.decode, self._clock, self._batch_rows, reached)
        self._built[for_part] = (partition, reader)
        self.board.join(for_part)
        return PolledPartition(
            partition, ahead, self.board, self._stop, self._close_at_end, self._on_failure, self._alone,
            most, ahead.ready,
        )  # fmt: skip

    @property
    def rows(self) -> int:
        """Messages returned since the start, dead ones too."""
        return sum(partition.messages for partition, _ in list(self._built.values()))

    @property
    def bytes_read(self) -> int:
        """Bytes taken from disk or pipe."""
        return sum(reader.bytes_read for _, reader in list(self._built.values()))

    @property
    def event_time(self) -> int:
        """The greatest event time of all partitions."""
        return max((partition.reached.greatest for partition, _ in list(self._built.values())), default=NONE_TIME)
