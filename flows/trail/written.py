"""How a table's files are written: what is coded, what is filtered, how much a reader opens at least."""

import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final
from uuid import uuid4

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import BloomFilterProperties, ColumnProperties, WriterProperties
from deltalake.transaction import AddAction, RemoveAction

from flows.trail.files import Folder
from flows.trail.schema import schema_of, stamp

PARTITIONED_BY: Final = ["tree", "day"]
FOUND_IN: Final = ("time", "leaf")
"""Columns whose least and greatest values a table's log has: of sealed bytes they say nothing."""
ROW_GROUP: Final = 4_096
"""Rows of a row group: what is read for one event."""
FOUND_BY: Final = ("user_id", "actor_id", "target_id", "ip_token", "session_token", "request_token")
"""Columns by which rows are found; each row group has a bloom filter of them."""
_SEALED: Final = ("sealed", "raw", "leaf_hash", "user_sealed", "actor_sealed", "target_sealed")
"""Columns that no codec makes shorter."""
_UNIQUE: Final = ("id", "lapwing", "uid", *_SEALED)
"""Columns whose values hardly ever come twice: a dictionary, or their least and greatest, would only cost."""
_NUMBERED: Final = ("time", "leaf", "offset", "received", "latency_ms")
"""Numbers that hardly ever come twice."""
_SEVERAL: Final = "subjects.list.element"
"""The column of lists, as Parquet names it."""
_ODDS: Final = 0.001
"""Of a filter's saying that there may be what is not."""
AS_IT_CAME: Final = "LZ4"
"""The codec of files whose rows lie as they came, which are rewritten when their day is over: a third less work than
what rewritten ones have, for a few percent more bytes."""


def rewriting(kind: str) -> WriterProperties:
    """How files are written that stay as they are."""
    names = schema_of(kind).names
    columns: dict[str, ColumnProperties] = {
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE") for name in _UNIQUE if name in names
    }
    bloom = BloomFilterProperties(True, _ODDS, ROW_GROUP)
    columns |= {
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="CHUNK", bloom_filter_properties=bloom)
        for name in FOUND_BY
        if name in names
    }
    if "raw_hash" in names:  # a footer then says how many raw messages there are
        columns["raw_hash"] = ColumnProperties(dictionary_enabled=False, statistics_enabled="CHUNK")
    return WriterProperties(
        compression="ZSTD", compression_level=1, max_row_group_size=ROW_GROUP, column_properties=columns
    )


def stored(schema: pa.Schema) -> pa.Schema:
    """The schema as Delta has it, which knows no binary of a fixed size."""
    fields = (field.with_type(pa.binary()) if pa.types.is_fixed_size_binary(field.type) else field for field in schema)
    return pa.schema(fields)


def written(folder: Folder, kind: str, rows: pa.Table) -> list[AddAction | RemoveAction]:
    """Write rows as they came, a new file for each day of a tree; what the table's log is to say of these files.

    Rows of the same tree and day that follow each other are not copied. About a microsecond a row.
    """
    parts: dict[tuple[str, str], list[pa.RecordBatch]] = defaultdict(list)
    for batch in rows.to_batches():
        inside = batch.drop_columns(PARTITIONED_BY)
        for day, begin, end in runs(batch):
            parts[day].append(inside.slice(begin, end - begin))
    return [_file(folder, kind, tree, day, [pa.Table.from_batches(some)]) for (tree, day), some in parts.items()]


def runs(batch: pa.RecordBatch) -> Iterator[tuple[tuple[str, str], int, int]]:
    """The (tree, day) of rows that follow each other, the first of them and that after the last."""
    codes = [pc.dictionary_encode(batch[name]) for name in PARTITIONED_BY]
    tree, day = (one.indices.to_numpy() for one in codes)
    trees, days = (one.dictionary.to_pylist() for one in codes)
    begins = np.flatnonzero(np.concatenate(([True], (np.diff(tree) != 0) | (np.diff(day) != 0)))).tolist()
    for begin, end in zip(begins, [*begins[1:], len(tree)], strict=True):
        yield (trees[tree[begin]], days[day[begin]]), begin, end


def rewritten(
    folder: Folder, kind: str, tree: str, day: str, rows: Iterable[pa.RecordBatch], file_bytes: int
) -> list[AddAction | RemoveAction]:
    """Write a day of a tree in the order of its rows, to files of about so many bytes; what the log is to say of them.

    No row is new: whoever follows the table need not look at these files.
    """
    groups = _groups(rows)
    return [_file(folder, kind, tree, day, chain([group], groups), compact=True, most=file_bytes) for group in groups]


def _groups(rows: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables of a row group each."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in rows:
        held.append(batch)
        count += batch.num_rows
        if count >= ROW_GROUP:
            whole = pa.Table.from_batches(held)
            full = count - count % ROW_GROUP
            for at in range(0, full, ROW_GROUP):
                yield whole.slice(at, ROW_GROUP)
            held, count = whole.slice(full).to_batches(), count - full
    if count:
        yield pa.Table.from_batches(held)


def _file(
    folder: Folder,
    kind: str,
    tree: str,
    day: str,
    rows: Iterable[pa.Table],
    *,
    compact: bool = False,
    most: int = sys.maxsize,
) -> AddAction:
    """One file of tables, until it has `most` bytes, and what the log is to say of it."""
    codec = "zstd" if compact else "lz4raw"
    path = f"tree={tree}/day={day}/part-00000-{uuid4()}-c000.{codec}.parquet"
    schema = stored(pa.schema(field for field in schema_of(kind) if field.name not in PARTITIONED_BY))
    found = [name for name in FOUND_IN if name in schema.names]
    seen: dict[str, list[int]] = {name: [] for name in found}
    count = 0
    with folder.new(path) as to:
        with pq.ParquetWriter(to, schema, **_coded(kind, compact=compact)) as file:
            for table in rows:
                file.write_table(table.select(schema.names).cast(schema), ROW_GROUP)
                count += table.num_rows
                for name in found:
                    seen[name] += pc.min_max(table[name].cast(pa.int64())).as_py().values()
                if to.tell() >= most:
                    break
        size = to.tell()
    ends = {"min": min, "max": max}
    said = {
        "numRecords": count,
        **{f"{end}Values": {name: stamp(of(seen[name])) if name == "time" else of(seen[name]) for name in found}
           for end, of in ends.items()},
        "nullCount": dict.fromkeys(found, 0),
    }  # fmt: skip
    now = time.time_ns() // 1_000_000
    return AddAction(path, size, {"tree": tree, "day": day}, now, not compact, msgspec.json.encode(said).decode())


def _coded(kind: str, *, compact: bool) -> dict[str, Any]:
    """How files are written: those that stay as they are are to be small, of others the writing is to be cheap."""
    names = [_SEVERAL if name == "subjects" else name for name in schema_of(kind).names if name not in PARTITIONED_BY]
    once = {*_UNIQUE, *_NUMBERED, *FOUND_BY, "raw_hash"}
    codec = "ZSTD" if compact else AS_IT_CAME
    return {
        "compression": {name: "NONE" if name in _SEALED else codec for name in names},
        "use_dictionary": [name for name in names if name not in once],
        "write_statistics": [*FOUND_IN, *FOUND_BY, "tenant", "raw_hash"],
        "bloom_filter_options": {name: {"ndv": ROW_GROUP, "fpp": _ODDS} for name in FOUND_BY if name in names},
        "write_batch_size": ROW_GROUP,
        "store_schema": False,
    }
