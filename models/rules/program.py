"""All threshold detections of a configuration as one program: expressions, what is metered, and what must hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from models.base import DIMENSIONS
from models.kernels.marks import Code
from models.kernels.scan import Wanted, wanted
from models.rules import span
from models.rules.expression import parse
from models.rules.flatten import ALWAYS, MAX_MARKS, flatten, members_of, more_spans
from models.rules.members import ENTITIES
from models.rules.syntax import And, Expression, join, text_of
from models.rules.threshold import Condition, Threshold, kind_of, listed

_Key = TypeVar("_Key")

EVERY: Final = -1
"""The mark of a meter that counts every event."""
NO_METER: Final = -1
FIRST_HASH: Final = len(DIMENSIONS)
"""A distinct meter's source below this is an entity's dimension, from it on a row of `hashes`."""


class Meter(msgspec.Struct, frozen=True):
    """One sliding aggregate for every entity of `by`.

    `source` of a `distinct` meter: a dimension (the entity column), or FIRST_HASH + a row of `hashes`; of a `sum`: a
    row of `numbers`; of a `count`: 0. Hash 0 and NaN are not counted. Times are microseconds.
    """

    by: tuple[int, ...]
    kind: str  # count, distinct, sum
    mark: int  # the bit of `marks`, or EVERY
    source: int
    window: int
    pane: int

    @property
    def panes(self) -> int:
        """Panes in the window."""
        return self.window // self.pane


class Bound(msgspec.Struct, frozen=True):
    """A meter's value, or its share of another's, reaches `at_least`, or `times` the detection's own value.

    The share of nothing is 0. Exactly one of `at_least` and `times` is above 0.
    """

    meter: int
    of: int = NO_METER
    at_least: float = 0.0
    times: float = 0.0


class Compiled(msgspec.Struct, frozen=True):
    """What must hold for a detection to cross over the window that ends with a pane.

    `main` holds, `floor` has at least `at_least_events` (NO_METER: no floor), all of `also` hold and none of `unless`.
    `counted` is the count of the events that its alert counts and shows; its mark is theirs. `monotone` says that more
    events can never undo a crossing (TIME.md 4.2).
    """

    id: str
    by: tuple[int, ...]
    main: Bound
    counted: int
    floor: int
    at_least_events: int
    also: tuple[Bound, ...]
    unless: tuple[Bound, ...]
    monotone: bool
    window: int
    pane: int
    quiet: int
    severity: str


@dataclass(slots=True, frozen=True, eq=False)
class Program:
    """What the decoder needs (`code`, `wanted`) and what the engine does (`meters`, `detections`).

    `marks` has the canonical text of each bit; `hashes` and `numbers` the member of each row.
    """

    code: Code
    wanted: Wanted
    marks: tuple[str, ...]
    hashes: tuple[str, ...]
    numbers: tuple[str, ...]
    meters: tuple[Meter, ...]
    detections: tuple[Compiled, ...]

    @property
    def late(self) -> bool:
        """Whether an expression asks whether the event is late."""
        return bool(self.code.late[0])


def compile_rules(rules: Sequence[Threshold]) -> Program:
    """One program for sound rules: equal expressions share a mark, equal aggregates a meter.

    Raises
    ------
    ValueError
        If all expressions together need more than MAX_MARKS marks or MAX_LEAVES comparisons.

    Examples
    --------
    >>> rule = Threshold(id="spray", by="ip", where="failure", distinct="user", window="15m", at_least=15,
    ...     unless=Condition(where="success", distinct="user", times=1.0))
    >>> program = compile_rules([rule])
    >>> program.marks, [(meter.kind, meter.mark) for meter in program.meters]
    (('failure', 'success'), [('distinct', 0), ('count', 0), ('distinct', 1)])
    """
    pool = _Pool()
    detections = tuple(pool.detection(rule) for rule in rules)
    if len(pool.trees) > MAX_MARKS:
        raise ValueError(f"{len(pool.trees)} different expressions over all detections, at most {MAX_MARKS}")
    hashes = pool.columns("distinct", pool.hashes)
    numbers = pool.columns("sum", pool.numbers)
    trees = [*pool.trees.values()]
    members = members_of(trees) | {*pool.hashes, *pool.numbers}
    more = more_spans(members)
    return Program(
        code=flatten(trees, more, hashes, numbers),
        wanted=wanted(more, ascii_usernames="username" in members),
        marks=tuple(pool.trees),
        hashes=tuple(pool.hashes),
        numbers=tuple(pool.numbers),
        meters=tuple(pool.meters),
        detections=detections,
    )


class _Pool:
    """Marks, columns and meters, each once, numbered in order of first use."""

    def __init__(self) -> None:
        self.trees: dict[str, Expression] = {}
        self.hashes: dict[str, int] = {}
        self.numbers: dict[str, int] = {}
        self.meters: dict[Meter, int] = {}

    def columns(self, kind: str, members: dict[str, int]) -> list[tuple[str, int]]:
        """Each member of `hashes` or `numbers` with the marks under which a row's is wanted."""
        first = FIRST_HASH if kind == "distinct" else 0
        found = []
        for name, k in members.items():
            marks = [meter.mark for meter in self.meters if meter.kind == kind and meter.source == first + k]
            found.append((name, ALWAYS if EVERY in marks else sum({1 << mark for mark in marks})))
        return found

    def detection(self, rule: Threshold) -> Compiled:
        main = self.bound(rule, rule, rule.where)
        floor = NO_METER
        where = _tree(rule.where)
        if rule.at_least_events:
            floor = main.of if main.of != NO_METER else self.meter(rule, "count", where, 0)
        counted = main.meter if kind_of(rule) in ("count", "ratio") else self.meter(rule, "count", where, 0)
        also = tuple(self.bound(rule, condition, condition.where or rule.where) for condition in listed(rule.also))
        unless = tuple(self.bound(rule, condition, condition.where or rule.where) for condition in listed(rule.unless))
        return Compiled(
            id=rule.id, by=_by(rule), main=main, counted=counted, floor=floor, at_least_events=rule.at_least_events,
            also=also, unless=unless, monotone=_monotone(rule), window=rule.window_us,
            pane=span.pane_of(rule.window_us), quiet=rule.quiet_us, severity=rule.severity,
        )  # fmt: skip

    def bound(self, rule: Threshold, aggregate: Threshold | Condition, where: str) -> Bound:
        tree = _tree(where)
        at_least, times = float(aggregate.at_least or 0), 0.0
        if isinstance(aggregate, Condition):
            times = float(aggregate.times or 0)
        match kind_of(aggregate):
            case "ratio":
                share = parse(aggregate.ratio)
                both = share if tree is None else join(And, [tree, share])
                meter = self.meter(rule, "count", both, 0)
                return Bound(meter, self.meter(rule, "count", tree, 0), at_least, times)
            case "distinct":
                name = aggregate.distinct
                source = ENTITIES.index(name) if name in ENTITIES else FIRST_HASH + _place(self.hashes, name)
                return Bound(self.meter(rule, "distinct", tree, source), NO_METER, at_least, times)
            case "sum":
                source = _place(self.numbers, aggregate.sum)
                return Bound(self.meter(rule, "sum", tree, source), NO_METER, at_least, times)
        return Bound(self.meter(rule, "count", tree, 0), NO_METER, at_least, times)

    def meter(self, rule: Threshold, kind: str, tree: Expression | None, source: int) -> int:
        mark = EVERY
        if tree is not None:
            text = text_of(tree)
            self.trees.setdefault(text, tree)
            mark = [*self.trees].index(text)
        window = rule.window_us
        return _place(self.meters, Meter(_by(rule), kind, mark, source, window, span.pane_of(window)))


def _place(known: dict[_Key, int], key: _Key) -> int:
    """The number of a key, the next one if it is new."""
    return known.setdefault(key, len(known))


def _tree(where: str) -> Expression | None:
    return parse(where) if where else None


def _by(rule: Threshold) -> tuple[int, ...]:
    return tuple(DIMENSIONS.index(name) for name in rule.dimensions)


def _monotone(rule: Threshold) -> bool:
    """Counts only grow; shares and sums may fall, and so may what is compared with the detection's own value."""
    also = listed(rule.also)
    kinds = {kind_of(rule), *map(kind_of, also)}
    return kinds <= {"count", "distinct"} and not listed(rule.unless) and all(c.times is None for c in also)
