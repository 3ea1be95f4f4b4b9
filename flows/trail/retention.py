"""Retention: whole days go when their time is over, and the trail says so, in hashes that stand for what went."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from flows.trail import holds, housekeeping
from flows.trail.checkpoints import Place
from flows.trail.compact import ALL, compact
from flows.trail.covered import proof_of
from flows.trail.files import batches
from flows.trail.keys import KeyStore
from flows.trail.ledger import Ledger
from flows.trail.merkle import Range
from flows.trail.reader import Trail
from flows.trail.schema import KINDS, PARTS, stamp
from flows.trail.store import Store, StoredFile
from flows.trail_block import KEPT_BY_TIME, RAW, Retention, kept_until

RETENTION: Final = "retention"
_WHO: Final = [f"{part}_id" for part in PARTS]


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A day of a tree whose time is over in a table, or that of its raw messages.

    `rows` are those that go and `bytes` what they take; `until` is the day from which on they may. `held` are the ids
    of holds under which it stays: all of it, of raw messages only those `rows_held`.
    """

    kind: str
    tree: str
    day: str
    rows: int
    bytes: int
    retention: str
    until: str
    held: tuple[str, ...] = ()
    rows_held: int = 0

    @property
    def goes(self) -> bool:
        """Whether something of it goes."""
        return self.rows > 0 and (self.kind == RAW or not self.held)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """That a day went: what of it, why, and by whom.

    `leaves` are the runs of each log, first and after the last; the hashes that stand for them are signed, in the table
    of checkpoints. Of kind "raw" only the messages went: all leaves are there.
    """

    time: str
    by: str
    kind: str
    tree: str
    day: str
    rows: int
    bytes: int
    retention: str
    leaves: dict[str, list[tuple[int, int]]] = {}


def plan(trail: Trail, classes: Mapping[str, Retention], today: date, tenant: str | None = None) -> list[Due]:
    """What is due on a day, held or not, in the order of tables, days and trees.

    The footers of files from the days that may be due are read; rows only where holds are in force.

    Raises
    ------
    InputError
        A table or the holds cannot be read.
    """
    held = holds.active(trail)
    found: list[Due] = []
    for kind in KEPT_BY_TIME:
        if not trail.has(kind):
            continue
        days: dict[tuple[str, str], list[StoredFile]] = defaultdict(list)
        for file in Store.open(trail.place, kind).files():
            days[file.day, file.tree].append(file)
        found += _whole_days(trail, kind, days, classes, today, held, tenant)
        if kind == "events":
            gone = {(one.day, one.tree) for one in found if one.kind == kind and one.goes}
            left = {place: files for place, files in days.items() if place not in gone}
            found += _raw_days(trail, left, classes, today, held, tenant)
    return found


def run(
    trail: Trail,
    keys: KeyStore,
    due: Iterable[Due],
    by: str,
    witness: Path | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Manifest]:
    """Remove what goes of a plan: what stands for it is signed first, then the rows go, then their files.

    Only rows under a signed checkpoint go: else nobody could say later that they were what they were. After a crash
    the same is due again, and is removed then; a manifest may come twice, and says the same.

    Raises
    ------
    InputError
        The trail or its signing keys cannot be read.
    OutputError
        A table cannot be written. What was told to be gone is.
    """
    done: list[Manifest] = []
    touched: set[str] = set()
    ledger = Ledger(trail.place, keys.path, keys.identity, witness)
    ledger.finish()
    covered = proof_of(trail.place)
    try:
        for one in due:
            if not one.goes:
                continue
            kind = "events" if one.kind == RAW else one.kind
            store = Store.open(trail.place, kind)
            runs = _runs(store, one) if one.kind in KINDS else {}  # raw messages and counts are no leaves
            if any(covered(kind, one.tree, log, some[-1].end - 1) != "covered" for log, some in runs.items()):
                tell(f"passed over {kind} of {one.tree}, {one.day}: not all is signed yet; `lapwing archive` does that")
                continue
            made = Manifest(
                time=stamp(housekeeping.now()), by=by, kind=one.kind, tree=one.tree, day=one.day, rows=one.rows,
                bytes=one.bytes, retention=one.retention,
                leaves={log: [(some.begin, some.end) for some in ranges] for log, ranges in runs.items()},
            )  # fmt: skip
            entry = housekeeping.Entry(one.tree, f"{one.kind}/{one.tree}/{one.day}", msgspec.to_builtins(made))
            housekeeping.append(trail.place, RETENTION, keys, [entry], plain=True)
            touched.add(kind)
            _remove(trail, ledger, store, one, runs)
            done.append(made)
            tell(f"removed {one.kind} of {one.tree}, {one.day}: {one.rows:,} rows")
    finally:  # what is removed is gone only when the old versions' files are
        for kind in sorted(touched):
            Store.open(trail.place, kind).sweep(0)
    ledger.finish()
    return done


