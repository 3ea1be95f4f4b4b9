"""Which rows do not teach: those that are strange alone, and those of a run of rows that are strange together.

How much of a run goes on is evidence about each row of it, too: `evidence`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined, kernel

LEVELS: Final = (0.05, 0.2)  # the rarest share of rows ...
BEGINS: Final = (0.4, 0.85)  # ... of which so large a share of the last rows makes a run; half of it ends the run ...
RISES: Final = (0.3, 0.2)  # ... if it is so much above the share over a long time: what creeps up is no run
HINTS: Final = (0.15, 0.4)  # the share from which it begins to be evidence of a run: usual rows do not reach it ...
PROVES: Final = (0.4, 0.75)  # ... and at which it is all the evidence there can be
_LATELY: Final = 1.0 / 64.0
_LONG: Final = 1.0 / 512.0
_REFUSED_FADE: Final = 0.1

REFUSED, TOKENS = range(2)  # places in GuardArrays.level: guarded rows less a tenth of the others; rows let count
OPEN: Final = 0  # place in GuardArrays.head: rows for which the guard stays open
_TOKENS_MOST: Final = 3.0


class GuardArrays(NamedTuple):
    """What the guard remembers."""

    head: NDArray[np.int64]  # (1,)
    level: NDArray[np.float64]  # (2,)
    lately: NDArray[np.float64]  # (2,) share of rows as rare as each of LEVELS
    long: NDArray[np.float64]  # (2,)
    run: NDArray[np.bool_]  # (2,)


@inlined
def in_run(g: GuardArrays, beyond: float) -> bool:
    """Whether a row, `beyond` of all being as strange, is one of a run."""
    found = False
    for k in range(len(LEVELS)):
        if g.run[k] and beyond < LEVELS[k]:
            found = True
    return found


@inlined
def evidence(g: GuardArrays, accept_after: int) -> float:
    """How sure it is that the row just asked about is one of a run of attacks, from 0 to 1.

    The longer it goes on, the likelier it is what will be accepted: a new normal. While the guard is open, all is.
    """
    sure = 0.0
    if g.head[OPEN] == 0:
        for k in range(len(LEVELS)):
            sure = max(sure, (g.lately[k] - HINTS[k]) / (PROVES[k] - HINTS[k]))
    accepted = min(g.level[REFUSED] / accept_after, 1.0)
    return min(sure, 1.0) * (1.0 - accepted * accepted)


@kernel
def refuses(g: GuardArrays, beyond: float, alone: float) -> bool:
    """Whether the guard refuses the next row, that only a share of `beyond` should reach; `alone` always suffices."""
    for k in range(len(LEVELS)):
        rare = 1.0 if beyond < LEVELS[k] else 0.0
        g.lately[k] += _LATELY * (rare - g.lately[k])
    if g.head[OPEN] > 0:
        g.head[OPEN] -= 1
        return False
    running = False
    for k in range(len(LEVELS)):
        if g.run[k]:
            g.run[k] = g.lately[k] > 0.5 * BEGINS[k]
        else:
            g.run[k] = g.lately[k] > BEGINS[k] and g.lately[k] - g.long[k] > RISES[k]
        running = running or g.run[k]
    for k in range(len(LEVELS)):
        if not running:
            g.long[k] += _LONG * ((1.0 if beyond < LEVELS[k] else 0.0) - g.long[k])
    return beyond < alone or in_run(g, beyond)


@kernel
def counts(g: GuardArrays, refused: bool, tokens: float) -> bool:
    """Whether a row enters the histograms: of refused ones only as many as `tokens` a row allow.

    A histogram without them would creep down, below its own guard; one with all of them would soon call a run usual.
    """
    g.level[TOKENS] = min(g.level[TOKENS] + tokens, _TOKENS_MOST)
    if not refused:
        g.level[REFUSED] = max(g.level[REFUSED] - _REFUSED_FADE, 0.0)
        return True
    g.level[REFUSED] += 1.0
    if g.level[TOKENS] < 1.0:
        return False
    g.level[TOKENS] -= 1.0
    return True


@kernel
def open_guard(g: GuardArrays, rows: int) -> None:
    """What was refused is accepted: the next rows teach, whatever they are, and no run goes on."""
    g.head[OPEN] = rows
    g.level[REFUSED] = 0.0
    for k in range(len(LEVELS)):
        g.long[k] = g.lately[k]
        g.run[k] = False
