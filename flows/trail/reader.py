"""Reading the trail: the events and records of a subject, an address, a session or a range of time, in their order."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.errors import InputError
from flows.trail.files import batches
from flows.trail.keys import KeyStore
from flows.trail.open_rows import CannotOpen, opened_event, opened_record
from flows.trail.ordered import in_order
from flows.trail.row_groups import Sought, holding
from flows.trail.schema import PARTS, SHARED, schema_of, tree_of
from flows.trail.store import Store, StoredFile


class TrailEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the trail has it. Times are microseconds UTC; (tree, log, leaf) is its place in the proofs.

    `event` has its canonical members: those of a subject that was erased are not in it, and `erased` says whose (of
    "user", "actor", "target"). `lapwing` is what Lapwing added when it scored the event, None where raw events were
    archived. `raw` is the message, only if it was asked for, is still kept, and all its subjects' keys are there.
    """

    tree: str
    tenant: str
    time: int
    received: int | None
    log: str
    leaf: int
    offset: int
    index: int
    id: str | None
    event: dict[str, Any]
    lapwing: dict[str, Any] | None
    erased: tuple[str, ...] = ()
    raw: bytes | None = None


class TrailRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An alert, window, dead letter, verdict, action or access. `record` is None where a subject's key is gone."""

    kind: str
    tree: str
    tenant: str
    time: int
    received: int | None
    log: str
    leaf: int
    offset: int
    index: int
    uid: str | None
    record: dict[str, Any] | None


_EVENT_COLUMNS: Final = [name for name in schema_of("events").names if name not in ("raw", "raw_hash", "leaf_hash")]
_RECORD_COLUMNS: Final = [name for name in schema_of("alerts").names if name != "leaf_hash"]


