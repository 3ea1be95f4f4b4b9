"""How the entities of one shard behave: counted while their minutes are open, judged and taught when those close."""

from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.event import EventBatch
from models.features.behaviour import (
    HALF,
    action_classes,
    allocate_profiles,
    allocate_recent,
    allocate_sums,
    empty_crowd,
    weights,
)
from models.kernels.arrive import RowArrays, ScoreArrays
from models.kernels.close import STEP_FIELDS
from models.kernels.close_behaviour import BehaviourArrays
from models.kernels.close_minutes import (
    PAST_HEAD,
    JudgedArrays,
    MinuteArrays,
    MinuteParams,
    PastArrays,
    closed_windows,
    end_windows,
    judge_windows,
)
from models.kernels.direct import direct
from models.kernels.layout import ACTIVE, BUCKETS, NEVER, RuleArrays, ShardArrays
from models.kernels.learn import FEATURE_COUNT, WindowArrays
from models.kernels.open_minutes import (
    BEHAVIOUR,
    CLOSED,
    OPEN,
    CallArrays,
    KnownArrays,
    OpenArrays,
    count_calls,
    count_waiting_calls,
)
from models.kernels.profiles import move_profiles, places_of
from models.rules import Rule
from models.windows.behaviour_scores import BehaviourParams, behaviour_scores, no_reasons
from models.windows.rules import anomaly_arrays
from models.windows.waiting import call_arrays

_GUARDS = ("guard_day", "guard_since")
_COUNT_CALLS, _COUNT_WAITING = direct(count_calls), direct(count_waiting_calls)
_CLOSED_WINDOWS, _JUDGE, _END = direct(closed_windows), direct(judge_windows), direct(end_windows)


class BehaviourSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard has to know of the detector of behaviour."""

    params: BehaviourParams
    half_life_minutes: int
    accept_after_minutes: int


class Judged(NamedTuple):
    """What the end of a minute has said: steps of incidents with their reasons, and the windows to be kept."""

    steps: NDArray[np.int64]
    numbers: NDArray[np.float64]
    reasons: NDArray[np.float64]
    windows: WindowArrays


class Behaviour:
    """The behaviour of one shard's entities, beside the arrays that hold their counts.

    A ring's places hold the behaviour of its owner, a record's its profile. Memory: 84 bytes a record, 0.7 KB a ring
    in use. Cost: `models.kernels.open_minutes` a row, `models.kernels.close_minutes` a closed window, and what
    `models.windows.behaviour_scores` costs.
    """

    def __init__(
        self, dimension: int, settings: BehaviourSettings, rules: tuple[Rule, ...], rings: int, records: int,
        edges: NDArray[np.float64], keep: tuple[float, float],
    ) -> None:  # fmt: skip
        params = settings.params
        self.dimension = dimension
        self.detector = params.id
        self.edges = edges
        self.scores = behaviour_scores(params, dimension, edges)
        self.anomalies = anomaly_arrays(rules)
        self.params = MinuteParams(settings.half_life_minutes, settings.accept_after_minutes, *keep)
        self.classes = action_classes()
        self.half = np.array(HALF)
        self.weight = np.array(weights(dimension))
        self.m = _allocate(rings, records)
        self._room = _room(64)
        self._steps = np.empty((64, STEP_FIELDS), np.int64), np.empty((64, 3))

    def move(self, old: ShardArrays, new: ShardArrays) -> None:
        """Follow the records to where they lie now; of those that are gone nothing is left."""
        if new.records is old.records:
            return
        m = self.m
        profiles, n = allocate_profiles(len(new.records)), len(new.records)
        past = m.past._replace(guard_day=np.zeros(n, np.int32), guard_since=np.zeros(n, np.int32))
        move_profiles(old, new, m.learned.profiles, profiles, m.past, past)
        self.m = m._replace(past=past, learned=m.learned._replace(profiles=profiles))

    def count(
        self, s: ShardArrays, rows: RowArrays, batch: EventBatch, skip: int, ahead: NDArray[np.bool_], out: ScoreArrays
    ) -> None:
        """Count the rows that have just been counted in rings, and score all of them by what was known."""
        m = self.m
        _COUNT_CALLS(
            s, m.open, m.learned.recent, m.known, rows, call_arrays(batch), self.classes, self.dimension, skip, ahead,
            out,
        )  # fmt: skip

    def count_waiting(
        self, s: ShardArrays, rows: RowArrays, calls: CallArrays, before: NDArray[np.bool_], done: NDArray[np.bool_]
    ) -> None:
        """Count the waiting rows that have just been counted in rings."""
        m = self.m
        _COUNT_WAITING(
            s, m.open, m.learned.recent, m.known, rows, calls, self.classes, self.dimension, before, done
        )  # fmt: skip

    def close(self, s: ShardArrays, r: RuleArrays) -> Judged | None:
        """Judge and teach the minute that has just ended, before its rings are let go of; None if there is no word."""
        most = int(s.head[ACTIVE])
        if most > len(self._room.slot):
            self._room = _room(2 * most)
        room = most * len(self.anomalies.rule)
        if room > len(self._steps[0]):
            self._steps = np.empty((2 * room, STEP_FIELDS), np.int64), np.empty((2 * room, 3))
            self._room = self._room._replace(crosses=np.empty(2 * room, np.int64))
        steps, numbers = self._steps
        halvings, w = _CLOSED_WINDOWS(s, self.m, self.params, self.half, self.weight)
        self.scores.halve(halvings)
        self.scores.assess(w)
        written, kept = _JUDGE(
            s, r, self.anomalies, self.m, self.params, self.edges, w, steps, numbers, self._room
        )  # fmt: skip
        reasons = no_reasons(written)
        self.scores.explain(w, self._room.crosses[:written], reasons)
        self.scores.learn(w)
        _END(s, self.m, self.edges, w)
        if not written and not kept:
            return None
        return Judged(steps[:written].copy(), numbers[:written].copy(), reasons, self._windows(kept))

    def _windows(self, kept: int) -> WindowArrays:
        room = self._room
        unknown = np.full((kept, FEATURE_COUNT), np.nan)
        return WindowArrays(
            slot=room.slot[:kept].copy(),
            feature=np.full(kept, BEHAVIOUR, np.int64),
            score=room.score[:kept].copy(),
            quantile=room.quantile[:kept].copy(),
            guarded=room.guarded[:kept].copy(),
            expected=np.full(kept, np.nan),
            observed=room.score[:kept].copy(),
            weight=room.weight[:kept].copy(),
            values=unknown,
            peaks=unknown,
        )

    def tables(self) -> dict[str, NDArray[Any]]:
        """All that a snapshot is made of, by name, as it lies there."""
        m = self.m
        found: dict[str, NDArray[Any]] = {"open.events": m.open.events, "open.owner": m.open.owner}
        learned = m.learned
        groups: dict[str, Any] = {"sums": m.open.sums, "known": m.known}
        groups |= {"recent": learned.recent, "profiles": learned.profiles}
        for group, arrays in groups.items():
            found |= {f"{group}.{name}": array for name, array in arrays._asdict().items()}
        found |= {f"past.{name}": getattr(m.past, name) for name in _GUARDS}
        return found | self._whole()

    def restore(self, state: dict[str, NDArray[Any]], s: ShardArrays, entities: NDArray[np.uint64]) -> None:
        """Take a snapshot: its rings are now the first ones, its records those of some entities."""
        n, size = len(state["open.owner"]), len(s.records)
        records = np.empty(len(entities), np.int64)
        places_of(s, entities, records)
        self.m = m = self.m._replace(
            past=self.m.past._replace(guard_day=np.zeros(size, np.int32), guard_since=np.zeros(size, np.int32)),
            learned=self.m.learned._replace(profiles=allocate_profiles(size)),
        )
        m.open.owner[:n] = state["open.owner"]
        at = state["open.place"]
        m.open.events[at] = state["open.events"]
        for name in m.open.sums._fields:
            getattr(m.open.sums, name)[at] = state[f"sums.{name}"]
        for place in at.tolist():
            line = place % OPEN
            m.open.listed[place] = 1
            m.open.line[line, m.open.length[line]] = place // OPEN
            m.open.length[line] += 1
        for name in m.known._fields:
            getattr(m.known, name)[:n] = state[f"known.{name}"]
        for name in m.learned.recent._fields:
            getattr(m.learned.recent, name)[:n] = state[f"recent.{name}"]
        for name in m.learned.profiles._fields:
            getattr(m.learned.profiles, name)[records] = state[f"profiles.{name}"]
        for name in _GUARDS:
            getattr(m.past, name)[records] = state[f"past.{name}"]
        for name, array in self._whole().items():
            array[: len(state[name])] = state[name]  # an older one counted less
        self.scores.restored()

    def _whole(self) -> dict[str, NDArray[Any]]:
        """What is saved as it is: what all entities have taught."""
        m = self.m
        crowd = m.learned.crowd
        found = {f"past.{name}": getattr(m.past, name) for name in ("head", "histogram", "below")}
        found |= {f"crowd.{name}": getattr(crowd, name) for name in crowd._fields}
        return found | self.scores.tables()


def in_use(
    found: dict[str, NDArray[Any]], active: NDArray[np.int32], records: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    """What is in use of `Behaviour.tables`, in the order of the given rings and records."""
    places = (active[:, None].astype(np.int64) * OPEN + np.arange(OPEN)).ravel()
    held = np.flatnonzero(found["open.events"][places])
    by_group = {"sums": places[held], "known": active, "recent": active, "profiles": records}
    by_name = {"open.events": places[held], "open.owner": active} | dict.fromkeys(
        (f"past.{name}" for name in _GUARDS), records
    )
    state: dict[str, NDArray[Any]] = {"open.place": held}
    for name, array in found.items():
        rows = by_name.get(name, by_group.get(name.partition(".")[0]))
        state[name] = array if rows is None else array[rows]
    return state


def _room(n: int) -> JudgedArrays:
    return JudgedArrays(
        slot=np.empty(n, np.int32),
        score=np.empty(n),
        quantile=np.empty(n),
        guarded=np.empty(n, np.bool_),
        weight=np.empty(n),
        crosses=np.empty(n, np.int64),
    )


def behaviour_of(
    dimension: int, settings: BehaviourSettings | None, rules: tuple[Rule, ...], s: ShardArrays,
    edges: NDArray[np.float64], keep: tuple[float, float],
) -> Behaviour | None:  # fmt: skip
    """The behaviour of a new shard's entities, if anybody asks; `keep` is (quantile, share) of windows to be kept."""
    if settings is None:
        return None
    return Behaviour(dimension, settings, rules, len(s.rings), len(s.records), edges, keep)


