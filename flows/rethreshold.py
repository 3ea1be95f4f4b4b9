"""What a detection would have fired on with another limit, from the kept windows alone: no second pass over events.

docs/tuning-budget.md says which detections a table of windows answers, from which limit on, and why.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.errors import Refused
from flows.formats.windows import MEASURED, MINUTE_US
from models.rules import Rule, dimension, span, threshold
from models.rules.threshold import LEAST_QUIET, Threshold

DAY_MINUTES: Final = 1_440
_MINUTE_BITS: Final = 32  # more than any minute since 1970 has: an entity's number and a minute make one key
_MINUTE: Final = (1 << _MINUTE_BITS) - 1
_COUNTED: Final = {"": "events", "failure": "failures", "deletion": "deletions", "reset": "resets"}
_EACH_MINUTE: Final = {"events": "events_1m", "failures": "failures_1m"}
_DISTINCT: Final = {
    ("ip", "", "user"): "distinct_users_15m",
    ("ip", "failure", "user"): "distinct_failed_users_15m",
    ("user", "", "ip"): "distinct_ips_15m",
    ("ip", "deletion", "target"): "distinct_targets_10m",
    ("user", "deletion", "target"): "distinct_targets_10m",
}
COLUMNS: Final = ("tenant", "dimension", "entity", "detector", "start", "sample_weight", "config_hash")
"""What a table needs beside the columns of the feature."""


class Measure(NamedTuple):
    """The columns that carry a detection: its feature, and what each minute added to it where that is known too."""

    feature: str
    each_minute: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The table's columns that `Rethreshold` reads."""
        names = (*COLUMNS, self.feature, f"peak_{self.feature}", self.each_minute)
        return tuple(dict.fromkeys(name for name in names if name))


class FiredIncident(msgspec.Struct, frozen=True):
    """One incident. `start` is the minute of the first crossing pane, `end` that of the last with a window, its end.

    Both are microseconds UTC. `value` is the most that was reached. `sure`: what came before was over for certain;
    else this may be the same incident going on.
    """

    tenant: str
    entity: str
    start: int
    end: int
    value: float
    sure: bool


class Share(msgspec.Struct, frozen=True):
    """An entity's part in what has fired."""

    tenant: str
    entity: str
    incidents: int
    share: float


