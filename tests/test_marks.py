"""Which expressions hold for which rows: the kernel beside the slow meaning, fast path and slow path alike."""

import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import expressions
from flows.connectors.partition import ClockParams, Partition
from flows.formats.lapwing import Decoded, _decode, decode
from flows.formats.limits import Limits
from models.base import LATE
from models.kernels.marks import LARGEST, hash_rows, mark_rows, sum_rows
from models.kernels.number import decimal
from models.kernels.scan import scan
from models.rules.program import Program, compile_rules
from models.rules.threshold import Threshold
from tests import naive_decode as naive
from tests import naive_expression as meaning
from tests.expressions import comparison, expression
from tests.odd_lines import lines
from tests.test_decode import batch

LIMITS = Limits()
DISTINCT = ("session", "username", "target", "asn", "status", "reason", "action", "user_agent", "lat")
SUMMED = ("latency_ms", "status", "lat")


def program_of(texts: list[str], distinct: tuple[str, ...] = (), summed: tuple[str, ...] = ()) -> Program:
    """A program whose mark k is the k-th text, if all differ once parsed."""
    rules = [Threshold(id=f"e{k}", where=text, count=True) for k, text in enumerate(texts)]
    rules += [Threshold(id=f"d{member}", where=texts[0], distinct=member) for member in distinct]
    rules += [Threshold(id=f"s{member}", sum=member) for member in summed]
    return compile_rules(rules)


def events_of(messages: list[bytes]) -> dict[int, naive.Event]:
    """The slow decoder's events by the index of their message."""
    found = {k: naive.decode(message) for k, message in enumerate(messages)}
    return {k: event for k, event in found.items() if isinstance(event, naive.Event)}


def compare(messages: list[bytes], trees: list[list[Any]], random_: random.Random) -> tuple[int, int]:
    """Hold the kernel beside the meaning, both ways of reading; how often expressions held, and how often not."""
    texts = [meaning.spell(tree, random_) for tree in trees]
    program = program_of(texts, DISTINCT, SUMMED)
    bits = [detection.counted for detection in program.detections[: len(texts)]]
    marks = [program.meters[meter].mark for meter in bits]
    events = events_of(messages)
    held = [0, 0]
    for every_row_slow in (False, True):
        decoded = _decode(batch(messages), LIMITS, program, every_row_slow)
        assert decoded.marks.shape == (1 + program.late, len(decoded))
        assert sorted(events) == decoded.row.tolist()
        for row, k in enumerate(decoded.row.tolist()):
            event = events[k]
            wanted = False
            for variant in range(len(decoded.marks)):
                got = int(decoded.marks[variant, row])
                for tree, text, bit in zip(trees, texts, marks, strict=True):
                    want = meaning.holds(tree, event, variant == 1)
                    assert bool(got >> bit & 1) == want, (text, messages[k], every_row_slow)
                    held[want] += 1
                wanted = wanted or meaning.holds(trees[0], event, variant == 1)
            for d, member in enumerate(program.hashes):
                want = meaning.distinct(event, member) if wanted else 0
                assert int(decoded.hashes[d, row]) == want, (member, messages[k])
            for s, member in enumerate(program.numbers):
                number = meaning.value(event, member)
                if number is None or abs(number) > LARGEST:
                    assert math.isnan(decoded.numbers[s, row]), (member, messages[k])
                else:
                    assert decoded.numbers[s, row] == math.floor(number * 1024 + 0.5) / 1024, (member, messages[k])
    return held[0], held[1]


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32))
def test_marks_mean_what_the_expressions_say(seed: int) -> None:
    random_ = random.Random(seed)
    messages = lines(seed, 25)
    events = [*events_of(messages).values()]
    compare(messages, [expression(random_, events, depth=2) for _ in range(random_.randrange(1, 8))], random_)


@pytest.mark.parametrize("seed", range(3))
def test_every_member_and_operator_holds_and_fails(seed: int) -> None:
    """Many comparisons over many messages; each answer must come up often, or the test would show nothing."""
    random_ = random.Random(seed)
    messages = lines(seed + 100, 600)
    events = [*events_of(messages).values()]
    members = [*meaning.TEXTS, *meaning.NUMBERS, *meaning.CODES, "ip"]
    fails = holds = 0
    for member in members:
        failed, held = compare(messages[:200], [comparison(random_, events, member) for _ in range(8)], random_)
        fails, holds = fails + failed, holds + held
    assert fails > 1_000
    assert holds > 1_000


