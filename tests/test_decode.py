"""The decoder beside the slow definition of what a message means."""

import hashlib
import json
import random
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.formats.canonical import canonical
from flows.formats.dead_letter import REASONS, bury
from flows.formats.lapwing import Decoded, _decode, decode
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from models.base import ACTIONS, HAS_ID, NONE_TIME, OUTCOMES
from models.kernels.columns import fill
from models.kernels.scan import scan
from tests import naive_decode as naive
from tests.odd_lines import VALUES, lines, mutated, odd

LIMITS = Limits()


def batch(messages: list[bytes], timestamps: list[int] | None = None, gap: bytes = b"\n") -> RawBatch:
    """Messages in one buffer, `gap` around each."""
    length = np.array([len(message) for message in messages], np.int64)
    start = np.cumsum(length + len(gap)) - length
    n = len(messages)
    return RawBatch(
        "events.ndjson", np.frombuffer(gap + gap.join(messages) + gap, np.uint8), start, length, np.arange(n) + 100,
        np.zeros(n, np.int32), np.array(timestamps or [NONE_TIME] * n, np.int64),
    )  # fmt: skip


def note(decoded: Decoded, row: int) -> list[str]:
    at = int(decoded.note_start[row])
    text = decoded.buffer[at : at + int(decoded.note_length[row])].tobytes()
    return json.loads(text) if text else []


def name(decoded: Decoded, dimension: int, row: int) -> bytes:
    at = int(decoded.name_start[dimension, row])
    return decoded.names[at : at + int(decoded.name_length[dimension, row])].tobytes()


def output(decoded: Decoded, row: int) -> bytes:
    at = int(decoded.start[row])
    return decoded.buffer[at : at + int(decoded.length[row])].tobytes()


def agree(messages: list[bytes], decoded: Decoded, timestamps: list[int] | None = None, prefix: int = 64) -> None:
    """Every message is one row or one dead letter, as the slow definition says."""
    rows = {int(row): k for k, row in enumerate(decoded.row)}
    dead = {letter.offset - 100: letter for letter in decoded.dead}
    assert len(rows) + len(decoded.dead) == len(messages)
    assert not rows.keys() & dead.keys()
    assert list(decoded.row) == sorted(rows)
    for k, message in enumerate(messages):
        recorded = timestamps[k] if timestamps and timestamps[k] != NONE_TIME else None
        want = naive.decode(message, recorded, prefix=prefix)
        if isinstance(want, str):
            assert k in dead, (message, want)
            assert dead[k].reason == want, (message, dead[k])
            assert want in REASONS
            continue
        assert k in rows, (message, dead[k])
        row = rows[k]
        got = (
            int(decoded.time[row]), int(decoded.record_time[row]), bool(decoded.flags[row] & HAS_ID),
            int(decoded.counts[row]), int(decoded.action[row]), int(decoded.outcome[row]), int(decoded.reason[row]),
            int(decoded.status[row]), int(decoded.method[row]), note(decoded, row), output(decoded, row),
            int(decoded.offset[row]),
        )  # fmt: skip
        expected = (
            want.time, NONE_TIME if want.record_time is None else want.record_time, want.has_id, want.counts,
            want.action, want.outcome, want.reason, want.status, want.method, want.ignored, want.output, k + 100,
        )  # fmt: skip
        assert got == expected, message
        tenant = naive.entity(want.names[0] or "")
        for dimension, value in enumerate(want.names):
            found = 0 if value is None else naive.entity(value, tenant if dimension else 0)
            assert int(decoded.entity[dimension, row]) == found, (message, value)
            shown = b"" if value is None else naive.shown(value, found, 128 if dimension else 64)
            assert name(decoded, dimension, row) == shown, message
        assert int(decoded.target[row]) == (0 if want.target is None else naive.entity(want.target, tenant)), message


@pytest.mark.parametrize("seed", range(4))
def test_decode_agrees_with_the_slow_definition(seed: int) -> None:
    messages = lines(seed, 2_000)
    agree(messages, decode(batch(messages), LIMITS))


@pytest.mark.parametrize("member", [name for name in VALUES if name not in ("time", "lapwing")])
def test_every_odd_value_alone(member: str) -> None:
    messages = [
        f'{{"time":1763874000,"{key}":"{other}","{member}":{value}}}'.encode()
        for value in VALUES[member]
        for key, other in (("user", "u-1"), ("x", "y"), ("action", "account_delete"))
        if key != member
    ]
    agree(messages, decode(batch(messages), LIMITS))


