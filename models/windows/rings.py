"""What Python asks of the entities that hold a shard's rings: names, streaks, incidents open at them."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from models.kernels.direct import direct
from models.kernels.layout import ACTIVE, ShardArrays
from models.kernels.table import copy_names, lengths_of_names
from models.windows.incidents import Incidents
from models.windows.slice import Texts
from models.windows.waiting import Waiting

_LENGTHS_OF_NAMES, _COPY_NAMES = direct(lengths_of_names), direct(copy_names)
NO_OWNERS = np.empty(0, np.uint64)
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
    if not s.hot.any():
        return NO_OWNERS
    active = s.active[: s.head[ACTIVE]]
    hot = active[s.hot[active] != 0]
    owners: NDArray[np.uint64] = s.rings["owner"][hot[(s.streak[hot] > 0).any(axis=1)]]
    return owners


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
    uid_rows: list[NDArray[np.int64]] = []
    uids: list[NDArray[np.uint8]] = []
    found = slots[hit]
    for slot in {slot for slot, _ in incidents.open}.intersection(found.tolist()):
        mine = rows[hit[found == slot]]
        for uid in incidents.uids(slot):
            uid_rows.append(mine)
            uids.append(np.broadcast_to(np.frombuffer(uid, np.uint8), (len(mine), len(uid))))
    if not uids:
        return NO_ROWS, NO_UIDS
    return np.concatenate(uid_rows), np.concatenate(uids)