def test_missing_is_false_and_its_negation_true() -> None:
    texts = ['app == "x"', 'app != "x"', 'app not in ("x", "y")', 'not app == "x"', "app is missing", "has(app)"]
    program = program_of(texts)
    decoded = decode(
        batch([b'{"time":1763874000,"user":"u"}', b'{"time":1763874000,"user":"u","app":5}']), LIMITS, program
    )
    assert [int(found) for found in decoded.marks[0]] == [0b011000, 0b011000]


def test_the_address_itself_is_compared_not_its_network() -> None:
    texts = ["ip == 2001:db8::5", "ip in 2001:db8::/126", "ip in 2001:db8::4/126", "ip in ::/0", "ip in 0.0.0.0/0"]
    messages = [
        b'{"time":1763874000,"ip":"%s"}' % ip for ip in (b"[2001:DB8:0::5]:443", b"::ffff:10.0.0.1", b"10.0.0.1:80")
    ]
    decoded = decode(batch(messages), LIMITS, program_of(texts))
    assert [int(found) for found in decoded.marks[0]] == [0b01101, 0b10000, 0b10000]


def test_a_username_is_normalised_where_it_is_no_entity_too() -> None:
    """The action's entity is the actor, so only the expression reads the username."""
    event = '{"time":1763874000,"action":"role_change","actor":"a","username":"\u00c4\uff2eNE"}'.encode()
    for distinct, text in (((), 'username == "\u00c4nne"'), (("username",), "failure or not failure")):
        program = program_of([text], distinct)
        decoded = decode(batch([event]), LIMITS, program)
        assert decoded.marks[0, 0] == 1
        if distinct:
            assert int(decoded.hashes[0, 0]) == naive.entity("\u00e4nne", naive.entity("default"))


@pytest.mark.parametrize(
    "text",
    ["0.1000000000000000055511151231257827", "12345678901234567890123", "-12345678901234567890.5", "1e-7", "1E300",
     "99999999999999999999", "0.00000000000000000001", "9223372036854775808", "-0", '"0.1"', '"-1e2"'],
)  # fmt: skip
def test_a_number_of_any_length_is_the_languages_own(text: str) -> None:
    value = float(text.strip('"'))
    texts = [f"latency_ms == {value!r}", f"latency_ms >= {value!r}", f"latency_ms > {value!r}", f"lat <= {value!r}"]
    event = f'{{"time":1763874000,"user":"u","latency_ms":{text},"lat":{text}}}'.encode()
    assert decode(batch([event]), LIMITS, program_of(texts)).marks[0, 0] == 0b1011


def test_one_mark_is_one_expression_however_it_is_written() -> None:
    program = program_of(["failure and (status >= 500)", "(failure) and status >= 500.0", 'app in ("b", "a", "b")'])
    assert program.marks == ("failure and status >= 500", 'app in ("a", "b")')


def test_without_a_program_there_are_no_columns() -> None:
    decoded = decode(batch(lines(1, 50)), LIMITS)
    assert decoded.marks.shape == decoded.hashes.shape == decoded.numbers.shape == (0, len(decoded))


def test_a_program_changes_nothing_else() -> None:
    messages = lines(31, 1_500)
    program = program_of(['user_agent contains "M" or username == "x" or lat > 0'], DISTINCT, SUMMED)
    plain, marked = decode(batch(messages), LIMITS), decode(batch(messages), LIMITS, program)
    assert plain.dead == marked.dead
    for column in ("row", "time", "flags", "counts", "action", "entity", "target", "length", "name_length", "offset"):
        np.testing.assert_array_equal(getattr(plain, column), getattr(marked, column), column)


def flat(decoded: Decoded) -> list[Any]:
    return [decoded.marks, decoded.hashes, decoded.numbers]


@pytest.mark.parametrize("canary", [b'"', b"9", b"\\", b"\xbf", b".", b"/", b"\x00"])
def test_what_lies_around_a_message_does_not_matter(canary: bytes) -> None:
    random_ = random.Random(7)
    messages = lines(13, 300)
    events = [*events_of(messages).values()]
    trees = [comparison(random_, events, member) for member in (*meaning.TEXTS, *meaning.NUMBERS, "ip")]
    program = program_of([meaning.spell(tree, random_) for tree in trees], DISTINCT, SUMMED)
    plain = flat(decode(batch(messages, gap=b"\n" * 40), LIMITS, program))
    between = flat(decode(batch(messages, gap=canary * 40), LIMITS, program))
    for left, right in zip(plain, between, strict=True):
        np.testing.assert_array_equal(left, right)


