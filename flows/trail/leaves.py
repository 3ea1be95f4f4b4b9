"""The leaves of a table as its files have them: their numbers, the hashes they claim, and those they have."""

import hashlib
import mmap
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.errors import InputError
from flows.trail.files import usual
from flows.trail.merkle import HASH_BYTES
from flows.trail.schema import leaf_hash, schema_of
from flows.trail.store import Store

_ROWS: Final = 8_192
_BATCH_BYTES: Final = 32 << 20
"""About how much is read at a time: rows are as long as their senders like."""
_FORGET: Final = 1 << 19
"""Hashes after which their pages are given back: they stay on disk."""
_NONE: Final = bytes(HASH_BYTES)
_sha256 = hashlib.sha256


class LeafFile(NamedTuple):
    """A file of a table. `first` and `last` are the least and the greatest leaf in it, as its log says."""

    tree: str
    day: str
    path: str
    rows: int
    first: int
    last: int


class Leaves(NamedTuple):
    """Rows of a file. `claimed` are the hashes that they carry, `found` those of what they are."""

    log: list[str]
    tenant: list[str]
    leaf: NDArray[np.int64]
    time: list[int]
    claimed: list[bytes | None]
    found: list[bytes]
    values: list[tuple[Any, ...]]
    expired: int
    """Rows whose message has expired."""


def leaf_files(store: Store) -> list[LeafFile]:
    """A table's files by tree, day and path."""
    adds = pa.table(store.table.get_add_actions(flatten=True))

    def column(name: str) -> list[Any]:
        values: list[Any] = adds.column(name).to_pylist() if name in adds.column_names else [None] * adds.num_rows
        return values

    rows = zip(
        *(column(name) for name in ("partition.tree", "partition.day", "path", "num_records", "min.leaf", "max.leaf")),
        strict=True,
    )
    return sorted(
        LeafFile(tree, day, path, count or 0, -1 << 62 if first is None else first, 1 << 62 if last is None else last)
        for tree, day, path, count, first, last in rows
    )


