"""Rows that are held until their pane is final, because a rule asks in which order they happened."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import FAILURE, SKIP, SUCCESS
from models.event import EventBatch
from models.kernels.direct import direct
from models.kernels.layout import PANE_US, PER30, RuleArrays, ShardArrays
from models.kernels.sequence import follow, pick
from models.windows.evidence import MESSAGE_LIMIT, Chunk, Evidence

_FOLLOW, _PICK = direct(follow), direct(pick)
_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("entity", np.uint64), ("other", np.uint64), ("place", np.int64), ("time", np.int64), ("counts", np.uint8),
    ("action", np.uint8),
)  # fmt: skip


class Sequence(NamedTuple):
    """A rule on order: how many failures must come before, and the meter and mark of what follows them."""

    at_least: int
    meter: int
    mark: int


class Held(NamedTuple):
    """Rows of one batch. `floor` is the first base pane that was open when they came, `newest` their newest."""

    batch: EventBatch
    rows: NDArray[np.int64]
    floor: int
    newest: int


class Kept(NamedTuple):
    """Failures and successes as columns, `pane` the 30 s pane in which they count."""

    columns: dict[str, NDArray[Any]]
    pane: NDArray[np.int64]
    messages: Callable[[NDArray[np.intp]], list[bytes]]


class HoldBack:
    """Finds the sign-ins that follow failures of the same entity, exactly in the order of event time (TIME.md 2.4).

    What happened in panes before a sign-in's own is counted anyway, in rings and pairs; only within its pane does
    order matter. So rows of open panes are held, as references to their batches, and looked at for the few entities
    that have enough failures: adding costs nothing for each event. What is found is counted in a meter of the rule's
    own, from which its incidents come as any other's do, and becomes evidence.

    A snapshot holds the failures and successes of open panes, and the messages of the latter.
    """

    def __init__(
        self, dimension: int, other: int, sequences: Mapping[int, Sequence], arrays: RuleArrays, evidence: Evidence
    ) -> None:
        self.dimension = dimension
        self.other = other
        self.sequences = sequences
        self.arrays = arrays
        self.evidence = evidence
        self.held: deque[Held] = deque()
        self.kept: list[Kept] = []

    def add(self, batch: EventBatch, rows: NDArray[np.int64], floor: int, newest: int) -> None:
        """Refer to rows that have been counted, or wait for it; `newest` is their newest base pane."""
        self.held.append(Held(batch, rows, floor, max(newest, floor)))

    def forget(self, before: int) -> None:
        """Let go of rows in 30 s panes that end before base pane `before`, the first open one."""
        first = before // PER30
        while self.held and self.held[0].newest // PER30 < first:
            self.held.popleft()
        if self.kept:
            self.kept = [one for one in self.kept if one.pane.max(initial=-1) >= first]

    def judge(self, s: ShardArrays, rule: int, slot: int, pane: int) -> None:
        """Put the failures and successes of an entity and 30 s pane in order, and count the sign-ins that follow."""
        sequence = self.sequences[rule]
        entity = s.rings["owner"][slot]
        found = [*self._of(entity, pane)]
        if not any((one.columns["counts"] & SUCCESS).any() for one in found):
            return
        columns = {name: np.concatenate([one.columns[name] for one in found]) for name, _ in _COLUMNS}
        order = np.argsort(columns["place"], kind="stable")
        columns = {name: np.ascontiguousarray(column[order]) for name, column in columns.items()}
        after = np.zeros(len(order), np.bool_)
        _FOLLOW(
            s, self.arrays, sequence.meter, self.dimension, slot, pane, sequence.at_least, columns["place"],
            columns["other"], columns["counts"], columns["action"],
            _first_of_each(columns["other"], columns["counts"] & FAILURE != 0), after,
        )  # fmt: skip
        hit = np.flatnonzero(after)
        if not len(hit):
            return
        ends = np.cumsum([len(one.pane) for one in found])
        messages: list[bytes] = []
        for at in order[hit].tolist():
            piece = int(np.searchsorted(ends, at, "right"))
            messages += found[piece].messages(np.array([at - int(ends[piece]) + len(found[piece].pane)]))
        length = np.array([len(message) for message in messages], np.int64)
        place = np.maximum(columns["place"][hit], pane * PER30 * PANE_US)
        self.evidence.put(
            Chunk(
                entity=np.full(len(hit), entity, np.uint64),
                place=place,
                time=columns["time"][hit],
                marks=np.full(len(hit), 1 << sequence.mark, np.uint64),
                start=np.cumsum(length) - length,
                length=length,
                blob=np.frombuffer(b"".join(messages), np.uint8),
                newest=int(place.max()),
            )
        )

    def _of(self, entity: np.uint64, pane: int) -> Iterator[Kept]:
        """The failures and successes of one entity and pane, by batch."""
        for kept in self.kept:
            hit = np.flatnonzero((kept.columns["entity"] == entity) & (kept.pane == pane))
            if len(hit):
                yield _part(kept, hit)
        for held in self.held:
            if held.newest // PER30 < pane:
                continue
            batch, picked = held.batch, np.empty(len(held.rows), np.int64)
            whose = np.ascontiguousarray(batch.entity[self.dimension])  # what `direct` asks for
            n = _PICK(held.rows, whose, batch.counts, batch.flags, batch.place, entity, held.floor, pane, picked)
            if n:
                yield self._columns(held._replace(rows=picked[:n]))

    def _kept(self, held: Held) -> Kept:
        """The failures and successes among held rows, as columns."""
        batch, rows = held.batch, held.rows
        counted = (batch.counts[rows] & (FAILURE | SUCCESS) != 0) & (batch.flags[rows] & SKIP == 0)
        return self._columns(held._replace(rows=rows[counted]))

    def _columns(self, held: Held) -> Kept:
        """Held rows as columns."""
        batch, rows = held.batch, held.rows
        columns = {"entity": batch.entity[self.dimension, rows], "other": batch.entity[self.other, rows]}
        columns |= {name: getattr(batch, name)[rows] for name in ("place", "time", "counts", "action")}
        pane = np.maximum(columns["place"] // PANE_US, held.floor) // PER30
        return Kept(columns, pane, lambda at: _messages(batch, rows[at]))

    def snapshot(self, before: int) -> list[Any]:
        """The failures and successes of 30 s panes that do not end before base pane `before`, as plain bytes."""
        out = []
        for kept in [*self.kept, *(self._kept(held) for held in self.held)]:
            one = _part(kept, np.flatnonzero(kept.pane >= before // PER30))
            won = np.flatnonzero(one.columns["counts"] & SUCCESS)
            messages = [b""] * len(one.pane)
            for at, message in zip(won.tolist(), one.messages(won), strict=True):
                messages[at] = message
            out.append([[one.columns[name].tobytes() for name, _ in _COLUMNS], one.pane.tobytes(), messages])
        return out

    def restore(self, saved: list[Any]) -> None:
        """Take what a snapshot holds."""
        for columns, pane, messages in saved:
            named = {name: np.frombuffer(raw, kind) for (name, kind), raw in zip(_COLUMNS, columns, strict=True)}
            self.kept.append(Kept(named, np.frombuffer(pane, np.int64), partial(_named, messages)))


def _part(kept: Kept, at: NDArray[np.intp]) -> Kept:
    columns = {name: column[at] for name, column in kept.columns.items()}
    return Kept(columns, kept.pane[at], lambda i: kept.messages(at[i]))


def _messages(batch: EventBatch, rows: NDArray[np.int64]) -> list[bytes]:
    """The messages of some rows; empty where one is too long."""
    content = batch.buffer.data
    where = zip(batch.start[rows].tolist(), batch.length[rows].tolist(), strict=True)
    return [bytes(content[at : at + size]) if size <= MESSAGE_LIMIT else b"" for at, size in where]


def _named(messages: list[bytes], at: NDArray[np.intp]) -> list[bytes]:
    return [messages[i] for i in at.tolist()]


def _first_of_each(other: NDArray[np.uint64], lost: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows are the first of their counterpart to fail, or to succeed."""
    fresh = np.zeros(len(other), np.bool_)
    for kind in (lost, ~lost):
        rows = np.flatnonzero(kind)
        _, at = np.unique(other[rows], return_index=True)
        fresh[rows[at]] = True
    return fresh
