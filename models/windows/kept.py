"""The windows that a minute's end leaves to be written: who they are of, and what rules on them reached."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.direct import direct
from models.kernels.layout import NEXT, PANE_US, RuleArrays, ShardArrays
from models.kernels.learn import WindowArrays
from models.kernels.levels import Levels, levels
from models.rules import Rule
from models.windows.rings import names
from models.windows.slice import ClosedWindows

_LEVELS = direct(levels)


def reached(s: ShardArrays, r: RuleArrays, slots: NDArray[np.int32], keep_share: float) -> Levels:
    """What rules reached in some entities' minute: from half their threshold on, or all where every window is kept."""
    return Levels(*_LEVELS(s, r, slots, int(s.head[NEXT]) - 1, 0.5 if keep_share < 1.0 else 0.0))


def no_levels() -> Levels:
    """Of windows that no rule with a threshold looks at."""
    return Levels(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))


def kept_windows(
    s: ShardArrays, dimension: int, detector: str, rows: WindowArrays, rules: tuple[Rule, ...], found: Levels
) -> list[ClosedWindows]:
    """The kept windows of a minute in one piece, or nothing if there are none."""
    if not len(rows.slot):
        return []
    tenant, entity = names(s, rows.slot)
    columns = {name: column for name, column in rows._asdict().items() if name != "slot"}
    end, ids = int(s.head[NEXT]) * PANE_US, tuple(rule.id for rule in rules)
    return [ClosedWindows(dimension, detector, end, tenant, entity, rules=ids, levels=found, **columns)]
