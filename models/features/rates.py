"""The values that are learned of every window, and the names under which they are shown.

A *rate* (events and failures of a minute) is 0 in a silent minute, and silence teaches. A *level* (the share of
errors, and everything over a longer window) is known only while there are events, and only those minutes teach.
Their indices are in `models.kernels.layout`; those below `RATES` are rates.
"""

from models.base import DIMENSIONS, FEATURES, NO_FEATURE
from models.kernels.layout import VALUES


def feature_codes(dimension: int) -> tuple[int, ...]:
    """FEATURES index of each learned value in a dimension, -1 where the dimension does not have it.

    Of joint entities nothing is learned.

    >>> [FEATURES[c] for c in feature_codes(DIMENSIONS.index("ip"))][5:]
    ['distinct_users_15m', 'distinct_failed_users_15m', 'distinct_targets_10m']
    >>> feature_codes(DIMENSIONS.index("endpoint"))[5:]
    (-1, -1, -1)
    """
    if dimension >= len(DIMENSIONS):
        return (NO_FEATURE, *(-1 for _ in range(VALUES - 1)))
    name = ["events_1m", "failures_1m", "error_share_1m", "deletions_10m", "resets_10m"]
    match DIMENSIONS[dimension]:
        case "ip":
            name += ["distinct_users_15m", "distinct_failed_users_15m", "distinct_targets_10m"]
        case "user":
            name += ["distinct_ips_15m", "", "distinct_targets_10m"]
        case _:
            name += ["", "", ""]
    return tuple(FEATURES.index(n) if n else -1 for n in name)
