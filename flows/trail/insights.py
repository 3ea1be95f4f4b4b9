"""The trail's table of aggregates: counted as events and alerts come in, each once, and read as one table of sums."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.formats.user_agent import LONGEST, families
from flows.insights.aggregate import READ, TAKEN, accumulate, of_alerts, place
from flows.insights.rows import ROWS, bounded, merged
from flows.trail.keys import KeyStore
from flows.trail.schema import INSIGHTS, SHARED, tree_of
from flows.trail.seal import CannotOpen, seal, unseal
from flows.trail.store import Store, StoredFile

if TYPE_CHECKING:
    from flows.trail.members import Told  # it takes the kernels with it, which a reader can do without

MANY: Final = 16
"""Files of a tree's day from which on they are made one."""
_ABOUT: Final = b"insights"
_SHOWN: Final = pa.schema([ROWS.field(name) for name in ROWS.names if name not in ("tree", "day")])
"""What a report is made of."""
_AGENTS: Final = 4_096
_NEW_AGENTS: Final = 500
"""User agents kept, and read anew between two commits: each takes milliseconds, and senders choose them."""


_json = msgspec.json.Decoder().decode


class Aggregates:
    """Counts what is written to the other tables, and commits it with how far its sources are counted.

    It commits before they do: after a crash the sources come again from where the others are, and what is counted
    already is passed over.
    """

    def __init__(self, store: Store, keys: KeyStore) -> None:
        self.store, self._keys = store, keys
        self._events: list[pa.Table] = []
        self._rows: list[pa.Table] = []
        self._behind: dict[str, tuple[int, int]] = {}
        """How far sources were counted before: what comes in a run comes once."""
        self._reached: dict[str, tuple[int, int]] = {}
        self._touched: set[tuple[str, str]] = set()
        self._agents: dict[str, dict[str, str]] = {}
        self._new_agents = 0

    @classmethod
    def open(cls, trail: str, keys: KeyStore) -> Self:
        """The table; made where it is missing.

        Raises
        ------
        InputError
            It cannot be read, or other keys have sealed it.
        OutputError
            It cannot be made.
        """
        return cls(Store.open(trail, INSIGHTS, create=keys.identity), keys)

    def events(self, source: str, rows: pa.Table, told: "Told") -> None:
        """Count events as they have been taken into their table; `told` are their members."""
        new = self._new(source, rows)
        table = rows.select(list(TAKEN))
        for name, column in zip(READ, self._read(told), strict=True):
            table = table.append_column(name, column)
        self._events.append(table if pc.all(new).as_py() else table.filter(new))

    def alerts(self, source: str, rows: pa.Table, messages: Sequence[bytes]) -> None:
        """Count alerts likewise."""
        new = self._new(source, rows).to_pylist()
        where = rows.select(["tree", "day", "tenant"]).to_pylist()
        told = [
            {**row, "record": _json(message)}
            for row, message, is_new in zip(where, messages, new, strict=True)
            if is_new
        ]
        self._rows.append(of_alerts(told))

    def commit(self) -> bool:
        """Append what was counted; whether there was anything.

        Raises
        ------
        OutputError
            Nothing of it is in the table.
        """
        if not self._reached:
            return False
        if self._events:
            self._rows.append(accumulate(self.waiting(), self.hide))
        rows = merged(pa.concat_tables(self._rows)) if self._rows else ROWS.empty_table()
        self.store.append(rows if rows.num_rows else None, self._reached, {})
        self._touched.update(zip(rows["tree"].to_pylist(), rows["day"].to_pylist(), strict=True))
        self._events, self._rows, self._new_agents = [], [], 0
        self._reached.clear()
        return True

    def waiting(self) -> pa.Table:
        """The events that wait to be counted."""
        return pa.concat_tables(self._events)

    def condense(self, *, all_: bool = False) -> None:
        """Add up the rows of days with many files; with `all_` of every day that was written to.

        Raises
        ------
        InputError
            A file cannot be read.
        OutputError
            The table cannot be written; it is as it was.
        """
        files: dict[tuple[str, str], int] = {}
        for file in self.store.files({tree for tree, _ in self._touched}):
            files[file.tree, file.day] = files.get((file.tree, file.day), 0) + 1
        for day, count in files.items():
            if day in self._touched and count >= (2 if all_ else MANY):
                self.store.rewrite(*day, bounded(merged(table_of(self.store, *day))))
        if all_:
            self._touched.clear()

    def _new(self, source: str, rows: pa.Table) -> pa.Array:
        """Which rows are not counted yet; all are from now on."""
        if source not in self._behind:
            self._behind[source] = self.store.reached(source)
        offset, index = self._behind[source]
        offsets, indices = rows["offset"].to_numpy(), rows["index"].to_numpy()
        if rows.num_rows:
            last = int(np.lexsort((indices, offsets))[-1])
            self._reached[source] = (int(offsets[last]), int(indices[last]))
        return pa.array((offsets > offset) | ((offsets == offset) & (indices > index)))

    def _read(self, told: "Told") -> list[pa.Array]:
        """Browsers, operating systems, devices and cities of events, as `READ` names them."""
        every = np.arange(len(told))
        which, first = told.distinct(("user_agent",), every)
        agents = [self._families(agent[:LONGEST]) if agent else {} for agent in told.strings("user_agent", first)]
        found = [pa.array([one.get(name) for one in agents], pa.string()).take(which) for name in READ[:-1]]
        which, first = told.distinct(("city", "country", "lat", "lon"), every)
        where = (told.numbers(name, first).tolist() for name in ("lat", "lon"))
        names = zip(told.strings("city", first), told.strings("country", first), *where, strict=True)
        cities = [place(city, country, lat, lon) if city else None for city, country, lat, lon in names]
        return [*found, pa.array(cities, pa.string()).take(which)]

    def _families(self, agent: str) -> dict[str, str]:
        """What a user agent says of itself; nothing where too many new ones have come."""
        found = self._agents.get(agent)
        if found is None:
            if self._new_agents >= _NEW_AGENTS:
                return {}
            self._new_agents += 1
            if len(self._agents) >= _AGENTS:
                self._agents.clear()
            found = self._agents[agent] = families(agent)
        return found

    def hide(self, tenant: str, name: str) -> tuple[str, bytes]:
        """A city's token, and its name sealed."""
        sealed = seal([self._keys.general], name.encode("utf-8", "replace"), _ABOUT)
        return self._keys.token(tenant, "city", name).hex(), sealed


