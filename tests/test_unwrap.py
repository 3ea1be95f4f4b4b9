"""Messages with several events: any bytes give events or dead letters, and each is told of exactly once."""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.connectors.partition import ClockParams, Partition, Reached
from flows.connectors.unwrapping import Unwrapping
from flows.formats.blank import Blanking
from flows.formats.dead_letter import hide
from flows.formats.limits import Limits
from flows.formats.mapped import Choice, Mapped
from flows.formats.raw import RawBatch, joined, raw_batch, tail
from flows.formats.repair import Death
from flows.formats.source_formats import FORMATS
from flows.formats.unwrap import MOST_EVENTS, pieces, unwrap

LIMITS = Limits()
AUTO = Choice(FORMATS)
SECRET = "hunter2-" * 4
Told = tuple[int, int, str]


def okta(at: int, secret: str = SECRET) -> dict[str, Any]:
    return {
        "uuid": f"id-{at}", "published": f"2026-11-23T05:{at // 60 % 60:02}:{at % 60:02}Z",
        "eventType": "user.session.start", "outcome": {"result": "FAILURE", "reason": "INVALID_CREDENTIALS"},
        "actor": {"id": "00u1", "type": "User", "alternateId": f"sam{at}@example.com"},
        "client": {"ipAddress": "203.0.113.7"}, "debugContext": {"debugData": {"url": secret, "requestUri": "/authn"}},
    }  # fmt: skip


def text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


ONE = text(okta(1))
CASES: dict[str, tuple[bytes, list[str]]] = {
    "an object": (ONE, ["event"]),
    "an array": (b"[%b,%b]" % (ONE, ONE), ["event"] * 2),
    "an array in spaces": (b" \n[ %b , %b ] " % (ONE, ONE), ["event"] * 2),
    "CloudTrail": (b'{"Records":[%b]}' % ONE, ["event"]),
    "Azure": (b'{"records":[%b,5,%b]}' % (ONE, ONE), ["event", "not_an_object", "event"]),
    "Microsoft Graph": (b'{"@odata.context":"x","value":[%b]}' % ONE, ["event"]),
    "EventBridge": (b'{"version":"0","detail-type":"SystemLog","detail":%b}' % ONE, ["event"]),
    "Splunk": (b'{"time":1,"sourcetype":"OktaIM2:log","event":%b}' % ONE, ["event"]),
    "Splunk, a string": (b'{"host":"h","event":%b}' % text(ONE.decode()), ["event"]),
    "gzip": (gzip.compress(ONE), ["event"]),
    "gzip of two members": (gzip.compress(b"[%b," % ONE) + gzip.compress(b"%b]" % ONE), ["event"] * 2),
    "gzip in which are records": (gzip.compress(b'{"Records":[%b,%b]}' % (ONE, ONE)), ["event"] * 2),
    "an array of envelopes": (b'[{"host":"h","event":%b},{"Records":[%b]}]' % (ONE, ONE), ["event"] * 2),
    "no event": (b'{"Records":[]}', ["empty"]),
    "an empty array": (b"[]", ["empty"]),
    "cut gzip": (gzip.compress(ONE)[:-9], ["bad_gzip"]),
    "no gzip": (b"\x1f\x8b" + b"x" * 40, ["bad_gzip"]),
    "a gzip bomb": (gzip.compress(b" " * (17 << 20)), ["too_large"]),
    "too many events": (b"[" + b"{}," * MOST_EVENTS + b"{}]", ["too_large"]),
    "bad UTF-8 in one of two": (b"[%b,%b]" % (ONE, ONE.replace(b"sam1", b"s\xffm")), ["event"] * 2),
    "a lone surrogate in records": (b'{"Records":[%b]}' % ONE.replace(b"sam1", b"\\ud800"), ["event"]),
    "an infinite number in records": (b'{"Records":[%b,%b]}' % (ONE[:-1] + b',"n":1e999}', ONE), ["event"] * 2),
    "not JSON": (b'{"Records":[', ["malformed_json"]),
    "nothing": (b"", ["empty"]),
    "a byte order mark": (b"\xef\xbb\xbf[%b]" % ONE, ["event"]),
    "too deep": (b'{"Records":[{"x":%b}]}' % (b"[" * 40 + b"]" * 40), ["too_deep"]),
    "deep arrays": (b"[" * 100_000, ["too_deep"]),
    "no time": (b"[{},%b]" % ONE, ["missing_time", "event"]),
    "a member of ours": (b"[%b]" % (ONE[:-1] + b',"lapwing":1}'), ["reserved_member"]),
}


