"""What a shard's snapshot says of what was learned, of any layout that is read: for people, without a shard."""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.base import ENDPOINT, TENANT
from models.kernels import close_minutes as minutes
from models.kernels import forest
from models.kernels.hours import KNOWN
from models.kernels.layout import (
    ACCEPTED,
    BEGAN,
    CLOSED,
    GUARDED,
    HOUR_ROW,
    LEARNED,
    NEVER,
    SEEN,
    UNSCORED,
    WEEK,
)
from models.windows.saved import records_of, unpack
from models.windows.tenants import SERIES, Known, Learned

_HOURLY: Final = (TENANT, ENDPOINT)


class Windows(NamedTuple):
    """What a detector has counted in one shard, None where the layout did not say so.

    `began` is the first minute that it closed; `closed`, `unscored` and `accepted` are counted since then. `seen` are
    the windows that count for its warm-up.
    """

    seen: int
    began: int | None
    closed: int | None
    learned: int
    refused: int
    accepted: int | None
    unscored: int | None


class Hours(NamedTuple):
    """How many entities have hours of the week, and how many hours are known of all of them."""

    entities: int
    known: int


class ShardLearned(NamedTuple):
    """One shard: by what it is learned (rates, behaviour: "" for nothing), and what."""

    dimension: int
    learned_by: tuple[str, str]
    watermark: int
    newest: int  # the newest minute that taught, NEVER for none
    counts: NDArray[np.int32]  # windows that each entity has taught
    hours: Hours | None
    rates: Windows
    behaviour: Windows | None
    levels: Windows | None
    mix: Windows | None


def what_is_learned(raw: bytes) -> ShardLearned:
    """What a snapshot says.

    Raises
    ------
    ValueError, KeyError
        It is none.
    """
    state = msgspec.msgpack.decode(raw)
    records = records_of(state)
    behaviour = state["behaviour"]
    rates, other = state.get("learned_by", ("rates ewma", "behaviour half_space_trees" if behaviour else ""))
    dimension = int(state["dimension"])
    tenants = [msgspec.convert(known, Known) for _, known in state.get("tenants", ())]
    return ShardLearned(
        dimension=dimension,
        learned_by=(rates, other),
        watermark=int(state["watermark"]),
        newest=int(records["last"].max(initial=NEVER)),
        counts=np.asarray(records["count"]),
        hours=_hours(state["hours"]) if dimension in _HOURLY and "hours" in state else None,
        rates=_rates(unpack(state["head"])),
        behaviour=_behaviour({name: unpack(packed) for name, packed in behaviour.items()}) if behaviour else None,
        levels=_of_tenants([one.levels for one in tenants], len(SERIES)),
        mix=_of_tenants([one.mix for one in tenants if one.mix is not None], 1),
    )


def _rates(head: NDArray[np.int64]) -> Windows:
    return Windows(
        seen=int(head[SEEN]),
        began=_minute(_at(head, BEGAN)),
        closed=_at(head, CLOSED),
        learned=int(head[LEARNED]),
        refused=int(head[GUARDED]),
        accepted=_at(head, ACCEPTED),
        unscored=_at(head, UNSCORED),
    )


def _behaviour(found: dict[str, Any]) -> Windows:
    model, past = found["model.head"], found["past.head"]
    scored = found.get("ensemble.told.total")  # an ensemble is warm when so many have scores, whoever taught
    return Windows(
        seen=int(model[forest.LEARNED] if scored is None else scored[0]),
        began=_minute(_at(past, minutes.BEGAN)),
        closed=_at(past, minutes.CLOSED_WINDOWS),
        learned=int(model[forest.LEARNED]),
        refused=int(model[forest.GUARDED]),
        accepted=_at(past, minutes.ACCEPTED),
        unscored=_at(past, minutes.UNSCORED),
    )


def _of_tenants(tenants: list[Learned], columns: int) -> Windows | None:
    """Of the tenants of a shard: the youngest says how warm it is; what an ensemble's guard refuses is not counted."""
    tenants = [one for one in tenants if one.rows]
    if not tenants:
        return None
    rows = columns * sum(one.rows for one in tenants)
    return Windows(
        seen=min(one.rows for one in tenants),
        began=min(one.began for one in tenants),
        closed=rows,
        learned=rows,
        refused=0,
        accepted=None,
        unscored=sum(one.unscored for one in tenants),
    )


def _at(head: NDArray[np.int64], place: int) -> int | None:
    return int(head[place]) if place < len(head) else None


def _minute(found: int | None) -> int | None:
    return None if found == NEVER else found


def _hours(saved: bytes) -> Hours:
    rows = np.frombuffer(saved, HOUR_ROW)
    of_week, of_day = rows["weeks"] >= KNOWN, rows["days"] >= KNOWN
    known = of_week | np.tile(of_day, WEEK // 24)  # as `of_hour` answers: hour 0 of the week is one of the day's
    return Hours(len(rows), int(np.count_nonzero(known)))
