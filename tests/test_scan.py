"""The scanner as an acceptor of JSON, the hash, the closed lists, and the edges of memory."""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flows.formats.lapwing import Decoded, decode
from flows.formats.limits import Limits
from models.base import ACTIONS, REASONS
from models.kernels.grammar import nesting, value_end
from models.kernels.scan import MEMBERS, PLAIN, SPANS, scan, wanted
from models.kernels.siphash import entity_hash, siphash
from models.kernels.text import find, words_of
from tests import naive_decode as naive
from tests.odd_lines import lines
from tests.test_decode import batch, name, note

VECTORS = {  # of the authors' reference implementation: key 00 01 .. 0f, input 00 01 .. (length - 1)
    0: 0x726FDB47DD0E0E31, 1: 0x74F839C593DC67FD, 2: 0x0D6C8009D9A94F5A, 3: 0x85676696D7FB7E2D,
    4: 0xCF2794E0277187B7, 5: 0x18765564CD99A68D, 6: 0xCBC9466E58FEE3CE, 7: 0xAB0200F58B01D137,
    8: 0x93F5F5799A932462, 15: 0xA129CA6149BE45E5,
}  # fmt: skip

NOT_JSON = [
    b"", b"{", b"}", b"[", b"nul", b"nulL", b"tru", b"fals", b"falsE", b"01", b"-", b"-01", b"1.", b".5", b"1e",
    b"1e+", b"+1", b"1.e5", b"0x1", b"NaN", b"Infinity", b"-Infinity", b"'a'", b'"a', b'"\\x41"', b'"\\u12"',
    b'"\\u12g4"', b'"\t"', b'"\x00"', b'"\x1f"', b"[1,]", b"[,1]", b"[1 2]", b'{"a"}', b'{"a":}', b'{"a":1,}',
    b'{,"a":1}', b"{a:1}", b'{"a":1 "b":2}', b'{"a" 1}', b"[1}", b'{"a":1]', b"1 2", b"\xef\xbb\xbf1", b'"\xff"',
    b'"\xc0\x80"', b'"\xe0\x80\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\xf5\x80\x80\x80"', b'"\xe2\x82"',
    b'"\x80"', b'"\\ud800"', b'"\\udc00"', b'"\\ud800\\u0041"', b'"\\ud800\\ud800"', b"\x0b1", b"\xc2\xa01", b"1//x",
    b'"\\', b'"\\u', b'"a\\"', b"--1", b"1e5.5", b"truefalse", b'"\xf0\x80\x80\x80"', b'"\xc3"',
]  # fmt: skip
JSON = [
    b"0", b"-0", b"-0.0e-0", b"1E+5", b"10.01e10", b"null", b"true", b"false", b'""', b'"\\u0000"',
    b'"\\ud83d\\ude00"', b'"\\uD83D\\uDE00"', b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\x7f"',
    b'"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"', b"[]", b"{}", b"[ ]", b"{ }", b"[[],{}]", b" \t\r\n1\n",
    b'{"":{"":[{"":0}]}}', b'{"a":1,"a":2}', b'"\xed\x9f\xbf"', b'"\xee\x80\x80"', b'"\xf4\x8f\xbf\xbf"',
    b'[1 , 2 ,\n"x"]', b'"1234567\\n89"', b'"12345678"', b'"1234567"', b'"123456789\xc3\xa9"',
]  # fmt: skip


def accepts(value: bytes) -> bool:
    """Whether the scanner takes a value, as an unknown member and as part of an array."""
    message = b'{"x":' + value + b"}"
    found = state(message)
    assert found == state(b'{"time":1,"x":[' + value + b"]}"), value
    return found == PLAIN


def state(message: bytes) -> int:
    buffer = np.frombuffer(message, np.uint8)
    spans = np.empty((1, SPANS), np.int64), np.empty((1, SPANS), np.int64), np.empty((1, SPANS), np.uint8)
    own = np.empty(1, np.int64), np.empty(1, np.int32), np.empty(1, np.uint8)
    take = wanted()
    one = np.zeros(1, np.int64), np.array([len(message)])
    scan(buffer, *one, words_of(MEMBERS), take.kinds, take.slots, 32, *spans, *own)
    return int(own[2][0])


def refuse(text: str) -> None:
    raise ValueError(text)


def strict(value: bytes) -> bool:
    """Whether a value is JSON, in UTF-8, with no lone surrogate, by the standard library."""
    try:
        found = json.loads(b'{"x":[' + value + b"]}", parse_constant=refuse)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return len(found) == 1 and len(found["x"]) == 1


@pytest.mark.parametrize("value", JSON)
def test_json_is_accepted(value: bytes) -> None:
    assert accepts(value)
    assert strict(value)


@pytest.mark.parametrize("value", NOT_JSON)
def test_what_is_not_json_is_not_accepted(value: bytes) -> None:
    assert state(b'{"x":' + value + b"}") != PLAIN


@pytest.mark.parametrize("value", [value for value in JSON if value != b"{}"])
def test_no_prefix_is_accepted(value: bytes) -> None:
    message = b'{"x":' + value + b"}"
    assert all(state(message[:end]) != PLAIN for end in range(len(message)))


LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
TREE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(TREE, st.booleans(), st.sampled_from([None, 1, "\t"]), st.integers(0, 200), st.binary(min_size=1, max_size=2))
@example([""], False, None, 2, b'"')
def test_acceptance_is_the_standard_librarys(tree: Any, ascii_: bool, indent: Any, at: int, patch: bytes) -> None:
    try:
        value = json.dumps(tree, ensure_ascii=ascii_, indent=indent).encode()
    except UnicodeEncodeError:
        value = json.dumps(tree, indent=indent).encode()
    for candidate in (value, value[:at] + patch + value[at + 1 :], value[:at] + patch + value[at:]):
        message = b'{"x":[' + candidate + b"]}"
        one = strict(candidate)
        assert (state(message) == PLAIN) >= one, candidate
        if state(message) == PLAIN:
            json.dumps(json.loads(message, parse_constant=refuse), ensure_ascii=False).encode()


def test_depth_is_counted_from_the_event_on() -> None:
    stack = np.empty(40, np.uint8)
    for depth in range(1, 8):
        text = np.frombuffer(b"[" * depth + b"]" * depth, np.uint8)
        assert nesting(text) == depth
        assert value_end(text, 0, len(text), stack, depth) == len(text)
        assert value_end(text, 0, len(text), stack, depth - 1) == -1
    assert nesting(np.frombuffer(b'{"[[[[":"\\"{{{"}]]]]{', np.uint8)) == 1


@pytest.mark.parametrize("size", VECTORS)
def test_siphash_vectors(size: int) -> None:
    key = bytes(range(16))
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    data = np.concatenate((np.full(3, 7, np.uint8), np.arange(size, dtype=np.uint8), np.full(9, 7, np.uint8)))
    assert (
        int(siphash(data, 3, size, np.uint64(k0), np.uint64(k1)))
        == VECTORS[size]
        == naive.siphash(bytes(range(size)), k0, k1)
    )


@given(st.text(max_size=60), st.integers(0, 2**64 - 1))
def test_entity_hash(value: str, tenant: int) -> None:
    raw = np.frombuffer(value.encode(), np.uint8)
    assert int(entity_hash(raw, 0, len(raw), np.uint64(tenant))) == naive.entity(value, tenant)


@pytest.mark.parametrize("closed", [MEMBERS, ACTIONS, REASONS[1:]])
def test_words_are_found_and_nothing_else(closed: tuple[str, ...]) -> None:
    table = words_of(closed)
    rng = np.random.default_rng(3)
    for index, word in enumerate(closed):
        raw = word.encode()
        for tail in (b"", b"x" * 40):
            assert find(table, np.frombuffer(b"_" + raw + tail, np.uint8), 1, len(raw)) == index
        for _ in range(20):
            changed = bytearray(raw)
            changed[rng.integers(len(raw))] ^= 1 << rng.integers(7)
            want = closed.index(changed.decode()) if changed.decode() in closed else -1
            assert find(table, np.frombuffer(bytes(changed), np.uint8), 0, len(raw)) == want
    assert find(table, np.frombuffer(b"xx", np.uint8), 0, 0) == -1


def columns(decoded: Decoded) -> list[NDArray[Any]]:
    return [getattr(decoded, column) for column in ("row", "time", "counts", "action", "status", "entity", "target")]


@pytest.mark.parametrize("canary", [b'"', b"}", b"9", b"\\", b"\xbf", b",", b" ", b'"lapwing":1}', b"\x00"])
def test_what_lies_around_a_message_does_not_matter(canary: bytes) -> None:
    messages = lines(11, 500)
    messages += [message[:cut] for message in messages[:40] for cut in range(len(message) - 9, len(message))]
    plain, between = (
        decode(batch(messages, gap=b"\n" * 40), Limits()),
        decode(batch(messages, gap=canary * 40), Limits()),
    )
    for left, right in zip(columns(plain), columns(between), strict=True):
        np.testing.assert_array_equal(left, right)
    assert [(letter.offset, letter.reason) for letter in plain.dead] == [(x.offset, x.reason) for x in between.dead]
    for row in range(len(plain)):
        assert [name(plain, d, row) for d in range(4)] == [name(between, d, row) for d in range(4)]
        assert note(plain, row) == note(between, row)


def test_a_message_alone_in_memory() -> None:
    for message in lines(12, 200):
        alone = batch([message], gap=b"")
        among = decode(batch([message], gap=b'"' * 50), Limits())
        for left, right in zip(columns(decode(alone, Limits())), columns(among), strict=True):
            np.testing.assert_array_equal(left, right)


CHECKED = """
import numpy as np
from models.kernels import load
from tests.odd_lines import lines
from tests.test_decode import agree, batch
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from numba import config
assert config.DISABLE_JIT
with np.errstate(over="ignore"):
    for gap in (b"", b"}"):
        messages = lines(21, 60)
        agree(messages, decode(batch(messages, gap=gap), Limits()))
    for message in lines(22, 30):
        agree([message], decode(batch([message], gap=b""), Limits()))
print("held")
"""


def test_the_kernels_stay_inside_without_the_compiler() -> None:
    """Without the compiler an index out of bounds is an IndexError."""
    run = subprocess.run(
        [sys.executable, "-c", CHECKED],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "held\n", run.stderr
