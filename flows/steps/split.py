"""`split`: a batch becomes one slice for each shard of each dimension."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from models.base import DIMENSIONS, WATCHED
from models.event import EventBatch
from models.kernels.gather import partition_rows
from models.windows.joint import widened
from models.windows.slice import Slice, unknown

NO_JOINTS: Mapping[int, np.uint64] = {}

_SALTS: Mapping[int, Mapping[str, tuple[int, ...]]] = {
    4: {
        "tenant": (3, 9, 3, 36),
        "ip": (13, 11, 12, 11),
        "endpoint": (18, 21, 4, 8),
        "user": (7, 5, 1, 7),
        "ip_endpoint": (1, 19, 12, 1),
        "ip_user": (9, 0, 13, 2),
        "endpoint_user": (0, 3, 0, 3),
    },
    8: {
        "tenant": (3, 9, 3, 36, 2, 1, 7, 2),
        "ip": (2, 12, 9, 3, 17, 4, 4, 0),
        "endpoint": (18, 21, 4, 8, 9, 9, 1, 0),
        "user": (3, 0, 2, 2, 1, 0, 21, 8),
        "ip_endpoint": (1, 19, 12, 1, 6, 4, 4, 9),
        "ip_user": (3, 6, 1, 0, 8, 1, 4, 0),
        "endpoint_user": (0, 3, 0, 3, 8, 42, 5, 8),
    },
}
"""By number of shards, the least salts with which Bytewax's hash of a dimension's i-th key, modulo 8, is i; of four
shards i + 4 in every second dimension, so that they fill eight workers too."""


@lru_cache(maxsize=8)
def shard_keys(shards: int) -> tuple[tuple[str, ...], ...]:
    """The state key of every shard, by dimension: names that Bytewax's fixed hash spreads evenly over workers.

    The salts were found once, by search, for 4 shards over 1, 2 and 4 workers and 8 over as many as 8 (two of four
    dimensions' 4 fill 8); `tests/test_routing.py` checks them against Bytewax itself. Other numbers of shards use the
    plain names.
    """
    salts = _SALTS.get(shards)
    if salts is None:
        return tuple(tuple(f"{name}/{shard}" for shard in range(shards)) for name in WATCHED)
    return tuple(tuple(f"{name}/{shard}.{salt}" for shard, salt in enumerate(salts[name])) for name in WATCHED)


def split(batch: EventBatch, shards: int, joint: Mapping[int, np.uint64] = NO_JOINTS) -> list[tuple[str, Slice]]:
    """Every shard's slice of a batch; those without rows too, because they carry the watermark.

    `joint` are the joint dimensions that are watched (`models.windows.joint`).
    """
    if joint:
        batch = widened(batch, joint)
    bits = shards.bit_length() - 1
    keys = shard_keys(shards)
    out: list[tuple[str, Slice]] = []
    bounds = np.zeros(shards + 1, np.int64)
    scores = unknown(len(batch), len(batch.entity))
    for dimension in (*range(len(DIMENSIONS)), *joint):
        order = np.empty(len(batch), np.int64)
        partition_rows(batch.entity[dimension], bits, order, bounds)
        cuts = bounds.tolist()
        for shard in range(shards):
            piece = Slice(batch, dimension, shard, order[cuts[shard] : cuts[shard + 1]], scores)
            out.append((keys[dimension][shard], piece))
    return out
