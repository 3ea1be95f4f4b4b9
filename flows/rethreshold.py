"""What a detection would have fired on with another limit, from the kept windows alone: no second pass over events.

docs/tuning-budget.md says which detections a table of windows answers, from which limit on, and why.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.errors import Refused
from flows.formats.windows import MINUTE_US
from models.kernels.chains import LAST_PANE, PANE_BITS, chains
from models.rules import Rule, dimension, span, threshold
from models.rules.threshold import Threshold, kind_of
from models.windows.incidents import incident_uid

DAY_MINUTES: Final = 1_440
DAY_US: Final = DAY_MINUTES * MINUTE_US
COLUMNS: Final = ("tenant", "dimension", "entity", "detector", "start", "sample_weight", "config_hash", "levels")
"""What is read of a table of windows."""
_LAYERS: Final = 2.0 ** np.arange(1, 6)


class FiredIncident(msgspec.Struct, frozen=True):
    """One incident, by the uid that the flow gives it. `value` is the most that was reached.

    `start` is the start of the pane that crossed first, `end` the end of the last that held, microseconds UTC.
    """

    uid: str
    tenant: str
    entity: str
    start: int
    end: int
    value: float


class Share(msgspec.Struct, frozen=True):
    """An entity's part in what has fired."""

    tenant: str
    entity: str
    incidents: int
    share: float


class _Layer(NamedTuple):
    """The panes that reach at least so much, in order of entity and time: runs of one level, from pane to pane."""

    least: float
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    level: NDArray[np.float64]


