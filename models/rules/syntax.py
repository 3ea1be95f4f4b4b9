"""An expression as a tree of frozen structs, and its canonical text: equal trees, equal text."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from models.rules.members import ADDRESS, TYPES

Value: TypeAlias = str | float

_NETWORK: Final = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?", re.ASCII)


class Counted(msgspec.Struct, frozen=True, tag="counted"):
    """What the row counts as, or `late`."""

    name: str


class Present(msgspec.Struct, frozen=True, tag="present"):
    """The event has the member, with a usable value."""

    member: str


class Compare(msgspec.Struct, frozen=True, tag="compare"):
    """A member beside one or several constants; False where the event has no such member.

    `operator` is one of == != < <= > >= (one value), in, not in, startswith, endswith, contains (any of the values).
    Values are sorted and different; a number is a float, an address or network is its canonical text.
    """

    member: str
    operator: str
    values: tuple[Value, ...]


class Not(msgspec.Struct, frozen=True, tag="not"):
    """True where the term is not."""

    term: "Expression"


class And(msgspec.Struct, frozen=True, tag="and"):
    """True where all terms are; two or more, none of them an And."""

    terms: tuple["Expression", ...]


class Or(msgspec.Struct, frozen=True, tag="or"):
    """True where at least one term is; two or more, none of them an Or."""

    terms: tuple["Expression", ...]


Leaf: TypeAlias = Counted | Present | Compare
Expression: TypeAlias = Leaf | Not | And | Or


def join(kind: type[And] | type[Or], terms: list[Expression]) -> Expression:
    """One term as it is, several as one And or Or with those of the same kind taken in.

    >>> text_of(join(And, [Counted("failure"), join(And, [Present("asn"), Present("lat")])]))
    'failure and has(asn) and has(lat)'
    """
    flat: list[Expression] = []
    for term in terms:
        flat.extend(term.terms if isinstance(term, kind) else (term,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def leaves(tree: Expression) -> Iterator[Leaf]:
    """The leaves from left to right, doubles included."""
    if isinstance(tree, Not):
        yield from leaves(tree.term)
    elif isinstance(tree, And | Or):
        for term in tree.terms:
            yield from leaves(term)
    else:
        yield tree


def text_of(tree: Expression) -> str:
    """The canonical text, which parses to the same tree.

    >>> text_of(Not(Present("reason")))
    'reason is missing'
    >>> text_of(And((Counted("failure"), Or((Compare("status", ">=", (500.0,)), Counted("late"))))))
    'failure and (status >= 500 or late)'
    """
    return _text(tree, 0)


def _text(tree: Expression, bind: int) -> str:
    """`bind`: how tightly what is around holds: 1 within or, 2 within and, 3 behind not."""
    match tree:
        case Counted():
            return tree.name
        case Present():
            return f"has({tree.member})"
        case Not(Present(member)):
            text, own = f"{member} is missing", 4
        case Not():
            text, own = f"not {_text(tree.term, 3)}", 3
        case Compare():
            text, own = _comparison(tree), 4
        case And():
            text, own = " and ".join(_text(term, 2) for term in tree.terms), 2
        case Or():
            text, own = " or ".join(_text(term, 1) for term in tree.terms), 1
    return f"({text})" if own < bind else text


def _comparison(leaf: Compare) -> str:
    values = [_value(leaf.member, value) for value in leaf.values]
    return f"{leaf.member} {leaf.operator} " + (values[0] if len(values) == 1 else f"({', '.join(values)})")


def _value(member: str, value: Value) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if TYPES[member] == ADDRESS:
        return value
    return '"' + "".join(_character(c) for c in value) + '"'


def _character(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    if c.isprintable():
        return c
    units = c.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """An address or network as a network, IPv4 mapped into IPv6 as IPv4.

    Raises
    ------
    ValueError
        If it is neither, or has bits behind its prefix, or a zone.

    >>> network("::ffff:192.0.2.0/120"), network("2001:db8::1")
    (IPv4Network('192.0.2.0/24'), IPv6Network('2001:db8::1/128'))
    """
    if not _NETWORK.fullmatch(text):
        raise ValueError("neither an address nor a network")
    found = ipaddress.ip_network(text)
    mapped = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
    if mapped is not None and found.prefixlen >= 96:
        return ipaddress.IPv4Network((mapped, found.prefixlen - 96))
    return found
