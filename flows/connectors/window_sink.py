"""Closed learning windows to `windows.parquet`."""

import re
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.connectors.output_directory import PARTS, WINDOWS, open_directory, remove
from flows.connectors.write_behind import WriteBehind
from flows.durable import cannot_write, sync
from flows.errors import OutputError
from flows.formats.windows import SCHEMA

State = tuple[int, int] | None
"""(version, number of the next part): the parts below it are durable."""

TableOf = Callable[[list[Any]], pa.Table]

_VERSION = 1
_NEXT = b"lapwing.next"  # in the metadata of windows.parquet: the parts below this number are in it
_ROWS = 1 << 16  # rows of a row group
_GROUP = 1 << 13  # the same of a part that is written while its epoch goes on
_FAN = 16
_TEXTS = [field.name for field in SCHEMA if field.type == pa.string()]
_PART = re.compile(r"windows-(\d{12})-(\d{12})\.parquet")


class WindowSink(FixedPartitionedSink[Sequence[Sized], State]):
    """One table of closed windows, each row exactly once over crashes when `staged`.

    An item is a list of pieces of which each has as many rows as its length says; `table_of` makes one table of many.

    Each epoch's rows become a part file, `.parts/windows-FIRST-LAST.parquet`; `merge_windows` makes `windows.parquet`
    of them when the run has ended. Without a resume state an existing table is replaced.

    Raises
    ------
    OutputError
        A file cannot be written, or the files are not those the state was written with.
    """

    def __init__(self, directory: str, staged: bool, table_of: TableOf) -> None:
        self._directory, self._staged, self._table_of = directory, staged, table_of

    def list_parts(self) -> list[str]:
        """The one partition."""
        return [WINDOWS]

    def build_part(self, step_id: str, for_part: str, resume_state: State) -> "WindowParts":
        """The parts, as the state says they were."""
        return WindowParts(open_directory(self._directory), self._staged, self._table_of, resume_state)


class WindowParts(StatefulSinkPartition[Sequence[Sized], State]):
    """Rows wait in memory until the epoch ends; then they are a part file, synced, and the state is the next number.

    A part at or above the state's number belongs to an epoch that will come again, and is removed at the start. 16
    parts of one epoch become one larger part, 16 of those again one, so that a week's epochs are fewer than 64 files.
    Only parts of durable epochs are joined: at the first write of the next epoch. The larger part is there before the
    smaller ones go; a part inside another's range is such a leftover.

    Without `staged` there is no state to go on with: then an epoch's part is written group by group of rows, behind the
    flow's back.

    `close` completes nothing: it also comes when another step has failed, perhaps for want of space, and an error
    raised there while Bytewax unwinds aborts the process without a word. A normal end takes a snapshot before that.
    """

    def __init__(self, directory: Path, staged: bool, table_of: TableOf, resume: State) -> None:
        self._directory, self._staged, self._table_of = directory, staged, table_of
        self._waiting: list[Sized] = []
        self._rows = 0
        self._draft: _Draft | None = None
        self._behind = None if staged else WriteBehind()
        if resume is None:
            self._next = 0
            remove(directory / WINDOWS)
        else:
            version, self._next = resume
            if version != _VERSION:
                raise OutputError(f"{directory / WINDOWS}: the state was written by another version of Lapwing")
            if _merged(directory) > self._next:
                raise OutputError(f"{directory / WINDOWS}: holds more than this state has written; start a new --state")
        for part, first, last in _found(directory):
            if last >= self._next:
                if first < self._next:
                    raise OutputError(f"{part}: belongs to a later state; start a new --state")
                remove(part)
        for draft in (directory / PARTS).glob("windows-*.parquet.tmp"):  # of a run that was killed
            remove(draft)
        self._durable = self._next

    def write_batch(self, items: list[Sequence[Sized]]) -> None:
        """Keeps the items' rows; joins parts of the epochs before, which are durable now."""
        if self._behind:
            self._behind.look()
        if self._durable < self._next:
            self._durable = self._next
            _compact(self._directory)
        for item in items:
            self._waiting += item
            self._rows += sum(map(len, item))
            if self._behind and self._rows >= _GROUP:
                self._put()

    def snapshot(self) -> State:
        """Writes the epoch's rows, and gives the number of the next part."""
        if self._rows:
            self._put()
        self._do(self._end)
        if self._behind:
            self._behind.settle()
        return (_VERSION, self._next) if self._staged else None

    def close(self) -> None:
        """Lets go of what belongs to an epoch that has not ended."""
        if self._behind:
            self._behind.close()
        if self._draft:
            self._draft.drop()

    def _do(self, job: Callable[[], object]) -> None:
        if self._behind:
            self._behind.write(job)
        else:
            job()

    def _put(self) -> None:
        self._do(partial(self._append, self._waiting))
        self._waiting, self._rows = [], 0

    def _append(self, pieces: list[Sized]) -> None:
        if self._draft is None:
            self._draft = _Draft(self._directory, _part(self._directory, self._next, self._next), self._next + 1)
        self._draft.append(self._table_of(pieces))

    def _end(self) -> None:
        if self._draft is not None:
            self._draft.place(self._staged)
            self._draft = None
            self._next += 1


