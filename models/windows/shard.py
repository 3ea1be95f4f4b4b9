"""One shard of one dimension: its entities' windows, what they taught, and their open incidents."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.base import DIMENSIONS, END_OF_TIME, FEATURES, IP, NO_FEATURE, NONE_TIME, SKIP, USER
from models.event import EventBatch
from models.features.rates import feature_codes
from models.kernels.arrive import Learned, RowArrays, ScoreArrays, add_waiting, arrive
from models.kernels.close import SLOT, STEP_FIELDS, close_panes, open_early
from models.kernels.layout import (
    ACTIVE,
    AHEAD5,
    EVICTED,
    GUARDED,
    LATE_ROWS,
    LEARNED,
    NEVER,
    NEXT,
    OVERFLOWED,
    OVERTAKEN,
    PAIRS_REFUSED,
    PANE_US,
    RECORDS,
    RuleArrays,
    ShardArrays,
)
from models.kernels.learn import FEATURE_COUNT, WindowArrays, learn_minute
from models.rules import Rule
from models.windows import saved
from models.windows.arrays import empty, make_room
from models.windows.evidence import Evidence
from models.windows.incidents import Incidents
from models.windows.rules import rule_arrays
from models.windows.slice import Finding, Slice, SliceScores

MINUTE_US = 60_000_000


class ShardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard has to know of the configuration; `rules` are those of its dimension."""

    rules: tuple[Rule, ...]
    quiet_us: tuple[int, ...]
    detector: str
    learned: tuple[float, float, int, int, float, int, int, int]
    half_life_minutes: int
    lateness_us: int
    keep_quantile: float
    keep_share: float
    max_records: int
    max_rings: int
    config_hash: str


@dataclass(slots=True)
class Waiting:
    """Rows too far ahead of the open panes, kept until those have moved."""

    rows: RowArrays
    done: NDArray[np.bool_]


def score_edges() -> NDArray[np.float64]:
    """The upper edges of the score histogram: from 0.02, each 1 % above the last.

    >>> edges = score_edges(); len(edges), float(edges[0]), bool(edges[-1] > 500)
    (1023, 0.02, True)
    """
    edges = np.empty(1023)
    edge = 0.02
    for i in range(len(edges)):
        edges[i] = edge
        edge *= 1.005 / 0.995
    return edges