def test_every_odd_time() -> None:
    messages = [f'{{"user":"u-1","time":{value}}}'.encode() for value in VALUES["time"]]
    decoded = decode(batch(messages), LIMITS)
    agree(messages, decoded)
    assert 10 < len(decoded) < len(messages) - 10


@settings(max_examples=80, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.binary(max_size=40), max_size=3), st.integers(1, 128))
def test_any_bytes(random_: random.Random, junk: list[bytes], prefix: int) -> None:
    messages = [*junk, *(mutated(random_, odd(random_)) for _ in range(5)), *(odd(random_) for _ in range(5))]
    timestamps = [random_.choice([NONE_TIME, 1763874000_000000, 1763873000_000000]) for _ in messages]
    agree(messages, decode(batch(messages, timestamps), Limits(ipv6_prefix=prefix)), timestamps, prefix)


def test_the_slow_path_means_the_same() -> None:
    messages = lines(77, 3_000)
    fast = decode(batch(messages), LIMITS)
    slow = _decode(batch(messages), LIMITS, None, every_row_slow=True)
    assert fast.dead == slow.dead
    for column in fields(Decoded):
        if column.name not in ("buffer", "names", "start", "note_start", "name_start", "dead"):
            np.testing.assert_array_equal(getattr(fast, column.name), getattr(slow, column.name), column.name)
    for row in range(len(fast)):
        assert note(fast, row) == note(slow, row)
        assert output(fast, row) == output(slow, row)
        assert [name(fast, d, row) for d in range(4)] == [name(slow, d, row) for d in range(4)]


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ('"GET"', 1), ('"OPTIONS"', 2), ('"TRACE"', 2), ('"DELETE"', 6), ('"get"', 7), ('""', 0), ('"G\\u0045T"', 1),
        ("7", 0),
    ],
)  # fmt: skip
def test_a_method_is_a_code(written: str, code: int) -> None:
    message = f'{{"user":"u-1","time":1763874000,"method":{written}}}'.encode()
    decoded = decode(batch([message]), LIMITS)
    agree([message], decoded)
    assert decoded.method.tolist() == [code]


def test_a_batch_may_be_cut_anywhere() -> None:
    messages = lines(5, 400)
    whole = decode(batch(messages), LIMITS)
    parts = [decode(batch(messages[at : at + 7]), LIMITS) for at in range(0, 400, 7)]
    np.testing.assert_array_equal(whole.entity, np.concatenate([part.entity for part in parts], axis=1))
    np.testing.assert_array_equal(whole.time, np.concatenate([part.time for part in parts]))
    assert [letter.sha256 for letter in whole.dead] == [letter.sha256 for part in parts for letter in part.dead]


def test_no_messages() -> None:
    decoded = decode(batch([]), LIMITS)
    assert len(decoded) == 0
    assert decoded.entity.shape == (4, 0)
    assert decoded.dead == ()


def test_an_ordinary_event() -> None:
    message = (
        b'{"time":"2026-11-23T05:00:00.123Z","id":"e","tenant":"acme","action":"login","outcome":"failure",'
        b'"status":401,'
        b'"username":"Sam@Example.com","user":"u-17","ip":"2001:db8:0:1:2::7","endpoint":"/users/8f3a-0001/mfa?x=1"}'
    )
    decoded = decode(batch([message]), LIMITS)
    assert [name(decoded, d, 0) for d in range(4)] == [
        b"acme", b"2001:db8:0:1::/64", b"/users/{id}/mfa", b"sam@example.com"
    ]  # fmt: skip
    assert decoded.time[0] == 1795410000123000
    assert output(decoded, 0) == message
    assert decoded.note_length[0] == 0
    assert ACTIONS[decoded.action[0]] == "login"
    assert OUTCOMES[decoded.outcome[0]] == "failure"
    assert decoded.record_time[0] == NONE_TIME


def test_an_entity_belongs_to_its_tenant() -> None:
    messages = [b'{"time":1763874000,"tenant":"%b","ip":"1.2.3.4","user":"1.2.3.4"}' % t for t in (b"a", b"b")]
    decoded = decode(batch(messages), LIMITS)
    assert decoded.entity[1, 0] == decoded.entity[3, 0]
    assert set(decoded.entity[:, 0].tolist()) & set(decoded.entity[:, 1].tolist()) == {0}


