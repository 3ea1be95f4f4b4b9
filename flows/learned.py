"""What the detectors of a state directory have learned, by detector and dimension, as plain values."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from flows import recovery_store
from flows.asked import Asked, Detector, read_asked
from flows.drift import DriftState
from flows.errors import Refused
from flows.generations import WAY_OUT
from flows.shard_state import state_of
from flows.tally import HOUR_US, Hours, of_late
from models.base import DIMENSIONS, END_OF_TIME, NONE_TIME, TENANT
from models.kernels.layout import NEVER, WEEK
from models.windows.learned import ShardLearned, Windows, what_is_learned

_MINUTE_US: Final = 60_000_000
_TRIES: Final = 4
"""A run that goes on may remove a file between the look at what points to it and the look into it."""
_RATES: Final = "ewma"
_LEVELS: Final = "return_levels"
"""The types of what learns rates, and tenants' levels; any other learns behaviour, or of tenants their mix."""


class _Decided(msgspec.Struct):
    """What `decide` saves that is of use here; None where an earlier version saved it."""

    incidents: Hours | None = None
    drift: DriftState | None = None


@dataclass(slots=True)
class _Sums:
    """One dimension, summed over its shards."""

    shards: list[ShardLearned] = field(default_factory=list)

    def of(self, kind: str) -> list[Windows]:
        """What one type of detector has counted, in the shards that have any entity."""
        found = [_windows(shard, kind) for shard in self.shards if len(shard.counts)]
        return [one for one in found if one is not None]


def _windows(shard: ShardLearned, kind: str) -> Windows | None:
    if kind == _RATES:
        return shard.rates
    if shard.dimension == TENANT:
        return shard.levels if kind == _LEVELS else shard.mix
    return shard.behaviour


def what_was_learned(root: Path, wanted: Asked | None) -> dict[str, Any]:
    """All that a state directory says of its detectors and detections, also while a run goes on. None is not known.

    `wanted` is what they are asked; without it what the last run asked, if that is known.

    Raises
    ------
    LapwingError
        The state cannot be used.
    """
    known = wanted or read_asked(root)
    dimensions = {name: _Sums() for name in DIMENSIONS}
    for shard in _shards(root):
        if shard.dimension < len(DIMENSIONS):
            dimensions[DIMENSIONS[shard.dimension]].shards.append(shard)
    decided = _decided(root)
    now = _now([shard for sums in dimensions.values() for shard in sums.shards])
    late = _of_late(decided, known, now)
    detectors = known.detectors if known else _guessed(dimensions)
    return {
        "event_time": _moment(now),
        "detectors": [
            _row(one, name, dimensions[name], decided, now) | {"incidents_7d": late and _read_by(late, one.id, name)}
            for one in detectors
            for name in one.dimensions
        ],
        "detections": late or [],
    }


def _shards(root: Path) -> Iterator[ShardLearned]:
    pointers = recovery_store.saved(root / "recovery", "assess")
    for name in list(pointers):
        for left in reversed(range(_TRIES)):
            try:
                if saved := pointers[name]:
                    yield what_is_learned(state_of(saved, root / "log"))
                break
            except Refused:
                if not left:
                    raise
                pointers = recovery_store.saved(root / "recovery", "assess")
            except (ValueError, KeyError) as error:
                raise Refused(f"{root}: a shard cannot be read ({error}): {WAY_OUT}") from error


def _decided(root: Path) -> _Decided:
    found = recovery_store.saved(root / "recovery", "decide").get("alerts")
    return msgspec.msgpack.decode(found, type=_Decided) if found else _Decided()


def _guessed(dimensions: dict[str, _Sums]) -> list[Detector]:
    """The detectors of a state that does not say what was asked of them: what each is, not how warm it should be."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, sums in dimensions.items():
        for shard in sums.shards[:1]:
            for by in filter(None, shard.learned_by):
                found.setdefault(tuple(by.split(" ")[:2]), []).append(name)
    return [Detector(name, kind, tuple(of), 0, 0) for (name, kind), of in found.items()]


def _now(shards: list[ShardLearned]) -> int:
    """The stream's watermark; where all has ended, the end of the newest minute that taught."""
    marks = [shard.watermark for shard in shards if NONE_TIME < shard.watermark < END_OF_TIME]
    ends = [(shard.newest + 1) * _MINUTE_US for shard in shards if shard.newest != NEVER]
    return max(marks or ends, default=NONE_TIME)


def _row(detector: Detector, dimension: str, sums: _Sums, decided: _Decided, now: int) -> dict[str, Any]:
    windows = sums.of(detector.type)
    began = min((one.began for one in windows if one.began is not None), default=None)
    since = None if began is None else (began + 1) * _MINUTE_US
    rates = detector.type == _RATES
    totals = {name: _sum([getattr(one, name) for one in windows]) for name in _COUNTED}
    warm = [min(1.0, one.seen / detector.warm_up) for one in windows if detector.warm_up]
    entities = sum(len(shard.counts) for shard in sums.shards)
    own = sum(int((shard.counts >= detector.entity_warm_up).sum()) for shard in sums.shards)
    return {
        "detector": detector.id,
        "type": detector.type,
        "dimension": dimension,
        "began": None if since is None else _moment(since),
        "age_s": None if since is None else max(0, now - since) // 1_000_000,
        **totals,
        "null_share": _share(totals["unscored"], totals["closed"]),
        "warm_share": sum(warm) / len(warm) if warm else None,
        "entities": entities,
        "own_baseline_share": _share(own, entities) if detector.entity_warm_up else None,
        "hours": _hours(sums.shards) if rates else None,
        # An event's score is the stranger one of all detectors: it is said once, with the rates.
        "drift": _drift(decided, dimension) if rates else None,
    }


_COUNTED: Final = ("closed", "learned", "refused", "accepted", "unscored")


def _hours(shards: list[ShardLearned]) -> dict[str, Any] | None:
    found = [shard.hours for shard in shards if shard.hours is not None]
    if not found:
        return None
    entities = sum(one.entities for one in found)
    return {"entities": entities, "known_share": _share(sum(one.known for one in found), entities * WEEK)}


def _drift(decided: _Decided, dimension: str) -> dict[str, Any] | None:
    if decided.drift is None:
        return None
    course = decided.drift.courses[DIMENSIONS.index(dimension)]
    return {
        "drifts": course.drifts,
        "last": _moment(course.last),
        "strange_share": course.share if course.share >= 0 else None,
        "usual_share": course.sums.mean if course.sums.count else None,
    }


def _of_late(decided: _Decided, known: Asked | None, now: int) -> list[dict[str, Any]] | None:
    """The incidents of each detection in the last seven days."""
    if decided.incidents is None or known is None:
        return None
    found = []
    for one in known.detections:
        told, kept_back = of_late(decided.incidents, one.id, now // HOUR_US)
        found.append(
            {
                "detection": one.id, "dimension": one.dimension, "reads": one.reads or None, "incidents_7d": told,
                "kept_back_7d": kept_back,
            }
        )  # fmt: skip
    return found


def _read_by(late: list[dict[str, Any]], detector: str, dimension: str) -> int:
    return sum(one["incidents_7d"] for one in late if (one["reads"], one["dimension"]) == (detector, dimension))


def _sum(counts: list[int | None]) -> int | None:
    """None where any is not known, or there is none."""
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _share(part: int | None, whole: int | None) -> float | None:
    return None if part is None or not whole else part / whole


def _moment(microseconds: int) -> str | None:
    if microseconds == NONE_TIME:
        return None
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
