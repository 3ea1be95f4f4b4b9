"""The events behind a traffic spike: any event counts, so all of them are kept while their pane is open."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.event import EventBatch
from models.kernels.layout import PANE_US
from models.windows.evidence import MESSAGE_LIMIT, Witness, ends, witness

STREAK_PANES = 12
"""The longest run of panes that a rule may ask for."""

Owners = NDArray[np.uint64]
Saved = list[tuple[int, int, list[Witness]]]


class Recent:
    """All events of open panes; of closed panes only those of entities under way to a spike.

    A spike's witnesses are the first three and the last two events, by (time, content), of each of its crossing panes
    and of the run of panes that led to the first. Open panes are references to the batches, so adding costs nothing
    per event. When a pane has closed, only five events for each entity with a streak stay, as copies.

    A snapshot holds five events of each open pane for the entities that it is given (those with a streak, and the
    busiest). An entity that was not among them at a crash, and crosses within the panes then open, has fewer witnesses.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self.batches: deque[tuple[EventBatch, NDArray[np.int64], int]] = deque()
        self.copies: dict[tuple[int, int], list[Witness]] = {}

    def add(self, batch: EventBatch, rows: NDArray[np.int64], newest: int) -> None:
        """Refer to some rows, of which the newest lies in base pane `newest`, until their panes have closed."""
        self.batches.append((batch, rows, newest))

    def closed(self, before: int) -> bool:
        """Whether there is something to let go of, now that all panes before this one are closed."""
        return bool(self.copies) or (bool(self.batches) and self.batches[0][2] < before)

    def forget(self, before: int, streaking: Owners) -> None:
        """Let go of what no spike can ask for: `streaking` are the entities whose condition held in the last pane."""
        oldest = before - STREAK_PANES
        while self.batches and self.batches[0][2] < before:
            batch, rows, _ = self.batches.popleft()
            for key, found in self._ends(batch, rows, streaking, oldest):
                self.copies[key] = ends(sorted(self.copies.get(key, []) + found))
        kept = set(streaking.tolist())
        # What a restart brought back of panes that are still open belongs to entities without a streak as yet.
        self.copies = {k: w for k, w in self.copies.items() if k[1] >= before or (k[1] >= oldest and k[0] in kept)}

    def witnesses(self, entity: int, first: int, last: int) -> list[Witness]:
        """At most five events of an entity for each of the panes from `first` to `last`, by (time, content)."""
        held = (few for (owner, pane), few in self.copies.items() if owner == entity and first <= pane <= last)
        found = [w for few in held for w in few]
        owner = np.array([entity], np.uint64)
        for batch, rows, newest in self.batches:
            if newest >= first:
                found += [w for (_, pane), few in self._ends(batch, rows, owner, first) if pane <= last for w in few]
        return sorted(found)

    def snapshot(self, before: int, owners: Owners) -> Saved:
        """What is kept of some entities, `before` being the first open pane."""
        saved = dict(self.copies)
        for batch, rows, _ in self.batches:
            for key, found in self._ends(batch, rows, owners, before - STREAK_PANES):
                saved[key] = ends(sorted(saved.get(key, []) + found))
        return [(entity, pane, few) for (entity, pane), few in saved.items()]

    def restore(self, saved: list[Any]) -> None:
        """Take what a snapshot holds."""
        self.copies = {(entity, pane): [Witness(*w) for w in few] for entity, pane, few in saved}

    def _ends(
        self, batch: EventBatch, rows: NDArray[np.int64], owners: Owners, oldest: int
    ) -> Iterator[tuple[tuple[int, int], list[Witness]]]:
        """For each of some entities and each pane from `oldest` on: the first three and last two of a batch's rows."""
        if not len(owners):
            return
        owner = batch.entity[self.dimension, rows]
        pane = batch.place[rows] // PANE_US
        hit = (owner == owners[0] if len(owners) == 1 else np.isin(owner, owners)) & (pane >= oldest)
        rows, owner, pane = rows[hit], owner[hit], pane[hit]
        if not len(rows):
            return
        order = np.lexsort((pane, owner))
        rows, owner, pane = rows[order], owner[order], pane[order]
        cuts = np.flatnonzero((owner[1:] != owner[:-1]) | (pane[1:] != pane[:-1])) + 1
        for mine, at in zip(np.split(rows, cuts), [0, *cuts.tolist()], strict=True):
            yield (int(owner[at]), int(pane[at])), _ends_of(batch, mine)


def _ends_of(batch: EventBatch, rows: NDArray[np.int64]) -> list[Witness]:
    """The first three and last two of some rows; only those that share their times are hashed."""
    if len(rows) > 5:
        time = batch.time[rows]
        rows = rows[(time <= np.partition(time, 2)[2]) | (time >= np.partition(time, -2)[-2])]
    found = []
    for row in rows.tolist():
        message = batch.message(row)
        found.append(witness(int(batch.time[row]), message if len(message) <= MESSAGE_LIMIT else b""))
    return ends(sorted(found))
