"""One table of the trail: what is appended, how far its sources were read, and where its files are."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
from deltalake import (
    BloomFilterProperties,
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import DeltaError, TableNotFoundError

from flows.errors import InputError, OutputError
from flows.trail.schema import schema_of

PARTITIONED_BY: Final = ["tenant", "day"]
ROW_GROUP: Final = 4_096
"""Rows of a row group: what is read for one event."""
FOUND_BY: Final = ("user_id", "actor_id", "target_id", "ip_token", "session_token", "request_token")
"""Columns by which rows are found; each of a compacted file's row groups has a bloom filter of them."""
_UNIQUE: Final = ("id", "lapwing", "uid", "sealed", "raw", "raw_hash", "leaf_hash", "user_sealed", "actor_sealed", "target_sealed")  # fmt: skip  # noqa: E501
"""Columns whose values hardly ever come twice: a dictionary, or their least and greatest, would only cost."""


class Store:
    """A Delta table of one kind, in a directory or an object store.

    Every commit says, in its application transactions (which Delta keeps as long as the table lives), how far each
    source has been read and how many leaves each tree has. So what is there and how far it goes are one thing, and
    an epoch that comes again after a crash finds what it has to pass over.
    """

    def __init__(self, place: str, kind: str, table: DeltaTable) -> None:
        self.place, self.kind, self.table = place, kind, table

    @classmethod
    def open(cls, trail: str, kind: str, *, create: bool = False) -> Self:
        """A trail's table of a kind.

        Raises
        ------
        InputError
            There is none, or it cannot be read.
        OutputError
            It cannot be made.
        """
        place = f"{trail.rstrip('/')}/{kind}"
        try:
            return cls(place, kind, DeltaTable(place))
        except TableNotFoundError:
            if not create:
                raise InputError(f"{place}: no such table; `lapwing archive` makes it") from None
        except DeltaError as error:
            raise InputError(f"{place}: {first_line(error)}") from None
        try:
            if "://" not in place:
                Path(place).mkdir(parents=True, exist_ok=True)
            made = DeltaTable.create(place, schema=_delta(schema_of(kind)), partition_by=PARTITIONED_BY)
        except (DeltaError, OSError) as error:
            raise OutputError(f"{place}: {first_line(error)}") from None
        return cls(place, kind, made)

    def append(
        self, rows: pa.Table, reached: Mapping[str, tuple[int, int]], sizes: Mapping[tuple[str, str], int]
    ) -> None:
        """Add rows in one commit, with how far sources and trees have come with them.

        Parameters
        ----------
        reached
            Of each source the (offset, index) of the last message that is in the table.
        sizes
            Of each (tenant, log) how many leaves there are.

        Raises
        ------
        OutputError
            Nothing of it is in the table.
        """
        marks = [Transaction(f"offset:{source}", offset) for source, (offset, _) in reached.items()]
        marks += [Transaction(f"index:{source}", index) for source, (_, index) in reached.items()]
        marks += [Transaction(_tree(tenant, log), size) for (tenant, log), size in sizes.items()]
        try:
            write_deltalake(
                self.table,
                rows,
                mode="append",
                writer_properties=_writing(self.kind, found=False),
                commit_properties=CommitProperties(app_transactions=marks),
            )
            self.table.update_incremental()
        except (DeltaError, OSError) as error:
            raise OutputError(f"{self.place}: {first_line(error)}") from None

    def reached(self, source: str) -> tuple[int, int]:
        """The last message of a source in the table, (-1, 0) for none."""
        offset = self.table.transaction_version(f"offset:{source}")
        return (-1, 0) if offset is None else (offset, self.table.transaction_version(f"index:{source}") or 0)

    def size(self, tenant: str, log: str) -> int:
        """How many leaves a tree has."""
        return self.table.transaction_version(_tree(tenant, log)) or 0

    def files(self, tenant: str | None = None, days: Iterable[str] | None = None) -> list[tuple[str, str, str]]:
        """The table's files as (tenant, day, place), in that order, of one tenant or some days if asked for."""
        wanted = None if days is None else set(days)
        adds = pa.record_batch(self.table.get_add_actions(flatten=True))
        rows = zip(
            adds.column("partition.tenant").to_pylist(),
            adds.column("partition.day").to_pylist(),
            adds.column("path").to_pylist(),
            strict=True,
        )
        found = [row for row in rows if tenant in (None, row[0]) and (wanted is None or row[1] in wanted)]
        return sorted((of, day, f"{self.place}/{path}") for of, day, path in found)


def first_line(error: Exception) -> str:
    """What a library says, in one line of a bearable length."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _tree(tenant: str, log: str) -> str:
    return f"size:{len(tenant)}:{tenant}{log}"


def _delta(schema: pa.Schema) -> pa.Schema:
    """The schema as Delta has it, which knows no binary of a fixed size."""
    return pa.schema(
        [
            pa.field(
                field.name, pa.binary() if pa.types.is_fixed_size_binary(field.type) else field.type, field.nullable
            )
            for field in schema
        ]
    )


def _writing(kind: str, *, found: bool) -> WriterProperties:
    """How files are written; with bloom filters where they stay as they are."""
    names = schema_of(kind).names
    columns: dict[str, ColumnProperties] = {
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="NONE") for name in _UNIQUE if name in names
    }
    bloom = BloomFilterProperties(True, 0.001, ROW_GROUP) if found else None
    columns |= {
        name: ColumnProperties(dictionary_enabled=False, statistics_enabled="CHUNK", bloom_filter_properties=bloom)
        for name in FOUND_BY
        if name in names
    }
    return WriterProperties(
        compression="ZSTD", compression_level=1, max_row_group_size=ROW_GROUP, column_properties=columns
    )
