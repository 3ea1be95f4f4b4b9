"""Rows that are held until their pane is final, because a rule asks in which order they happened."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import FAILURE, IP, SKIP, SUCCESS
from models.event import EventBatch
from models.kernels.direct import direct
from models.kernels.layout import PANE_US, PER30, RuleArrays, ShardArrays
from models.kernels.sequence import firsts, follow, pick
from models.windows.evidence import MESSAGE_LIMIT, Chunk, Evidence

_FIRSTS, _FOLLOW, _PICK = direct(firsts), direct(follow), direct(pick)
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
    """Failures and successes as columns, `pane` the 30 s pane in which they count.

    `piece` is all of it in arrays that nobody writes to again, messages by length and one after another.
    """

    columns: dict[str, NDArray[Any]]
    pane: NDArray[np.int64]
    messages: Callable[[NDArray[np.intp]], list[bytes]]
    piece: tuple[NDArray[Any], ...] = ()


class HoldBack:
    """Finds the sign-ins that follow failures of the same entity, exactly in the order of event time (TIME.md 2.4).

    What happened in panes before a sign-in's own is counted anyway, in rings and pairs; only within its pane does
    order matter. So rows of open panes are held, as references to their batches, and looked at for the few entities
    that have enough failures: adding costs nothing for each event. What is found is counted in a meter of the rule's
    own, from which its incidents come as any other's do, and becomes evidence.

    A snapshot holds the failures and successes of open panes, and the messages of the latter. Who saves takes them out
    of their batches, once: an epoch after it sees the same pieces and saves those only that are new.
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
            self.kept = [one for one in self.kept if len(one.pane) and one.pane.max() >= first]

    def judge(self, s: ShardArrays, rule: int, slot: int, pane: int) -> None:
        """Put the failures and successes of an entity and 30 s pane in order, and count the sign-ins that follow."""
        sequence = self.sequences[rule]
        entity = s.rings["owner"][slot]
        counted = [*self._of(entity, pane)]
        if not any((counts & SUCCESS).any() for counts, _ in counted):
            return
        found = [kept() for _, kept in counted]
        columns = {name: np.concatenate([one.columns[name] for one in found]) for name, _ in _COLUMNS}
        order = np.argsort(columns["place"], kind="stable")
        columns = {name: np.ascontiguousarray(column[order]) for name, column in columns.items()}
        after = np.zeros(len(order), np.bool_)
        _FOLLOW(
            s, self.arrays, sequence.meter, self.dimension, slot, pane, sequence.at_least, columns["place"],
            columns["other"], columns["counts"], columns["action"],
            self._fresh(columns["other"], columns["counts"]), after,
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

    def _fresh(self, other: NDArray[np.uint64], counts: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which rows are the first of their counterpart to fail, or to succeed; of accounts nobody asks."""
        fresh = np.zeros(len(other), np.bool_)
        if self.dimension == IP:
            _FIRSTS(np.argsort(other, kind="stable"), other, counts, fresh)
        return fresh

    def _of(self, entity: np.uint64, pane: int) -> Iterator[tuple[NDArray[np.uint8], Callable[[], Kept]]]:
        """The failures and successes of one entity and pane, by batch: what they count as, and how to get them all."""
        for kept in self.kept:
            hit = np.flatnonzero((kept.columns["entity"] == entity) & (kept.pane == pane))
            if len(hit):
                yield kept.columns["counts"][hit], partial(_part, kept, hit)
        for held in self.held:
            if held.newest // PER30 < pane:
                continue
            batch, picked = held.batch, np.empty(len(held.rows), np.int64)
            whose = np.ascontiguousarray(batch.entity[self.dimension])  # what `direct` asks for
            n = _PICK(held.rows, whose, batch.counts, batch.flags, batch.place, entity, held.floor, pane, picked)
            if n:
                rows = picked[:n]
                yield batch.counts[rows], partial(self._columns, held._replace(rows=rows))

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

    def pieces(self) -> list[tuple[NDArray[Any], ...]]:
        """The failures and successes that are held, as arrays that stay as they are."""
        fresh = [one for held in self.held if len((one := self._kept(held)).pane)]
        self.held.clear()
        if fresh:
            columns = {name: np.concatenate([one.columns[name] for one in fresh]) for name, _ in _COLUMNS}
            messages: list[bytes] = []
            for one in fresh:
                won = one.columns["counts"] & SUCCESS != 0
                said = iter(one.messages(np.flatnonzero(won)))
                messages += [next(said) if each else b"" for each in won.tolist()]
            self.kept.append(_settled(columns, np.concatenate([one.pane for one in fresh]), messages))
        return [one.piece for one in self.kept]

    def restore(self, saved: list[Any]) -> None:
        """Take what a snapshot holds."""
        for columns, pane, messages in saved:
            named = {name: np.frombuffer(raw, kind) for (name, kind), raw in zip(_COLUMNS, columns, strict=True)}
            self.kept.append(_settled(named, np.frombuffer(pane, np.int64), messages))


def saved_piece(piece: Iterable[bytes]) -> list[Any]:
    """The bytes of a piece's arrays as a snapshot has them: columns, panes, messages."""
    *columns, pane, length, blob = piece
    ends = np.cumsum(np.frombuffer(length, np.int64)).tolist()
    return [[*columns], pane, [blob[at:end] for at, end in zip([0, *ends], ends, strict=False)]]


def _settled(columns: dict[str, NDArray[Any]], pane: NDArray[np.int64], messages: list[bytes]) -> Kept:
    length = np.array([len(message) for message in messages], np.int64)
    blob = np.frombuffer(b"".join(messages), np.uint8)
    ends = np.cumsum(length)

    def said(at: NDArray[np.intp]) -> list[bytes]:
        return [blob[end - size : end].tobytes() for end, size in zip(ends[at], length[at], strict=True)]

    return Kept(columns, pane, said, (*(columns[name] for name, _ in _COLUMNS), pane, length, blob))


def _part(kept: Kept, at: NDArray[np.intp]) -> Kept:
    columns = {name: column[at] for name, column in kept.columns.items()}
    return Kept(columns, kept.pane[at], lambda i: kept.messages(at[i]))


def _messages(batch: EventBatch, rows: NDArray[np.int64]) -> list[bytes]:
    """The messages of some rows; empty where one is too long."""
    content = batch.buffer.data
    start, length = batch.shown
    where = zip(start[rows].tolist(), length[rows].tolist(), strict=True)
    return [bytes(content[at : at + size]) if size <= MESSAGE_LIMIT else b"" for at, size in where]
