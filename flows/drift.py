"""Whether the scores of a stream are still what they were: told and counted, and nothing is changed by it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.base import DIMENSIONS, NONE_TIME, SKIP
from models.event import EventBatch
from models.kernels.events import count_strange
from models.thresholds.page_hinkley import PageHinkley, Sums

STRANGE: Final = 0.9
"""Of events at this quantile and above there should be one in ten."""
_STEP_US: Final = 60_000_000
_LEAST: Final = 200
"""Events in a step: where a minute has fewer, several are one."""
_SLACK: Final = 0.05
_THRESHOLD: Final = 5.0
_FEWEST: Final = 60


class Shares(NamedTuple):
    """How many events of some minutes have a known quantile, and how many of them are strange, by dimension."""

    minute: NDArray[np.int64]  # (k,) since the epoch, rising
    strange: NDArray[np.int64]  # (4, k)
    known: NDArray[np.int64]  # (4, k)


NO_SHARES: Final = Shares(np.empty(0, np.int64), np.empty((4, 0), np.int64), np.empty((4, 0), np.int64))


def shares(batch: EventBatch, quantile: NDArray[np.float64]) -> Shares:
    """What the quantiles (4, n) of a batch say, NaN is not yet known. Rows that nobody adds to a pane say nothing."""
    strange, known = np.zeros((2, len(quantile)), np.int64)
    first, last = count_strange(batch.place, batch.flags, np.ascontiguousarray(quantile), STRANGE, strange, known)
    if last < first:
        return NO_SHARES
    if last // _STEP_US == first // _STEP_US:  # nearly always, where there are many events
        return Shares(np.array([first // _STEP_US]), strange[:, None], known[:, None])
    counted = (batch.flags & SKIP) == 0
    place, quantile = batch.place[counted], quantile[:, counted]
    minutes, which = np.unique(place // _STEP_US, return_inverse=True)
    n = len(minutes)
    return Shares(minutes, _by_minute(quantile >= STRANGE, which, n), _by_minute(quantile == quantile, which, n))


def _by_minute(rows: NDArray[np.bool_], which: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    return np.array([np.bincount(which[row], minlength=n) for row in rows], np.int64)


class Course(msgspec.Struct, array_like=True):
    """How the scores of a dimension have been: `strange` of `known` events in the step under way, the test's sums.

    `drifts` have been told, the `last` at an event time in microseconds. `share` was that of strange events in the last
    step, -1 before there was one.
    """

    strange: int = 0
    known: int = 0
    sums: Sums = msgspec.field(default_factory=Sums)
    drifts: int = 0
    last: int = NONE_TIME
    share: float = -1.0


class DriftState(msgspec.Struct, array_like=True):
    """What is known of all dimensions, and of the minutes that may still get events: by minute, (strange, known)."""

    courses: list[Course] = msgspec.field(default_factory=lambda: [Course() for _ in DIMENSIONS])
    open: dict[int, tuple[list[int], list[int]]] = {}


class Drift(NamedTuple):
    """One drift: of which dimension, since when (microseconds), and what the share of strange events was."""

    dimension: str
    since: int
    share: float

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since / 1e6, UTC)
        return (
            f"the scores of dimension {self.dimension} have drifted since {since:%Y-%m-%d %H:%MZ}: "
            f"{self.share:.0%} of its events are at quantile {STRANGE} or above (which: `lapwing lab explore`)"
        )


class ScoreDrift:
    """Page-Hinkley tests over the share of strange events, minute by minute, one for each dimension.

    A calibrated detector finds one event in ten at quantile 0.9. A test adds up how far a minute's share is from the
    mean of all minutes, beyond a slack of 0.05, and tells when the sum passes 5: a share of 0.3 for some 35 minutes,
    or of 1 for six. Then it begins anew, with what is normal now. What detectors have learned stays as it is.

    Minutes are those of event time, taken when no source has events for them any more: which batches brought them, and
    in which order, makes no difference. Those that come later count in the next one. What an event's quantile was when
    it arrived, though, hangs on what had been closed by then, and so on batches and workers, by a little.

    When it fails: a change that detectors follow within minutes leaves no share behind to see; what comes and goes
    within an hour adds up to nothing; it needs an hour of minutes first.

    Parameters
    ----------
    tell : told of each drift.
    state : what another one has seen; this one goes on from there.

    >>> told = []
    >>> drift = ScoreDrift(told.append)
    >>> for minute in range(200):
    ...     strange = 40 if minute < 150 else 260
    ...     drift.add(Shares(np.array([minute]), np.full((4, 1), strange), np.full((4, 1), 400)))
    >>> drift.settle(200 * 60_000_000)
    >>> drift.state.courses[1].drifts, str(told[1]).partition(" of its")[0]
    (1, 'the scores of dimension ip have drifted since 1970-01-01 02:41Z: 65%')
    """

    def __init__(self, tell: Callable[[Drift], None] = lambda drift: None, state: DriftState | None = None) -> None:
        self._tell = tell
        self.state = state or DriftState()
        self._settled = NONE_TIME

    def add(self, found: Shares) -> None:
        """Take what some events say."""
        opened = self.state.open
        for at, minute in enumerate(np.maximum(found.minute, self._settled).tolist()):
            strange, known = opened.setdefault(minute, ([0] * len(DIMENSIONS), [0] * len(DIMENSIONS)))
            for dimension in range(len(DIMENSIONS)):
                strange[dimension] += int(found.strange[dimension, at])
                known[dimension] += int(found.known[dimension, at])

    def settle(self, until: int | None) -> None:
        """Judge the minutes that end by `until` (microseconds), or all: then time may begin anew."""
        end = None if until is None else until // _STEP_US
        opened = self.state.open
        for minute in sorted(minute for minute in opened if end is None or minute < end):
            strange, known = opened.pop(minute)
            for dimension, course in enumerate(self.state.courses):
                course.strange += strange[dimension]
                course.known += known[dimension]
                if course.known >= _LEAST:
                    self._step(dimension, course, (minute + 1) * _STEP_US)
        self._settled = NONE_TIME if end is None else max(self._settled, end)

    def _step(self, dimension: int, course: Course, end: int) -> None:
        course.share = course.strange / course.known
        course.strange = course.known = 0
        if PageHinkley(_FEWEST, _SLACK, _THRESHOLD, course.sums).update(course.share):
            course.sums = Sums()
            course.drifts += 1
            course.last = end
            self._tell(Drift(DIMENSIONS[dimension], end, course.share))