def merge_windows(directory: str) -> None:
    """Makes `windows.parquet` of what it holds and of all parts, row group by row group, and removes the parts.

    A part that holds all rows there are becomes it as it is.

    Call it only after the run has returned: then every part is durable. The new table takes the old one's place at
    once, and says up to which part it goes, so that a crash in between neither doubles nor loses a row. A table of no
    rows is written too.

    Raises
    ------
    OutputError
        The table cannot be written, or a file is not a table of windows.
    """
    path = Path(directory)
    target = path / WINDOWS
    merged = _merged(path)
    parts = [(part, last) for part, first, last in _outer(path) if first >= merged]
    if len(parts) == 1 and not target.exists():
        _place(parts[0][0], target)
    elif parts or not target.exists():
        end = max([merged, *(last + 1 for _, last in parts)])
        sources = [*([target] if target.exists() else []), *(part for part, _ in parts)]
        _write(path, target, _rows_of(sources), end)
    for part, _, _ in _found(path):
        remove(part)


def _part(directory: Path, first: int, last: int) -> Path:
    return directory / PARTS / f"windows-{first:012d}-{last:012d}.parquet"


def _found(directory: Path) -> list[tuple[Path, int, int]]:
    """All part files with their first and last number, in order, a larger one before those inside it."""
    named = [(part, _PART.fullmatch(part.name)) for part in (directory / PARTS).glob("windows-*.parquet")]
    found = [(part, int(name[1]), int(name[2])) for part, name in named if name]
    return sorted(found, key=lambda part: (part[1], -part[2]))


def _outer(directory: Path) -> list[tuple[Path, int, int]]:
    """The parts that hold all rows once; what is left of parts that were joined is removed."""
    outer: list[tuple[Path, int, int]] = []
    for part, first, last in _found(directory):
        if outer and last <= outer[-1][2]:
            remove(part)
        else:
            outer.append((part, first, last))
    return outer


def _compact(directory: Path) -> None:
    """Joins the last 16 parts while they were made of equally many epochs, as a counter carries."""
    while True:
        last = _outer(directory)[-_FAN:]
        if len(last) < _FAN or len({end - first for _, first, end in last}) > 1:
            return
        parts = [part for part, _, _ in last]
        _write(directory, _part(directory, last[0][1], last[-1][2]), _rows_of(parts), last[-1][2] + 1)
        for part in parts:
            remove(part)


def _merged(directory: Path) -> int:
    """The number of the first part that is not in windows.parquet."""
    path = directory / WINDOWS
    if not path.exists():
        return 0
    try:
        return int((pq.read_schema(path).metadata or {}).get(_NEXT, b"0"))
    except (pa.ArrowException, ValueError) as error:
        raise OutputError(f"{path}: not a table of windows; move it away") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def _rows_of(paths: list[Path]) -> Iterator[pa.Table]:
    """The tables' rows in today's columns, in memory one piece at a time."""
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS):
                    names = set(batch.schema.names)
                    columns = [
                        batch.column(field.name).cast(field.type)
                        if field.name in names
                        else pa.nulls(len(batch), field.type)
                        for field in SCHEMA
                    ]
                    yield pa.Table.from_arrays(columns, schema=SCHEMA)
        except pa.ArrowException as error:
            raise OutputError(f"{path}: not a table of windows; move it away") from error
        except OSError as error:  # of damaged pages too
            raise OutputError(f"{path}: cannot be read ({error.strerror or error})") from error


def _write(directory: Path, path: Path, rows: Iterator[pa.Table], end: int) -> None:
    """Writes a table among the parts, of all rows before part `end`, and puts it in its place at once."""
    draft = _Draft(directory, path, end)
    try:
        waiting: list[pa.Table] = []
        count = 0
        for table in rows:
            waiting.append(table)
            count += table.num_rows
            if count >= _ROWS:
                draft.append(pa.concat_tables(waiting))
                waiting, count = [], 0
        if waiting:
            draft.append(pa.concat_tables(waiting))
    except BaseException:
        draft.drop()
        raise
    draft.place(durable=True)


class _Draft:
    """A table on its way among the parts, of all rows before part `end`; what fails leaves nothing behind."""

    def __init__(self, directory: Path, path: Path, end: int) -> None:
        self._path, self._draft = path, directory / PARTS / f"{path.name}.tmp"
        self._metadata = {_NEXT: str(end).encode()}
        self._file: Any = None
        schema = SCHEMA.with_metadata(self._metadata)
        with self._failing():
            self._file = pq.ParquetWriter(self._draft, schema, compression="zstd", use_dictionary=_TEXTS)

    def append(self, table: pa.Table) -> None:
        """Writes some rows as a row group."""
        with self._failing():
            self._file.write_table(table.replace_schema_metadata(self._metadata))

    def place(self, durable: bool) -> None:
        """Puts the table in its place at once."""
        with self._failing():
            self._file.close()
            if durable:
                sync(self._draft)
        _place(self._draft, self._path)

    def drop(self) -> None:
        """Removes what there is; says nothing of failures, as it comes after one."""
        if self._file is not None:
            with suppress(OSError, pa.ArrowException):
                self._file.close()
        with suppress(OSError, OutputError):
            remove(self._draft)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.drop()
            raise cannot_write(self._path, error) from error


def _place(draft: Path, path: Path) -> None:
    """Puts a file in its place at once, durably."""
    try:
        draft.rename(path)
        sync(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