class Given:
    """A reader of the micro-batches it is given."""

    silent = False

    def __init__(self, batches: list[RawBatch]) -> None:
        self.batches = batches

    @property
    def ended(self) -> bool:
        return not self.batches

    def read(self) -> RawBatch | None:
        return self.batches.pop(0) if self.batches else None

    def position(self, offset: int) -> Any:
        return offset

    def close(self) -> None:
        pass


def micro(messages: list[bytes], first: int, last: int) -> RawBatch:
    raw = raw_batch("events", messages[first:last])
    raw.offset[:] += first
    return raw


def told(
    messages: list[bytes], rows: int, size: int, reached: Reached | None = None, first: int = 0
) -> Iterator[tuple[list[Told], Reached, int]]:
    """What each batch says, what is reached after it, and the message that a next run would read first."""
    batches = [micro(messages, at, at + size) for at in range(first, len(messages), size)]
    reader = Unwrapping(Given(batches), lambda raw, at: unwrap(raw, at, LIMITS))
    partition = Partition("events", ("events",), Mapped(AUTO, LIMITS).decode, ClockParams(), rows, reached)
    while True:
        ended = reader.ended
        partition.feed(None if ended else reader.read(), ended)
        while partition.pending:
            batch = partition.take()
            out = [
                (int(at), int(number), f"{moment} {place} {batch.name(3, row)}")
                for row, (at, number, moment, place) in enumerate(
                    zip(batch.offset, batch.index, batch.time, batch.place, strict=True)
                )
            ]
            out += [(letter.offset, letter.index, letter.reason) for letter in batch.dead]
            yield sorted(out), partition.reached, partition.whole + 1
        if ended:
            return


def mixed(seed: int, count: int = 40) -> list[bytes]:
    """Messages of one to many events, and what is none."""
    random_ = random.Random(seed)
    messages = []
    for at in range(count):
        many = [okta(at * 20 + k * random_.choice((1, 1, 900))) for k in range(random_.choice((1, 1, 2, 9)))]
        wrapped = random_.choice((text(many[0]), text(many), text({"Records": [*many, 7]}), gzip.compress(text(many))))
        messages.append(random_.choice((wrapped, wrapped, wrapped, b"{", b'{"Records":[]}')))
    return messages


@pytest.mark.parametrize("case", CASES)
def test_case(case: str) -> None:
    message, want = CASES[case]
    found = [one for batch, _, _ in told([message], 100, 1) for one in batch]
    assert [index for _, index, _ in found] == [*range(len(want))]
    assert ["event" if what.endswith("@example.com") else what for *_, what in found] == want


@pytest.mark.parametrize("seed", range(3))
def test_any_batch_size_gives_the_same_events(seed: int) -> None:
    messages = mixed(seed)
    whole = [one for batch, _, _ in told(messages, 4096, len(messages)) for one in batch]
    assert len({one[:2] for one in whole}) == len(whole)
    for rows, size in ((1, 1), (3, 7), (7, 40)):
        assert [one for batch, _, _ in told(messages, rows, size) for one in batch] == whole


def test_objects_that_were_found_stay_where_they_stand() -> None:
    """However a batch is cut and joined, and whatever of it was found to be an object, events are read the same."""
    inner = {"log_id": "9", "type": "s", "date": "2026-11-23T05:00:00Z", "ip": "203.0.113.7", "user_id": "u"}
    streamed, alone = text({"log_id": "9", "data": inner}), text(inner)
    ours = ONE[:-1] + b',"lapwing":1}'
    messages = [ONE, streamed, b" \n" + ONE + b" ", ours, alone, b"5", streamed, text(okta(8))]
    found, _ = unwrap(raw_batch("events", messages), 0, LIMITS)
    assert found.objects is not None
    assert (found.objects[1] > 0).tolist() == [True, True, True, False, True, False, True, True]
    for batch in (
        found, tail(found, 1), found.take(np.array([1, 2, 6]), ()), joined(found, tail(found, 2)),
        joined(found, replace(found, objects=None)),
    ):  # fmt: skip
        got, wanted = (Mapped(AUTO, LIMITS).decode(one) for one in (batch, replace(batch, objects=None)))
        assert len(got.time) > 2
        assert got.dead == wanted.dead
        for name in ("row", "time", "start", "length", "names", "name_start", "entity"):
            np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), name)


@pytest.mark.parametrize("seed", range(2))
def test_a_restart_between_two_events_of_a_message_loses_none_and_repeats_none(seed: int) -> None:
    messages = mixed(seed, 15)
    steps = [*told(messages, 2, 4)]
    whole = [one for batch, _, _ in steps for one in batch]
    inside = 0
    for stop in range(1, len(steps)):
        before = [one for batch, _, _ in steps[:stop] for one in batch]
        _, reached, following = steps[stop - 1]
        inside += following <= reached.offset
        after = [one for batch, _, _ in told(messages, 5, 3, reached, following) for one in batch]
        assert before + after == whole
    assert inside


