"""The language of expressions: what parses, what it parses to, and what every mistake is told."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import ACTIONS, OUTCOMES, REASONS
from models.kernels.scan import KINDS, NUMBER_KIND, STRING_KIND
from models.rules.expression import MAX_DEPTH, MAX_NODES, parse
from models.rules.lexer import MAX_BYTES, MAX_TEXT, ExpressionError
from models.rules.members import ADDRESS, BOOLEANS, CODE, CODES, NUMBER, TEXT, TYPES
from models.rules.syntax import And, Compare, Counted, Not, Or, Present, text_of
from tests import naive_expression as meaning
from tests.expressions import expression
from tests.odd_lines import lines
from tests.test_marks import events_of

KNOWN = f" (known: {', '.join(dict.fromkeys((*TYPES, *BOOLEANS)))})"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("failure", Counted("failure")),
        ("not late", Not(Counted("late"))),
        ("error", Counted("error")),
        ("error is missing", Not(Present("error"))),
        ("has(error)", Present("error")),
        ('error == "x"', Compare("error", "==", ("x",))),
        ('error not in ("x", "y")', Compare("error", "not in", ("x", "y"))),
        ("not error and error", And((Not(Counted("error")), Counted("error")))),
        ("a is missing".replace("a", "app"), Not(Present("app"))),
        ("app is not missing", Present("app")),
        ("failure or success and late", Or((Counted("failure"), And((Counted("success"), Counted("late")))))),
        ("(failure or success) and late", And((Or((Counted("failure"), Counted("success"))), Counted("late")))),
        ("not failure and late", And((Not(Counted("failure")), Counted("late")))),
        ("failure and (late and reset)", And((Counted("failure"), Counted("late"), Counted("reset")))),
        ("status >= 500", Compare("status", ">=", (500.0,))),
        ("latency_ms > -1.5e3", Compare("latency_ms", ">", (-1500.0,))),
        ("asn in (5, 5.0, 4)", Compare("asn", "in", (4.0, 5.0))),
        ("asn in (5,)", Compare("asn", "==", (5.0,))),
        ("asn not in [5]", Compare("asn", "!=", (5.0,))),
        ('country in ("NL", "DE", "NL")', Compare("country", "in", ("DE", "NL"))),
        ("endpoint in ('/a/b')", Compare("endpoint", "==", ("/a/b",))),
        ("app startswith 'i'", Compare("app", "startswith", ("i",))),
        ('user_agent contains ("b", "a")', Compare("user_agent", "contains", ("a", "b"))),
        ('username == "\uff33AM"', Compare("username", "==", ("sam",))),
        ('user == "SAM"', Compare("user", "==", ("SAM",))),
        ('user == "\\ud83d\\ude00\\n\\\\"', Compare("user", "==", ("\U0001f600\n\\",))),
        ("ip == 10.0.0.1", Compare("ip", "==", ("10.0.0.1",))),
        ('ip != "::ffff:10.0.0.1"', Compare("ip", "!=", ("10.0.0.1",))),
        ("ip in 10.0.0.0/8", Compare("ip", "in", ("10.0.0.0/8",))),
        ("ip in 10.0.0.1/32", Compare("ip", "==", ("10.0.0.1",))),
        ("ip in ::ffff:10.0.0.0/104", Compare("ip", "in", ("10.0.0.0/8",))),
        ("ip in 2001:DB8:0::/32", Compare("ip", "in", ("2001:db8::/32",))),
        ('ip not in ("192.0.2.0/24", 10.0.0.0/8, ::1)', Compare("ip", "not in", ("10.0.0.0/8", "192.0.2.0/24", "::1"))),
    ],
)
def test_what_it_parses_to(text: str, tree: object) -> None:
    assert parse(text) == tree
    assert parse(text_of(parse(text))) == tree


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "at column 1: expected an expression, got the end"),
        ("status >= 'abc'", "at column 11: expected a number, got 'abc'"),
        ("status >= ", "at column 11: expected a number, got the end"),
        ("status = 5", "at column 8: unexpected '='; write == to compare"),
        ("status & 5", "at column 8: unexpected '&'; write and"),
        ("status == 1e999", "at column 11: expected a finite number, got '1e999'"),
        ("status == 12x", "at column 11: expected a number or an address, got '12x'"),
        (
            "status startswith 5",
            "at column 8: expected one of == != < <= > >= in not in or is missing, got 'startswith'",
        ),
        ("status", "at column 7: expected one of == != < <= > >= in not in or is missing, got the end"),
        ("500 <= status", "at column 1: expected a member, not, or (, got '500'"),
        ("acton == 'login'", "at column 1: unknown member 'acton', did you mean action or actor or factor?"),
        ("action == 'logn'", "at column 11: unknown action 'logn', did you mean login or logout?"),
        ("action == login", "at column 11: expected an action in quotes, got 'login'"),
        (
            "outcome in ('zzz')",
            "at column 13: unknown outcome 'zzz' (known: unknown, success, failure, challenge, blocked)",
        ),
        ("reason == ''", "at column 11: unknown reason '' (known: " + ", ".join(REASONS[1:]) + ")"),
        ("reason < 'other'", "at column 8: expected one of == != in not in or is missing, got '<'"),
        ("action is missing", "at column 8: action is never missing"),
        ("has(tenant)", "at column 1: tenant is never missing"),
        ("has failure", "at column 5: expected ( and a member, got 'failure'"),
        ("has(late)", "at column 5: unknown member 'late', did you mean lat?"),
        ("failure == true", "at column 1: failure is true or false by itself: failure, or not failure"),
        ("failure is missing", "at column 1: failure is true or false by itself: failure, or not failure"),
        ("failure AND late", "at column 9: expected and, or, or the end, got 'AND'; write and"),
        ("failure late", "at column 9: expected and, or, or the end, got 'late'"),
        ("failure and", "at column 12: expected a member, not, or (, got the end"),
        ("(failure", "at column 9: expected ), got the end"),
        ("failure)", "at column 8: expected and, or, or the end, got ')'"),
        ("user == 'a", "at column 9: a string without its closing quote"),
        ("user == '\\x'", "at column 10: unknown escape '\\\\x'; a backslash itself is written twice"),
        ("user == '\\ud800'", "at column 9: half of a surrogate pair is no character"),
        ("user == ''", "at column 9: an empty string counts as missing: write user is missing"),
        ("user == 5", "at column 9: expected a string in quotes, got '5'"),
        ("user in 'abc'", "at column 9: expected ( and a list of values, got 'abc'"),
        ("user in ()", "at column 10: expected a string in quotes, got ')'"),
        ("user in ('a' 'b')", "at column 14: expected , or ), got 'b'"),
        ("user == ('a')", "at column 9: expected a string in quotes, got '('"),
        ("user is gone", "at column 9: expected missing, got 'gone'"),
        ("ip == 10.0.0.0/8", "at column 7: expected an address; a network stands behind in, got '10.0.0.0/8'"),
        ("ip in 10.0.0.1/8", "at column 7: expected an address or a network such as 10.0.0.0/8, got '10.0.0.1/8'"),
        ("ip in 10.0.0.0/33", "at column 7: expected an address or a network, got '10.0.0.0/33'"),
        ("ip == 'fe80::1%eth0'", "at column 7: expected an address, got 'fe80::1%eth0'"),
        (
            "ip in '10.0.0.0/0.255.255.255'",
            "at column 7: expected an address or a network such as 10.0.0.0/8, got '10.0.0.0/0.255.255.255'",
        ),
        ("ip == 'localhost'", "at column 7: expected an address, got 'localhost'"),
        ("ip == 5", "at column 7: expected an address, got '5'"),
        ("ip == 1.2.3", "at column 7: expected a number or an address, got '1.2.3'"),
        ("time > 5", "at column 1: unknown member 'time'" + KNOWN),
        ("user == 'a' ; drop", "at column 13: unexpected ';'"),
        ("user == '" + "x" * 50 + "' x", "at column 62: expected and, or, or the end, got 'x'"),
        ("status == '" + "x" * 50 + "'", "at column 11: expected a number, got '" + "x" * 37 + "...'"),
        ("user == '\x1b[31m' user", "at column 17: expected and, or, or the end, got 'user'"),
        ("status == '\x1b[31m'", "at column 11: expected a number, got '\\x1b[31m'"),
    ],
)
def test_a_mistake_is_named_with_its_column(text: str, fault: str) -> None:
    with pytest.raises(ExpressionError) as error:
        parse(text)
    assert str(error.value) == fault
    assert f"column {error.value.column}:" in fault


def test_bounds() -> None:
    longest = "failure or " * 400
    parse("failure" + " " * (MAX_BYTES - 7))
    with pytest.raises(ExpressionError, match="at most 4096 bytes"):
        parse("failure" + " " * (MAX_BYTES - 6))
    with pytest.raises(ExpressionError, match=f"at most {MAX_NODES} parts"):
        parse(longest[: MAX_BYTES - 8].rsplit(" or ", 1)[0])
    parse(" or ".join(["failure"] * (MAX_NODES - 1)))
    with pytest.raises(ExpressionError, match=f"at most {MAX_NODES} parts"):
        parse(" or ".join(["failure"] * MAX_NODES))
    for opening, closing in (("(", ")"), ("not ", ""), ("not (", ")")):
        levels = MAX_DEPTH if opening != "not (" else MAX_DEPTH // 2
        parse(opening * levels + "failure" + closing * levels)
        with pytest.raises(ExpressionError, match=f"at most {MAX_DEPTH} parentheses"):
            parse(opening * (levels + 1) + "failure" + closing * (levels + 1))
    parse("user == '" + "x" * MAX_TEXT + "'")
    with pytest.raises(ExpressionError, match=f"at column 9: a string has at most {MAX_TEXT} bytes"):
        parse("user == '" + "\u00fc" * (MAX_TEXT // 2) + "x'")


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_the_canonical_text_means_the_same_tree(seed: int) -> None:
    random_ = random.Random(seed)
    events = [*events_of(lines(seed, 5)).values()]
    tree = expression(random_, events, depth=4)
    first, second = parse(meaning.spell(tree, random_)), parse(meaning.spell(tree, random_))
    assert first == second
    text = text_of(first)
    assert parse(text) == first
    assert text_of(parse(text)) == text
    assert text.isprintable()


WORDS = st.sampled_from(
    [*TYPES, "and", "or", "not", "in", "is", "missing", "has", "(", ")", ",", "==", "<", "'a'", '"', "5", "-",
     "1.2.3.4", "::1/64", "failure", "late", "contains", "\\", "[", "]", "login", "'login'"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.text(max_size=30) | st.lists(WORDS, max_size=12).map(" ".join))
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    tree = fault = None
    try:
        tree = parse(text)
    except ExpressionError as error:
        fault = error
    if fault is not None:
        assert 1 <= fault.column <= len(text) + 1
        assert str(fault).isprintable()
    else:
        assert parse(text_of(tree)) == tree


def test_the_members_are_the_canonical_ones_with_the_types_they_may_have() -> None:
    assert KINDS.keys() - TYPES.keys() == {"time", "received", "id", "changes", "lapwing"}
    for name, kind in TYPES.items():
        allowed = {TEXT: STRING_KIND, ADDRESS: STRING_KIND, CODE: STRING_KIND, NUMBER: NUMBER_KIND}[kind]
        assert KINDS[name] & allowed, name
    assert {"action": ACTIONS, "outcome": OUTCOMES, "reason": REASONS[1:]} == CODES
