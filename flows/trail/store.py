"""One table of the trail: what is appended, how far its sources were read, and where its files are."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import unquote

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from flows import durable
from flows.errors import InputError, OutputError
from flows.trail.by_user import by_user
from flows.trail.cause import cause
from flows.trail.files import Folder, usual
from flows.trail.schema import day_of, schema_of
from flows.trail.written import FOUND_BY, FOUND_IN, PARTITIONED_BY, rewriting, rewritten, stored, written

FILE_BYTES: Final = 256 << 20
"""About how large a sorted file is."""
_PIECE: Final = 8_192
"""Rows that are read at once."""


class Conflict(OutputError):
    """Another process has changed the table in the meantime; nothing of one's own is in it."""


class _Added(msgspec.Struct):
    path: str


class _Action(msgspec.Struct):
    add: _Added | None = None


class StoredFile(NamedTuple):
    """A file of a table. `least` and `greatest` are of its rows' times, microseconds UTC."""

    tree: str
    day: str
    path: str
    rows: int
    size: int
    least: int
    greatest: int


class Store:
    """A Delta table of one kind, in a directory or an object store.

    Every commit says, in its application transactions (which Delta keeps as long as the table lives), how far each
    source has been read and how many leaves each tree has. So what is there and how far it goes are one thing, and
    an epoch that comes again after a crash finds what it has to pass over.
    """

    def __init__(self, place: str, kind: str, table: DeltaTable) -> None:
        self.place, self.kind, self.table = place, kind, table
        self.folder = Folder(place, table)

    @classmethod
    def open(cls, trail: str, kind: str, *, create: str = "") -> Self:
        """A trail's table of a kind; with `create`, the identity of the keys that will seal it, made if there is none.

        Raises
        ------
        InputError
            There is none, or it cannot be read, or other keys have sealed it.
        OutputError
            It cannot be made.
        """
        place = f"{trail.rstrip('/')}/{kind}"
        try:
            found = cls(place, kind, DeltaTable(place))
        except TableNotFoundError:
            if not create:
                raise InputError(f"{place}: no such table; `lapwing archive` makes it") from None
        except (DeltaError, OSError, ValueError) as error:
            raise InputError(f"{place}: {cause(error)}") from None
        else:
            if create:
                found.check_keys(create)
            return found
        try:
            if "://" not in place:
                Path(place).mkdir(parents=True, exist_ok=True)
            made = DeltaTable.create(
                place,
                schema=stored(schema_of(kind)),
                partition_by=PARTITIONED_BY,
                name=kind,
                description=f"Lapwing audit trail, keys {create}",
                configuration={
                    "delta.dataSkippingStatsColumns": ",".join(
                        name for name in FOUND_IN if name in schema_of(kind).names
                    )
                },
            )
        except (DeltaError, OSError) as error:
            if cls.exists(trail, kind):  # another process was faster
                return cls.open(trail, kind, create=create)
            raise OutputError(f"{place}: {cause(error)}") from None
        return cls(place, kind, made)

    @staticmethod
    def exists(trail: str, kind: str) -> bool:
        """Whether a trail has a table of a kind: nothing may have come yet.

        Raises
        ------
        InputError
            The place cannot be read.
        """
        place = f"{trail.rstrip('/')}/{kind}"
        try:
            return bool(DeltaTable.is_deltatable(place))
        except (DeltaError, OSError, ValueError) as error:
            raise InputError(f"{place}: {cause(error)}") from None

    def check_keys(self, identity: str) -> None:
        """Refuse keys that are not the table's.

        Raises
        ------
        InputError
            They are another trail's.
        """
        if not (self.table.metadata().description or "").endswith(f" {identity}"):
            raise InputError(f"{self.place}: was sealed with other keys than those given")

    def append(
        self, rows: pa.Table | None, reached: Mapping[str, tuple[int, int]], sizes: Mapping[tuple[str, str], int]
    ) -> None:
        """Add rows in one commit, with how far sources and trees have come with them.

        Parameters
        ----------
        rows
            None for none: the commit then only says how far sources are.
        reached
            Of each source the (offset, index) of the last message that is in the table.
        sizes
            Of each (tree, log) how many leaves there are.

        Raises
        ------
        OutputError
            Nothing of it is in the table.
        """
        marks = [Transaction(f"offset:{source}", offset) for source, (offset, _) in reached.items()]
        marks += [Transaction(f"index:{source}", index) for source, (_, index) in reached.items()]
        marks += [Transaction(_size(tree, log), size) for (tree, log), size in sizes.items()]
        with self._changing():
            self.table.create_write_transaction(
                [] if rows is None else written(self.folder, self.kind, rows),
                mode="append",
                schema=stored(schema_of(self.kind)),
                partition_by=PARTITIONED_BY,
                commit_properties=CommitProperties(app_transactions=marks),
            )

    def rewrite(self, tree: str, day: str, rows: pa.Table) -> None:
        """Put rows in the place of all that a day of a tree has: sums in the place of what they are of.

        Raises
        ------
        OutputError
            The table cannot be written; it is as it was.
        """
        with self._changing():
            write_deltalake(
                self.table,
                rows,
                mode="overwrite",
                predicate=" AND ".join(f"{name} = '{value}'" for name, _, value in _of(tree, day)),
                writer_properties=rewriting(self.kind),
            )

    def sort(self, tree: str, day: str) -> None:
        """Rewrite a day of a tree in the order of users, with bloom filters.

        What does not fit into memory waits on the table's own disk, or among the system's temporary files.

        Raises
        ------
        InputError
            A file cannot be read.
        OutputError
            The table cannot be written; it is as it was.
        """
        old = [file for file in self.files({tree}) if file.day == day]
        rows = by_user(self._rows(old), sum(file.size for file in old), None if "://" in self.place else self.place)
        with self._changing():
            new = rewritten(self.folder, self.kind, tree, day, rows, FILE_BYTES)
            self.table.create_write_transaction(
                new,
                mode="overwrite",
                schema=stored(schema_of(self.kind)),
                partition_by=PARTITIONED_BY,
                partition_filters=_of(tree, day),
            )

    def _rows(self, files: Iterable[StoredFile]) -> Iterator[pa.RecordBatch]:
        for each in files:
            with self.folder.open(each.path) as (file, _):
                yield from map(usual, file.iter_batches(batch_size=_PIECE))

    def join(self, tree: str, day: str, small: int) -> None:
        """Rewrite the files of a day that are smaller than so many bytes as few of that size, with bloom filters.

        Raises
        ------
        OutputError
            The table cannot be written; it is as it was.
        """
        with self._changing():
            self.table.optimize.compact(
                partition_filters=_of(tree, day),
                target_size=small,
                max_concurrent_tasks=1,
                writer_properties=rewriting(self.kind),
            )

    def remove(self, tree: str, day: str) -> None:
        """Remove all rows of a day of a tree; their files go when old versions are swept.

        Raises
        ------
        OutputError
            The table cannot be written, or rows came meanwhile; it is as it was.
        """
        with self._changing():
            self.table.delete(_day(tree, day))

    def drop_raw(
        self, tree: str, day: str, tenants: Iterable[str], subjects: Iterable[bytes], addresses: Iterable[bytes]
    ) -> None:
        """Put its hash in the place of each raw message of a day, but for rows of some tenants, subjects or addresses.

        No leaf changes: `raw_hash` is what it is over.

        Raises
        ------
        OutputError
            The table cannot be written, or rows came meanwhile; it is as it was.
        """
        ids = _literals(f"X'{id_.hex()}'" for id_ in subjects)
        kept = [f"{column} IN ({ids})" for column in FOUND_BY if column.endswith("_id") and ids]
        if tokens := _literals(f"X'{token.hex()}'" for token in addresses):
            kept.append(f"ip_token IN ({tokens})")
        if names := _literals("'" + tenant.replace("'", "''") + "'" for tenant in tenants):
            kept.append(f"tenant IN ({names})")
        # A row without an address is not among those from some: null is neither in a list nor not in it.
        but = "".join(f" AND coalesce({each}, false) = false" for each in kept)
        with self._changing():
            self.table.update(
                updates={"raw_hash": "sha256(raw)", "raw": "NULL"},
                predicate=f"{_day(tree, day)} AND raw IS NOT NULL{but}",
                writer_properties=rewriting(self.kind),
            )

    def sweep(self, hours: int = 1) -> int:
        """Remove the files of old versions that were replaced so many hours ago; how many those were.

        Raises
        ------
        OutputError
            They cannot be removed.
        """
        with self._changing():
            return len(self.table.vacuum(hours, dry_run=False, enforce_retention_duration=False))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Around a commit: its errors as ours; on a local disk what it wrote is durable afterwards."""
        before = self.table.version()
        try:
            yield
            self.table.update_incremental()
            if "://" not in self.place:
                self._sync(before)
        except CommitFailedError as error:
            raise Conflict(f"{self.place}: {cause(error)}") from None
        except (DeltaError, OSError) as error:
            raise OutputError(f"{self.place}: {cause(error)}") from None

    def _sync(self, before: int) -> None:
        root = Path(self.place)
        folders = set()
        for version in range(before + 1, self.table.version() + 1):
            commit = root / "_delta_log" / f"{version:020}.json"
            for line in commit.read_bytes().splitlines():
                if added := msgspec.json.decode(line, type=_Action).add:
                    durable.sync(root / unquote(added.path))
                    folders.add((root / unquote(added.path)).parent)
            durable.sync(commit)
            folders.add(commit.parent)
        for folder in folders:
            durable.sync(folder)

    def reached(self, source: str) -> tuple[int, int]:
        """The last message of a source in the table, (-1, 0) for none."""
        offset = self.table.transaction_version(f"offset:{source}")
        return (-1, 0) if offset is None else (offset, self.table.transaction_version(f"index:{source}") or 0)

    def size(self, tree: str, log: str) -> int:
        """How many leaves a log has in a tree."""
        return self.table.transaction_version(_size(tree, log)) or 0

    def trees(self) -> set[str]:
        """The trees that have rows."""
        return {partition["tree"] for partition in self.table.partitions()}

    def files(
        self, trees: set[str] | None = None, start: int | None = None, end: int | None = None
    ) -> list[StoredFile]:
        """The table's files by (day, tree, path), of some trees, or that may have rows of a range of time."""
        adds = pa.table(self.table.get_add_actions(flatten=True))
        rows = zip(
            _column(adds, "partition.tree"),
            _column(adds, "partition.day"),
            _column(adds, "path"),
            _column(adds, "num_records"),
            _column(adds, "size_bytes"),
            _column(adds, "min.time"),
            _column(adds, "max.time"),
            strict=True,
        )
        first = "" if start is None else day_of(start)
        last = "9" if end is None else day_of(max(0, end - 1))
        found = [StoredFile(*row) for row in rows if (trees is None or row[0] in trees) and first <= row[1] <= last]
        return sorted(found, key=lambda file: (file.day, file.tree, file.path))


def _of(tree: str, day: str) -> list[tuple[str, str, str]]:
    return [("tree", "=", tree), ("day", "=", day)]


def _day(tree: str, day: str) -> str:
    return f"tree = '{tree}' AND day = '{day}'"


def _literals(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))


def _size(tree: str, log: str) -> str:
    return f"size:{tree}/{log}"


def _column(adds: pa.Table, name: str) -> list[Any]:
    """A column of what the log says of its files; times as integer microseconds."""
    if name not in adds.column_names:  # nothing has been added yet
        return [None] * adds.num_rows
    column = adds.column(name)
    values: list[Any] = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()
    return values
