"""One number for an event: how rare it is, and how grave the rules are that its entities have crossed."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import RISK_FLOOR
from models.kernels.events import risk_rows

LEARNED_MOST: Final = 79
_FLOOR = np.array(RISK_FLOOR, np.int16)
_STEPS = 1.0 - 10.0 ** (-(np.arange(1, LEARNED_MOST + 1) - 0.5) / 20.0)


def risk(quantile: NDArray[np.float64], severity: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The risk of each event: min(79, round(20 log10(1 / (1 - q)))) of its largest quantile, lifted by crossed rules.

    Parameters
    ----------
    quantile
        Shape (4, n), one row for each dimension; NaN where nothing is known.
    severity
        Shape (k, n), severity_id of the gravest rule that each of its entities has crossed, 0 for none.

    Returns
    -------
    Shape (n,), 0 to 100; -1 where no quantile is known and no rule has crossed. 40 is one event in 100, 60 one in
    1,000. It fails to tell apart what is rarer than one in 8,900: those are all 79.

    >>> risk(np.array([[0.5], [0.99], [np.nan], [np.nan]]), np.zeros((4, 1), np.uint8))
    array([40], dtype=int16)
    >>> risk(np.full((4, 2), np.nan), np.array([[0, 4]], np.uint8))
    array([-1, 80], dtype=int16)
    """
    out = np.empty(quantile.shape[1], np.int16)
    risk_rows(np.ascontiguousarray(quantile), np.ascontiguousarray(severity), _STEPS, _FLOOR, out)
    return out
