"""Messages that nobody should send, each with what must become of it."""

import gzip
import json
from typing import Any, NamedTuple

from tests.kafka.endpoint import Endpoint
from tests.kafka.records import Record, produce
from tests.kafka_raw import RawRecord, produce_raw

MOMENT_MS = 1_795_410_000_000
MESSAGE_MOST, SCORED_MOST, DEAD_MOST = 100_000, 20_000, 30_000
"""What the input takes as a message, and what the topics of scored events and of dead letters take."""
FOR_EVER = str(2**63 - 1)
SETTINGS = {
    "events": {"max.message.bytes": "4000000", "message.timestamp.after.max.ms": FOR_EVER},
    "scored": {"max.message.bytes": str(SCORED_MOST)},
    "dead_letters": {"max.message.bytes": str(DEAD_MOST)},
}
INPUT = f"[input]\nmax_message_bytes = {MESSAGE_MOST}\nmax_depth = 20\n"


class Poison(NamedTuple):
    """`reason` is that of its dead letter; None: it is scored."""

    name: str
    value: bytes | None
    reason: str | None = None
    key: bytes | None = b""
    headers: tuple[tuple[bytes, bytes | None], ...] = ()
    timestamp: int = MOMENT_MS


def event(**members: Any) -> bytes:
    return json.dumps({"time": MOMENT_MS - 2000, "user": "u1", "ip": "203.0.113.1", **members}).encode()


def with_text(text: bytes, member: bytes = b"note") -> bytes:
    """An event with a member as it stands, JSON or not."""
    return event()[:-1] + b', "' + member + b'": ' + text + b"}"


