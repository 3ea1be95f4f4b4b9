"""The scored line: the event's own bytes and one member that says what was known."""

import json
import math
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flows.formats.scored import encode
from models.base import FEATURES, HAS_ID, JUMPED, LATE, NO_FEATURE
from models.event import EventBatch, ScoredBatch
from models.kernels.splice import MOST_ADDED, millionths, put_float, put_int, put_millionths
from tests import naive_splice

TIME = 1_795_410_060_123_456


def batch_of(messages: list[bytes], notes: list[bytes] | None = None, **columns: Any) -> EventBatch:
    notes = notes or [b""] * len(messages)
    n = len(messages)
    text = b"".join(messages) + b"".join(notes)
    ends = np.cumsum([len(x) for x in messages + notes])
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    given_columns: dict[str, Any] = {
        "flags": np.full(n, HAS_ID, np.uint8), "time": np.full(n, TIME, np.int64),
        "offset": np.arange(n, dtype=np.int64), "index": np.zeros(n, np.int32),
    } | columns  # fmt: skip
    zeros: dict[str, Any] = {
        name: np.zeros(n, np.uint8) for name in ("counts", "action", "outcome", "reason", "method")
    }
    return EventBatch(
        source="login.ndjson", sources=("login.ndjson",), number=0, first=(0, 0), reached=(n, 0), watermark_before=0,
        watermark=0, idle=False, buffer=np.frombuffer(text, np.uint8).copy(), start=starts[:n],
        length=np.array([len(m) for m in messages], np.int32), note_start=starts[n:],
        note_length=np.array([len(m) for m in notes], np.int32), place=np.full(n, TIME, np.int64),
        status=np.zeros(n, np.int16), entity=np.zeros((4, n), np.uint64), names=np.zeros(0, np.uint8),
        name_start=np.zeros((4, n), np.int64), name_length=np.zeros((4, n), np.int32), target=np.zeros(n, np.uint64),
        **zeros, **given_columns,
    )  # fmt: skip


def scored_of(batch: EventBatch, **columns: Any) -> ScoredBatch:
    n = len(batch)
    values: dict[str, Any] = {
        name: np.full((4, n), np.nan) for name in ("score", "quantile", "z", "expected", "observed")
    }
    values |= {
        "feature": np.full((4, n), NO_FEATURE, np.uint8), "risk": np.full(n, -1, np.int16),
        "uid_from": np.zeros(n + 1, np.int64), "uids": np.zeros(0, np.uint8), "uids_more": np.zeros(n, np.int32),
    }  # fmt: skip
    return ScoredBatch(batch, **(values | columns))


def lines(scored: ScoredBatch) -> list[bytes]:
    with np.errstate(over="ignore"):  # without the compiler numpy would warn of the hash's wrap-around
        out, end = encode(scored)
    cut = [0, *end.tolist()]
    assert cut[-1] == len(out)
    return [out[a:b].tobytes() for a, b in pairwise(cut)]


def written(x: float) -> str:
    out = np.zeros(32, np.uint8)
    return out[: put_float(out, 0, x)].tobytes().decode()


@settings(max_examples=400, deadline=None)
@given(st.floats(1e-5, 9.9e8) | st.floats(0.5, 2000) | st.integers(0, 10**9).map(float))
@example(0.00099995)
@example(9999.5)
@example(99995000.0)
@example(2.5005)
@example(1234.5)
@example(1233.5)
@example(999950000.0)
def test_a_float_is_the_decimal_nearest_to_it(x: float) -> None:
    assert written(x) == naive_splice.number(x)
    assert written(-x) == naive_splice.number(-x)


@settings(max_examples=400, deadline=None)
@given(st.floats(allow_nan=True, allow_infinity=True))
@example(5e-324)
@example(1.7976931348623157e308)
@example(1e-5)
@example(9.9995e-5)
def test_any_float_is_valid_json_of_one_type(x: float) -> None:
    text = written(x)
    assert len(text) <= 12
    if not math.isfinite(x):
        assert text == "null"
        return
    assert "." in text
    value = json.loads(text)
    assert isinstance(value, float)
    last = max(Decimal(10) ** (int(f"{abs(x):.3e}".split("e")[1]) - 3), Decimal(math.ulp(0.0))) if x else Decimal(0)
    assert abs(Decimal(value) - Decimal(x)) <= (Decimal("0.5001") if abs(x) < 1.797e308 else 1) * last