def test_a_future_event_is_dead_only_beside_a_record_time() -> None:
    event = b'{"time":1763874061,"user":"u"}'
    assert len(decode(batch([event]), LIMITS)) == 1
    assert len(decode(batch([event], [1763874001_000000]), LIMITS)) == 1
    assert decode(batch([event], [1763874000_999999]), LIMITS).dead[0].reason == "future_time"
    received = b'{"time":1763874061,"user":"u","received":1763874000}'
    assert decode(batch([received]), LIMITS).dead[0].reason == "future_time"
    assert len(decode(batch([received]), Limits(max_future_us=61_000_000))) == 1


def test_a_time_without_offset_needs_a_timezone() -> None:
    event = b'{"time":"2026-07-01T12:00:00.25","user":"u"}'
    assert decode(batch([event]), LIMITS).dead[0].reason == "bad_time"
    decoded = decode(batch([event]), Limits(timezone="Europe/Amsterdam"))
    assert decoded.time[0] == naive.micros("2026-07-01T10:00:00.25Z")
    with_offset = decode(batch([event.replace(b".25", b".25Z")]), Limits(timezone="Europe/Amsterdam"))
    assert with_offset.time[0] == naive.micros("2026-07-01T12:00:00.25Z")


def test_limits() -> None:
    deep = b'{"time":1763874000,"user":"u","x":' + b"[" * 9 + b"]" * 9 + b"}"
    assert len(decode(batch([deep]), Limits(max_depth=10))) == 1
    assert decode(batch([deep]), Limits(max_depth=9)).dead[0].reason == "too_deep"
    large = b'{"time":1763874000,"user":"u","x":"' + b"x" * 2000 + b'"}'
    letter = decode(batch([large, large[:-1]]), Limits(max_message_bytes=1000)).dead[0]
    assert (letter.reason, letter.size) == ("too_large", len(large))
    for wrong in ({"max_depth": 0}, {"ipv6_prefix": 129}, {"max_message_bytes": 0}, {"max_future_us": -1}):
        with pytest.raises(ValueError, match="must"):
            Limits(**wrong)  # type: ignore[arg-type]


def test_the_readers_own_dead_letters_stay_in_order() -> None:
    raw = batch([b"{", b'{"time":1763874000,"user":"u"}', b""])
    refused = bury("too_large", "events.ndjson", 101, 5, b"x", stage="source")
    decoded = decode(replace(raw, oversize=(refused,)), LIMITS)
    assert [(letter.offset, letter.reason) for letter in decoded.dead] == [
        (100, "malformed_json"), (101, "too_large"), (102, "empty")
    ]  # fmt: skip


def test_a_dead_letter_keeps_the_first_of_the_bytes_and_the_hash_of_all() -> None:
    message = b'{"x":"' + b"y" * 100_000
    letter = decode(batch([message]), LIMITS).dead[0]
    assert letter.body == message[:65536]
    assert letter.size == len(message)
    assert letter.sha256 == hashlib.sha256(message).hexdigest()


def test_the_kernels_are_compiled_once() -> None:
    raw = batch(lines(9, 50))
    decode(raw, LIMITS)
    before = [len(getattr(kernel, "signatures", ())) for kernel in (scan, fill)]
    copies = {column: getattr(raw, column).copy() for column in ("buffer", "start", "length", "timestamp")}
    decode(replace(raw, **copies), LIMITS)
    for column in copies.values():
        column.flags.writeable = False
    decode(replace(raw, **copies), LIMITS)
    assert [len(getattr(kernel, "signatures", ())) for kernel in (scan, fill)] == before


def test_a_row_outside_the_buffer_is_the_readers_mistake() -> None:
    raw = batch([b"{}"])
    for wrong in ({"start": np.array([3])}, {"length": np.array([-1])}, {"start": np.array([-1])}):
        with pytest.raises(ValueError, match="does not lie"):
            decode(replace(raw, **wrong), LIMITS)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="differ"):
        decode(replace(raw, offset=np.arange(2)), LIMITS)


def test_evidence_has_canonical_members_only() -> None:
    message = (
        b'{"time":1763874000.5,"user":"u","ip":"-","password":"p","lapse":1,"user_agent":"'
        + b"m" * 999
        + b'","lat":"5.5",'
        b'"status":"401","changes":[{"path":"email","old":"secret"},7],"asn":1e300}'
    )
    shown = canonical(message)
    assert shown == {
        "time": 1763874000.5, "user": "u", "status": 401, "lat": 5.5, "user_agent": "m" * 256, "changes": ["email"],
        "asn": 1e300,
    }  # fmt: skip
    assert canonical(b"[]") == {}
    assert canonical(b'{"time":5}') == {}