class Fired(NamedTuple):
    """What fires at a limit; arrays have one place for each incident, by entity and start.

    `entity` counts in the names of the `Rethreshold`, `first` and `last` are minutes since 1970. Incidents that may be
    others going on are not `sure`: the true number lies between `least` and `most`, which are mostly one.
    """

    limit: float
    days: float
    entity: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    value: NDArray[np.float64]
    sure: NDArray[np.bool_]
    names: tuple[pa.Array, pa.Array]

    @property
    def most(self) -> int:
        """How many incidents there are, the unsure ones counted."""
        return len(self.first)

    @property
    def least(self) -> int:
        """How many there are for certain."""
        return int(self.sure.sum())

    @property
    def a_day(self) -> float:
        """Incidents a day, the unsure ones counted."""
        return self.most / self.days

    @property
    def entities(self) -> int:
        """How many entities have one."""
        return len(self._runs()[0])

    def incidents(self, most: int = 1_000) -> list[FiredIncident]:
        """The first incidents by time, at most so many."""
        early = np.arange(self.most)
        if most < self.most:  # sort no more than has to be shown
            early = np.flatnonzero(self.first <= np.partition(self.first, most)[most])
        order = early[np.lexsort((self.entity[early], self.first[early]))[:most]]
        tenants, entities = (names.take(pa.array(self.entity[order])).to_pylist() for names in self.names)
        rows = zip(
            tenants, entities, (self.first[order] * MINUTE_US).tolist(), ((self.last[order] + 1) * MINUTE_US).tolist(),
            self.value[order].tolist(), self.sure[order].tolist(), strict=True,
        )  # fmt: skip
        return [FiredIncident(*row) for row in rows]

    def burners(self, most: int = 5) -> list[Share]:
        """Who has the most incidents, at most so many."""
        found, count = self._runs()
        order = np.lexsort((found, -count))[:most]
        tenants, entities = (names.take(pa.array(found[order])).to_pylist() for names in self.names)
        of = max(self.most, 1)
        return [Share(*row, row[2] / of) for row in zip(tenants, entities, count[order].tolist(), strict=True)]

    def _runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each entity once, and how many incidents it has."""
        begins = np.flatnonzero(np.diff(self.entity, prepend=-1))
        return self.entity[begins], np.diff(np.append(begins, self.most))


def measure(rule: Rule) -> Measure:
    """The columns of a table of windows that carry a detection.

    Raises
    ------
    Refused
        No column does; says why.

    >>> from models.rules import BruteForceUser
    >>> measure(BruteForceUser())
    Measure(feature='failures_10m', each_minute='failures_1m')
    """
    found = threshold(rule)
    if found is None:
        what = type(rule).__struct_config__.tag
        raise Refused(f"windows do not say what a {what} asks for beside its limit")
    if found.also or found.unless or found.at_least_events:
        keys = [key for key in ("also", "unless", "at_least_events") if getattr(found, key)]
        raise Refused(f"no column of the windows carries its {' and '.join(keys)}")
    return _measure(found)


def _measure(rule: Threshold) -> Measure:
    by = dimension(rule)
    name, each = "", None
    if rule.count and rule.where in _COUNTED:
        what = _COUNTED[rule.where]
        name, each = f"{what}_{rule.window}", _EACH_MINUTE.get(what)
    elif rule.distinct:
        name = _DISTINCT.get((by, rule.where, rule.distinct), "")
        name = name if name.endswith(f"_{rule.window}") else ""
    if name not in MEASURED or "_" in by:
        what = rule.sum or rule.ratio or rule.distinct or "count"
        raise Refused(f"no column of the windows carries {what} by {by} in {rule.window}")
    return Measure(name, each)


def least_answered(rule: Rule, window_sample: float) -> float:
    """The lowest limit whose windows are all kept: half the limit of the run, any where all windows are.

    >>> from models.rules import BruteForceUser
    >>> least_answered(BruteForceUser(at_least=11), 0.01), least_answered(BruteForceUser(), 1.0)
    (6.0, 1.0)
    """
    found = threshold(rule)
    if window_sample >= 1.0 or found is None:
        return 1.0
    return float(max(-(-found.at_least // 2), 1))


class Rethreshold:
    """An index of the kept windows that carry one detection, sorted once; `at` then answers for any limit.

    Cost: 33 bytes a window of the detection's dimension; see benchmarks/slider.py for the time.

    Parameters
    ----------
    windows
        The columns `measure(detection).columns`, in any order of rows (`flows.query.windows`).
    detection
        As it was in the run that wrote the windows.
    window_sample
        `[output] window_sample` of that run.

    Raises
    ------
    Refused
        No column carries the detection, or there are no windows.
    """

    def __init__(self, windows: pa.Table, detection: Rule, window_sample: float = 0.01) -> None:
        self.detection = detection
        self.measure = measure(detection)
        self.floor = least_answered(detection, window_sample)
        found = threshold(detection)
        assert found is not None
        self.window, self.pane = found.window_us, span.pane_of(found.window_us)
        self.quiet = -(-(found.quiet_us or LEAST_QUIET) // self.pane)
        if windows.num_rows == 0:
            raise Refused("there are no windows to look at")
        bounds = pc.min_max(windows["start"].cast(pa.int64())).as_py()
        self.start, self.end = bounds["min"] // MINUTE_US, bounds["max"] // MINUTE_US + 1
        self.seen_days = np.unique(windows["start"].cast(pa.int64()).to_numpy() // (DAY_MINUTES * MINUTE_US))
        mine = pc.and_(
            pc.equal(windows["dimension"], dimension(detection)), pc.not_equal(windows["detector"], "behaviour")
        )
        self._index(windows.filter(mine))

    @property
    def days(self) -> float:
        """Event time that the windows span."""
        return float(self.end - self.start) / DAY_MINUTES

    def _index(self, rows: pa.Table) -> None:
        rows = rows.combine_chunks()
        pairs = pa.table({"tenant": rows["tenant"], "entity": rows["entity"]})
        numbered = pairs.group_by(["tenant", "entity"]).aggregate([]).sort_by(
            [("tenant", "ascending"), ("entity", "ascending")]
        )  # fmt: skip
        self.names = tuple(numbered[name].combine_chunks() for name in ("tenant", "entity"))
        number = _numbers(pairs, numbered)
        minute = rows["start"].cast(pa.int64()).to_numpy() // MINUTE_US
        key = (number << _MINUTE_BITS) + minute
        order = np.argsort(key, kind="stable")
        self._key = key[order]
        feature = self.measure.feature
        self.peak = _numbers_of(rows, f"peak_{feature}")[order]
        self._value = _numbers_of(rows, feature)[order]
        self._whole = (rows["sample_weight"].to_numpy() == 1.0)[order]
        self._added = None
        if self.measure.each_minute:
            added = np.maximum(_numbers_of(rows, self.measure.each_minute)[order], 0.0)
            self._added = np.concatenate([[0.0], np.cumsum(added)])

    def at(self, limit: float) -> Fired:
        """What would have fired.

        Raises
        ------
        Refused
            The limit is below the least that the windows answer, or windows that it would need are only a sample.
        """
        if limit < self.floor:
            raise Refused(
                f"below {self.floor:g} the windows are only a sample (they are kept from half the limit of the run on)"
            )
        return self._fired(limit, np.flatnonzero(self.peak >= limit))

    def _fired(self, limit: float, rows: NDArray[np.int64]) -> Fired:
        if not self._whole[rows].all():
            raise Refused(
                f"some windows that reached {limit:g} are only a sample, so the run had another "
                f"configuration than this one"
            )
        key = self._key[rows]
        begins = np.ones(len(rows), np.bool_)
        sure = np.ones(len(rows), np.bool_)
        if len(rows):
            apart, certain = self._apart(limit, rows)
            begins[1:], sure[1:] = apart, certain
        first = np.flatnonzero(begins)
        last = np.append(first[1:], len(rows))[: len(first)] - 1
        value = np.maximum.reduceat(self.peak[rows], first) if len(rows) else np.empty(0)
        return Fired(
            limit, self.days, key[first] >> _MINUTE_BITS, key[first] & _MINUTE, key[last] & _MINUTE, value, sure[first],
            self.names,
        )  # fmt: skip

    def _apart(self, limit: float, rows: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether each crossing window but the first may begin an incident of its own, and whether that is certain.

        In panes: the last at which the condition held before, and the first at which it holds again; each is known
        within bounds. An incident goes on as long as no more than `quiet` panes lie between them.
        """
        panes, reach = MINUTE_US // self.pane, self.window // self.pane
        gap = np.diff(self._key[rows])  # minutes; far more than all time from one entity to the next
        apart = gap > (self.quiet + panes + reach - 2) // panes
        certain = apart.copy()
        near = np.flatnonzero(~apart & ((gap + 1) * panes - 1 > self.quiet))
        left, right = rows[:-1][near], rows[1:][near]
        begin, again = (self._key[left] & _MINUTE) * panes, (self._key[right] & _MINUTE) * panes
        holds = self._value[left] >= limit  # still at the end of its minute
        low = begin + np.where(holds, panes - 1, 0)
        high = begin + np.where(holds, panes + reach - 2, panes - 2)
        # What is kept in between did not cross, and what is not kept did not either.
        high = np.where(left + 1 < right, np.minimum(high, (self._key[left + 1] & _MINUTE) * panes - 1), high)
        low, high = self._held(limit, left, np.minimum(low, high), high)
        # A peak above the value at the end was reached before the end.
        latest = again + panes - 1 - (self.peak[right] > self._value[right])
        apart[near] = latest - low > self.quiet
        certain[near] = again - high > self.quiet
        return apart, certain

    def _held(
        self, limit: float, rows: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Closer bounds of the last pane that holds: kept windows say what came, and so what goes, in each minute."""
        if self._added is None:
            return low, high
        panes, minutes = MINUTE_US // self.pane, self.window // MINUTE_US
        key, value = self._key[rows], self._value[rows]
        whole = self._added[np.searchsorted(self._key, key - minutes + 1)]
        for after in range(minutes + 1):
            gone = np.searchsorted(self._key, key - minutes + 1 + after)
            end = ((key & _MINUTE) + after + 1) * panes - 1
            known = self._added[rows + 1] - self._added[np.minimum(gone, rows + 1)]
            low = np.where((value >= limit) & (known >= limit), np.maximum(low, end), low)
            left = self._added[np.minimum(gone, rows + 1)] - whole
            high = np.where((value >= limit) & (value - left < limit), np.minimum(high, end - 1), high)
        return np.minimum(low, high), high


def _numbers(pairs: pa.Table, numbered: pa.Table) -> NDArray[np.int64]:
    """The place of each pair of tenant and entity among the different ones."""
    many = numbered.append_column("number", pa.array(np.arange(numbered.num_rows)))
    places = pairs.append_column("row", pa.array(np.arange(pairs.num_rows)))
    joined = places.join(many, ["tenant", "entity"])
    out = np.empty(pairs.num_rows, np.int64)
    out[joined["row"].to_numpy()] = joined["number"].to_numpy()
    return out


def _numbers_of(rows: pa.Table, name: str) -> NDArray[np.float64]:
    """A column of floats; what is null has reached nothing."""
    found: NDArray[np.float64] = pc.fill_null(rows[name], -1.0).to_numpy()
    return found


def moment(minute: float) -> str:
    """A minute since 1970 as a time.

    >>> moment(29_895_840)
    '2026-11-04T00:00Z'
    """
    return datetime.fromtimestamp(minute * 60, tz=UTC).strftime("%Y-%m-%dT%H:%MZ")
