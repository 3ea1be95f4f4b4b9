"""The trail's raw messages, log by log in the order in which they came, to be played again."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, Final
from weakref import finalize

import numpy as np
import pyarrow as pa

from flows.config import Config
from flows.connectors.replay_source import ReplaySource
from flows.errors import InputError, LapwingError, Refused
from flows.formats.raw import RawBatch, raw_batch
from flows.formats.windows import MINUTE_US
from flows.parts import clock_params, reading_of
from flows.trail.access import Access
from flows.trail.files import batches
from flows.trail.keys import KeyStore
from flows.trail.leaves import by_log
from flows.trail.open_rows import CannotOpen, opened_raw
from flows.trail.ordered import in_order
from flows.trail.schema import PARTS
from flows.trail.store import Store
from models.base import NONE_TIME

_COLUMNS: Final = ["log", "offset", "index", "leaf", "time", "received", *(f"{part}_id" for part in PARTS), "raw"]
_ORDER: Final = ("offset", "index", "tree", "leaf")


@dataclass(slots=True)
class Replay:
    """A trail's messages as they stand now: what is archived later is not in it.

    All are read and sorted once, before the first is given: log by log into a temporary file, sealed as they are. It
    takes as much disk as the messages and their places do; memory is a few megabytes.

    `lost` counts, by minute of event time, messages that are there no more, because their retention is over or somebody
    they are about was erased; nor are dead letters, which no detector ever saw. A new `source` counts anew.
    """

    trail: str
    keys: KeyStore
    store: Store = field(init=False)
    lost: Counter[int] = field(default_factory=Counter)
    _sorted: "_Sorted | None" = None

    def __post_init__(self) -> None:
        self.store = Store.open(self.trail, "events")
        self.store.check_keys(self.keys.identity)

    @classmethod
    def open(cls, trail: str, keys: Path, access: Access | None = None) -> "Replay":
        """A trail by directory or URL. With `access` it is noted in the trail that all of it is read.

        Raises
        ------
        InputError
            There is no trail, or no key store, or it is another trail's.
        OutputError
            It cannot be noted.
        """
        found = cls(trail, KeyStore.open(keys))
        if access is not None:
            access.note(trail, found.keys, "events", (), {}, None, None)
        return found

    @property
    def identity(self) -> str:
        """What changes when the trail does."""
        return f"trail {self.store.place} version {self.store.table.version()}"

    def logs(self) -> tuple[str, ...]:
        """The names of all logs.

        Raises
        ------
        Refused
            There is none: nothing was archived.
        """
        found: set[str] = set()
        for _, batch in self._batches(["log"]):
            found.update(batch.column("log").unique().to_pylist())
        if not found:
            raise Refused(f"{self.store.place}: has no event to be played again")
        return tuple(sorted(found))

    def messages(self, log: str, rows: int) -> Iterator[RawBatch]:
        """A log's messages in the order in which they came, with their records' times.

        Raises
        ------
        InputError
            A file cannot be read, or a message cannot be opened.
        """
        last = (-1, 0)
        if self._sorted is None:
            self._sorted = _Sorted(in_order(self._rows(), by=("log", *_ORDER)))
        for piece in self._sorted.of(log):
            for at in range(0, piece.num_rows, rows):
                kept = self._opened(log, piece.slice(at, rows))
                if not kept:
                    continue
                places = []
                for offset, index, _, _ in kept:
                    # Two files that came under one name have the same offsets.
                    last = (offset, index) if (offset, index) > last else (last[0], last[1] + 1)
                    places.append(last)
                yield replace(
                    raw_batch(log, [message for *_, message in kept]),
                    offset=np.array([offset for offset, _ in places], np.int64),
                    index=np.array([index for _, index in places], np.int32),
                    timestamp=np.array([received for _, _, received, _ in kept], np.int64),
                )

    def source(
        self,
        config: Config,
        path: str,
        stop: Event,
        *,
        close_at_end: bool,
        on_failure: Callable[[LapwingError], None] | None = None,
        **_: Any,
    ) -> ReplaySource:
        """The trail as a flow's source; arguments as of `flows.parts.make_source`."""
        rows = config.input.batch_rows
        self.lost.clear()
        return ReplaySource(
            self.logs(), lambda log, offset, index: _Log(self.messages(log, rows), (offset, index)),
            reading_of(config), clock_params(config), stop, close_at_end, rows, on_failure=on_failure,
        )  # fmt: skip

    def _batches(self, columns: list[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
        for file in self.store.files():
            with self.store.folder.open(file.path) as (parquet, _):
                for batch in batches(parquet, range(parquet.metadata.num_row_groups), columns):
                    yield file.tree, batch

    def _rows(self) -> Iterator[pa.RecordBatch]:
        for tree, batch in self._batches(_COLUMNS):
            yield batch.append_column("tree", pa.repeat(pa.scalar(tree), batch.num_rows))

    def _opened(self, log: str, rows: pa.RecordBatch) -> list[tuple[int, int, int, bytes]]:
        """Offset, index, the record's time and the message of the rows that can be opened."""
        ids = {id_ for part in PARTS for id_ in rows.column(f"{part}_id").unique().to_pylist() if id_ is not None}
        keys = self.keys.keys(ids)
        kept: list[tuple[int, int, int, bytes]] = []
        for row in rows.to_pylist():
            try:
                message = opened_raw(row, keys, self.keys)
            except CannotOpen as error:
                where = f"leaf {row['leaf']} of log {log}, tree {row['tree']}"
                raise InputError(f"{self.store.place}: {where} cannot be opened ({error})") from None
            if message is None:
                self.lost[row["time"] // MINUTE_US] += 1
                continue
            kept.append(
                (row["offset"], row["index"], NONE_TIME if row["received"] is None else row["received"], message)
            )
        return kept


class _Sorted:
    """Rows in the order of their logs, in a temporary file: each log's are read from where they lie."""

    def __init__(self, rows: Iterator[pa.RecordBatch]) -> None:
        self._places: dict[str, list[int]] = {}
        file = tempfile.TemporaryFile(prefix="lapwing-")  # noqa: SIM115 (it lives as long as this)
        finalize(self, file.close)
        writer: pa.ipc.RecordBatchFileWriter | None = None
        count = 0
        for piece in rows:
            writer = writer or pa.ipc.new_file(pa.PythonFile(file, "w"), piece.schema)
            for log, which in by_log(piece.column("log")):  # in one piece, for they are sorted
                writer.write_batch(piece.slice(int(which[0]), len(which)))
                self._places.setdefault(log, []).append(count)
                count += 1
        if writer is not None:
            writer.close()
            self._reader = pa.ipc.open_file(pa.PythonFile(file, "r"))

    def of(self, log: str) -> Iterator[pa.RecordBatch]:
        """The rows of a log, in their order."""
        for place in self._places.get(log, ()):
            yield self._reader.get_batch(place)


class _Log:
    """A log's messages for a source partition, those after a place."""

    silent = False

    def __init__(self, coming: Iterator[RawBatch], after: tuple[int, int]) -> None:
        self._coming, self._after = coming, after
        self.ended = False

    def read(self) -> RawBatch | None:
        """The next micro-batch. The first call sorts what does not come in order."""
        raw = next(self._coming, None)
        self.ended = raw is None
        return raw

    def position(self, offset: int) -> None:
        """Nothing: what was read is passed over by its offset."""

    def close(self) -> None:
        """Nothing is open between batches."""
