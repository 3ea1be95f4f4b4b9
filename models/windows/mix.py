"""The mix of a tenant's minutes as a table: a row of counts a minute, beside those before it."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.alert import Reason
from models.detectors.reservoir_ensemble import ReservoirEnsemble, ReservoirEnsembleParams, ensemble_tables, regrown
from models.features.minute import COUNTS
from models.kernels.direct import direct
from models.kernels.reasons import REASON_FIELDS, REASONS
from models.kernels.reservoir_ensemble import explain_rows

_EXPLAIN = direct(explain_rows)
_COLUMNS: Final = np.arange(len(COUNTS))
MOST_MIXES: Final = 16
"""Tenants of a shard with a table, each some 1 MB: those that first have a minute of `BUSY` events."""
BUSY: Final = 30


class Mix:
    """One tenant's table: what `lapwing score --detector default` does with the same rows.

    Cost: some 20 us a minute, and now and then the milliseconds of a fit.
    """

    def __init__(self, params: ReservoirEnsembleParams) -> None:
        self._detector = ReservoirEnsemble(params, len(COUNTS))

    def judge(self, counts: list[float]) -> tuple[float, float]:
        """Score a minute, then learn it: score and quantile, NaN where not known."""
        scores, quantiles = self._detector.score_learn(np.array([counts]))
        return float(scores[0]), float(quantiles[0])

    def learn_silence(self, minutes: int) -> int:
        """Learn rows of zeros; how many of them had no score."""
        scores, _ = self._detector.score_learn(np.zeros((minutes, len(COUNTS))))
        return int(np.isnan(scores).sum())

    def reasons(self, counts: list[float]) -> tuple[Reason, ...]:
        """What made a minute strange, the weightiest first, by the model as it is now."""
        found = np.full((1, REASONS, REASON_FIELDS), -1.0)
        its, room = self._detector, np.empty(len(COUNTS))
        _EXPLAIN(its.arrays, its.params.learned, np.array([counts]), _COLUMNS, np.zeros(1, np.int64), room, found)
        return tuple(Reason(COUNTS[int(f)], *more) for f, *more in found[0].tolist() if f >= 0)

    def tables(self) -> dict[str, NDArray[Any]]:
        """What is saved, by name, as it lies there."""
        return ensemble_tables(self._detector.arrays)

    def restore(self, saved: dict[str, bytes]) -> None:
        """Go on from what `tables` gave, as bytes."""
        for name, array in self.tables().items():
            array[...] = np.frombuffer(saved[name], array.dtype).reshape(array.shape)
        regrown(self._detector.arrays, self._detector.params)


def mix_bytes(params: ReservoirEnsembleParams) -> int:
    """What the tables of one shard take at most.

    >>> mix_bytes(ReservoirEnsembleParams()) // 2**20
    15
    """
    return MOST_MIXES * _bytes(ReservoirEnsemble(params, len(COUNTS)).arrays)


def _bytes(arrays: Any) -> int:
    return arrays.nbytes if isinstance(arrays, np.ndarray) else sum(map(_bytes, arrays))
