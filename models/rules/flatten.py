"""From the trees of expressions to the arrays that the kernel walks."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.base import ACTIONS, DIMENSIONS, OUTCOMES, REASONS
from models.kernels import compare as op
from models.kernels.marks import (
    ADDRESSED,
    CODED,
    COUNTED,
    FAILS,
    HOLDS,
    IS_LATE,
    NAMED,
    NUMERIC,
    OBJECT,
    STATUS_NUMBER,
    TEXTUAL,
    USERNAMED,
    Code,
)
from models.kernels.scan import MEMBERS, SPANS
from models.rules import members
from models.rules.members import TYPES
from models.rules.syntax import And, Compare, Counted, Expression, Leaf, Not, Or, Present, leaves, network

MAX_LEAVES: Final = 64
"""Different leaves over all expressions."""
MAX_MARKS: Final = 64
"""Different expressions."""
ALWAYS: Final = 0xFFFF_FFFF_FFFF_FFFF
"""The marks under which a hash or a number is wanted of every row."""

_LISTS: Final = {"action": ACTIONS, "outcome": OUTCOMES, "reason": REASONS}
_OPERATORS: Final = {
    "==": (op.EQUAL, 0), "!=": (op.EQUAL, 1), "in": (op.EQUAL, 0), "not in": (op.EQUAL, 1), "<": (op.LESS, 0),
    "<=": (op.AT_MOST, 0), ">": (op.AT_MOST, 1), ">=": (op.LESS, 1), "startswith": (op.PREFIX, 0),
    "endswith": (op.SUFFIX, 0), "contains": (op.CONTAINS, 0),
}  # fmt: skip
"""The kernel's operator, and whether its answer is turned round."""
_FORMS: Final = {members.TEXT: TEXTUAL, members.NUMBER: NUMERIC, members.ADDRESS: ADDRESSED, members.CODE: CODED}
_OWN_FORMS: Final = {"status": STATUS_NUMBER, "tenant": NAMED, "endpoint": NAMED, "username": USERNAMED}


def members_of(expressions: Iterable[Expression]) -> set[str]:
    """The names of all members that expressions look at.

    >>> from models.rules.expression import parse
    >>> sorted(members_of([parse("lat > 0 and user is missing or failure")]))
    ['lat', 'user']
    """
    return {leaf.member for tree in expressions for leaf in leaves(tree) if not isinstance(leaf, Counted)}


def more_spans(names: Iterable[str]) -> tuple[int, ...]:
    """Those of the members that have no span yet, beyond the scanner's first SPANS; in MEMBERS' order.

    >>> [MEMBERS[k] for k in more_spans(["lat", "user", "asn"])]
    ['asn', 'lat']
    """
    return tuple(sorted(k for k in map(MEMBERS.index, names) if k >= SPANS))


def flatten(
    expressions: Sequence[Expression],
    more: tuple[int, ...],
    hashes: Sequence[tuple[str, int]] = (),
    numbers: Sequence[tuple[str, int]] = (),
) -> Code:
    """The arrays of the kernel; `more` as `more_spans` gives it.

    `hashes` and `numbers` are members with the marks under which a row's is wanted, as bits, or ALWAYS.

    Raises
    ------
    ValueError
        If there are more than MAX_MARKS expressions, or MAX_LEAVES different leaves in them.
    """
    if len(expressions) > MAX_MARKS:
        raise ValueError(f"{len(expressions)} different expressions, at most {MAX_MARKS}")
    pool = _Pool(more)
    entries = [pool.emit(tree, HOLDS, FAILS) for tree in expressions]
    if len(pool.leaves) > MAX_LEAVES:
        raise ValueError(f"{len(pool.leaves)} different comparisons over all expressions, at most {MAX_LEAVES}")
    late = pool.leaves.get(Counted(members.LATE))
    return Code(
        leaf=np.array(pool.rows, np.int64).reshape(-1, 6),
        step=np.array(pool.steps, np.int64).reshape(-1, 3),
        entry=np.array(entries, np.int64),
        codes=np.array(pool.codes, np.uint64),
        number=np.array(pool.numbers, np.float64),
        text=np.frombuffer(b"".join(pool.texts) or b"\0", np.uint8).copy(),
        text_from=np.cumsum([0, *map(len, pool.texts)], dtype=np.int64),
        network=np.array(pool.networks, np.uint64).reshape(-1, 5),
        late=np.array([0 if late is None else 1 << late], np.uint64),
        hashed=np.array([pool.column(name) for name, _ in hashes], np.int64).reshape(-1, 2),
        hash_marks=_bits(hashes),
        summed=np.array([pool.column(name) for name, _ in numbers], np.int64).reshape(-1, 2),
        sum_marks=_bits(numbers),
    )


