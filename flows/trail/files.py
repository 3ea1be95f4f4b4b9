"""The trail's Parquet files, in a directory or an object store alike."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

from flows.errors import InputError
from flows.trail.cause import cause

_ROWS: Final = 8_192
"""Rows of a batch read: enough to be cheap, few enough for memory."""

_BUFFER: Final = 1 << 18
"""Bytes that are written at a time: a file has many small parts."""
_USUAL: Final = {
    pa.string_view(): pa.string(), pa.large_string(): pa.string(),
    pa.binary_view(): pa.binary(), pa.large_binary(): pa.binary(),
}  # fmt: skip


class Folder:
    """Where a table's files lie: opened by the paths that its log names."""

    def __init__(self, place: str, table: DeltaTable) -> None:
        self._place = place
        self._system = (
            pafs.PyFileSystem(DeltaStorageHandler.from_table(table._table))
            if "://" in place
            else pafs.SubTreeFileSystem(place, pafs.LocalFileSystem())
        )

    @contextmanager
    def open(self, path: str) -> Iterator[tuple[pq.ParquetFile, pa.NativeFile]]:
        """A file, as Parquet and as bytes.

        Raises
        ------
        InputError
            It is not there, or is no Parquet, or a part of it that is read while it is open is damaged.
        """
        try:
            with self._system.open_input_file(path) as source, pq.ParquetFile(source) as file:
                yield file, source
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self._place}/{path}: cannot be read ({cause(error)})") from None

    @contextmanager
    def new(self, path: str) -> Iterator[pa.NativeFile]:
        """A new file, as bytes that are written one after the other. Raises OSError where it cannot be written."""
        self._system.create_dir(path.rsplit("/", 1)[0], recursive=True)
        with self._system.open_output_stream(path, buffer_size=_BUFFER) as to:
            yield to

    def table(self, paths: Sequence[str], schema: pa.Schema, where: pads.Expression) -> pa.Table:
        """Columns of many small files as one table, of the rows that are wanted.

        Raises
        ------
        InputError
            One is not there, or is no Parquet, or damaged.
        """
        try:
            found = pads.dataset(list(paths), schema, format="parquet", filesystem=self._system)
            return found.to_table(schema.names, filter=where)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{self._place}: cannot be read ({cause(error)})") from None


def batches(file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Columns of some row groups, in the order asked for; times as integer microseconds.

    Raises
    ------
    pyarrow.ArrowInvalid
        The file does not have them all.
    """
    if missing := {*columns}.difference(file.schema_arrow.names):
        raise pa.ArrowInvalid(f"it has no column {min(missing)}")
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=list(groups), columns=list(columns)):
        values = usual(batch).select(list(columns)).columns
        plain = [value.cast(pa.int64()) if pa.types.is_timestamp(value.type) else value for value in values]
        yield pa.record_batch(plain, names=list(columns))


def usual(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Text and bytes in Arrow's usual form: whoever else rewrites a Delta table may store them as views, which most
    functions do not know.
    """
    columns = [value.cast(_USUAL[value.type]) if value.type in _USUAL else value for value in batch.columns]
    return pa.record_batch(columns, names=batch.schema.names)
