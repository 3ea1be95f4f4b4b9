"""Compiled code that few slices need, tried before one does: a stream must not wait until it is loaded, or compiled."""

import numpy as np

from models.kernels.pairs import users_at
from models.kernels.table import newcomers
from models.windows.shard import Shard
from models.windows.slice import Slice
from models.windows.waiting import row_arrays


def rehearse_rest(shard: Shard, piece: Slice) -> None:
    """What makes room in a shard, and what tells of incidents, after it has assessed a slice."""
    if not len(piece.rows):
        return
    newcomers(shard.s, np.ascontiguousarray(piece.batch.entity[piece.dimension]), piece.rows)
    users_at(shard.s, 0, 0, 1)
    shard.recent.witnesses(1, 0, 0)
    many = np.repeat(piece.rows, len(shard.s.records) // len(piece.rows) + 1)
    shard.grow(row_arrays(piece.batch, piece.dimension, many))
