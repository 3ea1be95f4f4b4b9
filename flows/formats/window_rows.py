"""Closed learning windows as JSON objects: the columns of `windows.parquet`, one message each."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa

from flows.formats.windows import table_of
from models.windows.slice import ClosedWindows


def window_rows(closed: ClosedWindows, config_hash: str) -> Iterator[tuple[bytes, bytes]]:
    """The key and the JSON of each window, in the order of the columns.

    The key is tenant, dimension and entity; `start` and `end` are epoch microseconds. What is not known or not a
    feature of the dimension is null.
    """
    table = table_of([closed], config_hash)
    plain = {name: column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
             for name, column in zip(table.column_names, table.columns, strict=True)}  # fmt: skip
    columns: dict[str, list[Any]] = {name: column.to_pylist() for name, column in plain.items()}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, map(_finite, values), strict=True))
        key = f"{row['tenant']}|{row['dimension']}|{row['entity']}"
        yield key.encode("utf-8", "replace"), msgspec.json.encode(row)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
