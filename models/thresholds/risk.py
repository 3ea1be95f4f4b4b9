"""One number for an event: how rare it is, and how grave the rules are that its entities have crossed."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import RISK_FLOOR

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
        Shape (n,), severity_id of the gravest rule that has crossed, 0 for none.

    Returns
    -------
    Shape (n,), 0 to 100; -1 where no quantile is known and no rule has crossed. 40 is one event in 100, 60 one in
    1,000. It fails to tell apart what is rarer than one in 8,900: those are all 79.

    >>> risk(np.array([[0.5], [0.99], [np.nan], [np.nan]]), np.array([0], np.uint8))
    array([40], dtype=int16)
    >>> risk(np.full((4, 2), np.nan), np.array([0, 4], np.uint8))
    array([-1, 80], dtype=int16)
    """
    largest = np.fmax.reduce(quantile, axis=0) if quantile.shape[1] else np.empty(0)
    learned = np.searchsorted(_STEPS, largest, side="right").astype(np.int16)
    learned[np.isnan(largest)] = -1
    return np.where(severity > 0, np.maximum(learned, _FLOOR[severity]), learned).astype(np.int16)
