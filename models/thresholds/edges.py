"""The buckets in which scores are counted to know their quantiles."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.layout import EDGE_FACTOR


def score_edges() -> NDArray[np.float64]:
    """The upper edges of the score histogram: from 0.02, each 1 % above the last.

    >>> edges = score_edges(); len(edges), float(edges[0]), bool(edges[-1] > 500)
    (1023, 0.02, True)
    """
    edges = np.empty(1023)
    edge = 0.02
    for i in range(len(edges)):
        edges[i] = edge
        edge *= EDGE_FACTOR
    return edges
