"""What Python asks of the entities that hold a shard's rings: names, streaks, incidents open at them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.kernels.direct import direct
from models.kernels.layout import ACTIVE, ShardArrays
from models.kernels.table import copy_names, lengths_of_names, with_streak
from models.windows.incidents import Incidents
from models.windows.slice import Texts
from models.windows.waiting import Waiting

_LENGTHS_OF_NAMES, _COPY_NAMES, _WITH_STREAK = direct(lengths_of_names), direct(copy_names), direct(with_streak)
NO_ROWS, NO_UIDS = np.empty(0, np.int64), np.empty((0, 16), np.uint8)
BUSIEST = 64
"""Entities of whose open panes a snapshot keeps events, in case a spike comes of them."""


def names(s: ShardArrays, slots: NDArray[np.int32]) -> tuple[Texts, Texts]:
    """The tenants and the entities of some rings."""
    sizes = _LENGTHS_OF_NAMES(s, slots)
    tenants, entities = (Texts(np.empty(size, np.uint8), np.empty(len(slots) + 1, np.int32)) for size in sizes)
    _COPY_NAMES(s, slots, tenants.blob, tenants.ends, entities.blob, entities.ends)
    return tenants, entities


def name_of(s: ShardArrays, slot: int) -> tuple[str, str]:
    """(tenant, entity) of a ring."""
    tenants, entities = names(s, np.array([slot], np.int32))
    return tenants[0], entities[0]


def streaking(s: ShardArrays) -> NDArray[np.uint64]:
    """The entities of which some rule's condition held in the pane that has closed last."""
    owners = np.empty(s.head[ACTIVE], np.uint64)
    return owners[: _WITH_STREAK(s, owners)]


def near_spike(s: ShardArrays, waiting: Iterable[Waiting]) -> NDArray[np.uint64]:
    """The entities that may spike next, for whom a snapshot keeps events: those with a streak, and the busiest."""
    active = s.active[: s.head[ACTIVE]]
    busiest = active[np.argsort(s.rings["sum5"][active, 0])[-BUSIEST:]]
    owners = [streaking(s), s.rings["owner"][busiest]]
    ahead = [w.rows.entity[w.rows.rows[~w.done]] for w in waiting]
    if ahead:
        entity, events = np.unique(np.concatenate(ahead), return_counts=True)
        owners.append(entity[np.argsort(events)[-BUSIEST:]])
    return np.unique(np.concatenate(owners))


def under_incidents(
    s: ShardArrays, incidents: Incidents, rows: NDArray[np.int64], slots: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The rows of a slice whose entity has an open incident, and its uid for each; `slots` are the rows' rings."""
    hit = np.flatnonzero((slots >= 0) & (s.hot[slots] != 0))
    known, uids = incidents.uids()
    begin = np.searchsorted(known, slots[hit], "left")
    count = np.searchsorted(known, slots[hit], "right") - begin
    total = int(count.sum())
    if not total:
        return NO_ROWS, NO_UIDS
    each = np.arange(total) + np.repeat(begin - np.cumsum(count) + count, count)
    return np.repeat(rows[hit], count), uids[each]
