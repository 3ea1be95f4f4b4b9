"""Writing the trail: what comes from a source goes into its tables, each message once."""

from collections.abc import Sequence
from typing import Final, Self

import pyarrow as pa

from flows.formats.lapwing import Decoded
from flows.trail.keys import KeyStore
from flows.trail.records import Record, record_table
from flows.trail.rows import Scored, event_table
from flows.trail.store import Store
from flows.trail.trees import MOST, Trees

_NEVER: Final = (-1, 0)


class Writer:
    """Rows of one table that wait, and the commit that appends them with how far they go."""

    def __init__(self, store: Store, keys: KeyStore, most_tenants: int = MOST) -> None:
        self._store, self._keys = store, keys
        self._trees = Trees(store, most_tenants)
        self._waiting: list[pa.Table] = []
        self._reached: dict[str, tuple[int, int]] = {}
        self.rows = 0

    @classmethod
    def open(cls, trail: str, kind: str, keys: KeyStore, most_tenants: int = MOST) -> Self:
        """A table's writer; the table is made where it is missing.

        Raises
        ------
        InputError
            The table cannot be read, or other keys have sealed it.
        OutputError
            It cannot be made.
        """
        return cls(Store.open(trail, kind, create=keys.identity), keys, most_tenants)

    def reached(self, source: str) -> tuple[int, int]:
        """The last message of a source that is here, waiting or appended: (offset, index)."""
        if source not in self._reached:
            self._reached[source] = self._store.reached(source)
        return self._reached[source]

    def events(
        self, source: str, log: str, batch: Decoded, messages: Sequence[bytes], scored: Sequence[Scored]
    ) -> None:
        """Take in events of a source, of which none has come before.

        Raises
        ------
        OutputError
            The key store cannot be written.
        """
        self._take(event_table(batch, messages, scored, log, self._keys, self._trees))

    def records(self, source: str, log: str, records: Sequence[Record]) -> None:
        """As `events`, for records of other kinds."""
        self._take(record_table(records, log, self._keys, self._trees))

    def move(self, source: str, reached: tuple[int, int]) -> None:
        """Note how far a source has been taken in."""
        self._reached[source] = reached

    def commit(self) -> int:
        """Append what waits, in one commit; how many rows that were.

        Raises
        ------
        OutputError
            Nothing of it is in the table.
        """
        rows = pa.concat_tables(self._waiting) if self._waiting else None
        if rows is not None:
            self._store.append(rows, self._reached, self._trees.sizes())
        self._waiting, done, self.rows = [], self.rows, 0
        return done

    def _take(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._waiting.append(rows)
            self.rows += rows.num_rows