def test_the_benchmark_measures_expressions_that_hold_and_fail() -> None:
    raw = expressions.batches(10_000, 7)[0]
    for name, program in expressions.programs().items():
        decoded = decode(raw, LIMITS, program)
        if program is None:
            continue
        assert len(decoded) == expressions.BATCH
        held = [int((decoded.marks[0] >> np.uint64(k) & np.uint64(1)).sum()) for k in range(len(program.marks))]
        assert max(held, default=1) > 0, name
        assert min(held, default=0) < len(decoded), name
    assert expressions.measure(5_000, 0, 7).keys() == expressions.programs().keys()


def test_the_kernels_are_compiled_once() -> None:
    program = program_of(['user_agent contains "M" or late'], DISTINCT, SUMMED)
    raw = batch(lines(9, 50))
    decode(raw, LIMITS, program)
    kernels = (scan, mark_rows, hash_rows, sum_rows)
    before = [len(getattr(kernel, "signatures", ())) for kernel in kernels]
    decode(raw, LIMITS)
    decode(replace(raw, buffer=raw.buffer.copy()), LIMITS, program_of(["failure"]))
    decode(raw, LIMITS, program_of(["ip in 10.0.0.0/8"], ("device",)))
    assert [len(getattr(kernel, "signatures", ())) for kernel in kernels] == before


def test_late_is_decided_by_the_partition() -> None:
    program = program_of(["late", "failure and not late", "failure"], ("session",), ("latency_ms",))
    second = 1_763_874_000
    messages = [
        b'{"time":%d,"user":"u","action":"login","outcome":"failure","session":"s%d","latency_ms":%d}' % (when, k, k)
        for k, when in enumerate((second, second + 20, second + 1, second + 21, second - 30))
    ]
    partition = Partition("a", ("a",), lambda raw: decode(raw, LIMITS, program), ClockParams(), batch_rows=2)
    partition.feed(batch(messages), ended=True)
    marks: list[int] = []
    numbers: list[float] = []
    hashes: list[int] = []
    late: list[bool] = []
    while partition.pending:
        item = partition.take()
        assert item.hashes.shape == item.numbers.shape == (1, len(item))
        marks += item.marks.tolist()
        hashes += item.hashes[0].tolist()
        numbers += item.numbers[0].tolist()
        late += (item.flags & LATE > 0).tolist()
    assert late == [False, False, True, False, True]
    assert marks == [0b101 if is_late else 0b110 for is_late in late]
    assert numbers == [0, 1, 2, 3, 4]
    assert len({*hashes}) == 5
    assert len(partition.heartbeat(idle=True).marks) == 0


def test_without_a_program_the_partition_carries_empty_columns() -> None:
    partition = Partition("a", ("a",), lambda raw: decode(raw, LIMITS), ClockParams())
    partition.feed(batch([b'{"time":1763874000,"user":"u"}'] * 3), ended=True)
    item = partition.take()
    assert (len(item), item.marks.shape, item.hashes.shape, item.numbers.shape) == (3, (0,), (0, 3), (0, 3))


@settings(max_examples=500)
@given(
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e17, max_value=1e17).map(repr)
    | st.from_regex(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,18})?", fullmatch=True)
    | st.integers(2**53 - 9, 2**63).map(str)
)
def test_a_number_is_read_as_the_language_reads_it(text: str) -> None:
    if "e" in text or len(text) > 20 or ("." not in text and len(text) > 19):
        return
    raw = np.frombuffer(b"7" + text.encode() + b"7", np.uint8)
    assert decimal(raw, 1, len(text)) == float(text)


CHECKED = """
import random
import numpy as np
from numba import config
from tests.expressions import comparison, expression
from tests.odd_lines import lines
from tests.test_marks import compare, events_of
from tests import naive_expression as meaning
assert config.DISABLE_JIT
random_ = random.Random(5)
messages = lines(3, 40)
events = [*events_of(messages).values()]
trees = [comparison(random_, events, member) for member in (*meaning.TEXTS, *meaning.NUMBERS, *meaning.CODES, "ip")]
with np.errstate(over="ignore"):
    compare(messages, trees, random_)
    compare(messages, [expression(random_, events, depth=2) for _ in range(4)], random_)
print("held")
"""


def test_the_kernels_stay_inside_without_the_compiler() -> None:
    """Without the compiler an index out of bounds is an IndexError."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHECKED],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "held\n", run.stderr