Wanted = Callable[[pa.Array, NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Which rows, by their logs, leaves and times."""


def leaves(store: Store, file: LeafFile, wanted: Wanted) -> Iterator[Leaves]:
    """The wanted rows of a file, hashed anew. About 8 microseconds a row.

    Raises
    ------
    InputError
        The file cannot be read, or its columns are not the table's.
    """
    schema = schema_of(store.kind)
    inside = [field.name for field in schema if field.name not in ("tree", "day")]
    with store.folder.open(file.path) as (parquet, _):
        if set(parquet.schema_arrow.names) - {"tree", "day"} != set(inside):
            raise InputError(f"{store.place}/{file.path}: its columns are not the table's")
        if parquet.schema_arrow.field("leaf").type != pa.int64():
            raise InputError(f"{store.place}/{file.path}: its leaves are no numbers")
        for stored in _batches(parquet, inside):
            batch = usual(stored)
            if any(batch.column(name).null_count for name in ("leaf", "log", "time")):
                raise InputError(f"{store.place}/{file.path}: it has rows that are no leaf")
            numbers, times = (batch.column(name).cast(pa.int64()).to_numpy() for name in ("leaf", "time"))
            keep = wanted(batch.column("log"), numbers, times)
            rows = batch if keep.all() else batch.filter(pa.array(keep))
            if rows.num_rows:
                try:
                    found = _hashed(rows, schema, file)
                except (TypeError, ValueError, OverflowError) as error:
                    raise InputError(f"{store.place}/{file.path}: its values are not the table's ({error})") from None
                yield found


def logs_of(store: Store, file: LeafFile) -> set[str]:
    """The logs that a file has rows of; raises as `leaves`."""
    found: set[str] = set()
    with store.folder.open(file.path) as (parquet, _):
        for batch in parquet.iter_batches(batch_size=_ROWS, columns=["log"]):
            found.update(log for log in usual(batch).column("log").unique().to_pylist() if log is not None)
    return found


def _hashed(rows: pa.RecordBatch, schema: pa.Schema, file: LeafFile) -> Leaves:
    count = rows.num_rows
    columns: dict[str, list[Any]] = {"tree": [file.tree] * count, "day": [file.day] * count}
    for field in schema:
        if field.name not in columns:
            values = rows.column(field.name)
            plain = values.cast(pa.int64()) if pa.types.is_timestamp(values.type) else values
            columns[field.name] = plain.to_pylist()
    claimed = columns.pop("leaf_hash")
    expired = 0
    if "raw" in columns:
        raws, kept = columns["raw"], columns["raw_hash"]
        columns["raw"] = [None] * count  # its hash stands for it
        expired = raws.count(None)
        # Both at once is nothing that Lapwing writes: the hash then stays what it is, and the leaf's is another.
        columns["raw_hash"] = [
            _sha256(raw).digest() if raw is not None and hash_ is None else hash_ if raw is None else raw
            for raw, hash_ in zip(raws, kept, strict=True)
        ]
    values = list(zip(*(columns[field.name] for field in schema if field.name in columns), strict=True))
    return Leaves(
        columns["log"],
        columns["tenant"],
        np.array(columns["leaf"], np.int64),
        columns["time"],
        claimed,
        [leaf_hash(row) for row in values],
        values,
        expired,
    )


def _batches(file: pq.ParquetFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """A file's rows; a row group after the other, so that no more than one is in memory."""
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        fitting = _BATCH_BYTES * max(1, group.num_rows) // max(1, group.total_byte_size)
        yield from file.iter_batches(max(64, min(_ROWS, fitting)), row_groups=[number], columns=columns)


class Gathered:
    """Hashes by their leaves' numbers, in whichever order they come: in a temporary file, 32 bytes a leaf.

    Parameters
    ----------
    spans : of each log the first leaf and that after the last.
    """

    def __init__(self, spans: dict[str, tuple[int, int]]) -> None:
        self._spans = spans
        self._base: dict[str, int] = {}
        size = 0
        for log, (begin, end) in spans.items():
            self._base[log] = size - begin
            size += end - begin
        self._file = tempfile.TemporaryFile(prefix="lapwing-")  # noqa: SIM115 (closed by __exit__)
        self._file.truncate(max(1, size) * HASH_BYTES)
        self._map = mmap.mmap(self._file.fileno(), max(1, size) * HASH_BYTES)
        self._slots = np.frombuffer(self._map, np.dtype((np.void, HASH_BYTES)))
        self._words = np.frombuffer(self._map, np.uint64).reshape(-1, 4)
        self._put = 0

    def __enter__(self) -> Self:
        """The hashes, none yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """Give the file back."""
        del self._slots, self._words
        self._map.close()
        self._file.close()

    def put(self, log: str, leaf: NDArray[np.int64], hashes: Sequence[bytes]) -> NDArray[np.bool_]:
        """Take hashes of leaves that lie in the log's span; which of them were there already, and are passed over."""
        slots = leaf + self._base[log]
        again = self._words[slots].any(axis=1)
        _, first = np.unique(slots, return_index=True)
        once = np.zeros(len(slots), bool)
        once[first] = True
        again |= ~once
        new = ~again
        self._slots[slots[new]] = np.frombuffer(b"".join(hashes), self._slots.dtype)[new]
        self._put += len(slots)
        if self._put >= _FORGET:
            self._put = 0
            self._map.madvise(mmap.MADV_DONTNEED)
        return again

    def has_all(self, log: str, begin: int, end: int) -> bool:
        """Whether each of some leaves is there; not if one lies outside the log's span."""
        first, last = self._spans.get(log, (0, 0))
        if begin < first or end > last:
            return False
        base = self._base[log]
        return bool(self._words[begin + base : end + base].any(axis=1).all())

    def get(self, log: str, begin: int, end: int) -> list[bytes | None]:
        """The hashes of leaves, None where there is none."""
        at = (begin + self._base[log]) * HASH_BYTES
        some = self._map[at : at + (end - begin) * HASH_BYTES]
        found = [some[at : at + HASH_BYTES] for at in range(0, len(some), HASH_BYTES)]
        return [None if hash_ == _NONE else hash_ for hash_ in found]


def by_log(logs: Any) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """The logs of rows (an Arrow array, or a list), each with the rows that it has."""
    codes = pc.dictionary_encode(pa.array(logs, pa.string()) if isinstance(logs, list) else logs)
    each = codes.indices.to_numpy()
    for code, log in enumerate(codes.dictionary.to_pylist()):
        yield log, np.flatnonzero(each == code)
