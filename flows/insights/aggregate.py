"""From events and alerts to rows of aggregates: pure accumulation, in any order and in any pieces."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from flows.insights.rows import OTHER, ROWS, SKETCH, bounded, merged
from flows.insights.sketch import packed

TAKEN: Final = (
    "tree", "day", "tenant", "time", "action", "outcome", "status", "factor", "actor_type", "country", "app",
    "app_version", "method", "endpoint", "latency_ms", "user_id", "actor_id", "ip_token",
)  # fmt: skip
"""The trail's columns that are counted."""
READ: Final = ("browser", "os", "device", "city")
"""What is read of a message before it is sealed, columns beside `TAKEN`; null where it does not say. A city is its
name, country, latitude and longitude, see `place`."""
BETWEEN: Final = "\x1f"
"""Stands between the parts of a key."""
UNKNOWN: Final = "unknown"
STEPS: Final = 4
"""Buckets of a latency between one power of two and the next: each is 19 % wide."""
_LONGEST: Final = 300
"""Characters of a key: senders choose them."""
_HOUR: Final = 3_600_000_000
_DAY: Final = 24 * _HOUR

Hide = Callable[[str, str], tuple[str, bytes]]
"""The token and the sealed form of a tenant's name for something, a city."""
Mask = NDArray[np.bool_]


class Measure(NamedTuple):
    """What is counted: of which rows, under which key and part."""

    name: str
    rows: Mask
    key: pa.ChunkedArray
    part: pa.ChunkedArray | str = ""
    hourly: bool = False


@lru_cache(1 << 12)
def place(city: str, country: str, lat: float, lon: float) -> str:
    """A city as one name. Its place, NaN where it is not known, is rounded to a tenth of a degree, about 11 km: no one
    lives there.

    >>> place("Basel", "CH", 47.5581, 7.5878).split(BETWEEN)
    ['Basel', 'CH', '47.6', '7.6']
    """
    known = abs(lat) <= 90 and abs(lon) <= 180
    where = (f"{lat:.1f}", f"{lon:.1f}") if known else ("", "")
    return BETWEEN.join((city.replace(BETWEEN, " "), country.replace(BETWEEN, " "), *where))


def accumulate(events: pa.Table, hide: Hide) -> pa.Table:
    """The aggregates of some events (columns `TAKEN` and `READ`), as rows that `merged` adds to others.

    However events are cut into pieces, their merged rows are the same as long as no piece has more than `rows.KEYS`
    names of something; of more the rarest are "other". About a microsecond an event in large pieces.
    """
    if not events.num_rows:
        return ROWS.empty_table()
    events = events.combine_chunks()
    bad = _is(events, "outcome", "failure", "blocked")
    users = _users(events)
    active = _people(events, users)
    parts = [_counted(events, one, bad, users) for one in _measures(events, bad, active)]
    return _hidden(bounded(merged(pa.concat_tables(parts))), hide)


