"""Rows that are held until their pane is final, because a rule asks in which order they happened."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import FAILURE, SKIP, SUCCESS
from models.event import EventBatch
from models.kernels.arrive import RowArrays
from models.kernels.direct import direct
from models.kernels.layout import NEVER, PANE_US, PER30, RuleArrays, ShardArrays
from models.kernels.sequence import HeldRows, follow, suspects
from models.windows.evidence import MESSAGE_LIMIT, Chunk, Evidence

_SUSPECTS, _FOLLOW = direct(suspects), direct(follow)
_TYPES: tuple[Any, ...] = (np.int64, np.uint64, np.uint64, np.int64, np.uint8, np.uint8, np.uint8)


class Sequence(NamedTuple):
    """A rule on order: how many failures must come before, and the meter and mark of what follows them."""

    at_least: int
    meter: int
    mark: int


class Held(NamedTuple):
    """Rows of one batch. `floor` is the first base pane that was open when they came, `newest` their newest."""

    columns: HeldRows
    time: NDArray[np.int64]
    floor: int
    newest: int
    message: Callable[[int], bytes]


class HoldBack:
    """Finds the sign-ins that follow failures of the same entity, exactly in the order of event time (TIME.md 2.4).

    What happened in panes before a sign-in's own is counted anyway, in rings and pairs; only within its pane does
    order matter. So rows of open panes are held, as references to their batches, and judged when their 30 s pane is
    about to close: adding costs nothing for each event, judging some 2 ns for each that is no sign-in. What is found
    is counted in a meter of the rule's own, from which its incidents come as any other's do, and becomes evidence.

    A snapshot holds the failures and successes of open panes, and the messages of the latter.
    """

    def __init__(self, dimension: int, sequences: list[Sequence], arrays: RuleArrays, evidence: Evidence) -> None:
        self.dimension = dimension
        self.sequences = sequences
        self.arrays = arrays
        self.evidence = evidence
        self.held: list[Held] = []
        self.until: int = NEVER

    def add(self, batch: EventBatch, columns: RowArrays, rows: NDArray[np.int64], floor: int, newest: int) -> None:
        """Refer to rows that have been counted, or wait for it; `newest` is their newest base pane."""
        held = HeldRows(
            rows, columns.entity, columns.other, columns.place, columns.flags, columns.counts,
            np.ascontiguousarray(batch.action),
        )  # fmt: skip
        self.held.append(Held(held, batch.time, floor, max(int(newest), floor), batch.message))

    def judge(self, s: ShardArrays, until: int) -> None:
        """Judge the sign-ins in panes before 30 s pane `until`, of which every row has been counted."""
        if until <= self.until or not self.held:
            return
        first, self.until = self.until, until
        least = min(sequence.at_least for sequence in self.sequences)
        found: set[tuple[int, int]] = set()
        for one in self.held:
            picked = np.empty(len(one.columns.rows), np.int64)
            n = _SUSPECTS(s, one.columns, one.floor, first, until, least, picked)
            if n:
                rows = picked[:n]
                found.update(zip(one.columns.entity[rows].tolist(), _panes(one, rows).tolist(), strict=True))
        for entity, pane in sorted(found):
            self._follow(s, entity, pane)
        self.forget(until)

    def forget(self, until: int) -> None:
        """Let go of rows in panes before 30 s pane `until`."""
        self.held = [one for one in self.held if one.newest // PER30 >= until]

    def _follow(self, s: ShardArrays, entity: int, pane: int) -> None:
        """Put the failures and successes of one entity and pane in order, and count the sign-ins that follow."""
        pieces = defaultdict(list)
        messages: list[Callable[[], bytes]] = []
        for one in self.held:
            rows = one.columns.rows
            mine = (one.columns.entity[rows] == np.uint64(entity)) & (one.columns.flags[rows] & SKIP == 0)
            mine &= one.columns.counts[rows] & (FAILURE | SUCCESS) != 0
            rows = rows[mine]
            rows = rows[_panes(one, rows) == pane]
            for name in ("other", "place", "counts", "action"):
                pieces[name].append(getattr(one.columns, name)[rows])
            pieces["time"].append(one.time[rows])
            messages += [lambda one=one, row=row: one.message(row) for row in rows.tolist()]  # type: ignore[misc]
        columns = {name: np.concatenate(arrays) for name, arrays in pieces.items()}
        order = np.argsort(columns["place"], kind="stable")
        columns = {name: np.ascontiguousarray(column[order]) for name, column in columns.items()}
        fresh = _first_of_each(columns["other"], columns["counts"] & FAILURE != 0)
        for sequence in self.sequences:
            after = np.zeros(len(order), np.bool_)
            _FOLLOW(
                s, self.arrays, sequence.meter, self.dimension, np.uint64(entity), pane, sequence.at_least,
                columns["place"], columns["other"], columns["counts"], columns["action"], fresh, after,
            )  # fmt: skip
            hit = np.flatnonzero(after)
            if len(hit):
                shown = [messages[at]() for at in order[hit].tolist()]
                self._witness(sequence, entity, pane, columns["place"][hit], columns["time"][hit], shown)

    def _witness(
        self,
        sequence: Sequence,
        entity: int,
        pane: int,
        place: NDArray[np.int64],
        time: NDArray[np.int64],
        messages: list[bytes],
    ) -> None:
        messages = [message if len(message) <= MESSAGE_LIMIT else b"" for message in messages]
        length = np.array([len(message) for message in messages], np.int64)
        place = np.maximum(place, pane * PER30 * PANE_US)
        self.evidence.put(
            Chunk(
                entity=np.full(len(time), entity, np.uint64),
                place=place,
                time=time,
                marks=np.full(len(time), 1 << sequence.mark, np.uint64),
                start=np.cumsum(length) - length,
                length=length,
                blob=np.frombuffer(b"".join(messages), np.uint8),
                newest=int(place.max()),
            )
        )

    def snapshot(self) -> list[Any]:
        """The failures and successes that are still to be judged, as plain bytes."""
        return [self.until, [_saved(one, self.until) for one in self.held]]

    def restore(self, saved: list[Any]) -> None:
        """Take what a snapshot holds."""
        self.until = saved[0]
        for columns, time, floor, newest, messages in saved[1]:
            held = HeldRows(*(np.frombuffer(raw, kind).copy() for raw, kind in zip(columns, _TYPES, strict=True)))
            self.held.append(Held(held, np.frombuffer(time, np.int64), floor, newest, messages.__getitem__))


def _panes(one: Held, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The 30 s panes in which rows are counted."""
    panes: NDArray[np.int64] = np.maximum(one.columns.place[rows] // PANE_US, one.floor) // PER30
    return panes


def _first_of_each(other: NDArray[np.uint64], lost: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows are the first of their counterpart to fail, or to succeed."""
    fresh = np.zeros(len(other), np.bool_)
    for kind in (lost, ~lost):
        rows = np.flatnonzero(kind)
        _, at = np.unique(other[rows], return_index=True)
        fresh[rows[at]] = True
    return fresh


def _saved(one: Held, until: int) -> list[Any]:
    rows = one.columns.rows
    counts = one.columns.counts[rows]
    mine = (counts & (FAILURE | SUCCESS) != 0) & (one.columns.flags[rows] & SKIP == 0) & (_panes(one, rows) >= until)
    rows = rows[mine]
    columns = [np.arange(len(rows)).tobytes(), *(column[rows].tobytes() for column in one.columns[1:])]
    messages = [one.message(row) if one.columns.counts[row] & SUCCESS else b"" for row in rows.tolist()]
    messages = [message if len(message) <= MESSAGE_LIMIT else b"" for message in messages]
    return [columns, one.time[rows].tobytes(), one.floor, one.newest, messages]
