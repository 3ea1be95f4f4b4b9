"""The trail's Parquet files, in a directory or an object store alike."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

from flows.errors import InputError

_ROWS: Final = 8_192
"""Rows of a batch read: enough to be cheap, few enough for memory."""


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
            said = (str(error).splitlines() or ["damaged"])[0][:200]
            raise InputError(f"{self._place}/{path}: cannot be read ({said})") from None


def batches(file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Columns of some row groups, in the order asked for; times as integer microseconds."""
    for batch in file.iter_batches(batch_size=_ROWS, row_groups=list(groups), columns=list(columns)):
        values = [batch.column(name) for name in columns]
        plain = [value.cast(pa.int64()) if pa.types.is_timestamp(value.type) else value for value in values]
        yield pa.record_batch(plain, names=list(columns))
