"""From what two sides have told to the figures of a report: pure functions over incidents and counts of events."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Final, NamedTuple, TypeVar

from flows.backtest.report import (
    Change,
    Cut,
    Day,
    Delay,
    Example,
    Moved,
    Noisy,
    Rate,
    Share,
    Side,
)
from flows.backtest.told import DAY_MS, Told
from flows.intervals import nearest_rank, wilson
from models.base import SEVERITIES

EXAMPLES: Final = 10
"""So many are shown of each kind of example, and of the noisiest entities."""
_P95: Final = 0.95
_K = TypeVar("_K", bound=Hashable)


class Span(NamedTuple):
    """What is reported on, epoch ms: `start` inclusive, `end` exclusive, both at whole minutes.

    An incident lies in it if its first crossing pane does. `warm` is the time up to which incidents may be the rest of
    older ones, because a stream was begun in its middle; at most `start` where that is not so.
    """

    start: int
    end: int
    warm: int = 0

    def has(self, told: Told) -> bool:
        """Whether the incident crossed in it."""
        return told.crossed is not None and self.start < told.crossed <= self.end

    def under_way_before(self, told: Told) -> bool:
        """Whether the incident had crossed before it, and goes on in it."""
        return (told.crossed is None or told.crossed <= self.start) and told.end > self.start

    def cut(self, told: Told) -> str:
        """In a word, which part of the incident is not known; "" for none."""
        if told.crossed is None or told.crossed <= self.start:
            return "under way before"
        if told.crossed <= self.warm:
            return "warm-up"
        return "" if told.closed else "under way after"

    @property
    def days(self) -> range:
        """The calendar days that it touches, since the epoch."""
        return range(self.start // DAY_MS, (self.end - 1) // DAY_MS + 1)

    @property
    def partial_days(self) -> int:
        """How many of them it does not cover whole."""
        first, last = self.start % DAY_MS > 0, self.end % DAY_MS > 0
        return min(len(self.days), first + last)

    @property
    def judged_days(self) -> range:
        """The days that medians are over: those that it covers whole, or all if there is none."""
        whole = range(-(-self.start // DAY_MS), self.end // DAY_MS)
        return whole or self.days


def side(
    config: str, config_hash: str, told: Sequence[Told], span: Span, minutes: dict[int, int], kept_back: dict[str, int]
) -> Side:
    """What a configuration tells in the span; `minutes` counts events by minute."""
    inside = [one for one in told if span.has(one)]
    by_kind = _grouped(inside, lambda one: (one.detection, one.severity))
    first_of_attack = {one.attack: one for one in reversed(inside)}.values()
    entities = Counter((one.tenant, one.dimension, one.entity) for one in inside)
    noisiest = sorted(entities.items(), key=lambda row: (-row[1], row[0]))
    seconds = {
        detection: [((one.crossed or 0) - one.first_seen) / 1000 for one in mine]
        for detection, mine in _grouped(inside, lambda one: one.detection).items()
    }
    return Side(
        config=config,
        config_hash=config_hash,
        incidents=_rate("", "", inside, span),
        entries=_rate("", "", first_of_attack, span),
        rates=tuple(_rate(name, SEVERITIES[grade], mine, span) for (name, grade), mine in sorted(by_kind.items())),
        entities=tuple(Noisy(*entity, count) for entity, count in noisiest[:EXAMPLES]),
        noisiest_five=share(sum(count for _, count in noisiest[:5]), len(inside)),
        delay=tuple(
            Delay(detection, len(found), median(found), nearest_rank(found, _P95))
            for detection, found in sorted(seconds.items())
        ),
        cut=cut(told, span),
        kept_back=kept_back,
        by_day=tuple(_by_day(inside, span, minutes)),
    )


def cut(told: Iterable[Told], span: Span) -> Cut:
    """How many incidents the span does not show whole."""
    found = Counter(span.cut(one) for one in told if span.has(one))
    before = sum(span.under_way_before(one) for one in told)
    return Cut(before, found["warm-up"], found["under way after"])


def share(count: int, of: int) -> Share:
    """A share with its interval.

    >>> found = share(3, 4)
    >>> found.share, round(found.low, 4), round(found.high, 4)
    (0.75, 0.3006, 0.9544)
    """
    return Share(count, of, count / of if of else None, *wilson(count, of))


def change(new: Sequence[Told], old: Sequence[Told], span: Span) -> Change:
    """New beside old, by detection, entity and overlapping time.

    What is counted crossed in the span; an incident of the other side may have been under way before it.
    """
    matched, missing = _matched(new, old, span), _matched(old, new, span)
    added, kept = matched[False], matched[True]
    removed = missing[False]
    counts = [Counter(one.detection for one in some) for some in (added, removed, kept)]
    names = sorted({name for count in counts for name in count})
    return Change(
        len(added),
        len(removed),
        len(kept),
        tuple(Moved(name, *(count[name] for count in counts)) for name in names),
        examples(added, span),
        examples(removed, span),
    )


def _matched(mine: Sequence[Told], others: Sequence[Told], span: Span) -> dict[bool, list[Told]]:
    """My incidents in the span, by whether the others have the like."""
    those = like(others)
    out: dict[bool, list[Told]] = {True: [], False: []}
    for one in mine:
        if span.has(one):
            out[any(True for _ in those(one))].append(one)
    return out


def like(others: Sequence[Told]) -> Callable[[Told], Iterable[Told]]:
    """What finds, of some incidents, those with the tenant, detection and entity of one at an overlapping time."""
    by_entity = _grouped(others, _what)

    def found(one: Told) -> Iterable[Told]:
        return (other for other in by_entity.get(_what(one), ()) if one.start < other.end and other.start < one.end)

    return found


def _what(one: Told) -> tuple[str, str, str, str]:
    return one.tenant, one.detection, one.dimension, one.entity


def examples(told: Iterable[Told], span: Span) -> tuple[Example, ...]:
    """The gravest of some incidents, the earliest first."""
    order = sorted(told, key=lambda one: (-one.severity, one.crossed or 0, one.uid))
    return tuple(
        Example(
            one.uid, SEVERITIES[one.severity], one.tenant, one.detection, one.dimension, one.entity,
            moment(one.crossed or 0), one.message, span.cut(one),
        )
        for one in order[:EXAMPLES]
    )  # fmt: skip


def moment(ms: int) -> str:
    """A time as text.

    >>> moment(1_795_410_000_000), moment(1_795_410_000_250)
    ('2026-11-23T05:00:00Z', '2026-11-23T05:00:00.250Z')
    """
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00").removesuffix(".000") + "Z"


def _rate(detection: str, severity: str, told: Iterable[Told], span: Span) -> Rate:
    counts = Counter(_day(one) for one in told)
    daily = [counts[day] for day in span.judged_days]
    return Rate(detection, severity, counts.total(), float(median(daily)), nearest_rank(daily, _P95))


def _by_day(inside: Sequence[Told], span: Span, minutes: dict[int, int]) -> Iterable[Day]:
    events: Counter[int] = Counter()
    for minute, count in minutes.items():
        if span.start <= minute * 60_000 < span.end:
            events[minute * 60_000 // DAY_MS] += count
    grades = {day: Counter(SEVERITIES[one.severity] for one in mine) for day, mine in _grouped(inside, _day).items()}
    for day in span.days:
        mine = grades.get(day, Counter())
        yield Day(moment(day * DAY_MS)[:10], events[day], {name: mine[name] for name in SEVERITIES if name in mine})


def _day(one: Told) -> int:
    """The day of the first crossing pane, which ends at `crossed`."""
    return ((one.crossed or 0) - 1) // DAY_MS


def _grouped(told: Iterable[Told], key: Callable[[Told], _K]) -> dict[_K, list[Told]]:
    out: dict[_K, list[Told]] = defaultdict(list)
    for one in told:
        out[key(one)].append(one)
    return out
