"""Rows in the trail's order, however many there are."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import pyarrow as pa

ORDER: Final = ("time", "log", "offset", "index", "tree")
"""By time; what happened at the same time in the order in which each source told it."""
AT_ONCE: Final = 50_000
"""Rows that are sorted in memory."""
_PIECE: Final = 4_096
_MEMORY: Final = "256MB"


def in_order(
    rows: Iterable[pa.RecordBatch], at_once: int = AT_ONCE, by: Sequence[str] = ORDER
) -> Iterator[pa.RecordBatch]:
    """The rows of batches of one schema, sorted; in a temporary folder where they are more than `at_once`.

    >>> unsorted = pa.record_batch({"time": [2, 1], "log": ["a", "a"], "offset": [0, 1], "index": [0, 0],
    ...                             "tree": ["acme", "acme"]})
    >>> [row["time"] for batch in in_order([unsorted]) for row in batch.to_pylist()]
    [1, 2]
    """
    coming = iter(rows)
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in coming:
        held.append(batch)
        count += batch.num_rows
        if count > at_once:
            yield from _on_disk(held, coming, by)
            return
    if held:
        table = pa.Table.from_batches(held).sort_by([(name, "ascending") for name in by])
        yield from table.to_batches(max_chunksize=_PIECE)


def _on_disk(
    held: list[pa.RecordBatch], coming: Iterator[pa.RecordBatch], by: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    reader = pa.RecordBatchReader.from_batches(held[0].schema, chain(held, coming))
    names = ", ".join(f'"{name}"' for name in by)
    with (
        TemporaryDirectory(prefix="lapwing-sort-") as folder,
        duckdb.connect(config={"threads": "1", "memory_limit": _MEMORY, "temp_directory": folder}) as connection,
    ):
        connection.execute("SET enable_progress_bar = false")
        connection.register("rows", reader)
        yield from connection.sql(f"SELECT * FROM rows ORDER BY {names}").to_arrow_reader(_PIECE)
