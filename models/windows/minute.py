"""The end of a learning window, as one job: what is learned, and what is kept of it."""

import numpy as np
from numpy.typing import NDArray

from models.kernels import learn
from models.kernels.arrive import Learned
from models.kernels.direct import direct
from models.kernels.layout import ACTIVE, VALUES, RuleArrays, ShardArrays
from models.kernels.learn import WindowArrays
from models.rules import Rule
from models.windows.kept import kept_windows, reached
from models.windows.slice import ClosedWindows

_BEGIN_MINUTE, _LEARN_MINUTE = direct(learn.begin_minute), direct(learn.learn_minute)


def learn_minute(
    s: ShardArrays,
    r: RuleArrays,
    p: Learned,
    edges: NDArray[np.float64],
    codes: NDArray[np.int64],
    dimension: int,
    half_life: int,
    keep_quantile: float,
    keep_share: float,
    detector: str,
    rules: tuple[Rule, ...],
    room: WindowArrays,
) -> list[ClosedWindows]:
    """Learn all that the minute before head[NEXT] teaches, entities in the order of their hashes; the kept windows.

    `room` is for as many windows as entities are active. Needs Python's lock only in between.
    """
    slots, owners = np.empty(s.head[ACTIVE], np.int64), np.empty(s.head[ACTIVE], np.uint64)
    n = _BEGIN_MINUTE(s, half_life, slots, owners)
    slots = slots[:n][np.argsort(owners[:n])]
    kept: int = _LEARN_MINUTE(
        s, r, p, edges, codes, dimension, keep_quantile, keep_share,
        slots, np.empty((n, VALUES)), np.empty(n), *np.empty((2, n), np.bool_), room,
    )  # fmt: skip
    rows = WindowArrays._make(column[:kept].copy() for column in room)
    return kept_windows(s, dimension, detector, rows, rules, reached(s, r, rows.slot, keep_share))
