"""The features that explain a score: those whose typical value would lower it most."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.kernels.kernel import inlined

REASONS: Final = 3  # features that explain a score
REASON_FIELDS: Final = 4
(FEATURE, OBSERVED, TYPICAL, DROP) = range(REASON_FIELDS)


@inlined
def take_reason(reasons: NDArray[np.float64], feature: int, observed: float, typical: float, drop: float) -> None:
    """Put a feature among the reasons, shape (REASONS, REASON_FIELDS), if it is one of the largest; -1 is no reason."""
    at = REASONS
    while at > 0 and drop > max(reasons[at - 1, DROP], 0.0):
        at -= 1
    if at == REASONS:
        return
    for k in range(REASONS - 1, at, -1):
        for field in range(REASON_FIELDS):
            reasons[k, field] = reasons[k - 1, field]
    reasons[at, FEATURE], reasons[at, OBSERVED] = feature, observed
    reasons[at, TYPICAL], reasons[at, DROP] = typical, drop
