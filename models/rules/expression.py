"""The language of `where`: a closed, typed expression over one event's canonical members.

    expression = conjunction {"or" conjunction}        values = value | "(" value {"," value} [","] ")"
    conjunction = negation {"and" negation}            value = "text" | number | address | network
    negation = {"not"} (comparison | "(" expression ")" | "has" "(" member ")" | boolean)
    comparison = member ("==" | "!=" | "<" | "<=" | ">" | ">=") value
               | member ["not"] "in" values | member ("startswith" | "endswith" | "contains") values
               | member "is" ["not"] "missing"

There is no arithmetic, no function, no variable and no loop, so the cost of an expression is bounded by its length.
A comparison with a member that the event lacks, or whose value was ignored, is false, `!=` and `not in` too; `not` of
it is true. Text is compared byte by byte, save `username`, which is normalised on both sides.
"""

import difflib
import ipaddress
import math
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

from models.rules import lexer
from models.rules.lexer import END, STRING, SYMBOL, WORD, ExpressionError, Token, tokens
from models.rules.members import ADDRESS, BOOLEANS, CODE, CODES, NUMBER, TEXT, TYPES
from models.rules.syntax import And, Compare, Counted, Expression, Not, Or, Present, Value, join, network

MAX_DEPTH: Final = 32
"""Parentheses and `not` in each other."""
MAX_NODES: Final = 256
"""Comparisons, `not`, and runs of `and` and of `or` in an expression."""

_ORDERED: Final = ("<", "<=", ">", ">=")
_SEARCHES: Final = ("startswith", "endswith", "contains")
_OPERATORS: Final = {
    TEXT: ("==", "!=", *_ORDERED, "in", "not in", *_SEARCHES),
    NUMBER: ("==", "!=", *_ORDERED, "in", "not in"),
    CODE: ("==", "!=", "in", "not in"),
    ADDRESS: ("==", "!=", "in", "not in"),
}
_ALWAYS: Final = ("tenant", "action", "outcome")
_KEYWORDS: Final = ("and", "or", "not", "in", "is", "missing", "has", *_SEARCHES)