def _allocate(rings: int, records: int) -> MinuteArrays:
    sums = allocate_sums(rings * OPEN)
    return MinuteArrays(
        open=OpenArrays(
            sums=sums,
            events=np.zeros(rings * OPEN, np.int32),
            listed=np.zeros(rings * OPEN, np.uint8),
            line=np.zeros((OPEN, rings), np.int32),
            length=np.zeros(OPEN, np.int64),
            owner=np.zeros(rings, np.uint64),
        ),
        known=KnownArrays(
            minute=np.zeros((rings, CLOSED), np.int32),
            events=np.zeros((rings, CLOSED), np.int32),
            score=np.zeros((rings, CLOSED)),
            quantile=np.zeros((rings, CLOSED)),
            rare=np.zeros(rings),
        ),
        past=PastArrays(
            head=np.array([NEVER, NEVER, *[0] * (PAST_HEAD - 2)], np.int64),
            guard_day=np.zeros(records, np.int32),
            guard_since=np.zeros(records, np.int32),
            histogram=np.zeros(BUCKETS, np.int64),
            below=np.zeros(BUCKETS + 1, np.int64),
        ),
        learned=BehaviourArrays(sums, allocate_recent(rings), allocate_profiles(records), empty_crowd()),
    )


def behaviour_bytes() -> tuple[int, int]:
    """What a record and a ring take.

    >>> behaviour_bytes()
    (84, 761)
    """
    m = _allocate(1, 1)
    by_record = (*m.learned.profiles, m.past.guard_day, m.past.guard_since)
    by_ring = (*m.open.sums, m.open.events, m.open.listed, m.open.line, m.open.owner, *m.known, *m.learned.recent)
    return sum(column.nbytes for column in by_record), sum(column.nbytes for column in by_ring)
