"""A day's rows in the order of users, however many there are."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

ORDER: Final = ("user_id", "time", "log", "leaf")
AT_ONCE: Final = 64 << 20
"""Bytes of rows that are sorted in memory."""
_BITS: Final = 5
_PARTS: Final = 1 << _BITS
_DEPTHS: Final = 64 // _BITS
_PIECE: Final = 4_096


class _Part:
    """Rows whose ids begin with the same bits, on disk. `least` and `greatest` are of the ids' first eight bytes."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        self._file = file
        self._writer = pa.ipc.new_stream(file, schema)
        self.size = 0
        self.least, self.greatest = np.uint64((1 << 64) - 1), np.uint64(0)

    def add(self, rows: pa.RecordBatch, heads: NDArray[np.uint64]) -> None:
        """Take rows, by the first bytes of their ids."""
        self._writer.write_batch(rows)
        self.size += rows.nbytes
        self.least, self.greatest = min(self.least, heads.min()), max(self.greatest, heads.max())

    def rows(self) -> Iterator[pa.RecordBatch]:
        """All of them again, once; what they took of the disk is free afterwards."""
        self._writer.close()
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as stream:
            yield from stream
        self._file.close()


def by_user(
    rows: Iterable[pa.RecordBatch], size: int, folder: str | None = None, at_once: int = AT_ONCE
) -> Iterator[pa.RecordBatch]:
    """Rows of one schema in the order of `user_id`, a user's by time; those without one come last.

    Rows of more than `at_once` bytes (`size` is about how many there are) are first told apart by the first bits of
    their ids, which are random, in files without a name in a `folder` (None: the system's for temporary ones), and
    then each part by itself. A single user's rows that are more than that stay as they came. Memory: some times
    `at_once`; disk: the rows once or, of parts that are too large, twice.

    >>> some = pa.record_batch({"user_id": [b"b" * 16, None, b"a" * 16, b"b" * 16], "time": [2, 1, 3, 1],
    ...                         "log": ["x"] * 4, "leaf": [0, 1, 2, 3]})
    >>> [row["leaf"] for batch in by_user([some], some.nbytes) for row in batch.to_pylist()]
    [2, 3, 0, 1]
    """
    yield from _sorted(iter(rows), size, folder, at_once, 0)


def _sorted(
    rows: Iterator[pa.RecordBatch], size: int, folder: str | None, at_once: int, depth: int
) -> Iterator[pa.RecordBatch]:
    if size <= at_once or depth == _DEPTHS:
        if held := list(rows):
            table = pa.Table.from_batches(held)
            del held
            yield from table.sort_by([(name, "ascending") for name in ORDER]).to_batches(max_chunksize=_PIECE)
        return
    with ExitStack() as files:
        parts: dict[int, _Part] = {}
        for batch in rows:
            for at, some, heads in _told_apart(batch, depth):
                if at not in parts:
                    parts[at] = _Part(files.enter_context(TemporaryFile(dir=folder)), batch.schema)
                parts[at].add(some, heads)
        for _, part in sorted(parts.items()):
            if part.least == part.greatest and part.size > at_once:
                yield from part.rows()
            else:
                yield from _sorted(part.rows(), part.size, folder, at_once, depth + 1)


def _told_apart(rows: pa.RecordBatch, depth: int) -> Iterator[tuple[int, pa.RecordBatch, NDArray[np.uint64]]]:
    """A batch's rows by the next bits of their ids, and the ids' first bytes; rows without one are a part of their own,
    the last.
    """
    ids = rows["user_id"]
    first = pc.binary_slice(pc.fill_null(ids.cast(pa.binary()), bytes(8)), 0, 8).cast(pa.binary(8))
    heads = np.frombuffer(first.buffers()[1], ">u8", len(first), first.offset * 8).astype(np.uint64)
    part = (heads << np.uint64(_BITS * depth) >> np.uint64(64 - _BITS)).astype(np.int64)
    part[ids.is_null().to_numpy(zero_copy_only=False)] = _PARTS
    order = np.argsort(part, kind="stable")
    ends = np.cumsum(np.bincount(part, minlength=_PARTS + 1))
    sorted_, heads = rows.take(pa.array(order)), heads[order]
    for at, (begin, end) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
        if end > begin:
            yield at, sorted_.slice(begin, end - begin), heads[begin:end]
