"""Quantiles of scores on a scale that nobody has told: of other libraries' detectors."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.tail import tail_follow
from models.thresholds.tail import empty_tail

WARM_UP = 256


class AnyScale:
    """The quantile of each score among those before it, whatever their scale and sign.

    The median and quartiles of the first 256 scores say where 0 and 1 are; from there a `Tail` counts. When it fails:
    where the first scores are not like the later ones, the tail begins too low or too high.

    >>> quantiles = AnyScale()(np.append(np.random.default_rng(1).normal(-7, 0.1, 5_000), -6.0))
    >>> bool(np.isnan(quantiles[:256]).all()), bool(quantiles[-1] > 0.9999), bool(quantiles[-1] < 1)
    (True, True, True)
    """

    def __init__(self) -> None:
        self._tail = empty_tail()
        self._first = np.empty(0)
        self._middle = self._unit = np.nan

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """The quantiles of the scores that follow; NaN of NaN, and of the first 256."""
        out = np.full(len(scores), np.nan)
        known = np.flatnonzero(~np.isnan(scores))
        if len(self._first) < WARM_UP:
            early, known = np.split(known, [WARM_UP - len(self._first)])
            self._first = np.append(self._first, scores[early])
            if len(self._first) < WARM_UP:
                return out
            low, self._middle, high = np.quantile(self._first, (0.25, 0.5, 0.75))
            self._unit = high - low or max(float(np.std(self._first)), 1e-12)
            tail_follow(self._tail, self._ratios(self._first), WARM_UP, np.empty(WARM_UP))
        found = np.empty(len(known))
        tail_follow(self._tail, self._ratios(scores[known]), WARM_UP, found)
        out[known] = found
        return out

    def _ratios(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        z = np.clip((scores - self._middle) / self._unit, -1e300, 1e300)
        return np.where(z < 0.0, np.exp(np.minimum(z, 0.0)), 1.0 + z)
