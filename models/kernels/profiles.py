"""Profiles of behaviour follow their records when the table of those is made anew."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.behaviour import CELLS, HOURS, LEVELS, ProfileArrays
from models.kernels.close_minutes import PastArrays
from models.kernels.kernel import kernel
from models.kernels.layout import ShardArrays
from models.kernels.table import find


@kernel
def move_profiles(
    old: ShardArrays,
    new: ShardArrays,
    before: ProfileArrays,
    after: ProfileArrays,
    past: PastArrays,
    to: PastArrays,
) -> None:
    """Copy what is known of every record that is in both tables to its new place."""
    for i in range(len(old.records)):
        if old.records[i].hash == 0:
            continue
        at = find(new, old.records[i].hash)
        if new.records[at].hash != old.records[i].hash:
            continue
        for c in range(CELLS):
            after.mix[at, 0, c] = before.mix[i, 0, c]
            after.mix[at, 1, c] = before.mix[i, 1, c]
        for h in range(HOURS):
            after.hours[at, h] = before.hours[i, h]
        for k in range(LEVELS):
            after.level[at, k] = before.level[i, k]
        after.met[at] = before.met[i]
        after.count[at] = before.count[i]
        to.guard_day[at] = past.guard_day[i]
        to.guard_since[at] = past.guard_since[i]


@kernel
def places_of(s: ShardArrays, entities: NDArray[np.uint64], out: NDArray[np.int64]) -> None:
    """Where the records of some entities lie."""
    for i in range(len(entities)):
        out[i] = find(s, entities[i])
