"""A detection in config alone: an aggregate of events reaches a threshold within a window."""

import math
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from models.base import DIMENSIONS
from models.rules import attacks, span
from models.rules.attacks import AttackRef
from models.rules.base import About, Mode, Severity
from models.rules.expression import parse
from models.rules.lexer import ExpressionError
from models.rules.members import TYPES, numeric

Dimension = Literal["tenant", "ip", "endpoint", "user"]
Positive = Annotated[float, Meta(gt=0, le=1e15)]

KINDS: Final = ("count", "distinct", "ratio", "sum")
MOST_EVENTS: Final = 1_000_000_000
LEAST_QUIET: Final = 10 * span.MINUTE


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A further aggregate over the same entity and window, compared with a number or with the detection's own value.

    `where` is the detection's own where it is empty.
    """

    where: str = ""
    count: bool = False
    distinct: str = ""
    ratio: str = ""
    sum: str = ""
    at_least: Positive | None = None
    times: Positive | None = None


class Threshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="threshold"):
    """At least `at_least` of what is counted, for one entity of `by` within `window`.

    Of the events where `where` holds (all, if it is empty; models.rules.expression has the language), exactly one of:

    `count`
        how many there are.
    `distinct`
        how many different values of a member; `user`, `ip` and `endpoint` are the entities, `target` is the object of
        a deletion, else the member. Exact up to 2,000 an entity.
    `ratio`
        the share of them where this expression holds too. It needs `at_least_events`, or one event would be all.
    `sum`
        the sum of a numeric member, each value rounded to 1/1024.

    It crosses only where at least `at_least_events` events are counted, every condition of `also` holds and none of
    `unless`. `window` is the length of a sliding window; `quiet` how long after its last crossing an incident closes,
    "0s" being the window, but ten minutes at least (TIME.md 4.3).

    When it fails: it knows no history, so what is much for one entity and nothing for another needs two detections, or
    a learned one. A ratio and a detection with `unless` open one pane later, because more events can undo them.

    >>> Threshold(where="failure", by="ip", distinct="user", at_least=15).dimension
    'ip'
    """

    id: str = ""
    by: Dimension | Annotated[tuple[Dimension, ...], Meta(min_length=1, max_length=2)] = "user"
    where: str = ""
    count: bool = False
    distinct: str = ""
    ratio: str = ""
    sum: str = ""
    window: str = "10m"
    at_least: Positive = 1.0
    at_least_events: Annotated[int, Meta(ge=0, le=MOST_EVENTS)] = 0
    also: Condition | Annotated[tuple[Condition, ...], Meta(max_length=4)] = ()
    unless: Condition | Annotated[tuple[Condition, ...], Meta(max_length=4)] = ()
    severity: Severity = "medium"
    mode: Mode = "live"
    confidence: Annotated[int, Meta(ge=0, le=100)] = 50
    title: Annotated[str, Meta(max_length=200)] = ""
    measure: Annotated[str, Meta(max_length=100)] = ""
    remediation: Annotated[str, Meta(max_length=2000)] = ""
    attacks: Annotated[tuple[AttackRef, ...], Meta(max_length=8)] = ()
    quiet: str = "0s"

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of `by` in the order of `models.base.DIMENSIONS`."""
        by = (self.by,) if isinstance(self.by, str) else self.by
        return tuple(sorted(by, key=DIMENSIONS.index))

    @property
    def dimension(self) -> str:
        """One word for `by`: `ip`, `ip_user`."""
        return "_".join(self.dimensions)

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return span.microseconds(self.window)

    @property
    def quiet_us(self) -> int:
        """How long after its last crossing an incident closes, microseconds."""
        return span.microseconds(self.quiet) or max(self.window_us, LEAST_QUIET)

    @property
    def about(self) -> About:
        """What an alert says of this detection."""
        return About(
            title=self.title or self.id,
            measure=self.measure or _measure(self),
            attacks=tuple(attacks.resolve(ref) for ref in self.attacks),
            remediation=self.remediation,
            analytic_type=1,
            confidence=self.confidence,
        )


def listed(conditions: Condition | tuple[Condition, ...]) -> tuple[Condition, ...]:
    """The conditions of `also` or `unless`, given as one table or as several."""
    return (conditions,) if isinstance(conditions, Condition) else conditions


def kind_of(rule: Threshold | Condition) -> str:
    """Which of KINDS a sound aggregate is."""
    return next(kind for kind in KINDS if getattr(rule, kind))


def _measure(rule: Threshold) -> str:
    kind = kind_of(rule)
    if kind == "distinct":
        plain = {"ip": "addresses", "user": "accounts", "endpoint": "endpoints", "target": "objects"}
        return plain.get(rule.distinct, f"different values of {rule.distinct}")
    return {"count": "events", "ratio": "of the events", "sum": f"of {rule.sum} in sum"}[kind]


