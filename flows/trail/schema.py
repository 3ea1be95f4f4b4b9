"""What the trail's tables hold: their columns, in the order in which a leaf's bytes have them."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
import pyarrow as pa

from flows.insights.rows import ROWS

ARCHIVED: Final = ("events", "alerts", "windows", "dead_letters", "verdicts", "actions")
"""What `lapwing archive` keeps."""
OWN: Final = ("access", "holds", "erasures", "retention")
"""What the trail keeps of itself: who read it, what is held, erased, and gone because its time was over."""
KINDS: Final = (*ARCHIVED, *OWN)
"""The tables of records, each a table of its own."""
INSIGHTS: Final = "insights"
"""The table of counts, which are made of the others' rows: none of its own is a leaf."""
USER, ACTOR, TARGET = PARTS = ("user", "actor", "target")
"""Whom an event is about, who did it, and the object of an administrative call: each seals what is its own."""
OF_USER: Final = ("user", "username", "changes")
OF_ACTOR: Final = (
    "actor", "api_key", "ip", "city", "lat", "lon", "device", "user_agent", "session", "request_id", "error",
    "endpoint",
)  # fmt: skip
"""Who did it was there, and used that device. Where the event has no actor its user is one, else nobody: the store's
own key then seals it. `endpoint` is the path as it came, with identifiers in it."""
OF_TARGET: Final = ("target",)
STRINGS: Final = ("error_code", "factor", "actor_type", "ip_type", "country", "app", "app_version")
"""Plain members that are stored as they came."""

PLAIN: Final = ("id", "action", "outcome", "reason", "method", "endpoint", *STRINGS, "status", "asn", "latency_ms")
"""Canonical members that stand in columns of their own."""
SHARED: Final = "_shared"
"""The tree of all tenants that have none of their own. No tenant with one can be named so."""
ABOUT_RECORD: Final = b"record"
"""What a sealed record is bound to."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_FIRST: Final = date(1, 1, 2).toordinal() - _EPOCH
_LAST: Final = date(9999, 12, 30).toordinal() - _EPOCH
"""Days since 1970 between which times are written."""
_TIME = pa.timestamp("us", tz="UTC")
_WORD = pa.dictionary(pa.int32(), pa.string())
_ID, _HASH = pa.binary(16), pa.binary(32)
_WHERE: Final = [
    pa.field("tree", pa.string(), nullable=False),
    pa.field("day", pa.string(), nullable=False),
    pa.field("tenant", pa.string(), nullable=False),
    pa.field("log", pa.string(), nullable=False),
    pa.field("leaf", pa.int64(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("index", pa.int32(), nullable=False),
    pa.field("time", _TIME, nullable=False),
    pa.field("received", _TIME),
]
"""Where a row belongs and came from: (tree, log, leaf) is its identity, tree and day its partition."""
EVENTS: Final = pa.schema(
    [
        *_WHERE,
        pa.field("id", pa.string()),
        *(pa.field(name, pa.string()) for name in ("action", "outcome", "reason", "method", "endpoint", *STRINGS)),
        pa.field("status", pa.int16()),
        pa.field("asn", pa.int64()),
        pa.field("latency_ms", pa.float64()),
        pa.field("risk", pa.int16()),
        pa.field("late", pa.bool_()),
        pa.field("lapwing", pa.string()),
        *(pa.field(f"{part}_id", _ID) for part in PARTS),
        *(pa.field(f"{name}_token", _ID) for name in ("ip", "session", "request")),
        *(pa.field(f"{part}_sealed", pa.binary()) for part in PARTS),
        pa.field("raw", pa.binary()),
        pa.field("raw_hash", _HASH),
        pa.field("leaf_hash", _HASH, nullable=False),
    ]
)
"""`raw_hash` is null as long as `raw` is there: its SHA-256, put in its place when its retention is over."""
RECORDS: Final = pa.schema(
    [
        *_WHERE,
        pa.field("uid", pa.string()),
        pa.field("user_id", _ID),
        pa.field("ip_token", _ID),
        pa.field("subjects", pa.list_(pa.field("element", pa.binary()))),
        pa.field("sealed", pa.binary(), nullable=False),
        pa.field("leaf_hash", _HASH, nullable=False),
    ]
)
"""Every other kind: the record as one sealed piece, and `subjects`, the ids of all whose keys it takes to open it."""
_OWN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_encode = msgspec.msgpack.Encoder().encode


def schema_of(kind: str) -> pa.Schema:
    """A kind's columns."""
    return {"events": EVENTS, INSIGHTS: ROWS}.get(kind, RECORDS)


def tree_of(tenant: str) -> str:
    """The tree that a tenant's rows grow in, where there is room for one more; names that would make odd folders
    share one.

    >>> tree_of("acme"), tree_of("../../etc"), tree_of("_shared")
    ('acme', '_shared', '_shared')
    """
    return tenant if _OWN.fullmatch(tenant) else SHARED


def leaf_bytes(values: Sequence[Any]) -> bytes:
    """What a leaf's hash is over: a row's stored values as one MessagePack array, in the order of its schema.

    Times are integer microseconds. The last value, the hash itself, is not among them; of events neither is `raw`:
    `raw_hash` stands for it, filled in where it is null, so that a row is proven whether its message is still kept
    or not.
    """
    return _encode(values)


def leaf_hash(values: Sequence[Any]) -> bytes:
    """RFC 9162, 2.1.1: SHA-256 of a zero byte and the leaf's bytes.

    >>> leaf_hash(["acme", "2026-11-02", "events.ndjson", 0]).hex()[:16]
    '63155a9c8ce559fc'
    """
    return hashlib.sha256(b"\x00" + _encode(values)).digest()


def day_of(time: int) -> str:
    """The partition of a time in microseconds UTC.

    >>> day_of(1_793_577_600_000_000)
    '2026-11-02'
    """
    return datetime.fromtimestamp(time // 1_000_000, UTC).date().isoformat()


def stamp(time: int) -> str:
    """A time in microseconds as text; what lies before the year 1 or after 9999 as their ends.

    >>> stamp(1_793_577_600_000_123), stamp(-(2**62))
    ('2026-11-02T00:00:00.000123Z', '0001-01-02T00:00:00.000000Z')
    """
    days, rest = divmod(time, 86_400_000_000)
    if not _FIRST <= days < _LAST:
        days, rest = (_FIRST if days < _FIRST else _LAST), 0
    seconds, micro = divmod(rest, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{date.fromordinal(_EPOCH + days).isoformat()}T{hour:02d}:{minute:02d}:{second:02d}.{micro:06d}Z"