def parse(text: str) -> Expression:
    """The tree of an expression.

    Raises
    ------
    ExpressionError
        At the first thing that does not fit, with its column and what was expected there.

    Examples
    --------
    >>> from models.rules.syntax import text_of
    >>> text_of(parse("not (failure or status in (503, 500)) and ip not in 10.0.0.0/8"))
    'not (failure or status in (500, 503)) and ip not in 10.0.0.0/8'
    >>> parse("status >= 'abc'")
    Traceback (most recent call last):
    models.rules.lexer.ExpressionError: at column 11: expected a number, got 'abc'
    """
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = tokens(text)
        self._at = 0
        self._depth = 0
        self._nodes = 0

    def whole(self) -> Expression:
        if self._now.kind == END:
            raise self._wrong("an expression")
        tree = self._any()
        if self._now.kind != END:
            raise self._wrong("and, or, or the end")
        return tree

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _took(self, *texts: str) -> bool:
        """Take the next tokens if they are these words or symbols."""
        ahead = self._tokens[self._at : self._at + len(texts)]
        if [token.text for token in ahead] != [*texts]:
            return False
        self._at += len(texts)
        return True

    def _wrong(self, expected: str, token: Token | None = None) -> ExpressionError:
        token = token or self._now
        lower = token.text.lower()
        meant = f"; write {lower}" if token.kind == WORD and token.text != lower and lower in _KEYWORDS else ""
        return ExpressionError(token.column, f"expected {expected}, got {token.shown()}{meant}")

    def _node(self, column: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise ExpressionError(column, f"an expression has at most {MAX_NODES} parts")

    def _deeper(self, token: Token, inside: Callable[[], Expression]) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(token.column, f"at most {MAX_DEPTH} parentheses and nots in each other")
        tree = inside()
        self._depth -= 1
        return tree

    def _any(self) -> Expression:
        column = self._now.column
        terms = [self._all()]
        while self._took("or"):
            terms.append(self._all())
        if len(terms) > 1:
            self._node(column)
        return join(Or, terms)

    def _all(self) -> Expression:
        column = self._now.column
        terms = [self._negation()]
        while self._took("and"):
            terms.append(self._negation())
        if len(terms) > 1:
            self._node(column)
        return join(And, terms)

    def _negation(self) -> Expression:
        token = self._now
        self._node(token.column)
        if self._took("not"):
            return Not(self._deeper(token, self._negation))
        if self._took("("):
            tree = self._deeper(token, self._any)
            self._close()
            return tree
        if token.text == "has" and token.kind == WORD:
            self._next()
            if not self._took("("):
                raise self._wrong("( and a member")
            member = self._member(self._next(), booleans=False)
            self._close()
            return self._presence(member, token)
        name = self._member(self._next(), booleans=True)
        compared = self._now.kind == SYMBOL and self._now.text not in (")", ",", "]")
        compared = compared or self._now.text in ("in", "is", "not", *_SEARCHES)
        if name in BOOLEANS and not (name in TYPES and compared):
            if compared:
                raise ExpressionError(token.column, f"{name} is true or false by itself: {name}, or not {name}")
            return Counted(name)
        return self._comparison(name)

    def _close(self) -> None:
        if not self._took(")"):
            raise self._wrong(")")

    def _member(self, token: Token, booleans: bool) -> str:
        known = dict.fromkeys((*TYPES, *(BOOLEANS if booleans else ())))
        if token.kind != WORD or token.text in _KEYWORDS:
            raise self._wrong("a member" + (", not, or (" if booleans else ""), token)
        if token.text not in known:
            raise ExpressionError(token.column, f"unknown member {token.shown()}{_near(token.text, known)}")
        return token.text

    def _presence(self, member: str, token: Token) -> Present:
        if member in _ALWAYS:
            raise ExpressionError(token.column, f"{member} is never missing")
        return Present(member)

    def _comparison(self, member: str) -> Expression:
        token = self._now
        if self._took("is", "not", "missing"):
            return self._presence(member, token)
        if self._took("is", "missing"):
            return Not(self._presence(member, token))
        if token.text == "is" and token.kind == WORD:
            self._next()
            raise self._wrong("missing")
        operators = _OPERATORS[TYPES[member]]
        operator = "not in" if self._took("not", "in") else self._next().text
        if token.kind == STRING or operator not in operators:
            self._at -= 1
            raise self._wrong(f"one of {' '.join(operators)} or is missing", token)
        values = self._values(member, operator)
        network_alone = TYPES[member] == ADDRESS and "/" in str(values[0])
        if operator in ("in", "not in") and len(values) == 1 and not network_alone:
            operator = "==" if operator == "in" else "!="
        return Compare(member, operator, values)

    def _values(self, member: str, operator: str) -> tuple[Value, ...]:
        """The constants behind an operator: one, or where the operator takes several, a list."""
        kind = TYPES[member]
        several = operator in ("in", "not in", *_SEARCHES)
        closing = {"(": ")", "[": "]"}.get(self._now.text) if several and self._now.kind == SYMBOL else None
        if closing is None:
            if operator in ("in", "not in") and kind != ADDRESS:
                raise self._wrong("( and a list of values")
            return (self._value(member, operator),)
        self._next()
        values = [self._value(member, operator)]
        while not self._took(closing):
            if not self._took(","):
                raise self._wrong(f", or {closing}")
            if self._took(closing):
                break
            values.append(self._value(member, operator))
        if kind == ADDRESS:
            return tuple(sorted(set(values), key=lambda value: _address_order(str(value))))
        return tuple(sorted(set(values)))

    def _value(self, member: str, operator: str) -> Value:
        token = self._next()
        match TYPES[member]:
            case "number":
                return self._number(token)
            case "address":
                return self._address(token, networks=operator in ("in", "not in"))
            case "code":
                return self._code(member, token)
        if token.kind != STRING:
            raise self._wrong("a string in quotes", token)
        value = token.value
        if member == "username":
            value = unicodedata.normalize("NFKC", value).lower()
        if not value:
            raise ExpressionError(token.column, f"an empty string counts as missing: write {member} is missing")
        return value

    def _number(self, token: Token) -> float:
        if token.kind != lexer.NUMBER:
            raise self._wrong("a number", token)
        value = float(token.text)
        if not math.isfinite(value):
            raise self._wrong("a finite number", token)
        return value + 0.0  # -0.0 is 0.0

    def _code(self, member: str, token: Token) -> str:
        known = CODES[member]
        if token.kind != STRING:
            raise self._wrong(f"{_article(member)} in quotes", token)
        if token.value not in known:
            raise ExpressionError(token.column, f"unknown {member} {token.shown()}{_near(token.value, known)}")
        return token.value

    def _address(self, token: Token, networks: bool) -> str:
        expected = "an address or a network" if networks else "an address"
        if token.kind not in (STRING, lexer.ADDRESS):
            raise self._wrong(expected, token)
        text = token.value if token.kind == STRING else token.text
        try:
            found = network(text)
        except ValueError:
            raise self._wrong(expected + _fix(text), token) from None
        single = found.prefixlen == found.max_prefixlen
        if not single and not networks:
            raise self._wrong("an address; a network stands behind in", token)
        return str(found.network_address) if single else str(found)


def _address_order(text: str) -> tuple[int, int, int]:
    found = network(text)
    return found.version, int(found.network_address), found.prefixlen


def _fix(text: str) -> str:
    """What a network with bits behind its prefix, or with a mask, should be."""
    if "/" not in text or "%" in text:
        return ""
    try:
        return f" such as {ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        return ""


def _article(member: str) -> str:
    return f"an {member}" if member[0] in "aeiou" else f"a {member}"


def _near(word: str, known: Iterable[str]) -> str:
    """`, did you mean ...?` with up to three near words, else the whole list."""
    words = list(known)
    close = difflib.get_close_matches(word[:64], words, n=3)
    if close:
        return f", did you mean {' or '.join(close)}?"
    return f" (known: {', '.join(words)})"