@given(st.binary(max_size=60), st.integers(0, len(ONE)), st.sampled_from(sorted(CASES)))
def test_any_bytes_are_events_or_dead_letters(some: bytes, at: int, case: str) -> None:
    damaged = CASES[case][0][: 1 << 12]
    messages = [some, ONE[:at] + some + ONE[at:], damaged[:at] + some + damaged[at:], gzip.compress(some)]
    expected = [(offset, index) for offset, each in enumerate(messages) for index in range(len(pieces(each, LIMITS)))]
    found = [one[:2] for batch, _, _ in told(messages, 100, 10) for one in batch]
    assert found == expected


def test_a_small_message_cannot_fill_the_memory() -> None:
    bomb = gzip.compress(b"[" + b",".join([text({"x": "y" * 1000})] * 9_000) + b"]")
    raw = raw_batch("events", [bomb] * 50)
    given_, following = unwrap(raw, 0, LIMITS)
    assert following < 5
    assert len(given_.buffer) < 4 * 9_000 * 1_100
    assert len(bomb) < 100_000


def test_secrets_are_blanked_wherever_they_stand() -> None:
    nested = text(okta(3)).replace(b'"url"', b'"u\\u0072l"')
    bad = text(okta(4, SECRET)).replace(b"05:00:04Z", b"never")
    raw = raw_batch("events", [text(okta(1)), nested, bad, text(okta(2))[:-3]])
    decoded = Mapped(AUTO, LIMITS).decode(raw)
    assert SECRET.encode() not in b"".join(
        decoded.buffer[at : at + size].tobytes() for at, size in zip(decoded.start, decoded.length, strict=True)
    )
    assert decoded.shown_start is not None
    assert decoded.shown_length is not None
    assert decoded.length.tolist() == [len(text(okta(1))), len(nested)]
    for at, size in zip(decoded.shown_start, decoded.shown_length, strict=True):
        assert SECRET.encode() not in decoded.buffer[at : at + size].tobytes()
    assert [letter.reason for letter in decoded.dead] == ["bad_time", "malformed_json"]
    assert all(b"hunter2" not in letter.body for letter in decoded.dead)
    assert [letter.size for letter in decoded.dead] == [len(bad), len(text(okta(2))) - 3]


def test_secrets_are_blanked_whatever_their_names_are_written_like() -> None:
    blanking = Blanking((("клю\U0001f511",), ("a/b",)))
    secret = {"клю\U0001f511": SECRET, "a/b": SECRET}
    escaped = text(secret).replace(b"/", b"\\/")
    buffer, rows = np.frombuffer(escaped, np.uint8).copy(), np.zeros(1, np.int64)
    blanking.rows(buffer, rows, np.array([len(escaped)], np.int32), rows)
    plain = json.dumps(secret, ensure_ascii=False).encode()
    for message in (buffer.tobytes(), blanking.of(escaped), blanking.of(plain)):
        assert json.loads(message) == dict.fromkeys(secret, "*" * len(SECRET))
    for broken in (escaped[:-1], plain[:-1]):
        assert SECRET[:7].encode() not in hide(broken, blanking.names)


def test_nothing_is_kept_of_a_compressed_message_that_cannot_be_read() -> None:
    cut = gzip.compress(ONE)[:-9]
    raw, _ = unwrap(raw_batch("events", [cut]), 0, LIMITS)
    (letter,) = Mapped(AUTO, LIMITS).decode(raw).dead
    assert (letter.reason, letter.size, letter.body) == ("bad_gzip", len(cut), b"")


@given(st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["a", "b", "pin", "x"]), inner, max_size=4)
    ),
))  # fmt: skip
def test_the_kernel_blanks_as_the_plain_code_does(value: object) -> None:
    message = text({"a": value, "deep": json.dumps({"pin": value}), "pin": value})
    blanking = Blanking((("a", "pin"), ("a", "*", "b"), ("deep", "pin"), ("pin",), ("a", "x", "*", "pin")))
    buffer = np.frombuffer(message, np.uint8).copy()
    rows = np.zeros(1, np.int64)
    blanking.rows(buffer, rows, np.array([len(message)], np.int32), rows)
    plain = blanking.of(message)
    assert buffer.tobytes() == plain
    assert len(plain) == len(message)
    found = json.loads(plain)
    assert isinstance(found["pin"], dict | list) <= (not found["pin"])
    if isinstance(value, str):
        assert found["pin"].strip("*") == ""
        assert json.loads(found["deep"])["pin"].strip("*") == ""


def test_pieces_say_which_layer_is_empty() -> None:
    assert pieces(gzip.compress(b'{"records":[]}'), LIMITS) == [Death("empty", "no event in records")]