def _remove(trail: Trail, ledger: Ledger, store: Store, due: Due, runs: Mapping[str, list[Range]]) -> None:
    """Take away what is due of a day; what stands for its leaves is signed before."""
    if due.kind == RAW:
        store.drop_raw(due.tree, due.day, *_kept(trail, holds.active(trail), due))
        compact(store, ALL, {(due.tree, due.day)})
        return
    for log, ranges in runs.items():
        reason = f"{due.retention}: {due.day}, until {due.until}"
        ledger.expire(Place(due.kind, due.tree, log), reason, tuple(ranges))
    store.remove(due.tree, due.day)


def manifests(trail: str) -> Iterator[Manifest]:
    """All that retention has removed from a trail, oldest first. It takes no keys.

    Raises
    ------
    InputError
        The table cannot be read.
    """
    return housekeeping.read(trail, RETENTION, None, Manifest)


def _whole_days(
    trail: Trail, kind: str, days: Mapping[tuple[str, str], list[StoredFile]], classes: Mapping[str, Retention],
    today: date, held: list[holds.Hold], tenant: str | None,
) -> Iterator[Due]:  # fmt: skip
    over = dict(_over(trail, kind, kind, days, classes, today, tenant))
    under = _under(trail, held, kind) if over else {}
    for (day, tree), (name, until) in over.items():
        files = days[day, tree]
        yield Due(
            kind=kind, tree=tree, day=day, rows=sum(file.rows for file in files),
            bytes=sum(file.size for file in files), retention=name, until=until.isoformat(),
            held=tuple(under.get((tree, day), ())),
        )  # fmt: skip


def _raw_days(
    trail: Trail, days: Mapping[tuple[str, str], list[StoredFile]], classes: Mapping[str, Retention], today: date,
    held: list[holds.Hold], tenant: str | None,
) -> Iterator[Due]:  # fmt: skip
    over = dict(_over(trail, "events", RAW, days, classes, today, tenant))
    under = _under(trail, held, "events") if over else {}
    store = Store.open(trail.place, "events")
    for (day, tree), (name, until) in over.items():
        rows, size = _raw_of(store, days[day, tree])
        if not rows:
            continue
        due = Due(
            kind=RAW, tree=tree, day=day, rows=rows, bytes=size, retention=name, until=until.isoformat(),
            held=tuple(under.get((tree, day), ())),
        )  # fmt: skip
        if due.held:
            stay = _raw_held(trail, held, due)
            due = msgspec.structs.replace(due, rows=rows - stay, rows_held=stay)
        yield due


def _over(
    trail: Trail, table: str, kind: str, days: Mapping[tuple[str, str], list[StoredFile]],
    classes: Mapping[str, Retention], today: date, tenant: str | None,
) -> Iterator[tuple[tuple[str, str], tuple[str, date]]]:  # fmt: skip
    """The (day, tree) whose time is over for every tenant in it, with the class that has kept it longest."""
    for (day, tree), files in sorted(days.items()):
        tenants = {name for file in files for name in trail.tenants_of(table, file)}
        if tenant is not None and tenant not in tenants:
            continue
        ends = [_end(classes, kind, one, date.fromisoformat(day)) for one in tenants]
        known = [end for end in ends if end is not None]
        if len(known) == len(ends) and known:
            name, until = max(known, key=lambda end: end[1])
            if until <= today:
                yield (day, tree), (name, until)


