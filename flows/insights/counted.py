"""Aggregates read for a report: sums by what is asked, and people by day."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from flows.insights.rows import ANONYMOUS, DAILY, OTHER
from flows.insights.sketch import known, reach, union, unpacked

HOUR: int = 3_600_000_000
DAY: int = 24 * HOUR


class Sum(NamedTuple):
    """How many, and how many of them failed."""

    total: int
    failures: int


class Sample(NamedTuple):
    """Who was there, by day and key: everybody, or a sample of people in which each stands for `scale`."""

    people: dict[tuple[int, str], frozenset[int]]
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
        rows = self.rows.filter(pc.equal(self.rows["measure"], measure))
        sketches: dict[tuple[int, str], list[bytes]] = defaultdict(list)
        times = rows["time"].cast(pa.int64()).to_pylist()
        for time, key, one in zip(times, rows["key"].to_pylist(), rows["users"].to_pylist(), strict=True):
            if one is not None and key != OTHER:
                sketches[time, key].append(one)
        found = {key: [unpacked(one) for one in some] for key, some in sketches.items()}
        limit = min((reach(one, DAILY) for some in found.values() for one in some), default=2.0**64)
        people = {
            key: frozenset(id_ for one in some for id_ in known(one, limit).tolist()) for key, some in found.items()
        }
        return Sample(people, 2.0**64 / limit)

    @cached_property
    def _by_day(self) -> dict[tuple[int, str, str], int]:
        rows = self.rows.filter(pc.equal(self.rows["measure"], "hourly"))
        day = pc.multiply(pc.divide(rows["time"].cast(pa.int64()), DAY), DAY)
        rows = rows.append_column("from", day).group_by(["from", "key", "part"]).aggregate([("count", "sum")])
        keys = zip(rows["from"].to_pylist(), rows["key"].to_pylist(), rows["part"].to_pylist(), strict=True)
        return dict(zip(keys, rows["count_sum"].to_pylist(), strict=True))

    def _of(self, measure: str, start: int, end: int) -> pa.Table:
        times = self.rows["time"].cast(pa.int64())
        inside = pc.and_(pc.greater_equal(times, start), pc.less(times, end))
        return self.rows.filter(pc.and_(inside, pc.equal(self.rows["measure"], measure)))

    def _sums(self, measure: str, by: tuple[str, ...], start: int, end: int) -> dict[tuple[str, ...], Sum]:
        rows = self._of(measure, start, end)
        rows = rows.group_by(list(by)).aggregate([("count", "sum"), ("failures", "sum")])
        keys = zip(*(rows[name].to_pylist() for name in by), strict=True)
        sums = map(Sum, rows["count_sum"].to_pylist(), rows["failures_sum"].to_pylist())
        return dict(sorted(zip(keys, sums, strict=True)))