def faults(rule: Threshold, path: str) -> list[str]:
    """Everything that no single value's type shows, one line a fault, each with its path.

    >>> faults(Threshold(where="failur", count=True, at_least=2.5, window="7s"), "$.detection[0]")
    ["at column 1: unknown member 'failur', did you mean failure? - at $.detection[0].where",
     'Expected a whole number, got 2.5 - at $.detection[0].at_least',
     'Expected a multiple of 5s up to 115s, 30s up to 28m, 1m up to 59m, 5m up to 310m, 30m up to 31h, got "7s"
      - at $.detection[0].window']
    """
    found = _aggregate_faults(rule, rule.dimensions, path)
    kinds = [kind for kind in KINDS if getattr(rule, kind)]
    if len(kinds) == 1:
        found += _limit_faults(kinds[0], rule.at_least, f"{path}.at_least")
        if kinds == ["ratio"] and rule.at_least_events < 1:
            found.append(f"A ratio needs a least number of events - at {path}.at_least_events")
        if kinds == ["count"] and rule.at_least_events:
            found.append(f"A count has at_least alone - at {path}.at_least_events")
    if len({*rule.dimensions}) < len(rule.dimensions):
        found.append(f"Expected two different dimensions - at {path}.by")
    elif len(rule.dimensions) == 2 and "tenant" in rule.dimensions:
        found.append(f'Every entity is its tenant\'s own already: write by = "{rule.dimensions[1]}" - at {path}.by')
    for key in ("also", "unless"):
        given = getattr(rule, key)
        for k, condition in enumerate(listed(given)):
            place = f"{path}.{key}" if isinstance(given, Condition) else f"{path}.{key}[{k}]"
            found += _condition_faults(condition, kinds, rule.dimensions, place)
    found += _time_faults(rule, path)
    for k, ref in enumerate(rule.attacks):
        found += attacks.faults(ref, f"{path}.attacks[{k}]")
    return found


def _aggregate_faults(rule: Threshold | Condition, by: tuple[str, ...], path: str) -> list[str]:
    found = []
    for key in ("where", "ratio"):
        text = getattr(rule, key)
        if text:
            found += _expression_faults(text, f"{path}.{key}")
    kinds = [kind for kind in KINDS if getattr(rule, kind)]
    if len(kinds) != 1:
        got = "none" if not kinds else " and ".join(kinds)
        found.append(f"Expected exactly one of count = true, distinct, ratio and sum, got {got} - at {path}")
    if rule.distinct and rule.distinct not in TYPES:
        found.append(f"Expected one of {', '.join(TYPES)}, got {rule.distinct[:40]!a} - at {path}.distinct")
    elif rule.distinct == "tenant" or rule.distinct in by:
        found.append(f"One {' and '.join(by)} has always one {rule.distinct} - at {path}.distinct")
    if rule.sum and rule.sum not in numeric():
        found.append(f"Expected one of {', '.join(numeric())}, got {rule.sum[:40]!a} - at {path}.sum")
    return found


def _expression_faults(text: str, path: str) -> list[str]:
    try:
        parse(text)
    except ExpressionError as error:
        return [f"{error} - at {path}"]
    return []


def _limit_faults(kind: str, limit: float, path: str) -> list[str]:
    if kind == "ratio" and limit > 1:
        return [f"Expected a share of at most 1.0, got {limit:g} - at {path}"]
    if kind in ("count", "distinct") and limit != math.floor(limit):
        return [f"Expected a whole number, got {limit:g} - at {path}"]
    if kind in ("count", "distinct") and limit > MOST_EVENTS:
        return [f"Expected at most {MOST_EVENTS}, got {limit:g} - at {path}"]
    return []


def _condition_faults(condition: Condition, main: list[str], by: tuple[str, ...], path: str) -> list[str]:
    found = _aggregate_faults(condition, by, path)
    kinds = [kind for kind in KINDS if getattr(condition, kind)]
    if (condition.at_least is None) == (condition.times is None):
        found.append(f"Expected exactly one of at_least and times - at {path}")
    elif condition.times is not None and (kinds == ["ratio"]) != (main == ["ratio"]):
        found.append(f"A ratio and a number of events cannot be compared: write at_least - at {path}.times")
    if len(kinds) == 1 and condition.at_least is not None:
        found += _limit_faults(kinds[0], condition.at_least, f"{path}.at_least")
    return found


def _time_faults(rule: Threshold, path: str) -> list[str]:
    found = []
    if not span.pane_of(rule.window_us):
        spans = (f"{span.spell(pane)} up to {span.spell(pane * span.MOST_PANES[pane])}" for pane in span.PANES)
        found.append(f'Expected a multiple of {", ".join(spans)}, got "{rule.window[:20]}" - at {path}.window')
    elif span.microseconds(rule.quiet) < 0:
        found.append(f'Expected a duration such as "10m", got {rule.quiet[:20]!a} - at {path}.quiet')
    elif 0 < span.microseconds(rule.quiet) < rule.window_us:
        found.append(f"Expected at least the window ({rule.window}) - at {path}.quiet")
    return found
