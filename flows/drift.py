"""Whether the scores of a stream are still what they were: told and counted, and nothing is changed by it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import DIMENSIONS
from models.thresholds.page_hinkley import PageHinkley

STRANGE: Final = 0.9
"""Of events at this quantile and above there should be one in ten."""
_STEP_US: Final = 60_000_000
_LEAST: Final = 200
"""Events in a step: where a minute has fewer, several are one."""
_SLACK: Final = 0.05
_THRESHOLD: Final = 5.0
_FEWEST: Final = 60


class ScoreDrift:
    """Page-Hinkley tests over the share of strange events, minute by minute, one for each dimension.

    A calibrated detector finds one event in ten at quantile 0.9. A test adds up how far a minute's share is from the
    mean of all minutes, beyond a slack of 0.05, and tells when the sum passes 5: a share of 0.3 for some 35 minutes,
    or of 1 for six. Then it begins anew, with what is normal now. What detectors have learned stays as it is.

    When it fails: a change that detectors follow within minutes leaves no share behind to see; what comes and goes
    within an hour adds up to nothing; it needs an hour of minutes first. Minutes are those of event time, and a
    restart begins anew.

    Parameters
    ----------
    tell : told, in one line, of each drift.

    >>> told = []
    >>> drift = ScoreDrift(told.append)
    >>> for minute in range(200):
    ...     quantile = np.linspace(0.0, 1.0, 400) ** (1.0 if minute < 150 else 0.1)
    ...     drift.see(np.full(400, minute * 60_000_000), np.stack([quantile] * 4))
    >>> drift.counts["ip"], drift.moments["ip"] // 60_000_000, told[1].partition(". ")[0]
    (1, 161, 'the scores of ip have drifted since 1970-01-01 02:41Z: 65% of its events are at quantile 0.9 or above')
    """

    def __init__(self, tell: Callable[[str], None] = lambda text: None) -> None:
        self._tell = tell
        self._tests = [_test() for _ in DIMENSIONS]
        self._strange = np.zeros(len(DIMENSIONS), np.int64)
        self._known = np.zeros(len(DIMENSIONS), np.int64)
        self._end = 0
        self.counts = dict.fromkeys(DIMENSIONS, 0)
        self.moments: dict[str, int] = {}

    def see(self, time: NDArray[np.int64], quantile: NDArray[np.float64]) -> None:
        """Take the scores of some events, of shapes (n,) and (4, n); NaN is not yet known."""
        if not len(time):
            return
        now = int(time.max())
        if now >= self._end:
            self._step()
            self._end = (now // _STEP_US + 1) * _STEP_US
        self._strange += np.count_nonzero(quantile >= STRANGE, axis=1)
        self._known += np.count_nonzero(quantile == quantile, axis=1)

    def _step(self) -> None:
        for at in np.flatnonzero(self._known >= _LEAST).tolist():
            share, name = float(self._strange[at] / self._known[at]), DIMENSIONS[at]
            self._strange[at] = self._known[at] = 0
            if self._tests[at].update(share):
                self._tests[at] = _test()
                self.counts[name] += 1
                self.moments[name] = self._end
                since = datetime.fromtimestamp(self._end / 1e6, UTC)
                self._tell(
                    f"the scores of {name} have drifted since {since:%Y-%m-%d %H:%MZ}: {share:.0%} of its events are "
                    f"at quantile {STRANGE} or above. After a release or a new tenant baselines follow by themselves; "
                    "else look at what is strange (make look), and whether the detector's parameters still fit"
                )


def _test() -> PageHinkley:
    return PageHinkley(_FEWEST, _SLACK, _THRESHOLD)
