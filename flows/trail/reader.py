"""Reading the trail: the events and records of a subject, an address, a session or a range of time, in their order."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from flows.errors import InputError
from flows.trail.keys import KeyStore, normalised
from flows.trail.open_rows import opened_event, opened_record
from flows.trail.row_groups import Sought, holding
from flows.trail.schema import PARTS, schema_of
from flows.trail.store import Store

_AT_ONCE: Final = 100_000
"""Rows in memory; a longer day is read in several slices of time."""
_DAY: Final = timedelta(days=1)


class TrailEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the trail has it. Times are microseconds UTC.

    `event` has its canonical members: those of a subject that was erased are not in it, and `erased` says whose (of
    "user", "actor", "target"). `lapwing` is what Lapwing added when it scored the event, None where raw events were
    archived. `raw` is the message, only if it was asked for, is still kept, and all its subjects' keys are there.
    """

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
    tenant: str
    time: int
    received: int | None
    log: str
    leaf: int
    uid: str | None
    record: dict[str, Any] | None


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
            There is no trail, or no key store.
        Refused
            Others can read the key store.
        """
        Store.open(trail, "events")
        return cls(trail, None if keys is None else KeyStore.open(keys))

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
        knows of the person; at most one of `user`, `ip`, `session` and `request` counts. `start` is inclusive, `end`
        exclusive, microseconds UTC.

        Raises
        ------
        InputError
            A file cannot be read, or somebody is asked for by name without keys.
        """
        columns = [name for name in schema_of("events").names if name not in ("raw", "raw_hash", "leaf_hash")]
        sought = {"ip": ip, "session": session, "request": request}
        for rows in self._rows("events", columns + ["raw"] * raw, tenant, user, sought, start, end):
            keys = self._keys_of(rows, [f"{part}_id" for part in PARTS])
            for row in rows.to_pylist():
                event, erased, message = opened_event(row, keys, self.keys)
                lapwing = None if row["lapwing"] is None else msgspec.json.decode(row["lapwing"])
                yield TrailEvent(
                    tenant=row["tenant"], time=row["time"], received=row["received"], log=row["log"], leaf=row["leaf"],
                    offset=row["offset"], index=row["index"], id=row["id"], event=event, lapwing=lapwing, erased=erased,
                    raw=message,
                )  # fmt: skip

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
        """The records of a kind, in order, as `events` gives events."""
        columns = [name for name in schema_of(kind).names if name != "leaf_hash"]
        for rows in self._rows(kind, columns, tenant, user, {"ip": ip}, start, end):
            if uid is not None:
                rows = rows.filter(pc.equal(rows["uid"], uid))
            ids = [id_ for of in rows["subjects"].to_pylist() for id_ in of or ()]
            keys = self.keys.keys(ids) if self.keys else {}
            for row in rows.to_pylist():
                yield TrailRecord(
                    kind=kind, tenant=row["tenant"], time=row["time"], received=row["received"], log=row["log"],
                    leaf=row["leaf"], uid=row["uid"], record=opened_record(row, keys, self.keys),
                )  # fmt: skip

    def table(
        self,
        kind: str,
        columns: Sequence[str],
        *,
        tenant: str | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Columns as they are stored, file by file, for aggregates; times are integer microseconds."""
        wanted = [*dict.fromkeys((*columns, "time"))]
        for _, _, place in Store.open(self.place, kind).files(tenant, _days(start, end)):
            with _opened(place) as file:
                for batch in _batches(file, range(file.metadata.num_row_groups), wanted):
                    yield _within(batch, start, end).select(list(columns))

    def _rows(
        self,
        kind: str,
        columns: list[str],
        tenant: str | None,
        user: str | None,
        tokens: Mapping[str, str | None],
        start: int | None,
        end: int | None,
    ) -> Iterator[pa.Table]:
        """The wanted rows, day by day, sorted; each piece small enough for memory."""
        store = Store.open(self.place, kind)
        by_day: dict[str, list[tuple[str, str]]] = {}
        for of, day, place in store.files(tenant, None):
            if _day_within(day, start, end):
                by_day.setdefault(day, []).append((of, place))
        sought = {of: self._sought(kind, of, user, tokens) for of in {of for files in by_day.values() for of, _ in files}}
        opened = there = 0
        for day in sorted(by_day):
            places: list[tuple[str, list[int], Sought | None]] = []
            for of, place in by_day[day]:
                want = sought[of]
                groups, all_groups = holding(place, want)
                opened, there = opened + len(groups), there + all_groups
                if groups:
                    places.append((place, groups, want))
            self.opened = (opened, there)
            for low, high in _slices(places, start, end):
                pieces = [
                    _matching(_within(batch, low, high), want)
                    for place, groups, want in places
                    for batch in _read(place, groups, columns)
                ]
                rows = pa.Table.from_batches(pieces) if pieces else None
                if rows is not None and rows.num_rows:
                    yield rows.sort_by([(name, "ascending") for name in ("time", "log", "offset", "index")])

    def _sought(self, kind: str, tenant: str, user: str | None, tokens: Mapping[str, str | None]) -> Sought | None:
        """What rows of a tenant must carry; None if any will do."""
        names = schema_of(kind).names
        asked = [(name, value) for name, value in tokens.items() if value is not None]
        if user is None and not asked:
            return None
        if self.keys is None:
            raise InputError("nobody and nothing is found by name without the trail's keys: --keys DIR")
        if user is not None:
            ids = [subject.id for subject in self.keys.find(tenant, normalised(user))]
            return {f"{part}_id": ids for part in PARTS if f"{part}_id" in names}
        name, value = asked[0]
        return {f"{name}_token": [self.keys.token(tenant, name, value)]}

    def _keys_of(self, rows: pa.Table, columns: Sequence[str]) -> dict[bytes, bytes]:
        if self.keys is None:
            return {}
        return self.keys.keys(id_ for name in columns for id_ in pc.unique(rows[name]).to_pylist() if id_ is not None)


def _opened(place: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(place)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{place}: cannot be read: {str(error).splitlines()[0][:200]}") from None


def _batches(file: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches(row_groups=list(groups), columns=list(columns)):
        times = [pc.cast(batch.column(at), pa.int64()) if pa.types.is_timestamp(kind) else batch.column(at)
                 for at, kind in enumerate(batch.schema.types)]  # fmt: skip
        yield pa.record_batch(times, names=batch.schema.names)
