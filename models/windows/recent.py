"""The events behind a traffic spike: any event counts, so all of them are kept while their pane is open."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.base import END_OF_TIME
from models.event import EventBatch
from models.kernels.direct import direct
from models.kernels.gather import SIEVE, collect_owned
from models.kernels.layout import PANE_US
from models.windows.evidence import LEAST, MESSAGE_LIMIT, MOST, Witness, ends, witness

_COLLECT_OWNED = direct(collect_owned)
STREAK_PANES = 12
"""The longest run of panes that a rule may ask for."""

Owners = NDArray[np.uint64]
Held = tuple[EventBatch, NDArray[np.int64], int]
"""Rows of a batch, and the base pane of the newest."""
Saved = list[tuple[int, int, list[Witness]]]


class Copies(NamedTuple):
    """Events of panes, columns of length n; those of one entity and pane lie beside each other."""

    owner: NDArray[np.uint64]
    pane: NDArray[np.int64]
    time: NDArray[np.int64]
    message: NDArray[np.object_]  # bytes, empty where they are too long

    def among(self, chosen: NDArray[Any]) -> "Copies":
        """Some of them."""
        return Copies(*(column[chosen] for column in self))

    def witnesses(self) -> Iterator[tuple[tuple[int, int], list[Witness]]]:
        """The first three and the last two of each (entity, pane), by (time, content); one may come more than once."""
        rows = zip(*(column.tolist() for column in self), strict=True)
        for key, few in groupby(rows, itemgetter(0, 1)):
            yield key, ends(sorted(witness(time, message) for _, _, time, message in few))


def _none() -> Copies:
    return Copies(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.object_))


class Recent:
    """All events of open panes; of closed panes only those of entities under way to a spike.

    A spike's witnesses are the first three and the last two events, by (time, content), of each of its crossing panes
    and of the run of panes that led to the first. Open panes are references to the batches, so adding costs nothing
    per event. When a pane has closed, only five events for each entity with a streak stay, as copies; as few streaks
    become an incident, copies are made witnesses only when they are asked for.

    A snapshot holds five events of each open pane for the entities that it is given (those with a streak, and the
    busiest). An entity that was not among them at a crash, and crosses within the panes then open, has fewer witnesses.
    Rows are sorted by entity once, by the first snapshot that meets them; the others look for entities, not at rows.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.batches: deque[Held] = deque()
        self._first = 0  # the number of the first of the batches, in the order of their coming
        self._indexes: deque[_Index] = deque()
        self.copies = _none()
        self.restored: dict[tuple[int, int], list[Witness]] = {}

    def add(self, batch: EventBatch, rows: NDArray[np.int64], newest: int) -> None:
        """Refer to some rows, of which the newest lies in base pane `newest`, until their panes have closed."""
        self.batches.append((batch, rows, newest))

    def closed(self, before: int) -> bool:
        """Whether there is something to let go of, now that all panes before this one are closed."""
        oldest = self.batches[0][2] if self.batches else before
        return oldest < before or len(self.copies.pane) > 0 or bool(self.restored)

    def forget(self, before: int, streaking: Owners) -> None:
        """Let go of what no spike can ask for: `streaking` are the entities whose condition held in the last pane."""
        oldest, closed = before - STREAK_PANES, []
        while self.batches and self.batches[0][2] < before:
            closed.append(self.batches.popleft())
        self._first += len(closed)
        owners = np.unique(streaking)
        kept = self.copies
        if len(kept.owner):
            kept = kept.among(_needed(kept.owner, kept.pane, before, oldest, owners))
        self.copies = _joined(kept, self._scanned(closed, owners, oldest))
        if self.restored:
            owner, pane = zip(*self.restored, strict=True)
            needed = _needed(np.array(owner, np.uint64), np.array(pane), before, oldest, owners)
            self.restored = dict(compress(self.restored.items(), needed))

    def witnesses(self, entity: int, first: int, last: int) -> list[Witness]:
        """The first and the last events of an entity in each of the panes from `first` to `last`, in order."""
        held = (few for (owner, pane), few in self.restored.items() if owner == entity and first <= pane <= last)
        owner, open_panes = np.array([entity], np.uint64), [one for one in self.batches if one[2] >= first]
        copies = self.copies
        mine = copies.among((copies.owner == owner[0]) & (copies.pane >= first) & (copies.pane <= last))
        seen = _joined(mine, self._scanned(open_panes, owner, first, last)).witnesses()
        return sorted(w for few in chain(held, (few for _, few in seen)) for w in few)

    def snapshot(self, before: int, owners: Owners) -> Saved:
        """What is kept of some entities, each named once and in order, `before` being the first open pane."""
        saved = dict(self.restored)
        for key, found in _joined(self.copies, self._looked_up(owners, before - STREAK_PANES)).witnesses():
            saved[key] = ends(sorted(saved[key] + found)) if key in saved else found
        return [(entity, pane, few) for (entity, pane), few in saved.items()]

    def restore(self, saved: list[Any]) -> None:
        """Take what a snapshot holds."""
        self.restored = {(entity, pane): [Witness(*w) for w in few] for entity, pane, few in saved}

    def _scanned(self, held: Iterable[Held], owners: Owners, oldest: int, newest: int = END_OF_TIME) -> Copies:
        """Of some entities, in order, and each pane from `oldest` to `newest`: the first three and last two of rows."""
        if not len(owners):
            return _none()
        sieve = np.zeros(SIEVE, np.bool_)
        sieve[owners & np.uint64(SIEVE - 1)] = True
        batches: list[EventBatch] = []
        columns = []
        for batch, rows, _ in held:
            found, owner = np.empty((3, len(rows)), np.int64), np.empty(len(rows), np.uint64)
            entity = np.ascontiguousarray(batch.entity[self.dimension])  # what `direct` asks for
            n = _COLLECT_OWNED(rows, owners, sieve, oldest, newest, entity, batch.place, batch.time, found, owner)
            if n:
                pane, time, mine = found[:, :n]
                columns.append((owner[:n], pane, time, np.full(n, len(batches)), mine))
                batches.append(batch)
        if not columns:
            return _none()
        return _ends(batches, *(np.concatenate(column) for column in zip(*columns, strict=True)))

    def _looked_up(self, owners: Owners, oldest: int) -> Copies:
        """As `_scanned`, of all batches."""
        self._index()
        batches, columns = [batch for batch, _, _ in self.batches], []
        for index in self._indexes:
            begin = np.searchsorted(index.owner, owners, "left")
            lengths = np.searchsorted(index.owner, owners, "right") - begin
            at = np.arange(lengths.sum()) + np.repeat(begin - np.cumsum(lengths) + lengths, lengths)
            at = at[(index.number[at] >= self._first) & (index.pane[at] >= oldest)]
            columns.append([column[at] for column in index])
        if not sum(len(column[0]) for column in columns):
            return _none()
        owner, pane, time, number, rows = (np.concatenate(column) for column in zip(*columns, strict=True))
        return _ends(batches, owner, pane, time, number - self._first, rows)

    def _index(self) -> None:
        """Sort what has come since the last time, and let go of what is of batches that are gone."""
        while self._indexes and self._indexes[0].number.max() < self._first:
            self._indexes.popleft()
        known = max(self._first, int(self._indexes[-1].number.max()) + 1 if self._indexes else 0)
        fresh = [*islice(self.batches, known - self._first, None)]
        rows = [mine for _, mine, _ in fresh]
        if not sum(map(len, rows)):
            return
        owner = np.concatenate([batch.entity[self.dimension, mine] for batch, mine, _ in fresh])
        pane = np.concatenate([batch.place[mine] // PANE_US for batch, mine, _ in fresh])
        time = np.concatenate([batch.time[mine] for batch, mine, _ in fresh])
        number = np.repeat(np.arange(known, known + len(fresh)), [len(mine) for mine in rows])
        order = np.argsort(owner, kind="stable")
        self._indexes.append(
            _Index._make(column[order] for column in (owner, pane, time, number, np.concatenate(rows)))
        )


class _Index(NamedTuple):
    """Rows of several batches by entity; `number` is the batch's, in the order of their coming."""

    owner: NDArray[np.uint64]
    pane: NDArray[np.int64]
    time: NDArray[np.int64]
    number: NDArray[np.int64]
    row: NDArray[np.int64]


def _needed(owner: Owners, pane: NDArray[np.int64], before: int, oldest: int, streaking: Owners) -> NDArray[np.bool_]:
    """Which events of entities and panes are needed yet.

    What a restart brought back of panes that are still open belongs to entities without a streak as yet.
    """
    return np.asarray((pane >= before) | ((pane >= oldest) & np.isin(owner, streaking)))


def _joined(one: Copies, other: Copies) -> Copies:
    if not len(one.owner) or not len(other.owner):
        return one if len(one.owner) else other
    return Copies(*(np.concatenate(columns) for columns in zip(one, other, strict=True)))


def _ends(
    batches: Sequence[EventBatch],
    owner: NDArray[np.uint64],
    pane: NDArray[np.int64],
    time: NDArray[np.int64],
    number: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> Copies:
    """Of each entity and pane the first three and the last two of rows of batches."""
    order = np.lexsort((time, pane, owner))
    owner, pane, time, number, rows = owner[order], pane[order], time[order], number[order], rows[order]
    begin = np.flatnonzero(np.append(True, (owner[1:] != owner[:-1]) | (pane[1:] != pane[:-1])))
    end = np.append(begin[1:], len(rows))
    # Only those that share their times with the first or the last have to be told apart by their content.
    third, last_but_one = np.minimum(begin + LEAST, end) - 1, np.maximum(end - MOST, begin)
    lengths = end - begin
    kept = (time <= np.repeat(time[third], lengths)) | (time >= np.repeat(time[last_but_one], lengths))
    told = [_message(batches[k], row) for k, row in zip(number[kept].tolist(), rows[kept].tolist(), strict=True)]
    message = np.empty(len(told), np.object_)
    message[:] = told
    found = Copies(owner[kept], pane[kept], time[kept], message)
    few = np.add.reduceat(kept.astype(np.int64), begin)
    if few.max() <= LEAST + MOST:
        return found
    moment: list[int] = found.time.tolist()
    chosen: list[int] = []
    for last, n in zip(np.cumsum(few).tolist(), few.tolist(), strict=True):
        alike = range(last - n, last)
        chosen += alike if n <= LEAST + MOST else ends(sorted(alike, key=lambda i: witness(moment[i], told[i])))
    return found.among(np.array(chosen))


def _message(batch: EventBatch, row: int) -> bytes:
    start, length = batch.shown
    at, size = int(start[row]), int(length[row])
    return batch.buffer[at : at + size].tobytes() if size <= MESSAGE_LIMIT else b""
