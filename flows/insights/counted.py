"""Aggregates read for a report: sums by what is asked, and people by day."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.insights.rows import ANONYMOUS, DAILY, OTHER
from flows.insights.sketch import Ids, known, reach, union, unpacked

HOUR: int = 3_600_000_000
DAY: int = 24 * HOUR


class Sum(NamedTuple):
    """How many, and how many of them failed."""

    total: int
    failures: int


class Sample(NamedTuple):
    """Who was there on which day with which key: everybody, or a sample of people in which each stands for `scale`.

    `ids`, `days` (microseconds UTC) and `keys` go together; whoever came on several days is there several times.
    """

    ids: Ids
    days: NDArray[np.int64]
    keys: NDArray[np.str_]
    scale: float


@dataclass
class Counted:
    """The aggregates of `start` to `end`, and of some time before; microseconds UTC at whole days.

    `names` are what keys that are tokens stand for.
    """

    rows: pa.Table
    names: Mapping[str, str]
    start: int
    end: int

    @property
    def days(self) -> list[int]:
        """Where each day of the range begins."""
        return list(range(self.start, self.end, DAY))

    @cached_property
    def first_day(self) -> int:
        """Where what is known begins: the first day with an event, in all that was read."""
        return min((day for day, _, _ in self._by_day), default=self.start)

    def sums(self, measure: str, *by: str, before: bool = False) -> dict[tuple[str, ...], Sum]:
        """A measure's sums by columns in the range, or in the range of equal length before it."""
        length = self.end - self.start
        return self._sums(measure, by, self.start - before * length, self.end - before * length)

    def daily(self, action: str, outcomes: tuple[str, ...] = ()) -> dict[int, int]:
        """How often something was done, by day, in all that was read; with `outcomes`, how often it came to those."""
        found: dict[int, int] = defaultdict(int)
        for (day, name, outcome), total in self._by_day.items():
            if name == action and (not outcomes or outcome in outcomes):
                found[day] += total
        return found

    def hours(self, action: str) -> dict[int, int]:
        """How often something was done, by hour."""
        rows = self._of("hourly", self.start, self.end)
        rows = rows.filter(pc.equal(rows["key"], action)).group_by("time").aggregate([("count", "sum")])
        return dict(zip(rows["time"].cast(pa.int64()).to_pylist(), rows["count_sum"].to_pylist(), strict=True))

    def anonymous(self, measure: str) -> dict[str, Sum]:
        """A measure's sums by key, those of fewer than `ANONYMOUS` users together as "other"."""
        rows = self._of(measure, self.start, self.end)
        users: dict[str, list[bytes]] = defaultdict(list)
        for key, one in zip(rows["key"].to_pylist(), rows["users"].to_pylist(), strict=True):
            if one is not None:
                users[key].append(one)
        many = {key for key, some in users.items() if len(unpacked(union(some, ANONYMOUS))) >= ANONYMOUS}
        found: dict[str, Sum] = {}
        for (key,), one in self.sums(measure, "key").items():
            name = self.names.get(key, key) or OTHER if key in many else OTHER
            count, failures = found.get(name, Sum(0, 0))
            found[name] = Sum(count + one.total, failures + one.failures)
        return found

    def people(self, measure: str) -> Sample:
        """Who was there, each day that was read. A sample is of the same people everywhere."""
        rows = self._measures.get(measure, self.rows.slice(0, 0))
        times = rows["time"].cast(pa.int64()).to_pylist()
        found = [
            (time, key, unpacked(one))
            for time, key, one in zip(times, rows["key"].to_pylist(), rows["users"].to_pylist(), strict=True)
            if one and key != OTHER
        ]
        limit = min((reach(ids, DAILY) for _, _, ids in found), default=2.0**64)
        some = [(time, key, known(ids, limit)) for time, key, ids in found]
        sizes = [len(ids) for _, _, ids in some]
        return Sample(
            np.concatenate([np.empty(0, np.uint64), *(ids for _, _, ids in some)]),
            np.repeat(np.array([time for time, _, _ in some], np.int64), sizes),
            np.repeat(np.array([key for _, key, _ in some], np.str_), sizes),
            2.0**64 / limit,
        )

    @cached_property
    def _by_day(self) -> dict[tuple[int, str, str], int]:
        rows = self._measures.get("hourly", self.rows.slice(0, 0))
        day = pc.multiply(pc.divide(rows["time"].cast(pa.int64()), DAY), DAY)
        rows = rows.append_column("from", day).group_by(["from", "key", "part"]).aggregate([("count", "sum")])
        keys = zip(rows["from"].to_pylist(), rows["key"].to_pylist(), rows["part"].to_pylist(), strict=True)
        return dict(zip(keys, rows["count_sum"].to_pylist(), strict=True))

    @cached_property
    def _measures(self) -> dict[str, pa.Table]:
        rows = self.rows.combine_chunks()
        if not rows.num_rows:
            return {}
        measures = pc.dictionary_encode(rows["measure"].combine_chunks())
        which, rows = measures.indices.to_numpy(), rows.drop_columns(["measure"])
        return {name: rows.filter(pa.array(which == at)) for at, name in enumerate(measures.dictionary.to_pylist())}

    def _of(self, measure: str, start: int, end: int) -> pa.Table:
        rows = self._measures.get(measure, self.rows.slice(0, 0))
        times = rows["time"].cast(pa.int64())
        return rows.filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end)))

    def _sums(self, measure: str, by: tuple[str, ...], start: int, end: int) -> dict[tuple[str, ...], Sum]:
        rows = self._of(measure, start, end)
        rows = rows.group_by(list(by)).aggregate([("count", "sum"), ("failures", "sum")])
        keys = zip(*(rows[name].to_pylist() for name in by), strict=True)
        sums = map(Sum, rows["count_sum"].to_pylist(), rows["failures_sum"].to_pylist())
        return dict(sorted(zip(keys, sums, strict=True)))