@dataclass(slots=True)
class Trail:
    """A trail that is read. `opened` are the row groups that the last query opened, and those that there were."""

    place: str
    keys: KeyStore | None
    opened: tuple[int, int] = (0, 0)

    @classmethod
    def open(cls, trail: str, keys: Path | None) -> Self:
        """A trail by directory or URL. Without keys nothing personal can be read, and nobody found by name.

        Raises
        ------
        InputError
            There is no trail, or no key store, or it is another trail's.
        Refused
            Others can read the key store.
        """
        store = Store.open(trail, "events")
        if keys is None:
            return cls(trail, None)
        found = KeyStore.open(keys)
        store.check_keys(found.identity)
        return cls(trail, found)

    def events(
        self,
        *,
        tenant: str | None = None,
        user: str | None = None,
        ip: str | None = None,
        session: str | None = None,
        request: str | None = None,
        start: int | None = None,
        end: int | None = None,
        raw: bool = False,
    ) -> Iterator[TrailEvent]:
        """Events in the order (time, log, offset, index).

        `user` finds whom an event is about, who did it and whom it was done to, by any of the names that the key store
        knows of the person; at most one of `user`, `ip`, `session` and `request` is given. `start` is inclusive, `end`
        exclusive, microseconds UTC. A day is read at a time; what of it does not fit into memory is sorted on disk,
        sealed as it is.

        Raises
        ------
        InputError
            A file cannot be read, or somebody is asked for by name without keys.
        """
        sought = {"user": user, "ip": ip, "session": session, "request": request}
        for rows in self._rows("events", _EVENT_COLUMNS + ["raw"] * raw, tenant, sought, start, end):
            keys = self._keys_of(rows.column(f"{part}_id") for part in PARTS)
            for row in rows.to_pylist():
                try:
                    event, erased, message = opened_event(row, keys, self.keys)
                except CannotOpen as error:
                    raise self._cannot("events", row, error) from None
                lapwing = None if row["lapwing"] is None else msgspec.json.decode(row["lapwing"])
                yield TrailEvent(**_place(row), id=row["id"], event=event, lapwing=lapwing, erased=erased, raw=message)

    def records(
        self,
        kind: str,
        *,
        tenant: str | None = None,
        user: str | None = None,
        ip: str | None = None,
        uid: str | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Iterator[TrailRecord]:
        """The records of a kind, in order, as `events` gives events; of one `uid` if asked for.

        Raises
        ------
        InputError
            There is no such table yet, and as `events`.
        """
        for rows in self._rows(kind, _RECORD_COLUMNS, tenant, {"user": user, "ip": ip}, start, end):
            if uid is not None:
                rows = rows.filter(pc.equal(rows.column("uid"), uid))
            keys = self._keys_of([pc.list_flatten(rows.column("subjects"))])
            for row in rows.to_pylist():
                try:
                    record = opened_record(row, keys, self.keys)
                except CannotOpen as error:
                    raise self._cannot(kind, row, error) from None
                yield TrailRecord(**_place(row), kind=kind, uid=row["uid"], record=record)

    def table(
        self,
        kind: str,
        columns: Sequence[str],
        *,
        tenant: str | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Columns as they are stored, in no particular order, for aggregates; times are integer microseconds."""
        names = [*dict.fromkeys((*columns, "time", "tenant", "tree"))]
        for batch in self._read(kind, names, tenant, {}, start, end):
            yield batch.select(list(columns))

    def has(self, kind: str) -> bool:
        """Whether there is a table of a kind: nothing may have come yet."""
        return Store.exists(self.place, kind)

    def _rows(
        self,
        kind: str,
        columns: list[str],
        tenant: str | None,
        sought: Mapping[str, str | None],
        start: int | None,
        end: int | None,
    ) -> Iterator[pa.RecordBatch]:
        """The wanted rows, day by day, in order."""
        for _, some in groupby(self._days(kind, columns, tenant, sought, start, end), lambda of: of[0]):
            yield from in_order(batch for _, batch in some)

    def _read(self, *of: Any) -> Iterator[pa.RecordBatch]:
        return (batch for _, batch in self._days(*of))

    def _days(
        self,
        kind: str,
        columns: list[str],
        tenant: str | None,
        sought: Mapping[str, str | None],
        start: int | None,
        end: int | None,
    ) -> Iterator[tuple[str, pa.RecordBatch]]:
        """The wanted rows of each file, with its day."""
        store = Store.open(self.place, kind)
        trees = None if tenant is None else {tree_of(tenant), SHARED}
        self.opened = (0, 0)
        known: dict[str, Sought | None] = {}
        for file in store.files(trees, start, end):
            if file.tree == SHARED or file.tree not in known:
                known[file.tree] = self._sought(kind, file, tenant, sought)
            want = known[file.tree]
            partition = {"tree": file.tree, "day": file.day}
            inside = [name for name in columns if name not in partition]
            with store.folder.open(file.path) as (parquet, source):
                groups = holding(parquet, source, want, start, end)
                opened, there = self.opened
                self.opened = opened + len(groups), there + parquet.metadata.num_row_groups
                for batch in batches(parquet, groups, inside) if groups else ():
                    rows = _matching(batch, tenant, want, start, end)
                    if rows.num_rows:
                        yield file.day, _with(rows, partition, columns)

    def _sought(
        self, kind: str, file: StoredFile, tenant: str | None, sought: Mapping[str, str | None]
    ) -> Sought | None:
        """What rows of a file must carry; None if any will do."""
        asked = [(name, value) for name, value in sought.items() if value is not None]
        if not asked:
            return None
        if self.keys is None:
            raise InputError("nobody and nothing is found by name without the trail's keys: --keys DIR")
        if len(asked) > 1:
            raise ValueError("one of user, ip, session and request at a time")
        (name, value) = asked[0]
        tenants = [tenant] if tenant is not None else self._tenants(kind, file)
        if name == "user":
            ids = [subject.id for of in tenants for subject in self.keys.find(of, value)]
            return {f"{part}_id": ids for part in PARTS if f"{part}_id" in schema_of(kind).names}
        return {f"{name}_token": [self.keys.token(of, name, value) for of in tenants]}

    def _tenants(self, kind: str, file: StoredFile) -> list[str]:
        """The tenants of a file's rows: one, but for the shared tree."""
        if file.tree != SHARED:
            return [file.tree]
        store = Store.open(self.place, kind)
        found: set[str] = set()
        with store.folder.open(file.path) as (parquet, _):
            for batch in batches(parquet, range(parquet.metadata.num_row_groups), ["tenant"]):
                found.update(batch.column("tenant").unique().to_pylist())
        return sorted(found)

    def _keys_of(self, columns: Iterable[Any]) -> dict[bytes, bytes]:
        if self.keys is None:
            return {}
        found = chain.from_iterable(pc.unique(column).to_pylist() for column in columns)
        return self.keys.keys(id_ for id_ in found if id_ is not None)

    def _cannot(self, kind: str, row: Mapping[str, Any], error: CannotOpen) -> InputError:
        where = f"leaf {row['leaf']} of log {row['log']}, tree {row['tree']}"
        return InputError(f"{self.place}/{kind}: {where} cannot be opened ({error}); `lapwing verify` says what is so")


def _place(row: Mapping[str, Any]) -> dict[str, Any]:
    """What events and records have alike."""
    return {name: row[name] for name in _PLACE}


_PLACE: Final = ("tree", "tenant", "time", "received", "log", "leaf", "offset", "index")


def _matching(
    batch: pa.RecordBatch, tenant: str | None, want: Sought | None, start: int | None, end: int | None
) -> pa.RecordBatch:
    """The rows of a batch that are wanted."""
    keep = np.ones(batch.num_rows, bool)
    times = batch.column("time").to_numpy()
    if start is not None:
        keep &= times >= start
    if end is not None:
        keep &= times < end
    if tenant is not None:
        keep &= _among(batch.column("tenant"), [tenant])
    if want is not None:
        any_ = np.zeros(batch.num_rows, bool)
        for name, values in want.items():
            any_ |= _among(batch.column(name), values)
        keep &= any_
    return batch if keep.all() else batch.filter(pa.array(keep))


def _among(column: Any, values: Sequence[Any]) -> Any:
    return pc.is_in(column, pa.array(values, column.type)).to_numpy(zero_copy_only=False)


def _with(rows: pa.RecordBatch, partition: Mapping[str, str], columns: Sequence[str]) -> pa.RecordBatch:
    """The rows with the columns that stand in their file's path, in the order asked for."""
    values = [
        pa.repeat(pa.scalar(partition[name]), rows.num_rows) if name in partition else rows.column(name)
        for name in columns
    ]
    return pa.record_batch(values, names=list(columns))
