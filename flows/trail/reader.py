"""Reading the trail: the events and records of a subject, an address, a session or a range of time, in their order."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from flows.errors import InputError
from flows.trail import housekeeping
from flows.trail.access import Access
from flows.trail.files import batches
from flows.trail.keys import KeyStore
from flows.trail.open_rows import CannotOpen, opened_event, opened_record
from flows.trail.ordered import in_order
from flows.trail.row_groups import Sought, holding, matching
from flows.trail.schema import PARTS, SHARED, schema_of, tree_of
from flows.trail.store import Store, StoredFile


class TrailEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the trail has it. Times are microseconds UTC; (tree, log, leaf) is its place in the proofs.

    `event` has its canonical members: those of a subject that was erased are not in it, and `erased` says whose (of
    "user", "actor", "target"); `subjects` are the ids of these three. `lapwing` is what Lapwing added when it scored
    the event, None where raw events were archived. `raw` is the message, only if it was asked for, is still kept, and
    all its subjects' keys are there.
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
    subjects: tuple[bytes | None, ...] = (None, None, None)


class TrailRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An alert, window, dead letter, verdict, action or access. `record` is None where a subject's key is gone.

    `subjects` are the ids of all whose keys it takes to open it.
    """

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
    subjects: tuple[bytes, ...] = ()


T = TypeVar("T")
_OF_RECORD: Final = ("user_id",)
_WHOM: Final = {"events": tuple(f"{part}_id" for part in PARTS), "alerts": ("user_id", "subjects")}
"""Columns that say whom a row is about: an alert's events name others than its entity."""
_EVENT_COLUMNS: Final = [name for name in schema_of("events").names if name not in ("raw", "raw_hash", "leaf_hash")]
_RECORD_COLUMNS: Final = [name for name in schema_of("alerts").names if name != "leaf_hash"]


