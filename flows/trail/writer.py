"""Writing the trail: what comes from a source goes into its tables, each message once."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Self

import pyarrow as pa

from flows.trail.incoming import Events
from flows.trail.keys import KeyStore
from flows.trail.ledger import Ledger
from flows.trail.records import Record, record_table
from flows.trail.rows import event_table
from flows.trail.store import Store
from flows.trail.trees import MOST, Trees
from flows.trail.written import runs


class Writer:
    """Rows of one table that wait, and the commit that appends them with how far they go.

    `touched` are the (tree, day) that have got rows, with when that was last (monotonic seconds), `written` how many.
    """

    def __init__(self, store: Store, keys: KeyStore, most_trees: int = MOST, ledger: Ledger | None = None) -> None:
        self.store, self._keys, self._ledger = store, keys, ledger
        self._trees = Trees(store, most_trees)
        self._waiting: list[pa.Table] = []
        self._reached: dict[str, tuple[int, int]] = {}
        self._moved: set[str] = set()
        self.rows = 0
        self.touched: dict[tuple[str, str], float] = {}
        self.written: Counter[tuple[str, str]] = Counter()

    @classmethod
    def open(cls, trail: str, kind: str, keys: KeyStore, most_trees: int = MOST, ledger: Ledger | None = None) -> Self:
        """A table's writer; the table is made where it is missing. `ledger` signs what it commits.

        Raises
        ------
        InputError
            The table cannot be read, or other keys have sealed it.
        OutputError
            It cannot be made.
        Refused
            It is not what was signed of it.
        """
        store = Store.open(trail, kind, create=keys.identity)
        if ledger is not None:
            ledger.resume(store)
        return cls(store, keys, most_trees, ledger)

    def reached(self, source: str) -> tuple[int, int]:
        """The last message of a source that is here, waiting or appended: (offset, index), (-1, 0) for none."""
        if source not in self._reached:
            self._reached[source] = self.store.reached(source)
        return self._reached[source]

    def events(self, log: str, came: Events) -> pa.Table:
        """Take in events of a log, of which none has come before; the rows that they have become.

        Raises
        ------
        OutputError
            The key store cannot be written.
        """
        return self._take(event_table(came.batch, came.kept, came.told, came.scored, log, self._keys, self._trees))

    def records(self, log: str, records: Sequence[Record]) -> pa.Table:
        """As `events`, for records of other kinds."""
        return self._take(record_table(records, log, self._keys, self._trees))

    def move(self, source: str, reached: tuple[int, int]) -> None:
        """Note how far a source has been taken in."""
        self._reached[source] = reached
        self._moved.add(source)

    def commit(self) -> bool:
        """Append what waits, in one commit; whether there was anything. Without rows it says how far sources are.

        Raises
        ------
        OutputError
            Nothing of it is in the table.
        """
        if not self._moved and not self._waiting:
            return False
        rows = pa.concat_tables(self._waiting) if self._waiting else None
        reached = {source: self._reached[source] for source in self._moved}
        self._keys.keep()  # nothing is stored before what opens it
        self.store.append(rows, reached, self._trees.grown())
        if rows is not None and self._ledger is not None:
            self._ledger.grow(self.store, rows)
        self._waiting, self.rows = [], 0
        self._moved.clear()
        return True

    def _take(self, rows: pa.Table) -> pa.Table:
        if not rows.num_rows:
            return rows
        self._waiting.append(rows)
        for batch in rows.to_batches():
            for day, begin, end in runs(batch):
                self.written[day] += end - begin
                self.touched[day] = time.monotonic()
        self.rows += rows.num_rows
        return rows
