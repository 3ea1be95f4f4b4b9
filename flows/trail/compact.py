"""Putting a table's files in order: many small ones into few, and a day that is over sorted by user."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import pyarrow.parquet as pq

from flows.errors import InputError, OutputError
from flows.trail.schema import day_of
from flows.trail.store import Store, StoredFile
from flows.trail.tables import Tables
from flows.trail.written import AS_IT_CAME

FEW: Final = 32
"""Small files of a tree's day that are left alone while the day goes on."""
SMALL: Final = 32 << 20
"""Bytes below which a file is small."""
_REST: Final = 4
"""A day is sorted again when what came after is at least a fourth of it, or this run at its end has brought as much: so
a row is rewritten a few times at most."""
ALL: Final = "~"
"""After every day."""
Day = tuple[str, str]
"""A tree and a day of it."""
_SWEEP_S: Final = 3_600
_QUIET_S: Final = 60
"""How long a day that is over has had no more rows when it is sorted: not while it is loaded."""
_OVER_US: Final = 2 * 3_600_000_000
"""How long after its end a day is taken to be over."""


class Compaction:
    """Looks after the files of the tables that a flow writes, between its commits: of the days that it has written to.

    Old versions' files go an hour after they were replaced, so that whoever reads them meanwhile can.
    """

    def __init__(self, tables: Tables, tell: Callable[[str], None] = lambda text: None) -> None:
        self._tables, self._tell = tables, tell
        self._sorted: dict[str, bool] = {}
        self._swept = time.monotonic()

    def look(self) -> None:
        """Put in order what is due: days with many small files, and days that are over.

        What cannot be is told, and left as it is: what comes is kept all the same.
        """
        over, now = day_of(time.time_ns() // 1000 - _OVER_US), time.monotonic()
        for writer in self._tables.writers():
            busy = {day for day, at in writer.touched.items() if now - at < _QUIET_S}
            self._compact(writer.store, "", busy, Counter())
            self._compact(writer.store, over, writer.touched.keys() - busy, Counter())
        self._condense()
        if now - self._swept > _SWEEP_S:
            self._swept = now
            self._sweep()

    def finish(self) -> None:
        """Put all in order at the end of an input, as `look`."""
        for writer in self._tables.writers():
            self._compact(writer.store, ALL, {*writer.touched}, writer.written)
        self._condense(all_=True)
        self._sweep()

    def _compact(self, store: Store, before: str, only: set[Day], written: Counter[Day]) -> None:
        try:
            compact(store, before, only, self._sorted, written)
        except (InputError, OutputError) as error:
            self._tell(f"files stay as they are for now: {error}")

    def _condense(self, *, all_: bool = False) -> None:
        try:
            self._tables.aggregates.condense(all_=all_)
        except (InputError, OutputError) as error:
            self._tell(f"counts are not added up for now: {error}")

    def _sweep(self) -> None:
        for store in (*(writer.store for writer in self._tables.writers()), self._tables.aggregates.store):
            try:
                store.sweep()
            except OutputError as error:
                self._tell(f"files of old versions stay for now: {error}")


def compact(
    store: Store,
    before: str = ALL,
    only: set[Day] | None = None,
    known: dict[str, bool] | None = None,
    written: Counter[Day] | None = None,
) -> int:
    """Put a table's files in order; how many days of trees were rewritten.

    A day before `before` becomes sorted by user unless it is. Given how many rows of each a run has `written`, little
    that was added since is left as it came if that run has written little of the day. Of the others those with many
    small files get fewer. No leaf changes. `only` are the (tree, day) to look at, `known` remembers which files are
    sorted.

    Raises
    ------
    InputError
        A file cannot be read.
    OutputError
        The table cannot be written; its rows are as they were.
    """
    if only is not None and not only:
        return 0
    known = {} if known is None else known
    days: dict[Day, list[StoredFile]] = defaultdict(list)
    for file in store.files():
        if only is None or (file.tree, file.day) in only:
            days[file.tree, file.day].append(file)
    done = 0
    for (tree, day), files in days.items():
        if day < before:
            loose = [file.rows for file in files if not _is_sorted(store, file, known)]
            much = sum(file.rows for file in files) / _REST
            little = written is not None and len(loose) < FEW and max(sum(loose), written[tree, day]) < much
            if loose and not little:
                store.sort(tree, day)
                done += 1
        elif sum(file.size < SMALL for file in files) >= FEW:
            store.join(tree, day, SMALL)
            done += 1
    return done


def _is_sorted(store: Store, file: StoredFile, known: dict[str, bool]) -> bool:
    """Whether a file's rows are in the order of users, and have filters."""
    if file.path not in known:
        with store.folder.open(file.path) as (parquet, _):
            known[file.path] = in_order_of_users(parquet)
    return known[file.path]


def in_order_of_users(file: pq.ParquetFile) -> bool:
    """Whether a file has been rewritten and its row groups follow each other by user, with bloom filters of them."""
    footer = file.metadata
    at = next(number for number in range(footer.num_columns) if footer.schema.column(number).path == "user_id")
    chunks = [footer.row_group(number).column(at) for number in range(footer.num_row_groups)]
    spans = [(seen.min, seen.max) for chunk in chunks if (seen := chunk.statistics) is not None and seen.has_min_max]
    filtered = all(chunk.bloom_filter_offset and chunk.compression != AS_IT_CAME for chunk in chunks)
    return filtered and all(before[1] <= after[0] for before, after in pairwise(spans))
