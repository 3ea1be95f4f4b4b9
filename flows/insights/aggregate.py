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


class Coded(NamedTuple):
    """A column by numbers: `codes` say which of `values` each row has."""

    codes: NDArray[np.int64]
    values: list[str]


class Measure(NamedTuple):
    """What is counted: of which rows, under which key and part."""

    name: str
    rows: Mask
    key: Coded
    part: Coded
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
    names of something; of more the rarest are "other". About two microseconds an event in large pieces.
    """
    if not events.num_rows:
        return ROWS.empty_table()
    events = events.combine_chunks()
    action, outcome = _coded(events["action"]), _coded(events["outcome"])
    bad = _is(outcome, "failure", "blocked")
    users = _users(events)
    active = _people(events, outcome, users)
    where = _where(events)
    parts = [_counted(events, one, bad, users, where) for one in _measures(events, action, outcome, bad, active)]
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


_OF_LOGINS: Final = ("country", "city", "browser", "os", "device")


def _measures(events: pa.Table, action: Coded, outcome: Coded, bad: Mask, active: Mask) -> list[Measure]:
    login, mfa, reset = (_is(action, name) for name in ("login", "mfa_challenge", "password_reset_request"))
    register, completed = _is(action, "register"), _is(action, "password_reset")
    good, challenged = _is(outcome, "success"), _is(outcome, "challenge")
    every = np.ones(events.num_rows, bool)
    path = events["endpoint"].is_valid().to_numpy()
    nothing = _constant(events, "")
    endpoint = _joined(_coded(events["method"], "-"), _coded(events["endpoint"]), " ")
    timed = path & events["latency_ms"].is_valid().to_numpy()
    source = _source(events["ip_token"])
    found = [
        Measure("hourly", every, action, outcome, hourly=True),
        *(Measure(name, login, _coded(events[name]), nothing) for name in _OF_LOGINS),
        Measure("app", every & events["app"].is_valid().to_numpy(),
                _joined(_coded(events["app"]), _coded(events["app_version"])), nothing),
        Measure("factor", login | mfa, _coded(events["factor"]), action),
        Measure("active", active, _constant(events, "users"), nothing),
        Measure("ip_reset", reset, source, nothing),
        Measure("ip_failure", login & bad, source, nothing),
        Measure("ip_register", register, source, nothing),
        Measure("endpoint", path, endpoint, nothing),
        Measure("latency", timed, endpoint, _bucket(events["latency_ms"])),
    ]  # fmt: skip
    funnel = {
        "reset requested": reset & ~bad, "reset completed": completed & good,
        "MFA offered": mfa | (login & challenged), "MFA passed": mfa & good,
    }  # fmt: skip
    return [*found, *(Measure("funnel", mask, _constant(events, name), nothing) for name, mask in funnel.items())]


def _where(events: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which events are of the same tree, day, tenant and hour, and which of the same day."""
    code = _coded(events["tree"]).codes
    for name in ("tenant", "day"):
        code = _same(code, _coded(events[name]).codes)
    time = events["time"].cast(pa.int64()).to_numpy()
    return _same(code, _numbered(time // _HOUR)), _same(code, _numbered(time // _DAY))


def _counted(
    events: pa.Table,
    measure: Measure,
    bad: Mask,
    users: NDArray[np.uint64],
    where: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> pa.Table:
    """One measure's rows: counted by numbers, and spelled out where each number comes first."""
    rows = np.flatnonzero(measure.rows)
    wrong = bad | (pc.fill_null(events["status"], 0).to_numpy() >= 400) if measure.name in _CALLS else bad
    code = _same(where[0 if measure.hourly else 1][rows], measure.key.codes[rows], measure.part.codes[rows])
    first = _first(code)
    counts, failures = (np.bincount(code, weights).astype(np.int64) for weights in (None, wrong[rows]))
    kept = SKETCH.get(measure.name)
    sketches: list[bytes | None] = [None] * len(first)
    if kept:
        order = np.argsort(code, kind="stable")
        ids = np.split(users[rows][order], np.cumsum(counts)[:-1]) if len(first) else []
        sketches = [packed(some[some > 0], kept) for some in ids]
    at = rows[first]
    of = events.select(["tree", "day", "tenant", "time"]).take(pa.array(at))
    unit = _HOUR if measure.hourly else _DAY
    time = of["time"].cast(pa.int64()).to_numpy() // unit * unit
    key, part = ([of.values[code][:_LONGEST] for code in of.codes[at].tolist()] for of in (measure.key, measure.part))
    return pa.table(
        [
            *(of[name] for name in ("tree", "day", "tenant")),
            pa.array(time).cast(ROWS.field("time").type),
            pa.repeat(pa.scalar(measure.name), len(first)),
            pa.array(key, pa.string()), pa.array(part, pa.string()), pa.array(counts), pa.array(failures),
            pa.array(sketches, pa.binary()), pa.nulls(len(first), pa.binary()),
        ],
        schema=ROWS,
    )  # fmt: skip


_CALLS: Final = ("app", "endpoint", "latency")
"""Measures of calls, which fail by their status too; the others count failed and blocked outcomes."""


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


def _people(events: pa.Table, outcome: Coded, users: NDArray[np.uint64]) -> Mask:
    """What somebody did who was let in: no failure, no program."""
    return _is(outcome, "success") & _is(_coded(events["actor_type"], "user"), "user", "admin") & (users > 0)


def _is(column: Coded, *values: str) -> Mask:
    found: Mask = np.array([value in values for value in column.values], bool)[column.codes]
    return found


def _coded(column: pa.ChunkedArray, missing: str = UNKNOWN) -> Coded:
    """A column of strings by numbers."""
    made = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
    values = [missing if value is None else value for value in made.dictionary.to_pylist()]
    return Coded(made.indices.to_numpy().astype(np.int64), values)


def _constant(events: pa.Table, value: str) -> Coded:
    return Coded(np.zeros(events.num_rows, np.int64), [value])


def _numbered(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers from 0 on in the place of others."""
    from models.kernels.distinct import numbered  # what reads reports does without numba

    return numbered(values)[0]


def _same(first: NDArray[np.int64], *others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which rows agree in several columns of numbers, each below 2^31, by numbers from 0 on."""
    code = first
    for other in others:
        code = _numbered(code * (int(other.max(initial=0)) + 1) + other)
    return code


def _first(code: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each number from 0 on comes first."""
    found = np.empty(int(code.max(initial=-1)) + 1, np.int64)
    found[code[::-1]] = np.arange(len(code))[::-1]
    return found


def _joined(first: Coded, second: Coded, between: str = BETWEEN) -> Coded:
    """Two columns as one."""
    code = _same(first.codes, second.codes)
    at = _first(code)
    pairs = zip(first.codes[at].tolist(), second.codes[at].tolist(), strict=True)
    return Coded(code, [f"{first.values[a]}{between}{second.values[b]}" for a, b in pairs])


def _source(tokens: pa.ChunkedArray) -> Coded:
    """Half of each token as text: enough to tell addresses of a tenant apart."""
    made = pc.dictionary_encode(tokens.combine_chunks(), null_encoding="encode")
    values = [UNKNOWN if token is None else token[:8].hex() for token in made.dictionary.to_pylist()]
    return Coded(made.indices.to_numpy().astype(np.int64), values)


def _bucket(latency: pa.ChunkedArray) -> Coded:
    """Which bucket a latency lies in, from a sixteenth of a millisecond to four and a half hours."""
    values = pc.fill_null(latency, 0.0).to_numpy()
    steps = np.floor(np.log2(np.clip(values, 2.0**-4, 2.0**24)) * STEPS).astype(np.int64)
    least = int(steps.min(initial=0))
    return Coded(steps - least, [str(step) for step in range(least, int(steps.max(initial=0)) + 1)])