class Shard:
    """Assesses slices: counts and scores rows on arrival, learns and rules when panes close (TIME.md 2 to 4).

    All memory is in arrays with limits (`models.windows.arrays`); what does not fit is counted as overflowed, never
    lost from the output. `canonical` turns a message's bytes into the members that an alert may show.
    """

    def __init__(
        self,
        dimension: int,
        settings: ShardSettings,
        secret: NDArray[np.uint64],
        canonical: Callable[[bytes], dict[str, Any]],
        state: bytes | None = None,
    ) -> None:
        self.dimension = dimension
        self.settings = settings
        self.learned = Learned(*settings.learned)
        self.edges = score_edges()
        self.codes = np.array(feature_codes(dimension), np.int64)
        self.arrays: RuleArrays = rule_arrays(settings.rules, settings.quiet_us)
        self.s: ShardArrays = empty(len(settings.rules), settings.max_records, secret)
        self.watermarks: dict[str, int] = {}
        self.idle: set[str] = set()
        self.reached: dict[str, tuple[int, int]] = {}
        self.watermark = NONE_TIME
        self.waiting: list[Waiting] = []
        self.evidence = Evidence(keep_us=900_000_000 + settings.lateness_us)
        self.incidents = Incidents(dimension, settings.rules, self.arrays, self.evidence, canonical)
        self.findings: list[Finding] = []
        self.windows: list[dict[str, Any]] = []
        self._spikes = any(int(k) == 4 for k in self.arrays.kind)
        if state is not None:
            saved.restore(self, state)

    def assess(self, piece: Slice) -> SliceScores:
        """Count and score a slice's rows, then do what its watermark makes due."""
        batch = piece.batch
        self._hear(batch.source, batch.sources, batch.watermark_before, idle=batch.idle and not len(batch))
        scores = self._arrive(batch, piece.rows)
        if self.reached.get(batch.source, (-1, -1)) < batch.reached:
            self.reached[batch.source] = batch.reached
        self._hear(batch.source, batch.sources, batch.watermark, idle=batch.idle)
        if self.s.head[NEXT] != NEVER and self.s.head[ACTIVE]:
            self._open_early()
        out = SliceScores(
            batch=batch if self.dimension == 0 and piece.shard == 0 else None,
            dimension=self.dimension,
            shard=piece.shard,
            number=batch.number,
            rows=piece.rows,
            feature=scores[0].feature,
            score=scores[0].score,
            quantile=scores[0].quantile,
            z=scores[0].z,
            expected=scores[0].expected,
            observed=scores[0].observed,
            severity=scores[0].severity,
            uid_rows=scores[1],
            uids=scores[2],
            passed=2**62 if self.watermark == END_OF_TIME else int(self.s.head[NEXT]),
            findings=self.findings,
            windows=self.windows,
            counters=self.counters(),
        )
        self.findings, self.windows = [], []
        return out

    def counters(self) -> dict[str, int]:
        """Totals since the state was new."""
        head = self.s.head
        return {
            "overtaken": int(head[OVERTAKEN]),
            "overflowed": int(head[OVERFLOWED]) + int(head[PAIRS_REFUSED]) + self.evidence.dropped,
            "evicted": int(head[EVICTED]),
            "guarded": int(head[GUARDED]),
            "learned": int(head[LEARNED]),
            "late": int(head[LATE_ROWS]),
            "entities": int(head[RECORDS]),
            "active": int(head[ACTIVE]),
        }

    def snapshot(self) -> bytes:
        """The shard as versioned plain bytes; `Shard(..., state=...)` goes on from them."""
        return saved.snapshot(self)

    def _hear(self, source: str, sources: tuple[str, ...], watermark: int, *, idle: bool) -> None:
        for name in sources:
            # A partition that is new after a restart joins where the stream is.
            self.watermarks.setdefault(name, self.watermark)
        if idle:
            self.idle.add(source)
        else:
            self.idle.discard(source)
        self.watermarks[source] = max(self.watermarks[source], watermark)
        moving = [self.watermarks[name] for name in sources if name not in self.idle]
        if not moving and all(self.watermarks[name] == END_OF_TIME for name in sources):
            moving = [END_OF_TIME]
        if moving and min(moving) > self.watermark:
            self.watermark = min(moving)
            self._advance()

    def _arrive(
        self, batch: EventBatch, rows: NDArray[np.int64]
    ) -> tuple[ScoreArrays, NDArray[np.int64], NDArray[np.uint8]]:
        n = len(rows)
        scores = ScoreArrays(
            feature=np.full(n, NO_FEATURE, np.uint8),
            score=np.empty(n),
            quantile=np.empty(n),
            z=np.empty(n),
            expected=np.empty(n),
            observed=np.empty(n),
            severity=np.zeros(n, np.uint8),
            slot=np.empty(n, np.int32),
        )
        if n == 0:
            return scores, np.empty(0, np.int64), np.empty((0, 16), np.uint8)
        self.s = make_room(self.s, n, self.settings.max_rings)
        columns = row_arrays(batch, self.dimension, rows)
        skip = self._counted_before(batch, rows)
        ahead = np.zeros(n, np.bool_)
        if arrive(
            self.s, self.arrays, self.learned, self.edges, self.codes, self.dimension, columns, skip, scores, ahead
        ):
            self.waiting.append(wait(columns, rows[ahead]))
        if self.dimension in (IP, USER):
            fresh = rows[skip:]
            self.evidence.add(batch, self.dimension, fresh[(batch.flags[fresh] & SKIP) == 0])
        if self._spikes:
            self.evidence.add_recent(batch, rows[skip:])
        uid_rows, uids = self._open_at(rows, scores.slot)
        return scores, uid_rows, uids

    def _counted_before(self, batch: EventBatch, rows: NDArray[np.int64]) -> int:
        offset, index = self.reached.get(batch.source, (-1, -1))
        if batch.first >= (offset, index):
            return 0
        mine = batch.offset[rows]
        old = (mine < offset) | ((mine == offset) & (batch.index[rows] <= index))
        return int(np.count_nonzero(old))

    def _open_at(
        self, rows: NDArray[np.int64], slots: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        if not self.incidents.open:
            return np.empty(0, np.int64), np.empty((0, 16), np.uint8)
        hit = np.flatnonzero((slots >= 0) & (self.s.hot[slots] != 0))
        uid_rows: list[NDArray[np.int64]] = []
        uids: list[NDArray[np.uint8]] = []
        for slot in np.unique(slots[hit]).tolist():
            mine = rows[hit[slots[hit] == slot]]
            for uid in self.incidents.uids(slot):
                uid_rows.append(mine)
                uids.append(np.tile(np.frombuffer(uid, np.uint8), (len(mine), 1)))
        if not uids:
            return np.empty(0, np.int64), np.empty((0, 16), np.uint8)
        return np.concatenate(uid_rows), np.concatenate(uids)

    def _advance(self) -> None:
        """Close every pane before the stream's watermark, adding waiting rows as they come within reach."""
        ended = self.watermark == END_OF_TIME
        head = self.s.head
        until = 2**31 - 2 if ended else self.watermark // PANE_US
        if head[NEXT] == NEVER:
            first = min((int(w.rows.place[w.rows.rows].min()) // PANE_US for w in self.waiting), default=NEVER)
            if ended and first == NEVER:
                return
            head[NEXT] = first if ended else until
        while True:
            self._add_waiting()
            next_waiting = min(
                (int(w.rows.place[w.rows.rows[~w.done]].min()) // PANE_US for w in self.waiting), default=None
            )
            if self.s.head[NEXT] >= until:
                break
            if self.s.head[ACTIVE] == 0:
                if next_waiting is None:
                    if not ended:
                        self.s.head[NEXT] = until
                    break
                self.s.head[NEXT] = max(int(self.s.head[NEXT]), min(until, next_waiting - AHEAD5 + 1))
                if self.s.head[NEXT] < until:
                    continue
                break
            limit = until if next_waiting is None else min(until, int(self.s.head[NEXT]) + 6)
            self._close(limit)
        self.evidence.forget(int(self.s.head[NEXT]) * PANE_US)

    def _close(self, limit: int) -> None:
        room = max(256, 2 * int(self.s.head[ACTIVE]) * max(1, len(self.arrays.kind)))
        steps = np.empty((room, STEP_FIELDS), np.int64)
        baselines = np.empty((room, 2))
        # The loop ends with the shard empty: at the end of time there is no last pane.
        while self.s.head[NEXT] < limit and self.s.head[ACTIVE]:
            pane = int(self.s.head[NEXT])
            n, minute = close_panes(self.s, self.arrays, self.learned, limit, steps, baselines)
            self._follow(steps[:n], baselines[:n], pane)
            if minute:
                self._learn()

    def _open_early(self) -> None:
        room = max(1, int(self.s.head[ACTIVE]) * max(1, len(self.arrays.kind)))
        steps = np.empty((room, STEP_FIELDS), np.int64)
        baselines = np.empty((room, 2))
        n = open_early(self.s, self.arrays, steps, baselines)
        self._follow(steps[:n], baselines[:n], int(self.s.head[NEXT]))

    def _follow(self, steps: NDArray[np.int64], baselines: NDArray[np.float64], pane: int) -> None:
        created = (self.watermark if self.watermark != END_OF_TIME else pane * PANE_US) + self.settings.lateness_us
        for step, baseline in zip(steps, baselines, strict=True):
            slot = int(step[SLOT])
            alert = self.incidents.take(step, baseline, int(self.s.rings["owner"][slot]), self._name(slot), created)
            if alert is not None:
                self.findings.append(Finding(pane, alert))

    def _name(self, slot: int) -> tuple[str, str]:
        ring = self.s.rings[slot]
        tenant = ring["tenant"][: ring["tenant_length"]].tobytes().decode()
        return tenant, ring["name"][: ring["name_length"]].tobytes().decode()

    def _learn(self) -> None:
        n = int(self.s.head[ACTIVE])
        out = WindowArrays(
            slot=np.empty(n, np.int32),
            feature=np.empty(n, np.int64),
            score=np.empty(n),
            quantile=np.empty(n),
            guarded=np.empty(n, np.bool_),
            expected=np.empty(n),
            observed=np.empty(n),
            weight=np.empty(n),
            values=np.empty((n, FEATURE_COUNT)),
            peaks=np.empty((n, FEATURE_COUNT)),
        )
        end = int(self.s.head[NEXT]) * PANE_US
        kept = learn_minute(
            self.s,
            self.arrays,
            self.learned,
            self.edges,
            self.codes,
            self.dimension,
            self.settings.half_life_minutes,
            self.settings.keep_quantile,
            self.settings.keep_share,
            out,
        )
        if kept:
            names = [self._name(slot) for slot in out.slot[:kept].tolist()]
            columns: dict[str, Any] = {
                "tenant": [t for t, _ in names],
                "dimension": [DIMENSIONS[self.dimension]] * kept,
                "entity": [e for _, e in names],
                "detector": [self.settings.detector] * kept,
                "start": np.full(kept, end - MINUTE_US),
                "end": np.full(kept, end),
                "score": out.score[:kept],
                "quantile": out.quantile[:kept],
                "guarded": out.guarded[:kept],
                "expected": out.expected[:kept],
                "observed": out.observed[:kept],
                "sample_weight": out.weight[:kept],
                "config_hash": [self.settings.config_hash] * kept,
            }
            for i in range(FEATURE_COUNT):
                columns[FEATURES[i]] = out.values[:kept, i].copy()
                columns["peak_" + FEATURES[i]] = out.peaks[:kept, i].copy()
            self.windows.append(columns)

    def _add_waiting(self) -> None:
        still: list[Waiting] = []
        for w in self.waiting:
            self.s = make_room(self.s, len(w.rows.rows), self.settings.max_rings)
            if add_waiting(self.s, self.dimension, w.rows, w.done):
                still.append(w)
        self.waiting = still


def row_arrays(batch: EventBatch, dimension: int, rows: NDArray[np.int64]) -> RowArrays:
    """What one dimension needs of a batch, without a copy."""
    other = USER if dimension == IP else IP
    return RowArrays(
        rows=rows,
        entity=batch.entity[dimension],
        other=batch.entity[other],
        target=batch.target,
        place=batch.place,
        flags=batch.flags,
        counts=batch.counts,
        names=batch.names,
        name_start=batch.name_start[dimension],
        name_length=batch.name_length[dimension],
        tenant_start=batch.name_start[0],
        tenant_length=batch.name_length[0],
    )


def wait(columns: RowArrays, rows: NDArray[np.int64]) -> Waiting:
    """A copy of some rows that does not hold on to their batch."""
    lengths = columns.name_length[rows], columns.tenant_length[rows]
    pieces = [
        columns.names[int(a) : int(a) + int(n)]
        for start, length in zip((columns.name_start, columns.tenant_start), lengths, strict=True)
        for a, n in zip(start[rows], length, strict=True)
    ]
    ends = np.cumsum(np.concatenate(lengths).astype(np.int64))
    starts = ends - np.concatenate(lengths)
    n = len(rows)
    copy = RowArrays(
        rows=np.arange(n),
        entity=columns.entity[rows],
        other=columns.other[rows],
        target=columns.target[rows],
        place=columns.place[rows],
        flags=columns.flags[rows],
        counts=columns.counts[rows],
        names=np.concatenate(pieces) if pieces else np.empty(0, np.uint8),
        name_start=starts[:n],
        name_length=lengths[0],
        tenant_start=starts[n:],
        tenant_length=lengths[1],
    )
    return Waiting(copy, np.zeros(n, np.bool_))