GOOD = event(outcome="success")
SECRET = b"hunter2-hunter2"
POISON = [
    Poison("null value", None, "empty"),
    Poison("empty value", b"", "empty"),
    Poison("blanks", b" \t\r\n ", "empty"),
    Poison("text", b"hello", "malformed_json"),
    Poison("array", b"[1, 2]", "not_an_object"),
    Poison("null", b"null", "not_an_object"),
    Poison("string", b'"event"', "not_an_object"),
    Poison("cut off", GOOD[:-9], "malformed_json"),
    Poison("two in one", GOOD + GOOD, "malformed_json"),
    Poison("empty object", b"{}", "missing_time"),
    Poison("byte order mark", b"\xef\xbb\xbf" + GOOD),
    Poison("NaN", with_text(b"NaN", b"latency_ms"), "malformed_json"),
    Poison("huge number", with_text(b"1e999999", b"latency_ms")),
    Poison("long integer", with_text(b"9" * 5000, b"latency_ms")),
    Poison("huge time", b'{"user": "u1", "time": 1e400}', "bad_time"),
    Poison("deep", with_text(b"[" * 30 + b"]" * 30), "too_deep"),
    Poison("bottomless", with_text(b"[" * 40_000), "too_deep"),
    Poison("bad UTF-8 in a string", with_text(b'"\xff\xfe\x80"')),
    Poison("bad UTF-8 all over", b"\xff\xfe\x80\x81", "bad_utf8"),
    Poison("UTF-16", GOOD.decode().encode("utf-16"), "bad_utf8"),
    Poison("lone surrogate", with_text(rb'"\ud800"')),
    Poison("NUL bytes", b"\x00" * 100, "malformed_json"),
    Poison("gzip file", gzip.compress(GOOD, mtime=0), "bad_utf8"),
    Poison("no time", b'{"user": "u1"}', "missing_time"),
    Poison("bad time", b'{"user": "u1", "time": "yesterday"}', "bad_time"),
    Poison("from the future", event(time=MOMENT_MS + 120_000), "future_time"),
    Poison("nobody", json.dumps({"time": MOMENT_MS - 2000, "outcome": "success"}).encode(), "no_entity"),
    Poison("reserved", event(lapwing={"risk": 0}), "reserved_member"),
    Poison("duplicates", with_text(b'"u2"', b"user")),
    Poison("wrong types", event(ip=[1], outcome=7, status="abc", changes="no")),
    Poison("ten thousand members", json.dumps(
        {"time": MOMENT_MS - 2000, "user": "u1"} | {f"m{k}": k for k in range(1200)}).encode()),
    Poison("line breaks", GOOD.replace(b", ", b",\r\n\n")),
    Poison("names of any length", event(tenant="t" * 3000, endpoint="/" + "e" * 3000)),
    Poison("too large", event(note="x" * MESSAGE_MOST), "too_large"),
    Poison("far too large", event(note="x" * 3_000_000), "too_large"),
    Poison("too large when scored", event(note="x" * (SCORED_MOST - 500)), "output_too_large"),
    Poison("nearly too large when scored", event(note="x" * (SCORED_MOST - 3000))),
    Poison("too large also as a dead letter", event(note="x" * (MESSAGE_MOST - 500)), "output_too_large"),
    Poison("huge key", GOOD, "output_too_large", b"k" * 200_000),
    Poison("huge key of no event", b"hello", "malformed_json", b"k" * 200_000),
    Poison("huge header", GOOD, "output_too_large", headers=((b"h", b"v" * 200_000),)),
    Poison("huge header of no event", b"hello", "malformed_json", headers=((b"h" * 30_000, b"v" * 200_000),)),
    Poison("many headers", GOOD, headers=tuple((b"h%d" % k, b"v") for k in range(600))),
    Poison("many headers of no event", b"hello", "malformed_json", headers=((b"h", b"v" * 900),) * 500),
    Poison("header name not UTF-8", GOOD, headers=((b"\xff\xfe", b"v"), (b"fine", b"w"))),
    Poison("header name not UTF-8 of no event", b"hello", "malformed_json", headers=((b"\xff", b"v"),)),
    Poison("header name with NUL", GOOD, headers=((b"nul\x00name", b"v"),)),
    Poison("secrets in headers", b'{"password": "' + SECRET + b'"', "malformed_json", headers=(
        (b"Authorization", SECRET), (b"x-api-token", SECRET), (b"Set-Cookie", SECRET), (b"plain", b"shown"))),
    Poison("control bytes in the key", GOOD, None, bytes(range(32)) + b"\x7f\xff"),
    Poison("control bytes in the key of no event", b"hello", "malformed_json", bytes(range(32)) + b"\x7f\xff"),
    Poison("no key", GOOD, None, None),
    Poison("timestamp -1", GOOD, timestamp=-1),
    Poison("timestamp below", GOOD, timestamp=-(2**63)),
    Poison("timestamp 1", GOOD, "future_time", timestamp=1),
    Poison("timestamp of another age", GOOD, timestamp=32_503_680_000_000),
    Poison("timestamp of the end", GOOD, timestamp=2**63 - 1),
    Poison("timestamp of the end of no event", b"hello", "malformed_json", timestamp=2**63 - 1),
]  # fmt: skip
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def named(poison: Poison) -> Poison:
    """With its name as the key, where the key is not what it is about."""
    return poison._replace(key=poison.name.encode()) if poison.key == b"" else poison


def produce_poison(kafka: Endpoint, topic: str, chosen: list[Poison]) -> None:
    """Write them, in order, to partition 0."""
    raw = [RawRecord(one.value, one.key, one.headers, one.timestamp) for one in map(named, chosen)]
    produce_raw(kafka, topic, raw)


def produce_compressed(kafka: Endpoint, topic: str) -> list[Poison]:
    """A batch of each codec with good and bad events, in partition 0; what was written."""
    written = []
    for codec in CODECS:
        batch = [
            Poison(f"{codec} good", GOOD), Poison(f"{codec} bad", b"hello", "malformed_json"),
            Poison(f"{codec} large", event(note="x" * 300_000), "too_large"),
        ]  # fmt: skip
        records = [Record(one.value, one.name.encode(), (), one.timestamp, 0) for one in batch]
        produce(kafka.client(**{"compression.type": codec}), topic, records)
        written += batch
    return written
