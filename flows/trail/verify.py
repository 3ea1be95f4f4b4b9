"""Whether a trail is what was signed: every row hashed anew, every root computed anew."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from flows.errors import InputError
from flows.trail.checkpoints import Place
from flows.trail.heard import Finding, Findings, Heard
from flows.trail.leaves import Gathered, LeafFile, Leaves, by_log, leaf_files, leaves
from flows.trail.merkle import HASH_BYTES, Range
from flows.trail.note_table import TABLE, NoteTable
from flows.trail.notes import Verifier
from flows.trail.pieces import looked_at, pieces
from flows.trail.schema import INSIGHTS, KINDS, SHARED, day_of, stamp, tree_of
from flows.trail.segments import Segments
from flows.trail.store import Store

_PIECE: Final = 1 << 14
_MOST_LOOKED: Final = 100
"""Parts with something wrong in which is looked where: each costs reading the notes once more."""


class Proven(msgspec.Struct, frozen=True):
    """Leaves of a log that are what was signed; `until` is when the last of their checkpoints was."""

    table: str
    tenant: str
    log: str
    leaves: int
    until: str


class Verified(msgspec.Struct, kw_only=True):
    """What a verification has found. `rows` were hashed; `not_proven` says what else cannot be known from here."""

    trail: str
    start: str | None
    end: str | None
    rows: int = 0
    proven: list[Proven] = []
    not_proven: list[str] = []
    findings: list[Finding] = []
    findings_in_all: int = 0
    keys: list[str] = []
    seconds: float = 0.0


Tell = Callable[[int, int], None]
"""Told of rows that were looked at, and of all."""


class Verifying:
    """One verification of a trail's tables, in memory that does not grow with them; 32 bytes a leaf on the disk.

    Parameters
    ----------
    trail : directory or URL; nothing in it is changed, and no secret key is needed.
    second : the second place's file, or one checkpoint that somebody has kept.
    given : public keys that are believed; without any, those that the trail names.
    tenant, start, end : what is looked at; times in microseconds UTC.

    Raises
    ------
    InputError
        There is no trail, or what was given cannot be read.
    """

    def __init__(
        self,
        trail: str,
        *,
        second: Path | None = None,
        given: list[Verifier] | None = None,
        tenant: str | None = None,
        start: int | None = None,
        end: int | None = None,
        tell: Tell = lambda seen, there: None,
    ) -> None:
        self._trail, self._tell = trail, tell
        self._start, self._end = start, end
        self._trees = None if tenant is None else {tree_of(tenant), SHARED}
        self._findings = Findings()
        self._given, self._second = given or [], second
        self._rows = self._expired = self._there = 0
        self._proven: list[Proven] = []
        self._open: list[str] = []
        table = self._table(trail)
        self._notes, self._looked = table, 0
        self._stores = dict(_tables(trail, self._findings))
        if table is None and not self._stores and not self._findings.count:
            raise InputError(f"{trail}: there is no trail; `lapwing archive` makes one")
        if table is None and self._stores:
            self._findings.add(
                "checkpoint", f"there is no table {TABLE} that can be read: nothing in the trail is signed"
            )
        self._heard = Heard(table, second, self._given, self._findings)

    def _table(self, trail: str) -> NoteTable | None:
        try:
            table = NoteTable.open(trail)
        except InputError as error:
            self._findings.add("file", str(error))
            return None
        return table

    def run(self) -> Verified:
        """Verify; what is wrong are findings, not errors."""
        began = time.monotonic()
        kinds = [kind for kind in KINDS if kind in self._stores or any(of.kind == kind for of in self._heard.points)]
        files = {kind: leaf_files(self._stores[kind]) if kind in self._stores else [] for kind in kinds}
        self._there = sum(file.rows for some in files.values() for file in some)
        for kind in kinds:
            trees = {file.tree for file in files[kind]} | {of.tree for of in self._heard.points if of.kind == kind}
            for tree in sorted(trees if self._trees is None else trees & self._trees):
                self._tree(kind, tree, [file for file in files[kind] if file.tree == tree])
        return Verified(
            trail=self._trail,
            start=None if self._start is None else stamp(self._start),
            end=None if self._end is None else stamp(self._end),
            rows=self._rows,
            proven=self._proven,
            not_proven=[*self._open, *self._unknown()],
            findings=self._findings.kept,
            findings_in_all=self._findings.count,
            keys=[key.text for key in self._heard.keys],
            seconds=time.monotonic() - began,
        )

    def _unknown(self) -> Iterator[str]:
        if self._expired:
            yield f"the messages of {self._expired:,} events, which have expired (their hashes are proven)"
        if Store.exists(self._trail, INSIGHTS):
            yield f"the counts in {INSIGHTS}: they are made of the events, and no row of them is a leaf"
        if not self._given:
            yield "that the keys are the trail's own: they were taken from the trail itself (--public-key FILE)"
        if self._second is None:
            yield (
                "that nothing was cut off at the end or signed again with stolen keys: nothing from a second place was "
                "given (--checkpoint FILE)"
            )

    def _tree(self, kind: str, tree: str, files: list[LeafFile]) -> None:
        points = {of.log: some for of, some in self._heard.points.items() if (of.kind, of.tree) == (kind, tree)}
        parts = {log: Segments(some, self._start, self._end) for log, some in points.items()}
        store = self._stores.get(kind)
        after: Counter[str] = Counter()
        changed: dict[str, list[int]] = {}
        with Gathered({log: part.span() for log, part in parts.items()}) as hashes:
            for file in files:
                if store is not None and self._may_matter(file, parts):
                    self._file(store, file, parts, hashes, after, changed)
            for log in sorted({*parts, *after}):
                place = Place(kind, tree, log)
                part = parts.get(log) or Segments([], None, None)
                self._roots(place, part, hashes, changed.get(log, []))
                self._rest(place, part, store, after)

    def _may_matter(self, file: LeafFile, parts: dict[str, Segments]) -> bool:
        if self._start is None and self._end is None:
            return True
        first = "" if self._start is None else day_of(self._start)
        last = "9" if self._end is None else day_of(max(0, self._end - 1))
        if first <= file.day <= last:
            return True
        spans = [part.span() for part in parts.values()]
        return any(file.first < end and file.last >= begin for begin, end in spans)

    def _file(
        self,
        store: Store,
        file: LeafFile,
        parts: dict[str, Segments],
        hashes: Gathered,
        after: Counter[str],
        changed: dict[str, list[int]],
    ) -> None:
        """Hash a file's rows; those that are wanted are gathered."""

        def wanted(logs: pa.Array, leaf: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
            keep = self._within(times)
            for log, which in by_log(logs):
                part = parts.get(log)
                if part is not None:
                    keep[which] |= part.has(leaf[which])
            return keep

        try:
            for rows in leaves(store, file, wanted):
                self._rows += len(rows.leaf)
                self._expired += rows.expired
                self._tell(self._rows, self._there)
                self._take(store, file, rows, parts, hashes, after, changed)
        except InputError as error:
            self._findings.add("file", str(error), Place(store.kind, file.tree, ""), file=file.path)

    def _take(
        self,
        store: Store,
        file: LeafFile,
        rows: Leaves,
        parts: dict[str, Segments],
        hashes: Gathered,
        after: Counter[str],
        changed: dict[str, list[int]],
    ) -> None:
        def odd(what: str, said: str, at: int) -> None:
            place, number = Place(store.kind, file.tree, rows.log[at]), int(rows.leaf[at])
            self._findings.add(what, said, place, number, file=file.path, tenant=rows.tenant[at])

        good = rows.claimed
        if rows.claimed != rows.found:
            for at, (claimed, found) in enumerate(zip(rows.claimed, rows.found, strict=True)):
                if claimed != found:
                    odd("changed", "the row is not what its hash says", at)
                    changed.setdefault(rows.log[at], []).append(int(rows.leaf[at]))
            # What a changed row claims to be is still what the others' proof needs.
            good = [
                found if claimed is None or len(claimed) != HASH_BYTES else claimed
                for claimed, found in zip(rows.claimed, rows.found, strict=True)
            ]
        for log, which in by_log(rows.log):
            leaf, part = rows.leaf[which], parts.get(log)
            inside = np.zeros(len(leaf), bool) if part is None else part.has(leaf)
            late = leaf >= (0 if part is None else part.size)
            mine = which[inside]
            if len(mine):
                again = hashes.put(log, leaf[inside], [good[at] or b"" for at in mine.tolist()])
                for at in mine[again].tolist():
                    odd("inserted", "another row has this leaf too", at)
            for at in which[~inside & ~late].tolist():
                odd("inserted", "no signed leaf of this number is of this time", at)
            if late.any():
                after[log] += int(late.sum())

    def _within(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        keep = np.ones(len(times), bool)
        if self._start is not None:
            keep &= times >= self._start
        if self._end is not None:
            keep &= times < self._end
        return keep

    def _roots(self, place: Place, part: Segments, hashes: Gathered, changed: list[int]) -> None:
        """Compute the roots of a log's checkpoints anew, as far as they are wanted."""
        proven, until, waiting = 0, 0, 0
        tree: Range | None = None
        expired: Counter[str] = Counter()
        for at, point in enumerate(part.points):
            begin = int(part.sizes[at])
            if not part.wanted[at]:
                tree = None
                continue
            if tree is None or tree.end < begin:
                tree, waiting = part.before(at), 0
            if tree is None:
                self._open.append(f"{place}: leaves {begin:,} to {point.size - 1:,}: what came before them is unknown")
                continue
            first = tree.end
            missing = self._grow(place, tree, point.size, hashes, expired)
            waiting += max(0, point.size - first) - sum(begin <= leaf < point.size for leaf in changed)
            if missing:
                self._missing(place, part, missing)
                proven, until = proven + self._look(place, part, at, hashes, changed), max(until, point.time)
                tree = None
            elif tree.end > point.size:
                continue  # what has expired goes on behind it: the next checkpoint proves both
            elif tree.root() == point.root:
                proven, until, waiting = proven + waiting, max(until, point.time), 0
            else:
                proven, until = proven + self._look(place, part, at, hashes, changed), max(until, point.time)
                tree = None
        gone = expired.total()
        if proven > gone:
            self._proven.append(Proven(*place, proven - gone, stamp(until)))
        for reason, count in sorted(expired.items()):
            self._open.append(f"{place}: {count:,} rows that retention has removed, as is signed ({reason})")

    def _look(self, place: Place, part: Segments, at: int, hashes: Gathered, changed: list[int]) -> int:
        """Find what is wrong between two checkpoints; how many leaves there are proven all the same."""
        point, begin = part.points[at], int(part.sizes[at])
        table = self._notes if self._looked < _MOST_LOOKED else None
        self._looked += 1
        since = next((one.range() for one in part.points if one.size == point.since), None) if point.since else Range()
        looked = looked_at(place.log, begin, pieces(table, point, since), hashes, since)
        for piece in looked.wrong:
            self._findings.add(
                "exchanged",
                f"together they are not what was signed {stamp(point.time)}: rows were changed, exchanged or "
                "inserted, and their hashes made anew",
                place,
                max(begin, piece.begin),
                piece.end - 1,
            )
        bad = [leaf for leaf in changed if begin <= leaf < point.size]
        return looked.proven - sum(not any(one.begin <= leaf < one.end for one in looked.wrong) for leaf in bad)

    def _missing(self, place: Place, part: Segments, runs: list[tuple[int, int]]) -> None:
        for first, last in runs:
            cut = last == part.size - 1
            said = "cut off at the end" if cut else "no row has this leaf"
            self._findings.add("truncated" if cut else "removed", said, place, first, last)

    def _grow(
        self, place: Place, tree: Range, size: int, hashes: Gathered, expired: Counter[str]
    ) -> list[tuple[int, int]]:
        """Add leaves to a tree, or what stands for those that have expired; the runs that are missing."""
        runs = self._heard.expired[place]
        missing: list[tuple[int, int]] = []
        at = tree.end
        while at < size:
            some = hashes.get(place.log, at, min(size, at + _PIECE))
            there = list(takewhile(lambda hash_: hash_ is not None, some))
            if there:
                if not missing:
                    tree.extend([hash_ for hash_ in there if hash_ is not None])
                at += len(there)
            elif at in runs:
                run, reason = runs[at]
                if not missing:
                    tree.join(run)
                expired[reason] += run.end - run.begin
                at = run.end
            else:
                gap = next((n for n, hash_ in enumerate(some) if hash_ is not None or at + n in runs), len(some))
                first = missing.pop()[0] if missing and missing[-1][1] == at - 1 else at
                missing.append((first, at + gap - 1))
                at += gap
        return missing

    def _rest(self, place: Place, part: Segments, store: Store | None, after: Counter[str]) -> None:
        """What came after the last checkpoint, which nothing proves."""
        count = after[place.log]
        size = store.size(place.tree, place.log) if store is not None else 0
        gone = [run for run, _ in self._heard.expired[place].values() if run.end > part.size]
        written_ = max(0, size - part.size) - sum(run.end - max(run.begin, part.size) for run in gone)
        if self._start is None and self._end is None and count != written_:
            self._findings.add(
                "inserted" if count > written_ else "removed",
                f"{count:,} rows after the last checkpoint, where {written_:,} were written",
                place,
                part.size,
            )
        if count:
            under = "after the last checkpoint" if part.points else "under no checkpoint at all"
            self._open.append(f"{place}: {count:,} rows {under}")


def _tables(trail: str, findings: Findings) -> Iterator[tuple[str, Store]]:
    """The tables that there are; one that cannot be read is a finding."""
    for kind in KINDS:
        try:
            yield kind, Store.open(trail, kind)
        except InputError as error:
            if "no such table" not in str(error):
                findings.add("file", str(error), Place(kind, "", ""))