def _end(classes: Mapping[str, Retention], kind: str, tenant: str, day: date) -> tuple[str, date] | None:
    """When a tenant's rows of a day may go, and the class that says so; None for never, or where no class says."""
    found = [(name, kept_until(one.keep, day)) for name, one in sorted(classes.items()) if one.is_for(kind, tenant)]
    ends = [(name, until) for name, until in found if until is not None]
    return max(ends, key=lambda end: end[1]) if ends and len(ends) == len(found) else None


def _under(trail: Trail, held: Iterable[holds.Hold], kind: str) -> dict[tuple[str, str], list[str]]:
    """The holds that each (tree, day) of a table is under."""
    under: dict[tuple[str, str], list[str]] = defaultdict(list)
    for hold in held:
        for place in set(holds.held_days(trail, hold, kind)):
            under[place].append(hold.id)
    return {place: sorted(ids) for place, ids in under.items()}


def _raw_of(store: Store, files: Iterable[StoredFile]) -> tuple[int, int]:
    """How many rows of files still have their raw message, and what those take, by the files' footers."""
    rows = size = 0
    for file in files:
        with store.folder.open(file.path) as (parquet, _):
            footer = parquet.metadata
            at = {footer.schema.column(number).path: number for number in range(footer.num_columns)}
            for number in range(footer.num_row_groups):
                group = footer.row_group(number)
                seen = group.column(at["raw_hash"]).statistics
                count = seen.null_count if seen is not None and seen.has_null_count else group.num_rows
                rows += count
                size += group.column(at["raw"]).total_compressed_size if count else 0
    return rows, size


def _raw_held(trail: Trail, held: Iterable[holds.Hold], due: Due) -> int:
    """How many of a day's raw messages stay for holds."""
    whole, ids, tokens = _kept(trail, held, due)
    store = Store.open(trail.place, "events")
    count = 0
    for file in store.files({due.tree}):
        if file.day != due.day:
            continue
        with store.folder.open(file.path) as (parquet, _):
            for batch in batches(parquet, range(parquet.num_row_groups), [*_WHO, "ip_token", "raw_hash", "tenant"]):
                for row in batch.to_pylist():
                    about = row["tenant"] in whole or ids.intersection(row[name] for name in _WHO)
                    count += row["raw_hash"] is None and bool(about or row["ip_token"] in tokens)
    return count


def _kept(trail: Trail, held: Iterable[holds.Hold], due: Due) -> tuple[set[str], set[bytes], set[bytes]]:
    """Of a day under holds: the tenants of which all stays, and the subjects and addresses whose rows do."""
    whole: set[str] = set()
    ids: set[bytes] = set()
    tokens: set[bytes] = set()
    for hold in held:
        if hold.id not in due.held:
            continue
        if hold.whole:
            whole.add(hold.tenant)
        else:
            some, of = holds.held_rows(trail, hold)
            ids, tokens = ids | some, tokens | of
    return whole, ids, tokens


def _runs(store: Store, due: Due) -> dict[str, list[Range]]:
    """What stands for a day's leaves in the trees of its logs; about 100 bytes of memory a row."""
    leaves: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for file in store.files({due.tree}):
        if file.day != due.day:
            continue
        with store.folder.open(file.path) as (parquet, _):
            for batch in batches(parquet, range(parquet.num_row_groups), ["log", "leaf", "leaf_hash"]):
                logs = np.array(batch.column("log").to_pylist(), object)
                for log in sorted(set(logs)):
                    mine = np.flatnonzero(logs == log)
                    leaves[log].append((batch.column("leaf").to_numpy()[mine], batch.column("leaf_hash").take(mine)))
    return {log: _ranges(parts) for log, parts in sorted(leaves.items())}


def _ranges(parts: list[tuple[Any, Any]]) -> list[Range]:
    """The runs of leaves without a gap, each as a range of its tree."""
    numbers = np.concatenate([each for each, _ in parts])
    hashes = [value for _, values in parts for value in values.to_pylist()]
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]
    ends = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist(), len(numbers)]
    ranges = []
    for first, after in pairwise(ends):
        some = Range(int(numbers[first]))
        some.extend([hashes[at] for at in order[first:after].tolist()])
        ranges.append(some)
    return ranges
