"""Which members a detection cannot do without: what keeps it silent where the events never have them."""

from collections.abc import Collection, Sequence
from typing import Final

from models.base import OUTCOMES
from models.rules import Rule, dimension, threshold
from models.rules.expression import parse
from models.rules.members import CODES, ENTITIES, LATE
from models.rules.success_after_attack import SuccessAfterAttack
from models.rules.syntax import And, Compare, Counted, Expression, Not, Or, leaves
from models.rules.threshold import Condition, Threshold, kind_of, listed

GEOGRAPHY: Final = ("asn", "country", "city", "lat", "lon")
"""The members that follow from an address."""

_ENTITY: Final = {"ip": ("ip",), "endpoint": ("endpoint",), "user": ("username", "user", "actor")}
_OUTCOME: Final = ("outcome", "status")
_OBJECT: Final = ("target", "user")
_COUNTED: Final = {
    "failure": (("action",), _OUTCOME),
    "success": (("action",), _OUTCOME),
    "error": (("status", "outcome"),),
    "deletion": (("action",),),
    "reset": (("action",),),
    LATE: (),
}
"""What a row must have to count as each: of every group one."""

Groups = tuple[tuple[str, ...], ...]
"""Groups of members; of every group one is needed."""


def missing(rule: Rule, have: Collection[str]) -> Groups:
    """The groups of members of which a detection needs one each and the events have none; none if it can fire.

    What learns, and what watches sources, needs its entity alone.

    >>> from models.rules.brute_force_user import BruteForceUser
    >>> missing(BruteForceUser(), {"time", "ip", "action"})
    (('username', 'user', 'actor'), ('outcome', 'status'))
    >>> missing(Threshold(by="ip", where='country != "NL" or status == 401', count=True), {"ip", "status"})
    ()
    """
    groups = [_ENTITY[name] for name in dimension(rule).split("_") if name in _ENTITY]
    if isinstance(rule, SuccessAfterAttack):
        groups += [("username", "user", "actor"), *_COUNTED["failure"]]
    lacking = [group for group in groups if not _any(group, have)]
    found = threshold(rule)
    if found is not None:
        aggregates: Sequence[Threshold | Condition] = (found, *listed(found.also))
        for aggregate in aggregates:
            lacking += _aggregate(aggregate, found.where, have)
    return tuple(dict.fromkeys(lacking))


def named(rule: Rule, members: Collection[str]) -> tuple[str, ...]:
    """Those of the members that a detection's own expressions, counts and sums look at.

    >>> named(Threshold(by="user", distinct="country"), GEOGRAPHY)
    ('country',)
    """
    found = threshold(rule)
    if found is None:
        return ()
    conditions: Sequence[Threshold | Condition] = (found, *listed(found.also), *listed(found.unless))
    asked: set[str] = set()
    for one in conditions:
        asked |= {one.distinct, one.sum}
        for text in (one.where, one.ratio):
            asked |= {leaf.member for leaf in leaves(parse(text)) if not isinstance(leaf, Counted)} if text else set()
    return tuple(name for name in members if name in asked)


def _any(group: Sequence[str], have: Collection[str]) -> bool:
    return any(name in have for name in group)


def _aggregate(one: Threshold | Condition, where: str, have: Collection[str]) -> list[tuple[str, ...]]:
    lacking = [*_lacking(one.where or where, have)]
    match kind_of(one):
        case "distinct" if one.distinct in ENTITIES:
            group = _ENTITY.get(one.distinct, ())
            lacking += [group] if group and not _any(group, have) else []
        case "distinct":
            group = _OBJECT if one.distinct == "target" else (one.distinct,)
            lacking += [group] if not _any(group, have) else []
        case "sum":
            lacking += [(one.sum,)] if one.sum not in have else []
        case "ratio":
            lacking += _lacking(one.ratio, have)
    return lacking


def _lacking(text: str, have: Collection[str]) -> Groups:
    return _of(parse(text), have) if text else ()


def _of(tree: Expression, have: Collection[str]) -> Groups:
    """What keeps a tree false in every event that has only these members."""
    match tree:
        case Counted():
            return tuple(group for group in _COUNTED[tree.name] if not _any(group, have))
        case Not():
            return ()
        case And():
            return tuple(group for term in tree.terms for group in _of(term, have))
        case Or():
            found = [_of(term, have) for term in tree.terms]
            return () if any(not groups for groups in found) else tuple(group for groups in found for group in groups)
        case Compare() if tree.member in CODES and _holds_without(tree):
            return ()
        case _:
            group = _OUTCOME if tree.member == "outcome" else (tree.member,)
            return () if tree.member == "tenant" or _any(group, have) else (group,)


def _holds_without(tree: Compare) -> bool:
    """Whether a comparison of a code may hold where there is none: it counts as other, or unknown."""
    if tree.member == "reason":
        return False
    absent = "other" if tree.member == "action" else OUTCOMES[0]
    return (absent in tree.values) != (tree.operator in ("!=", "not in"))