def _bits(wanted: Sequence[tuple[str, int]]) -> NDArray[np.uint64]:
    return np.array([marks for _, marks in wanted], np.uint64)


class _Pool:
    """Leaves and their constants, each once."""

    def __init__(self, more: tuple[int, ...]) -> None:
        self.more = more
        self.leaves: dict[Leaf, int] = {}
        self.rows: list[tuple[int, ...]] = []
        self.steps: list[tuple[int, int, int]] = []
        self.codes: list[int] = []
        self.numbers: list[float] = []
        self.texts: list[bytes] = []
        self.networks: list[tuple[int, ...]] = []

    def where(self, member: str) -> tuple[int, int]:
        """A member's form and where it stands: the dimension of a name, else the column of its span."""
        form = _OWN_FORMS.get(member, _FORMS[TYPES[member]])
        if form == NAMED:
            return form, DIMENSIONS.index(member)
        k = MEMBERS.index(member)
        return form, k if k < SPANS else SPANS + self.more.index(k)

    def column(self, member: str) -> tuple[int, int]:
        """The form and place of a member that is hashed or summed."""
        form, slot = self.where(member)
        return (OBJECT if member == "target" else form), slot

    def emit(self, tree: Expression, holds: int, fails: int) -> int:
        """Add the steps of a tree that goes on at `holds` or `fails`; its first."""
        match tree:
            case Not():
                return self.emit(tree.term, fails, holds)
            case And():
                for term in reversed(tree.terms):
                    holds = self.emit(term, holds, fails)
                return holds
            case Or():
                for term in reversed(tree.terms):
                    fails = self.emit(term, holds, fails)
                return fails
        if tree not in self.leaves:
            self.leaves[tree] = len(self.rows)
            self.rows.append(self._row(tree))
        self.steps.append((self.leaves[tree], holds, fails))
        return len(self.steps) - 1

    def _row(self, leaf: Leaf) -> tuple[int, ...]:
        match leaf:
            case Counted(members.LATE):
                return IS_LATE, 0, 0, 0, 0, 0
            case Counted(name):
                return COUNTED, members.COUNTED[name], 0, 0, 0, 0
        form, slot = self.where(leaf.member)
        if form == CODED:
            self.codes.append(_code_set(leaf))
            return form, slot, 0, len(self.codes) - 1, len(self.codes), 0
        if isinstance(leaf, Present):
            return form, slot, op.EQUAL, 0, 0, 1
        operator, turned = _OPERATORS[leaf.operator]
        return form, slot, operator, *self._constants(leaf), turned

    def _constants(self, leaf: Compare) -> tuple[int, int]:
        if TYPES[leaf.member] == members.NUMBER:
            begin, stop = len(self.numbers), len(self.numbers) + len(leaf.values)
            self.numbers += [float(value) for value in leaf.values]
        elif TYPES[leaf.member] == members.ADDRESS:
            begin, stop = len(self.networks), len(self.networks) + len(leaf.values)
            self.networks += [_network(str(value)) for value in leaf.values]
        else:
            begin, stop = len(self.texts), len(self.texts) + len(leaf.values)
            self.texts += [str(value).encode() for value in leaf.values]
        return begin, stop


def _code_set(leaf: Compare | Present) -> int:
    """The codes for which a leaf holds, as bits; an absent reason is in none."""
    words = _LISTS[leaf.member]
    values, turned = ((), True) if isinstance(leaf, Present) else (leaf.values, leaf.operator in ("!=", "not in"))
    return sum(1 << code for code, word in enumerate(words) if word and (word in values) != turned)


def _network(text: str) -> tuple[int, ...]:
    """High and low half of a network, of its mask, and its version; IPv4 as mapped into IPv6."""
    found = network(text)
    first, mask = int(found.network_address), int(found.netmask)
    if found.version == 4:
        first |= 0xFFFF << 32
        mask |= ((1 << 96) - 1) << 32
    low = (1 << 64) - 1
    return first >> 64, first & low, mask >> 64, mask & low, found.version
