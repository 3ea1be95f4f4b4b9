"""Any bytes in: one event or one dead letter each, never an exception, every case by its name."""

import gzip
import json
import random
import time

import numpy as np
import pytest

from flows.formats.canonical import _shown_at_once, _shown_slowly, canonical
from flows.formats.dead_letter import REASONS, Body, redact
from flows.formats.dead_letter import encode as encode_dead
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from models.kernels.columns import MAX_NAME, MAX_TENANT
from tests.odd_lines import lines, mutated, odd, ordinary
from tests.test_decode import batch, name, note, output

OK = b'{"time":1763874000,"user":"u-1"}'
CASES: dict[str, tuple[bytes, str]] = {
    "two objects": (OK + OK, "malformed_json"),
    "two objects with a space": (OK + b" " + OK, "malformed_json"),
    "empty": (b"", "empty"),
    "white space": (b" \t\r ", "empty"),
    "only a byte order mark": (b"\xef\xbb\xbf", "empty"),
    "NUL bytes": (b"\x00" * 40, "malformed_json"),
    "NUL inside a string": (OK[:-2] + b'\x00"}', "malformed_json"),
    "UTF-16": (OK.decode().encode("utf-16"), "bad_utf8"),
    "duplicate keys": (OK[:-1] + b',"user":"u-2"}', '["user"]'),
    "a duplicate that takes the value away": (OK[:-1] + b',"ip":"1.2.3.4","ip":null}', '["ip"]'),
    "10 MB string": (OK[:-1] + b',"user_agent":"' + b"m" * 10_000_000 + b'"}', "too_large"),
    "300 KB user agent": (OK[:-1] + b',"user_agent":"' + b"m" * 300_000 + b'"}', '["user_agent"]'),
    "deep nesting": (OK[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "too_deep"),
    "deep nesting, not closed": (b'{"x":' * 50_000, "too_deep"),
    "brackets in a string": (OK[:-1] + b',"x":"' + b"[" * 1000 + b'"}', ""),
    "huge number": (OK[:-1] + b',"latency_ms":1e999}', '["latency_ms"]'),
    "very long number": (OK[:-1] + b',"latency_ms":' + b"1" * 100_000 + b"}", '["latency_ms"]'),
    "very long number elsewhere": (OK[:-1] + b',"x":-' + b"1" * 100_000 + b"}", ""),
    "huge time": (b'{"time":1e999999999,"user":"u"}', "bad_time"),
    "long time": (b'{"time":' + b"9" * 100_000 + b',"user":"u"}', "bad_time"),
    "NaN": (OK[:-1] + b',"lat":NaN}', "malformed_json"),
    "Infinity": (OK[:-1] + b',"x":-Infinity}', "malformed_json"),
    "lone surrogate": (OK[:-3] + b'\\ud800"}', '["user"]'),
    "lone surrogate elsewhere": (OK[:-1] + b',"x":"\\udc00"}', '["..."]'),
    "bad UTF-8 in a string": (OK[:-1] + b',"city":"Z\xfcrich"}', '["city"]'),
    "bad UTF-8 in a key": (OK[:-1] + b',"\xff":1}', '["..."]'),
    "bad UTF-8 outside": (OK[:-1] + b"\xff}", "bad_utf8"),
    "wrong type": (OK[:-1] + b',"user_agent":5}', '["user_agent"]'),
    "numeric string": (OK[:-1] + b',"status":"401","lat":"5.5"}', ""),
    "many bad members": (
        OK[:-1] + b',"ip":"-","status":"abc","outcome":1,"endpoint":[],"lat":"x","lon":{},"city":3}',
        '["outcome","ip","endpoint","status","city","..."]',
    ),
    "byte order mark": (b"\xef\xbb\xbf" + OK, ""),
    "two byte order marks": (b"\xef\xbb\xbf" * 2 + OK, "malformed_json"),
    "not an object": (b"[1]", "not_an_object"),
    "a string": (b'"x"', "not_an_object"),
    "no time": (b'{"user":"u"}', "missing_time"),
    "null time": (b'{"time":null,"user":"u"}', "missing_time"),
    "empty object": (b"{}", "missing_time"),
    "empty time": (b'{"time":"","user":"u"}', "bad_time"),
    "time of a wrong type": (b'{"time":{},"user":"u"}', "bad_time"),
    "no entity": (b'{"time":1763874000,"ip":"-"}', "no_entity"),
    "reserved": (OK[:-1] + b',"lapwing":null}', "reserved_member"),
    "reserved, escaped": (OK[:-1] + b',"l\\u0061pwing":1}', "reserved_member"),
    "reserved only inside": (OK[:-1] + b',"x":{"lapwing":1}}', ""),
    "line breaks inside": (OK.replace(b",", b",\r\n"), ""),
    "unterminated string with many escaped quotes": (b'{"x":"' + b'\\"' * 500_000, "malformed_json"),
    "many lone surrogates": (OK[:-1] + b',"x":"' + b"\\ud800" * 100_000 + b'"}', '["..."]'),
    "many duplicates": (OK[:-1] + b',"user":"x"' * 90_000 + b"}", '["user"]'),
    "a username that is slow to normalise": (
        OK[:-1] + b',"username":"a' + "\u0315\u0300".encode() * 40_000 + b'"}', '["username"]'
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    message, want = CASES[case]
    decoded = decode(batch([message, OK]), Limits())
    assert decoded.row[-1] == 1
    assert len(decoded) + len(decoded.dead) == 2
    if want in REASONS:
        assert [letter.reason for letter in decoded.dead] == [want]
    else:
        assert len(decoded) == 2, decoded.dead[0]
        assert json.dumps(note(decoded, 0), separators=(",", ":")) == (want or "[]")
        json.loads(output(decoded, 0), parse_int=str)


def test_100_000_mutated_lines() -> None:
    """Rows and dead letters add up to the lines, in order, whatever was done to the bytes."""
    random_ = random.Random(2026)
    seeds = [json.dumps(ordinary(random_)).encode() for _ in range(400)] + [odd(random_) for _ in range(200)]
    seeds = [seed for seed in seeds if len(seed) < 2_000]
    total, rows, reasons = 0, 0, set()
    for _ in range(25):
        messages = [mutated(random_, random_.choice(seeds)) for _ in range(4_000)]
        decoded = decode(batch(messages), Limits())
        taken = np.concatenate((decoded.offset, [letter.offset for letter in decoded.dead])) - 100
        assert np.array_equal(np.sort(taken.astype(int)), np.arange(len(messages)))
        assert np.all(np.diff(decoded.row) > 0)
        assert int(decoded.name_length.max()) <= MAX_NAME
        assert int(decoded.name_length[0].max()) <= MAX_TENANT
        assert bool(np.all((decoded.entity[1:] != 0).any(axis=0)) and np.all(decoded.entity[0] != 0))
        assert bool(np.all((decoded.entity != 0) == (decoded.name_length > 0)))
        for row in range(0, len(decoded), 97):
            for dimension in range(4):
                name(decoded, dimension, row).decode()
            json.loads(output(decoded, row))
        total += len(messages)
        rows += len(decoded)
        reasons |= {letter.reason for letter in decoded.dead}
    assert total == 100_000
    assert 0.1 * total < rows < 0.9 * total
    assert reasons >= {
        "malformed_json",
        "bad_utf8",
        "missing_time",
        "bad_time",
        "no_entity",
        "empty",
        "reserved_member",
    }


def test_an_ordinary_message_is_shown_as_it_would_be_slowly() -> None:
    rng = random.Random(11)
    quick = 0
    plain = [json.dumps(ordinary(rng), ensure_ascii=False).encode() for _ in range(2_000)]
    changed = [mutated(rng, line) for line in plain for _ in range(5)]
    for message in [*plain, *changed, *lines(12, 20_000), *(message for message, _ in CASES.values())]:
        raw = batch([message])
        shown = _shown_at_once(raw, message)
        if shown is not None:
            quick += 1
            slowly = _shown_slowly(raw)
            assert shown == slowly
            assert [*map(type, shown.values())] == [*map(type, slowly.values())]
            assert [*shown] == [*slowly]
    assert quick > 4_000


def test_dead_letters_are_json_and_canonical_never_raises() -> None:
    messages = lines(31, 1_500)
    for letter in decode(batch(messages), Limits()).dead:
        for body in BODIES:
            shown = json.loads(encode_dead(letter, "audit.events", body))
            assert shown["reason"] in REASONS
            assert shown["partition"] == "events.ndjson"
            assert (shown["body"] is None) == (body == "none")
    for message in messages:
        json.dumps(canonical(message), allow_nan=False).encode()


BODIES: tuple[Body, ...] = ("redacted", "raw", "none")
SECRETS = [
    b'{"password":"hunter2","user":"u"}',
    b'{"user":"u","pass\\u0077ord_":1,"Password" : "hunter2"',
    b'{"newPassword":"hunter2"}',
    b'{"api_secret":"hunter2"}',
    b'{"refresh_token":"hunter2","access_token":"hunter2"}',
    b'{"headers":{"Authorization":"Bearer hunter2","Cookie":"a=hunter2; b=hunter2"}}',
    b"Authorization: Bearer hunter2\r\nCookie: sid=hunter2",
    b'{"endpoint":"/reset?token=hunter2&x=1"}',
    b'{"body":"{\\"password\\":\\"hunter2\\",\\"x\\":1}"}',
    b'{"password":{"old":"hunter2","new":["hunter2"]},"x":1}',
    b'{"password":["hunter2", "hunter2"',
    b'{"password":"hun\\"hunter2',
    b"{'password': 'hunter2'}",
    b'{"body":"{\\"password\\":\\"hun\\\\\\"hunter2\\"}"}',
    b'{"body":"password=hunter2"}',
    b'{"secret":hunter2}',
    b'{"x":"Basic hunter2"}',
    b"password=hunter2&user=u",
    b'{"client_secret":\n\t"hunter2"}',
    b'{"otp":"hunter2","pin":"hunter2"}',
    b'{"credentials":{"p":"hunter2"}}',
    '{"password":"hunter2"}'.encode("utf-16-le"),
    b'{"pass\\u0077ord":"hunter2"}',
    b'{"body":"{\\"\\\\u0070in\\":\\"hunter2\\"}"}',
]


@pytest.mark.parametrize("body", SECRETS)
def test_secrets_are_blanked(body: bytes) -> None:
    assert b"hunter2" not in redact(body).replace(b"\0", b"")
    assert redact(gzip.compress(body)) == b""


def test_what_is_no_secret_stays() -> None:
    kept = b'{"action":"token_issue","user":"u-1","reason":"bad_credentials","shipping":"x","api_key":"key-3"}'
    assert redact(kept) == kept
    assert redact(b'{"a":"caf\\u00e9"}') == b'{"a":"caf\\u00e9"}'
    assert redact(b'{"token":123,"user":"u-1"}') == b'{"token":***,"user":"u-1"}'
    assert b"eyJ" not in redact(b'{"x":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"}')


HOSTILE = [
    b"password", b'"password":', b'"password":"', b'"password":[', b'"password":{"', b"token ", b"token=\\", b"\\\"",
    b"eyJ", b"eyJa.",
    b"bearer ", b"password\\\\", b"authorization:", b'"pwd":"\\"', b"tokens'", b"pin", b"[", b"{", b"secret:\t",
    b"\\", b"\\u", b"\\u0070", b"\\ud83d",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_redaction_is_linear(piece: bytes) -> None:
    """A quadratic one would take minutes for 64 KiB; the bound is far above noise."""
    began = time.process_time()
    redact((piece * 65_536)[:65_536])
    redact(b'"password":[' + (piece * 65_536)[:65_536])
    assert time.process_time() - began < 5