@settings(max_examples=500, deadline=None)
@given(st.floats(0, 1) | st.floats(0.99, 1) | st.integers(0, 10**6).map(lambda i: i / 1e6) | st.just(math.nan))
@example(0.9999999)
@example(1.0)
@example(np.nextafter(1.0, 0.0))
@example(0.8999995)
def test_a_quantile_has_six_decimals_and_is_one_only_at_one(q: float) -> None:
    out = np.zeros(32, np.uint8)
    text = out[: put_millionths(out, 0, millionths(q))].tobytes().decode()
    assert text == naive_splice.quantile(q)
    assert (text == "1.000000") == (q == 1.0)


@given(st.integers(-(2**62), 2**62))
def test_an_integer_is_its_decimal(number: int) -> None:
    out = np.zeros(32, np.uint8)
    assert out[: put_int(out, 0, number)].tobytes().decode() == str(number)


ROW = st.fixed_dictionaries({
    "feature": st.lists(st.sampled_from([*range(len(FEATURES)), NO_FEATURE]), min_size=4, max_size=4),
    "quantile": st.lists(st.floats(0, 1) | st.floats(0.89, 1) | st.just(math.nan), min_size=4, max_size=4),
    **{name: st.lists(st.floats(-1e8, 1e8) | st.just(math.nan), min_size=4, max_size=4)
       for name in ("score", "z", "expected", "observed")},
    "risk": st.integers(-1, 100),
    "uids": st.lists(st.binary(min_size=16, max_size=16), max_size=4),
    "uids_more": st.integers(0, 5),
    "flags": st.sampled_from([HAS_ID, HAS_ID | LATE, HAS_ID | JUMPED, HAS_ID | LATE | JUMPED]),
    "time": st.integers(946_684_800_000_000, 4_102_444_800_000_000),
    "extra": st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none(), max_size=3),
    "ignored": st.lists(st.sampled_from(["status", "user_agent", "ip", 'od"d', "back\\slash"]), max_size=3),
})  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=5))
def test_every_row_is_its_own_bytes_and_the_member_as_defined(rows: list[dict[str, Any]]) -> None:
    messages = [json.dumps({"time": 1} | row["extra"]).encode() for row in rows]
    notes = [json.dumps(row["ignored"], separators=(",", ":")).encode() if row["ignored"] else b"" for row in rows]
    batch = batch_of(
        messages, notes,
        flags=np.array([row["flags"] for row in rows], np.uint8),
        time=np.array([row["time"] for row in rows], np.int64),
    )  # fmt: skip
    columns: dict[str, Any] = {
        name: np.array([row[name] for row in rows]).T for name in ("score", "quantile", "z", "expected", "observed")
    }
    scored = scored_of(
        batch, **columns,
        feature=np.array([row["feature"] for row in rows], np.uint8).T,
        risk=np.array([row["risk"] for row in rows], np.int16),
        uid_from=np.cumsum([0, *(len(row["uids"]) for row in rows)]),
        uids=np.frombuffer(b"".join(uid for row in rows for uid in row["uids"]), np.uint8).copy(),
        uids_more=np.array([row["uids_more"] for row in rows], np.int32),
    )  # fmt: skip
    for row, (line, message) in enumerate(zip(lines(scored), messages, strict=True)):
        member = naive_splice.member(scored, row, "", notes[row].decode())
        assert line == message[:-1] + b"," + member.encode() + b"}\n"