@dataclass(slots=True)
class Trail:
    """A trail that is read. `opened` are the row groups that the last query opened, and those that there were."""

    place: str
    keys: KeyStore | None
    access: Access | None = None
    opened: tuple[int, int] = (0, 0)

    @classmethod
    def open(cls, trail: str, keys: Path | None, *, access: Access | None = None) -> Self:
        """A trail by directory or URL. Without keys nothing personal can be read, and nobody found by name.

        With `access` everything that is asked for is noted in the trail itself before the first row of it is given:
        every command that opens the keys gives it.

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
        return cls(trail, found, access)

    def close(self) -> None:
        """Close the key store."""
        if self.keys is not None:
            self.keys.close()

    def __enter__(self) -> Self:
        """The trail itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

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
                yield TrailEvent(
                    **_place(row), id=row["id"], event=event, lapwing=lapwing, erased=erased, raw=message,
                    subjects=tuple(row[f"{part}_id"] for part in PARTS),
                )  # fmt: skip

    def alerted(
        self, *, tenant: str | None = None, start: int | None = None, end: int | None = None, **sought: str
    ) -> Iterator[str]:
        """The uids of the alerts that events are part of, as often as they are, in no particular order.

        `sought` is who or what is asked for, as of `events`. Nothing is opened and nothing sorted.
        """
        self._note("events", tenant, sought, start, end)
        days = self._days(
            "events", ["lapwing"], tenant, lambda file: self._sought("events", file, tenant, sought), start, end
        )
        for _, rows in days:
            for lapwing in rows.column("lapwing").drop_null().to_pylist():
                yield from uids_of(msgspec.json.decode(lapwing))

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
                subjects = tuple(row["subjects"] or ())
                yield TrailRecord(**_place(row), kind=kind, uid=row["uid"], record=record, subjects=subjects)

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
        for _, batch in self.stored(kind, columns, None, tenant=tenant, start=start, end=end):
            yield batch

    def stored(
        self,
        kind: str,
        columns: Sequence[str],
        want: Sought | None,
        *,
        tenant: str | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Iterator[tuple[StoredFile, pa.RecordBatch]]:
        """As `table`, each batch with its file; only rows of which some column has one of the values wanted."""
        return self._days(kind, columns, tenant, lambda _: want, start, end)

    def own(self, kind: str, of: type[T]) -> Iterator[T]:
        """The records of a table that the trail keeps of itself, oldest first, each as a type; noted as questions are.

        Raises
        ------
        InputError
            The table cannot be read, or a record of it.
        """
        self._note(kind, None, {}, None, None)
        return housekeeping.read(self.place, kind, self.keys, of)

    def has(self, kind: str) -> bool:
        """Whether there is a table of a kind: nothing may have come yet."""
        return Store.exists(self.place, kind)

    def tenants(self) -> list[str]:
        """The tenants whose events are here; those that share a tree are read from its rows.

        Raises
        ------
        InputError
            A file cannot be read.
        """
        files = Store.open(self.place, "events").files(None, None, None)
        own = {file.tree for file in files} - {SHARED}
        shared = (self.tenants_of("events", file) for file in files if file.tree == SHARED)
        return sorted(own.union(*shared))

    def _rows(
        self,
        kind: str,
        columns: list[str],
        tenant: str | None,
        sought: Mapping[str, str | None],
        start: int | None,
        end: int | None,
    ) -> Iterator[pa.RecordBatch]:
        """The wanted rows, day by day, in order; that they were asked for is noted before."""
        self._note(kind, tenant, sought, start, end)
        days = self._days(kind, columns, tenant, lambda file: self._sought(kind, file, tenant, sought), start, end)
        for _, some in groupby(days, lambda of: of[0].day):
            yield from in_order(batch for _, batch in some)

    def _note(
        self, kind: str, tenant: str | None, sought: Mapping[str, str | None], start: int | None, end: int | None
    ) -> None:
        """Note what is asked for, where that is to be done."""
        if self.access is not None and self.keys is not None:
            asked = {name: value for name, value in sought.items() if value is not None}
            tenants = [tenant] if tenant is not None else self.tenants() if asked else []
            self.access.note(self.place, self.keys, kind, tenants, asked, start, end)

    def _days(
        self,
        kind: str,
        columns: Sequence[str],
        tenant: str | None,
        wanted: Callable[[StoredFile], Sought | None],
        start: int | None,
        end: int | None,
    ) -> Iterator[tuple[StoredFile, pa.RecordBatch]]:
        """The wanted rows of each file, with the columns asked for."""
        store = Store.open(self.place, kind)
        trees = None if tenant is None else {tree_of(tenant), SHARED}
        self.opened = (0, 0)
        known: dict[str, Sought | None] = {}
        for file in store.files(trees, start, end):
            if file.tree == SHARED or file.tree not in known:
                known[file.tree] = wanted(file)
            want = known[file.tree]
            partition = {"tree": file.tree, "day": file.day}
            names = dict.fromkeys((*columns, *(want or ()), "time", "tenant"))
            inside = [name for name in names if name not in partition]
            with store.folder.open(file.path) as (parquet, source):
                groups = holding(parquet, source, want, start, end)
                opened, there = self.opened
                self.opened = opened + len(groups), there + parquet.metadata.num_row_groups
                for batch in batches(parquet, groups, inside) if groups else ():
                    rows = matching(batch, tenant, want, start, end)
                    if rows.num_rows:
                        yield file, _with(rows, partition, columns)

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
        tenants = [tenant] if tenant is not None else self.tenants_of(kind, file)
        if name == "user":
            ids = [subject.id for of in tenants for subject in self.keys.find(of, value)]
            return dict.fromkeys(_WHOM.get(kind, _OF_RECORD), ids)
        return {f"{name}_token": [self.keys.token(of, name, value) for of in tenants]}

    def tenants_of(self, kind: str, file: StoredFile) -> list[str]:
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


def uids_of(lapwing: Mapping[str, Any]) -> list[str]:
    """The uids of the alerts that an event is part of, by what Lapwing added to it."""
    uids = lapwing.get("alerts")
    return [uid for uid in uids if isinstance(uid, str)] if isinstance(uids, list) else []


def _place(row: Mapping[str, Any]) -> dict[str, Any]:
    """What events and records have alike."""
    return {name: row[name] for name in _PLACE}


_PLACE: Final = ("tree", "tenant", "time", "received", "log", "leaf", "offset", "index")


def _with(rows: pa.RecordBatch, partition: Mapping[str, str], columns: Sequence[str]) -> pa.RecordBatch:
    """The rows with the columns that stand in their file's path, in the order asked for."""
    values = [
        pa.repeat(pa.scalar(partition[name]), rows.num_rows) if name in partition else rows.column(name)
        for name in columns
    ]
    return pa.record_batch(values, names=list(columns))
