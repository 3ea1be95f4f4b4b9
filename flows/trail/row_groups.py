"""Which row groups of a file may hold what is sought, by their least and greatest values and their bloom filters; and
which of their rows are it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.trail.bloom import Bytes, hashed, may_hold

Sought = Mapping[str, Sequence[bytes]]
"""Columns, and of each the values of which a row must have one; a row will do that has one of any column."""
_TIME: Final = "time"


def holding(
    file: pq.ParquetFile, source: Bytes, sought: Sought | None, start: int | None, end: int | None
) -> list[int]:
    """The row groups that may have a wanted row with `start` <= time < `end` (microseconds UTC).

    Without filters or statistics a row group may have anything; so it may where a list is sought in.
    """
    footer = file.metadata
    at = {footer.schema.column(number).path: number for number in range(footer.num_columns)}
    listed = sought is not None and any(values and name not in at for name, values in sought.items())
    wanted = None if sought is None or listed else [(at[name], values, [hashed(value) for value in values])
                                          for name, values in sought.items() if values and name in at]  # fmt: skip
    groups = []
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        if not _overlaps(group.column(at[_TIME]), start, end):
            continue
        if wanted is None or any(
            _between(chunk := group.column(column), values) and may_hold(source, chunk, hashes)
            for column, values, hashes in wanted
        ):
            groups.append(number)
    return groups


def matching(
    batch: pa.RecordBatch, tenant: str | None, want: Sought | None, start: int | None, end: int | None
) -> pa.RecordBatch:
    """The rows of a batch that are wanted, times as integer microseconds."""
    keep = np.ones(batch.num_rows, bool)
    times = batch.column("time").to_numpy()
    if start is not None:
        keep &= times >= start
    if end is not None:
        keep &= times < end
    if tenant is not None:
        keep &= _among(batch.column("tenant"), [tenant])
    if want is not None:
        any_ = np.zeros(batch.num_rows, bool)
        for name, values in want.items():
            any_ |= _among(batch.column(name), values)
        keep &= any_
    return batch if keep.all() else batch.filter(pa.array(keep))


def _among(column: Any, values: Sequence[Any]) -> Any:
    """Which rows have one of the values; of a list, in it."""
    if pa.types.is_list(column.type):
        found = np.zeros(len(column), bool)
        rows = pc.list_parent_indices(column).to_numpy()
        found[rows[_among(pc.list_flatten(column), values)]] = True
        return found
    return pc.is_in(column, pa.array(values, column.type)).to_numpy(zero_copy_only=False)


def _overlaps(chunk: pq.ColumnChunkMetaData, start: int | None, end: int | None) -> bool:
    if start is None and end is None:
        return True
    seen = chunk.statistics
    if seen is None or not seen.has_min_max:
        return True
    least, greatest = (_microseconds(value) for value in (seen.min, seen.max))
    return (end is None or least < end) and (start is None or greatest >= start)


def _between(chunk: pq.ColumnChunkMetaData, values: Sequence[bytes]) -> bool:
    seen = chunk.statistics
    if seen is None:
        return True
    if seen.has_null_count and seen.null_count == seen.num_values + seen.null_count and not seen.num_values:
        return False
    return not seen.has_min_max or any(seen.min <= value <= seen.max for value in values)


def _microseconds(value: object) -> int:
    return int(pa.scalar(value, pa.timestamp("us", tz="UTC")).value)
