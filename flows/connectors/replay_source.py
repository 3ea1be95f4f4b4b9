"""What was kept, played again as a Bytewax source: the same messages in the same order, with their records' times."""

from collections.abc import Callable
from threading import Event

from bytewax.inputs import FixedPartitionedSource

from flows.connectors.board import Board
from flows.connectors.partition import ClockParams, Partition
from flows.connectors.polled import PolledPartition, Reader, Snapshot, resumed
from flows.errors import LapwingError
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch
from models.base import NONE_TIME
from models.event import EventBatch

Opened = Callable[[str, int, int], Reader]
"""Begins a partition after the message at (offset, index)."""


class ReplaySource(FixedPartitionedSource[EventBatch, Snapshot]):
    """Plays partitions whose messages `opened` reads. Make a new source for each run.

    Parameters
    ----------
    partitions : all there are.
    decode, clock, stop, close_at_end, batch_rows, on_failure : as of `FileSource`.
    """

    bytes_total = None
    bytes_read = 0

    def __init__(
        self,
        partitions: tuple[str, ...],
        opened: Opened,
        decode: Callable[[RawBatch], Decoded],
        clock: ClockParams,
        stop: Event,
        close_at_end: bool,
        batch_rows: int = 4096,
        *,
        on_failure: Callable[[LapwingError], None] | None = None,
    ) -> None:
        self.partitions = partitions
        self._opened, self._decode, self._clock, self._stop = opened, decode, clock, stop
        self._close_at_end, self._batch_rows, self._on_failure = close_at_end, batch_rows, on_failure
        self.board = Board(clock.max_skew, partitions)
        self._built: list[Partition] = []

    def list_parts(self) -> list[str]:
        """Every partition."""
        return list(self.partitions)

    def build_part(self, step_id: str, for_part: str, resume_state: Snapshot | None) -> PolledPartition:
        """Begin a partition, or go on where a snapshot says."""
        _, reached = resumed(resume_state, for_part)
        reader = self._opened(for_part, reached.offset, reached.index)
        partition = Partition(for_part, self.partitions, self._decode, self._clock, self._batch_rows, reached)
        self._built.append(partition)
        self.board.join(for_part)
        return PolledPartition(partition, reader, self.board, self._stop, self._close_at_end, self._on_failure)

    @property
    def rows(self) -> int:
        """Messages returned since the start."""
        return sum(partition.messages for partition in list(self._built))

    @property
    def event_time(self) -> int:
        """The greatest event time of all partitions."""
        return max((partition.reached.greatest for partition in list(self._built)), default=NONE_TIME)