def of_alerts(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """The aggregates of alerts: incidents by detection and severity, each counted when it is created.

    Parameters
    ----------
    rows
        `tree`, `day`, `tenant` and `record`, the alert.
    """
    made = []
    for row in rows:
        record = row["record"]
        if record.get("activity_id") != 1:
            continue
        analytic = (record.get("finding_info") or {}).get("analytic") or {}
        start = np.datetime64(row["day"], "us").astype(np.int64).item()
        made.append({
            **{name: row[name] for name in ("tree", "day", "tenant")},
            "time": start, "measure": "detection", "key": str(analytic.get("uid") or UNKNOWN)[:200],
            "part": str(record.get("severity") or UNKNOWN).lower()[:20], "count": 1, "failures": 0,
            "users": None, "name": None,
        })  # fmt: skip
    return bounded(merged(pa.Table.from_pylist(made, ROWS))) if made else ROWS.empty_table()


def _measures(events: pa.Table, bad: Mask, active: Mask) -> list[Measure]:
    login, mfa, reset = (_is(events, "action", name) for name in ("login", "mfa_challenge", "password_reset_request"))
    register, completed = _is(events, "action", "register"), _is(events, "action", "password_reset")
    good, challenged = _is(events, "outcome", "success"), _is(events, "outcome", "challenge")
    every = np.ones(events.num_rows, bool)
    path = events["endpoint"].is_valid().to_numpy()
    endpoint = _joined(events["method"], events["endpoint"], " ")
    timed = path & events["latency_ms"].is_valid().to_numpy()
    source = _hex(events["ip_token"], reset | register | (login & bad))
    found = [
        Measure("hourly", every, events["action"], events["outcome"], hourly=True),
        *(Measure(name, login, events[name]) for name in ("country", "city", "browser", "os", "device")),
        Measure("app", every & events["app"].is_valid().to_numpy(), _joined(events["app"], events["app_version"])),
        Measure("factor", login | mfa, events["factor"], events["action"]),
        Measure("active", active, _constant(events, "users")),
        Measure("ip_reset", reset, source),
        Measure("ip_failure", login & bad, source),
        Measure("ip_register", register, source),
        Measure("endpoint", path, endpoint),
        Measure("latency", timed, endpoint, _bucket(events["latency_ms"])),
    ]
    funnel = {
        "reset requested": reset & ~bad, "reset completed": completed & good,
        "MFA offered": mfa | (login & challenged), "MFA passed": mfa & good,
    }  # fmt: skip
    return [*found, *(Measure("funnel", mask, _constant(events, name)) for name, mask in funnel.items())]


def _counted(events: pa.Table, measure: Measure, bad: Mask, users: NDArray[np.uint64]) -> pa.Table:
    """One measure's rows."""
    wrong = bad | (pc.fill_null(events["status"], 0).to_numpy() >= 400) if measure.name in _CALLS else bad
    unit = _HOUR if measure.hourly else _DAY
    time = events["time"].cast(pa.int64()).to_numpy() // unit * unit
    key = pc.utf8_slice_codeunits(pc.fill_null(measure.key, UNKNOWN), 0, _LONGEST)
    part = _constant(events, measure.part) if isinstance(measure.part, str) else pc.fill_null(measure.part, UNKNOWN)
    which = pa.array(measure.rows)
    columns = {
        **{name: events[name] for name in ("tree", "day", "tenant")},
        "time": pa.array(time), "key": key, "part": part, "failures": pa.array(wrong.astype(np.int64)),
        "user": pa.array(users),
    }  # fmt: skip
    rows = pa.table(columns).filter(which)
    by = ["tree", "day", "tenant", "time", "key", "part"]
    sums = [("failures", "count"), ("failures", "sum")]
    kept = SKETCH.get(measure.name)
    groups = rows.group_by(by).aggregate([*sums, ("user", "distinct")] if kept else sums)
    sketches: list[bytes | None] = [None] * groups.num_rows
    if kept:
        sketches = [_sketch(some.values, kept) for some in groups["user_distinct"]]
    return pa.table(
        [
            *(groups[name] for name in ("tree", "day", "tenant")),
            groups["time"].cast(ROWS.field("time").type),
            pa.repeat(pa.scalar(measure.name), groups.num_rows),
            groups["key"], groups["part"], groups["failures_count"], groups["failures_sum"],
            pa.array(sketches, pa.binary()), pa.nulls(groups.num_rows, pa.binary()),
        ],
        schema=ROWS,
    )  # fmt: skip


_CALLS: Final = ("app", "endpoint", "latency")
"""Measures of calls, which fail by their status too; the others count failed and blocked outcomes."""


def _sketch(users: pa.Array, most: int) -> bytes:
    ids = users.to_numpy()
    return packed(ids[ids > 0], most)


def _hidden(rows: pa.Table, hide: Hide) -> pa.Table:
    """The rows with cities as tokens, their names sealed: a city of one user says where that one is."""
    keys, names = rows["key"].to_pylist(), rows["name"].to_pylist()
    for at, (measure, tenant) in enumerate(zip(rows["measure"].to_pylist(), rows["tenant"].to_pylist(), strict=True)):
        if measure == "city" and keys[at] not in (UNKNOWN, OTHER):
            keys[at], names[at] = hide(tenant, keys[at])
    columns = {"key": pa.array(keys, pa.string()), "name": pa.array(names, pa.binary())}
    return pa.table([columns.get(name, rows[name]) for name in ROWS.names], schema=ROWS)


def _users(events: pa.Table) -> NDArray[np.uint64]:
    """Eight bytes of the id of who did it, random as all of it is; 0 for nobody."""
    ids = pc.fill_null(pc.coalesce(events["actor_id"], events["user_id"]), bytes(16)).combine_chunks()
    values = np.frombuffer(ids.buffers()[1], "<u8").reshape(-1, 2)[ids.offset : ids.offset + len(ids), 0]
    return values.astype(np.uint64)


def _people(events: pa.Table, users: NDArray[np.uint64]) -> Mask:
    """What somebody did who was let in: no failure, no program."""
    person = pc.is_in(pc.fill_null(events["actor_type"], "user"), pa.array(["user", "admin"]))
    mask: Mask = _is(events, "outcome", "success") & person.to_numpy() & (users > 0)
    return mask


def _is(events: pa.Table, column: str, *values: str) -> Mask:
    found: Mask = pc.is_in(events[column], pa.array(values)).to_numpy()
    return found


def _joined(first: pa.ChunkedArray, second: pa.ChunkedArray, between: str = BETWEEN) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(pc.fill_null(first, "-"), pc.fill_null(second, UNKNOWN), between)


def _hex(tokens: pa.ChunkedArray, wanted: Mask) -> pa.ChunkedArray:
    """Half of each wanted token as text: enough to tell addresses of a tenant apart."""
    out: list[str | None] = [None] * len(wanted)
    rows = np.flatnonzero(wanted)
    for row, token in zip(rows.tolist(), tokens.take(pa.array(rows)).to_pylist(), strict=True):
        out[row] = token and token[:8].hex()
    return pa.chunked_array([pa.array(out, pa.string())])


def _bucket(latency: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which bucket a latency lies in, from a sixteenth of a millisecond to four and a half hours."""
    values = pc.fill_null(latency, 0.0).to_numpy()
    steps = np.floor(np.log2(np.clip(values, 2.0**-4, 2.0**24)) * STEPS).astype(np.int64)
    return pa.chunked_array([pa.array(steps).cast(pa.string())])


def _constant(events: pa.Table, value: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.repeat(pa.scalar(value), events.num_rows)])