class Fired(NamedTuple):
    """What fires at a limit; arrays have one place for each incident, by entity and start.

    `entity` counts in the names of the `Rethreshold`. `start` and `end` are those of `FiredIncident`.
    """

    detection: str
    limit: float
    days: float
    entity: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    value: NDArray[np.float64]
    names: tuple[pa.Array, pa.Array]

    @property
    def total(self) -> int:
        """How many incidents there are."""
        return len(self.start)

    @property
    def a_day(self) -> float:
        """Incidents a day."""
        return self.total / self.days

    @property
    def entities(self) -> int:
        """How many entities have one."""
        return len(self._runs()[0])

    def incidents(self, most: int = 1_000) -> list[FiredIncident]:
        """The first incidents by time, at most so many."""
        early = np.arange(self.total)
        if most < self.total:  # sort no more than has to be shown
            early = np.flatnonzero(self.start <= np.partition(self.start, most)[most])
        order = early[np.lexsort((self.entity[early], self.start[early]))[:most]]
        tenants, entities = (names.take(pa.array(self.entity[order])).to_pylist() for names in self.names)
        columns = (self.start[order].tolist(), self.end[order].tolist(), self.value[order].tolist())
        return [
            FiredIncident(incident_uid(tenant, self.detection, entity, start), tenant, entity, start, end, value)
            for tenant, entity, start, end, value in zip(tenants, entities, *columns, strict=True)
        ]

    def only(self, entities: Iterable[str]) -> "Fired":
        """What fires of these entities alone, whatever their tenant."""
        wanted = pc.is_in(self.names[1], value_set=pa.array([*entities], self.names[1].type))
        mine = wanted.to_numpy(zero_copy_only=False)[self.entity]
        return self._replace(
            entity=self.entity[mine], start=self.start[mine], end=self.end[mine], value=self.value[mine]
        )

    def burners(self, most: int = 5) -> list[Share]:
        """Who has the most incidents, at most so many."""
        found, count = self._runs()
        order = np.lexsort((found, -count))[:most]
        tenants, entities = (names.take(pa.array(found[order])).to_pylist() for names in self.names)
        of = max(self.total, 1)
        return [Share(*row, row[2] / of) for row in zip(tenants, entities, count[order].tolist(), strict=True)]

    def _runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each entity once, and how many incidents it has."""
        begins = np.flatnonzero(np.diff(self.entity, prepend=-1))
        return self.entity[begins], np.diff(np.append(begins, self.total))


def answered(rule: Rule) -> Threshold:
    """The detection as a threshold, if windows say what it reaches.

    Raises
    ------
    Refused
        They do not; says why.

    >>> from models.rules import BruteForceIp
    >>> answered(BruteForceIp()).at_least
    20.0
    """
    found = threshold(rule)
    if found is None:
        what = type(rule).__struct_config__.tag
        raise Refused(f"windows do not say what a {what} asks for beside its limit")
    if len(found.dimensions) > 1:
        raise Refused(f"there are no windows of {' and '.join(found.dimensions)} together")
    pane = span.pane_of(found.window_us)
    if pane > MINUTE_US:
        raise Refused(
            f"its window of {found.window} moves in steps of {span.spell(pane)}, and a kept window is one minute"
        )
    return found


def counts(rule: Rule) -> bool:
    """Whether a detection's limit is a number of something, not a share or a sum.

    >>> from models.rules import BaseDetection
    >>> counts(BaseDetection(id="brute_force_ip")), counts(BaseDetection(id="error_surge_endpoint"))
    (True, False)
    """
    return kind_of(answered(rule)) in ("count", "distinct")


def least_answered(rule: Rule, window_sample: float) -> float:
    """The lowest limit whose windows are all kept: half the limit of the run, any number where all windows are.

    >>> from models.rules import BruteForceUser
    >>> least_answered(BruteForceUser(at_least=11), 0.01), least_answered(BruteForceUser(), 1.0)
    (6.0, 1.0)
    """
    found = answered(rule)
    if not counts(rule):
        return found.at_least / 2
    return 1.0 if window_sample >= 1.0 else float(max(-(-found.at_least // 2), 1))


class Rethreshold:
    """An index of what one detection reached in each pane, sorted once; `at` then answers for any limit.

    Cost: 24 bytes for each run of panes at a level from half the limit on, and at most as much again; see
    benchmarks/slider.py for the time.

    Parameters
    ----------
    windows
        The columns COLUMNS, in any order of rows (`flows.query.windows`).
    detection
        As it was in the run that wrote the windows.
    window_sample
        `[output] window_sample` of that run.

    Raises
    ------
    Refused
        The windows do not say what the detection reaches, or there are none.
    """

    def __init__(self, windows: pa.Table, detection: Rule, window_sample: float = 0.01) -> None:
        self.detection = detection
        self.floor = least_answered(detection, window_sample)
        found = answered(detection)
        self.pane = span.pane_of(found.window_us)
        self.quiet = -(-found.quiet_us // self.pane)
        if windows.num_rows == 0:
            raise Refused("there are no windows to look at")
        if "levels" not in windows.column_names:
            raise Refused("the windows are of an earlier version of Lapwing, which did not write what was reached")
        bounds = pc.min_max(windows["start"].cast(pa.int64())).as_py()
        self.start, self.end = bounds["min"] // MINUTE_US, bounds["max"] // MINUTE_US + 1
        self.seen_days = np.unique(windows["start"].cast(pa.int64()).to_numpy() // DAY_US)
        mine = pc.and_(
            pc.equal(windows["dimension"], dimension(detection)), pc.not_equal(windows["detector"], "behaviour")
        )
        self._index(windows.select(list(COLUMNS)).filter(mine))

    @property
    def days(self) -> float:
        """Event time that the windows span."""
        return float(self.end - self.start) / DAY_MINUTES

    @property
    def reached(self) -> NDArray[np.float64]:
        """The values with which something may open, each once and in order."""
        return np.unique(self._level[self._level > 0.0])

    @property
    def step(self) -> float:
        """By how much limits may differ: whole numbers where something is counted, else a hundredth of the limit."""
        return 1.0 if counts(self.detection) else answered(self.detection).at_least / 100

    def bounds(self) -> tuple[float, float]:
        """The least and the greatest limit worth asking for: up to what was reached, at least twice that in force."""
        before = answered(self.detection).at_least
        greatest = max(2.0 * before, float(np.abs(self._level).max(initial=0.0)) + self.step)
        return self.floor, min(greatest, 100.0 * before)

    def spread(self, most: int) -> list[float]:
        """At most so many limits from bound to bound, evenly on a logarithmic scale as far as the step allows."""
        least, greatest = self.bounds()
        steps = np.round((np.geomspace(least, greatest, most) - least) / self.step)
        return [least + self.step * at for at in np.unique(steps).tolist()]

    def _index(self, rows: pa.Table) -> None:
        rows = rows.combine_chunks()
        pairs = pa.table({"tenant": rows["tenant"], "entity": rows["entity"]})
        numbered = pairs.group_by(["tenant", "entity"]).aggregate([]).sort_by(
            [("tenant", "ascending"), ("entity", "ascending")]
        )  # fmt: skip
        self.names = tuple(numbered[name].combine_chunks() for name in ("tenant", "entity"))
        number = _numbers(pairs, numbered)
        panes = MINUTE_US // self.pane
        first = rows["start"].cast(pa.int64()).to_numpy() // self.pane
        key = (number << PANE_BITS) + first
        order = np.argsort(key, kind="stable")
        row, begin, length, values = _lists(rows["levels"], self.detection.id)
        # What is said of the time after a window holds until the entity's next one.
        until = np.empty(len(key), np.int64)
        until[order[:-1]] = key[order[1:]] - key[order[:-1]]
        until[order[-1:]] = LAST_PANE
        length = np.minimum(length, np.maximum(until[row], panes))
        by_key = np.argsort(key[row], kind="stable")
        row, begin, length = row[by_key], begin[by_key], length[by_key]
        ends = np.cumsum(length)
        step = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - length, length)
        level = values[np.repeat(begin, length) + step]
        there = np.flatnonzero(level)
        pane, level = (np.repeat(key[row], length) + step)[there], level[there]
        # A level holds as long as the window that it is of, pane after pane.
        other = (np.diff(pane, prepend=-2) != 1) | (np.diff(level, prepend=0.0) != 0.0)
        self._level = level[other]
        self._layers = [_Layer(self.floor, pane[other], pane[np.roll(other, -1)], self._level)]
        # What does not reach a limit is nothing to it: a high one need not pass over all that is low.
        for least in self.floor * _LAYERS:
            below = self._layers[-1]
            high = np.flatnonzero(np.abs(below.level) >= least)
            if 2 * len(high) <= len(below.level):  # all layers together are at most twice the first
                self._layers.append(_Layer(least, below.first[high], below.last[high], below.level[high]))
        self._whole = bool((rows["sample_weight"].to_numpy()[row] == 1.0).all())

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
        if not self._whole:
            raise Refused("some windows that reached half the limit are only a sample, so the run had another limit")
        layer = next(one for one in reversed(self._layers) if one.least <= limit)
        found = chains(layer.first, layer.last, layer.level, limit, self.quiet, self.pane)
        return Fired(self.detection.id, limit, self.days, *found, self.names)


def _lists(
    levels: pa.ChunkedArray, detection: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Of a detection the row of each list, where it begins among all values, how long it is; and all values."""
    maps = levels.combine_chunks() if isinstance(levels, pa.ChunkedArray) else levels
    row = np.repeat(np.arange(len(maps)), np.diff(maps.offsets.to_numpy()))
    first, last = maps.offsets[0].as_py(), maps.offsets[-1].as_py()
    mine = np.flatnonzero(pc.equal(maps.keys.slice(first, last - first), detection).to_numpy(zero_copy_only=False))
    begin = maps.items.offsets.to_numpy()
    at = mine + first
    return row[mine], begin[at].astype(np.int64), np.diff(begin)[at].astype(np.int64), maps.items.values.to_numpy()


def _numbers(pairs: pa.Table, numbered: pa.Table) -> NDArray[np.int64]:
    """The place of each pair of tenant and entity among the different ones."""
    many = numbered.append_column("number", pa.array(np.arange(numbered.num_rows)))
    places = pairs.append_column("row", pa.array(np.arange(pairs.num_rows)))
    joined = places.join(many, ["tenant", "entity"])
    out = np.empty(pairs.num_rows, np.int64)
    out[joined["row"].to_numpy()] = joined["number"].to_numpy()
    return out


def moment(minute: float) -> str:
    """A minute since 1970 as a time.

    >>> moment(29_895_840)
    '2026-11-04T00:00Z'
    """
    return datetime.fromtimestamp(minute * 60, tz=UTC).strftime("%Y-%m-%dT%H:%MZ")