def read(
    store: Store, keys: KeyStore, *, tenant: str | None, start: int, end: int
) -> tuple[pa.Table, Mapping[str, str]]:
    """The aggregates from `start` to `end` (microseconds UTC), added up, and the names of the cities in them by key.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    trees = None if tenant is None else {tree_of(tenant), SHARED}
    paths = [file.path for file in store.files(trees, start, end)]
    time = pc.field("time")
    where = (time >= pa.scalar(start, ROWS.field("time").type)) & (time < pa.scalar(end, ROWS.field("time").type))
    if tenant is not None:
        where &= pc.field("tenant") == tenant
    rows = store.folder.table(paths, _SHOWN, where) if paths else _SHOWN.empty_table()
    sealed = rows.select(["key", "name"]).filter(rows["name"].is_valid()).group_by("key").aggregate([("name", "min")])
    names = {row["key"]: _opened(keys, row["name_min"]) for row in sealed.to_pylist()}
    return rows.drop_columns(["name", "tenant"]), names


def known_days(files: Sequence[StoredFile]) -> tuple[int, int]:
    """The first and the last day that a table knows well: those with less than a hundredth of the rows of the fullest
    day may be of a few events whose clocks were wrong.
    """
    rows: Counter[str] = Counter()
    for file in files:
        rows[file.day] += file.rows
    days = [day for day, count in rows.items() if count * 100 >= max(rows.values())]
    first, last = (int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()) for day in (min(days), max(days)))
    return first * 1_000_000, last * 1_000_000


def table_of(store: Store, tree: str, day: str) -> pa.Table:
    """The rows of a tree's day."""
    parts = []
    for file in store.files({tree}):
        if file.day == day:
            with store.folder.open(file.path) as (parquet, _):
                parts.append(_placed(parquet.read(), tree, day))
    return pa.concat_tables(parts)


def _opened(keys: KeyStore, sealed: bytes) -> str:
    try:
        return unseal([keys.general], sealed, _ABOUT).decode()
    except CannotOpen:
        return ""


def _placed(rows: pa.Table, tree: str, day: str) -> pa.Table:
    """A file's rows with what stands in its path."""
    where = {"tree": tree, "day": day}
    return pa.table(
        [
            pa.repeat(pa.scalar(where[field.name]), rows.num_rows)
            if field.name in where
            else rows[field.name].cast(field.type)
            for field in ROWS
        ],
        schema=ROWS,
    )
