"""A shard's state as versioned plain bytes, and back.

Only what is in use is written: kept records, rings in use, live pairs. Where things lie in tables is not part of it
(that hangs on a secret), so a snapshot can be read under another secret. Rules are saved by id: a rule that is new
starts without incidents, the incidents of one that is gone end silently. What a detector has learned is dropped where
another one, or the same with other parameters, is to go on: it begins anew, and all else stays.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from models.base import END_OF_TIME, NONE_TIME, OLDEST_SNAPSHOT, SNAPSHOT
from models.kernels.arrive import RowArrays
from models.kernels.layout import (
    ACCEPTED,
    ACTIVE,
    BEGAN,
    CELL,
    CLOSED,
    EVIDENCE_DROPPED,
    FREE,
    FREE_CELLS,
    FREE_HOURS,
    GUARDED,
    HALVED,
    HOUR_ROW,
    HOURS,
    LEARNED,
    NEVER,
    NEXT,
    PAIR,
    RECORD,
    RECORD_LIMIT,
    RING,
    SEEN,
    UNSCORED,
    allocate_pairs,
    allocate_records,
    allocate_rings,
    by_attribute,
)
from models.kernels.meters import stir
from models.kernels.open_minutes import CallArrays
from models.kernels.pairs import IN_CELL, refill_pairs
from models.kernels.table import refill
from models.rules import Rule, threshold
from models.rules.describe import signature
from models.rules.program import compile_rules
from models.windows.arrays import LEAST, RING_COLUMNS, places
from models.windows.behaviour import in_use
from models.windows.delta import Changes, Replay, Rows
from models.windows.hold_back import saved_piece
from models.windows.incidents import Incident
from models.windows.rings import near_spike
from models.windows.rules import meter_names
from models.windows.waiting import Waiting

if TYPE_CHECKING:
    from models.windows.shard import Shard

MODEL_COLUMNS = ("pool_mean", "pool_square", "histogram", "below")
_BY_RULE = ("crossed", "streak")
_BEHAVIOUR = "behaviour."
_TENANTS = "tenants."
_ROWS = len(RowArrays._fields)
_HOURS_SINCE = 7
"""The version with which records have hours."""
_RECORD_BEFORE = np.dtype([field for field in RECORD.descr if field[0] not in ("hours", "")], align=True)


def _pack(array: Any) -> tuple[str, list[int], bytes]:
    return array.dtype.str, list(array.shape), array.tobytes()


def unpack(packed: tuple[str, list[int], bytes]) -> Any:
    """An array of a decoded snapshot."""
    dtype, shape, raw = packed
    return np.frombuffer(raw, np.dtype(dtype)).reshape(shape)


def _rows(array: Any, at: Any) -> Any:
    """Rows of several fields with what is between the fields, which would be anything where each is copied."""
    return array.view(np.ndarray).view(np.dtype((np.void, array.itemsize)))[at]


def tables(shard: "Shard") -> tuple[dict[str, Any], dict[str, Any]]:
    """All tables that a snapshot is made of, as they lie there and not copied, and what else it holds.

    With `gathered` it is a snapshot; with `models.windows.delta` what has changed since the last.
    """
    s = shard.s
    active = s.active[: s.head[ACTIVE]]
    cell = s.cell[active]
    found: dict[str, Any] = {name: getattr(s, name) for name in ("head", "active", "cell", *RING_COLUMNS)}
    found |= {name: getattr(s, name) for name in MODEL_COLUMNS}
    found["records"] = Rows(s.records, np.flatnonzero(s.records["hash"] != 0))
    found["pairs"] = Rows(s.pairs, np.flatnonzero((s.pairs["key"] != 0) & (s.pairs["slot"] >= 0)))
    found["hours"] = Rows(s.hours, np.flatnonzero(s.hours["owner"] != 0))
    found["rings"] = Rows(s.rings, np.sort(active).astype(np.int64))
    found["cells"] = Rows(s.cells, np.sort(cell[cell >= 0]).astype(np.int64))
    if shard.behaviour is not None:
        found |= {_BEHAVIOUR + name: array for name, array in shard.behaviour.tables().items()}
    if shard.tenants is not None:
        found |= {_TENANTS + name: array for name, array in shard.tenants.tables().items()}
    rest = {
        "version": SNAPSHOT,
        "dimension": shard.dimension,
        "learned_by": shard.settings.learned_by,
        "tenants_by": shard.settings.tenants.learned if shard.settings.tenants else "",
        "tenants": shard.tenants.snapshot() if shard.tenants else [],
        "rules": _rule_names(shard),
        "meters": meter_names(shard.settings.rules, shard.settings.program, shard.arrays),
        "watermarks": shard.watermarks,
        "watermark": shard.watermark,
        "idle": sorted(shard.idle),
        "reached": shard.reached,
        "waiting": [[_pack(c) for c in (*w.rows, *w.calls, w.done)] for w in shard.waiting],
        "sources": shard.sources.snapshot() if shard.sources else None,
        "held": len(shard.hold_back.pieces()),
        "recent": shard.recent.snapshot(int(s.head[NEXT]), near_spike(s, shard.waiting)),
        "incidents": [(i.slot, i) for i in shard.incidents.open.values()],
    }
    return found, rest


def gathered(found: dict[str, Any], pieces: list[list[bytes]], rest: dict[str, Any]) -> bytes:
    """A snapshot of tables, of pieces as `_pieces` gives them, and of what else it holds: what is in use, in order."""
    first = len(pieces) - rest.pop("held", 0)  # an older log has what was held back in the rest
    held_back = rest["hold_back"] if "hold_back" in rest else [saved_piece(piece) for piece in pieces[first:]]
    active = found["active"][: found["head"][ACTIVE]]
    place = np.full(len(found["active"]), -1, np.int32)
    place[active] = np.arange(len(active), dtype=np.int32)
    kind = RECORD if rest["version"] >= _HOURS_SINCE else _RECORD_BEFORE
    all_records, all_pairs = found["records"].view(kind), found["pairs"].view(PAIR)
    kept = np.flatnonzero(all_records["hash"] != 0)
    records = _rows(all_records, kept).view(kind)
    hours = b""
    if kind is RECORD:
        with_hours = np.flatnonzero(records["hours"] >= 0)
        hours = _rows(found["hours"], records["hours"][with_hours]).tobytes()
        records["hours"][with_hours] = np.arange(len(with_hours))
    records["slot"] = np.where(records["slot"] >= 0, place[records["slot"]], -1)
    pairs = _rows(all_pairs, np.flatnonzero((all_pairs["key"] != 0) & (all_pairs["slot"] >= 0))).view(PAIR)
    pairs["slot"] = place[pairs["slot"]]
    held = found["cell"][active]
    cells = np.full(held.shape, -1, np.int32)
    cells[held >= 0] = np.arange(np.count_nonzero(held >= 0), dtype=np.int32)
    raw = {name.removeprefix(_BEHAVIOUR): array for name, array in found.items() if name.startswith(_BEHAVIOUR)}
    behaviour = in_use(raw, active, kept) if raw else {}
    state = rest | {
        "cell": _pack(cells),
        "cells": _rows(found["cells"], held[held >= 0]).tobytes(),
        "head": _pack(found["head"]),
        "records": records.tobytes(),
        "hours": hours,
        "pairs": pairs.tobytes(),
        "rings": {c: _pack(found[c][active]) for c in RING_COLUMNS},
        "ring_bytes": _rows(found["rings"], active).tobytes(),
        "model": {c: _pack(found[c]) for c in MODEL_COLUMNS},
        "behaviour": {name: _pack(array) for name, array in behaviour.items()},
        "tenant_tables": _of_tenants(found, rest.get("tenants", ())),
        "evidence": pieces[:first],
        "hold_back": held_back,
        "incidents": [(int(place[slot]), incident) for slot, incident in rest["incidents"]],
    }
    return msgspec.msgpack.encode(state)


def _of_tenants(found: dict[str, Any], tenants: Iterable[tuple[int, Any]]) -> dict[str, bytes]:
    """The tables of those tenants that are still there: others may lie among what was written before they went."""
    there = tuple(f"{_TENANTS}{owner:016x}." for owner, _ in tenants)
    return {name.removeprefix(_TENANTS): array.tobytes() for name, array in found.items() if name.startswith(there)}


def snapshot(shard: "Shard") -> bytes:
    """Everything that the shard would need to go on."""
    found, rest = tables(shard)
    arrays = {name: one.array if isinstance(one, Rows) else one for name, one in found.items()}
    return gathered(arrays, [[column.tobytes() for column in piece] for piece in _pieces(shard)], rest)


def changes(shard: "Shard", seen: Changes) -> bytes:
    """What has changed since `seen` was last given; at first everything that the shard would need to go on."""
    found, rest = tables(shard)
    return seen.take(found, _pieces(shard), msgspec.msgpack.encode(rest))


def _pieces(shard: "Shard") -> list[tuple[Any, ...]]:
    """What is written once and dropped as a whole: evidence, then what is held back (as many as `held` says)."""
    return [*(chunk[:-1] for chunk in shard.evidence.chunks), *shard.hold_back.pieces()]


def replayed(taken: Iterable[bytes]) -> bytes:
    """The snapshot that changes lead to, one after another.

    Raises
    ------
    ValueError
        They do not belong together.
    """
    replay = Replay()
    for one in taken:
        replay.add(one)
    return gathered(replay.tables(), replay.pieces(), msgspec.msgpack.decode(replay.rest))


def _rule_names(shard: "Shard") -> list[str]:
    """A rule by its id and by what it meters: with other events, another window or condition it is another rule."""
    return [f"{rule.id}: {'; '.join(_meters(rule))}" for rule in shard.settings.rules]


@lru_cache(maxsize=1024)
def _meters(rule: Rule) -> tuple[str, ...]:
    found = threshold(rule)
    if found is None:
        return ()
    alone = compile_rules([found])
    return tuple(signature(alone, number) for number in range(len(alone.meters)))


def without_positions(raw: bytes) -> bytes:
    """A snapshot that knows all that was learned and is open, and not where: for the same events from elsewhere."""
    state = msgspec.msgpack.decode(raw)
    state |= {"reached": {}, "watermarks": {}, "idle": []}
    return msgspec.msgpack.encode(state)


def _restore_cells(shard: "Shard", state: dict[str, Any], new: dict[str, Any], pairs: Any) -> Any:
    """Put saved cells into the columns of their meters; the pairs without those of meters that are gone."""
    names = meter_names(shard.settings.rules, shard.settings.program, shard.arrays)
    held = unpack(state["cell"])
    cells = np.frombuffer(state["cells"], CELL)
    used = 0
    kind = pairs["kind"].copy()
    for old, name in enumerate(state["meters"]):
        mine = kind == IN_CELL + old
        if name not in names:
            pairs["slot"][mine] = -1
            continue
        column = names.index(name)
        pairs["kind"][mine] = IN_CELL + column
        rows = np.flatnonzero(held[:, old] >= 0)
        at = np.arange(used, used + len(rows), dtype=np.int32)
        new["cells"][at] = cells[held[rows, old]]
        new["cell"][rows, column] = at
        used += len(rows)
    size = len(new["cells"])
    new["free_cells"][: size - used] = np.arange(size - 1, used - 1, -1, dtype=np.int32)
    return pairs


def records_of(state: dict[str, Any]) -> Any:
    """The records of a decoded snapshot, of any layout that is read."""
    if state["version"] >= _HOURS_SINCE:
        return by_attribute(np.frombuffer(state["records"], RECORD).copy())
    before = np.frombuffer(state["records"], _RECORD_BEFORE)
    records = allocate_records(len(before))
    for column in _RECORD_BEFORE.names or ():
        records[column] = before[column]
    return records


def _restore_hours(hours: Any, records: Any, saved: bytes) -> int:
    """Put saved hours in their places, as many as there are; how many they were."""
    rows = np.frombuffer(saved, HOUR_ROW)[: len(hours)]
    hours[: len(rows)] = rows
    records["hours"][records["hours"] >= len(rows)] = -1
    return len(rows)


def _unlearn(records: Any) -> None:
    """Entities stay known, their baselines do not."""
    records["hours"] = -1
    for column in ("first", "last", "guard_day", "guard_since"):
        records[column] = NEVER
    for column in ("count", "mean", "square"):
        records[column] = 0


def restore(shard: "Shard", raw: bytes) -> None:
    """Make a new shard what a snapshot says. Raises ValueError for another version."""
    state = msgspec.msgpack.decode(raw)
    if not OLDEST_SNAPSHOT <= state["version"] <= SNAPSHOT or state["dimension"] != shard.dimension:
        raise ValueError(
            f"a snapshot of version {state['version']}, dimension {state['dimension']} cannot be read here"
        )
    s = shard.s
    limit = int(s.head[RECORD_LIMIT])
    head = unpack(state["head"])  # an older one is shorter
    s.head[: len(head)] = head
    s.head[RECORD_LIMIT] = limit
    rates, behaviour = shard.settings.learned_by
    rates_by, behaviour_by = state.get("learned_by", (rates, behaviour if state["behaviour"] else ""))
    rules = _rule_names(shard)
    rings = np.frombuffer(state["ring_bytes"], RING).copy()
    n = len(rings)
    size = len(s.rings)
    if n > size:
        raise ValueError(f"{n} entities are active, with room for {size}")
    new: dict[str, Any] = allocate_rings(size, len(rules), len(shard.arrays.in_cells))
    new["rings"][:n] = rings
    for column, packed in state["rings"].items():
        values = unpack(packed)
        if column not in _BY_RULE:
            new[column][:n] = values
            continue
        for old, rule in enumerate(state["rules"]):
            if rule in rules:
                new[column][:n, rules.index(rule)] = values[:, old]
    new["active"][:n] = np.arange(n)
    free = np.arange(size - 1, n - 1, -1, dtype=np.int32)
    new["free"][: len(free)] = free
    records = records_of(state)
    if rates_by != rates:
        _unlearn(records)
        s.head[HALVED] = s.head[BEGAN] = NEVER
        s.head[[SEEN, LEARNED, GUARDED, ACCEPTED, CLOSED, UNSCORED]] = 0
    kept = state.get("hours", b"") if rates_by == rates else b""
    s.head[HOURS], s.head[FREE_HOURS] = _restore_hours(s.hours, records, kept), 0
    pairs = by_attribute(np.frombuffer(state["pairs"], PAIR).copy())
    pairs = _restore_cells(shard, state, new, pairs)
    new["rings"]["celled"][:n] = np.count_nonzero(new["cell"][:n] >= 0, axis=1)
    new["records"] = allocate_records(max(LEAST, places(len(records) + 64)))
    new["pairs"] = allocate_pairs(max(LEAST, places(len(pairs) + 64)))
    s = s._replace(**new)
    s.head[FREE] = len(free)
    s.head[FREE_CELLS] = len(new["cells"]) - int(np.count_nonzero(s.cell >= 0))
    refill(s._replace(records=records), s, np.ones(len(records), np.bool_))
    refill_pairs(s._replace(pairs=pairs), s, NEVER)
    if rates_by == rates:
        for column, packed in state["model"].items():
            getattr(s, column)[:] = unpack(packed)
    stir(s, shard.arrays)
    shard.s = s
    if behaviour_by != behaviour:
        shard.behaviour = shard.new_behaviour()
    elif shard.behaviour is not None:
        saved = {name: unpack(packed) for name, packed in state["behaviour"].items()}
        shard.behaviour.restore(saved, s, np.ascontiguousarray(records["hash"]))
    shard.watermarks = dict(state["watermarks"])
    shard.watermark = state["watermark"]
    shard.idle = set(state["idle"])
    shard.reached = {name: (offset, index) for name, (offset, index) in state["reached"].items()}
    shard.waiting = [
        Waiting(
            RowArrays(*(unpack(c).copy() for c in columns[:_ROWS])),
            unpack(columns[-1]).copy(),
            CallArrays(*(unpack(c).copy() for c in columns[_ROWS:-1])),
        )
        for columns in state["waiting"]
    ]
    if shard.watermark == END_OF_TIME:
        # The last run closed everything: what was learned stays, time begins anew.
        shard.watermark = NONE_TIME
        shard.watermarks = {}
        shard.s.head[NEXT] = NEVER
    else:
        shard.hold_back.restore(state["hold_back"])
    if shard.sources and state["sources"]:
        shard.sources.restore(state["sources"])
    if shard.tenants and state.get("tenants_by") == shard.tenants.settings.learned:
        shard.tenants.restore(state["tenants"], state["tenant_tables"])
    shard.evidence.restore(state["evidence"])
    shard.evidence.dropped = int(s.head[EVIDENCE_DROPPED])
    shard.recent.restore(state["recent"])
    for slot, packed in state["incidents"]:
        incident = msgspec.convert(packed, Incident)
        rule = state["rules"][incident.rule]
        if rule in rules:
            incident.slot, incident.rule = slot, rules.index(rule)
            shard.incidents.restore(incident)