def worst(note: bytes) -> tuple[bytes, bytes]:
    """A row on which everything is as long as it can be; the message and its line."""
    message = b'{"time":1}'
    batch = batch_of(
        [message], [note],
        flags=np.array([JUMPED], np.uint8), time=np.array([4_102_444_799_999_999], np.int64),
        offset=np.array([2**62]), index=np.array([2**31 - 1], np.int32),
    )  # fmt: skip
    longest = max(range(len(FEATURES)), key=lambda i: len(FEATURES[i]))
    tiny = np.full((4, 1), -1.235e-300)
    scored = scored_of(
        batch, feature=np.full((4, 1), longest, np.uint8), score=np.full((4, 1), -999_900_000.0),
        quantile=np.full((4, 1), 0.999999), z=np.full((4, 1), -999_900_000.0), expected=tiny, observed=tiny,
        risk=np.array([100], np.int16), uid_from=np.array([0, 4]), uids=np.arange(64, dtype=np.uint8),
        uids_more=np.array([2**31 - 1], np.int32),
    )  # fmt: skip
    return message, lines(scored)[0]


@pytest.mark.parametrize("note", [b"", b'["user_agent"]', json.dumps([f"member-{i}" for i in range(9999)]).encode()])
def test_no_event_grows_by_more_than_the_most(note: bytes) -> None:
    message, line = worst(note)
    assert len(line) - len(message + b"\n") <= MOST_ADDED
    member = json.loads(line)["lapwing"]
    assert member["alerts_more"] == 2**31 - 1
    assert len(member["alerts"]) == 4
    if note:
        names = json.loads(note)
        kept = member["ignored"]
        assert kept == names[: len(kept)]
        assert len(kept) + member.get("ignored_more", 0) == len(names)


def test_many_ignored_members_are_counted_where_they_do_not_fit() -> None:
    names = [f"member_{i}" for i in range(100)]
    batch = batch_of([b'{"time":1}'], [json.dumps(names).encode()])
    line = lines(scored_of(batch))[0]
    member = json.loads(line)["lapwing"]
    assert 30 < len(member["ignored"]) < 100
    assert member["ignored"] == names[: len(member["ignored"])]
    assert member["ignored_more"] == 100 - len(member["ignored"])
    assert len(line) - len(b'{"time":1}\n') <= MOST_ADDED


def test_an_ordinary_event_grows_by_at_most_340_bytes() -> None:
    message = b'{"time":1}'
    for feature in range(len(FEATURES)):
        scored = scored_of(
            batch_of([message]), feature=np.full((4, 1), feature, np.uint8), score=np.full((4, 1), 12.345),
            quantile=np.full((4, 1), 0.899999), risk=np.array([19], np.int16),
        )  # fmt: skip
        assert len(lines(scored)[0]) - len(message + b"\n") <= 340


def test_line_breaks_become_spaces_and_nothing_else_changes() -> None:
    message = '{\r\n "time": 1,\n\t"city": "Zürich", "a": [1.50, 1e400]\r\n}'.encode()
    line = lines(scored_of(batch_of([message])))[0]
    assert line.count(b"\n") == 1
    assert line.startswith(message.replace(b"\r", b" ").replace(b"\n", b" ")[:-1] + b',"lapwing":{"v":1,')


def test_a_missing_id_follows_from_the_place_of_the_event_alone() -> None:
    n = 3000
    offset, index = np.arange(n) // 3, (np.arange(n) % 3).astype(np.int32)
    batch = batch_of([b'{"time":1}'] * n, flags=np.zeros(n, np.uint8), offset=offset, index=index)

    def ids(batch: EventBatch) -> list[str]:
        return [json.loads(line)["lapwing"]["id"] for line in lines(scored_of(batch))]

    first = ids(batch)
    assert len(set(first)) == n
    assert all(len(identity) == 32 and set(identity) <= set("0123456789abcdef") for identity in first)
    assert first == ids(batch)
    assert not set(first) & set(ids(replace(batch, source="other.ndjson")))
    assert ids(batch_of([b'{"time":1}'], flags=np.zeros(1, np.uint8), offset=offset[7:8], index=index[7:8])) == [
        first[7]
    ]


def test_an_empty_batch_is_no_bytes() -> None:
    out, end = encode(scored_of(batch_of([])))
    assert len(out) == 0
    assert len(end) == 0


def test_unknown_is_null_and_never_zero() -> None:
    member = json.loads(lines(scored_of(batch_of([b'{"time":1}']), feature=np.zeros((4, 1), np.uint8)))[0])["lapwing"]
    assert member["risk"] is None
    assert member["scores"]["user"] == {"feature": "events_1m", "score": None, "quantile": None}
    assert "tenant" not in member["scores"]
