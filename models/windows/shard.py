"""One shard of one dimension: its entities' windows, what they taught, and their open incidents."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.base import DELETION, DIMENSIONS, END_OF_TIME, FAILURE, FEATURES, IP, NO_FEATURE, NONE_TIME, SKIP, USER
from models.event import EventBatch
from models.features.rates import feature_codes
from models.kernels.arrive import Learned, ScoreArrays, add_waiting, arrive
from models.kernels.close import SLOT, STEP_FIELDS, close_panes, open_early
from models.kernels.direct import direct
from models.kernels.layout import (
    ACTIVE,
    AHEAD5,
    EVICTED,
    GUARDED,
    LATE_ROWS,
    LEARNED,
    MONOTONE,
    NEVER,
    NEXT,
    OVERFLOWED,
    OVERTAKEN,
    PAIRS_REFUSED,
    PANE_US,
    PER30,
    RECORDS,
    SPIKE,
    RuleArrays,
    ShardArrays,
)
from models.kernels.learn import FEATURE_COUNT, WindowArrays, learn_minute
from models.rules import Rule
from models.thresholds.edges import score_edges
from models.windows import saved
from models.windows.arrays import empty, make_room
from models.windows.evidence import Evidence
from models.windows.incidents import Incidents
from models.windows.recent import Recent
from models.windows.rules import rule_arrays
from models.windows.slice import Finding, Slice, SliceScores
from models.windows.waiting import Waiting, row_arrays, wait

MINUTE_US = 60_000_000

_ARRIVE, _ADD_WAITING = direct(arrive), direct(add_waiting)
_CLOSE_PANES, _OPEN_EARLY, _LEARN_MINUTE = direct(close_panes), direct(open_early), direct(learn_minute)
BUSIEST = 64
"""Entities of whose open panes a snapshot keeps events, in case a spike comes of them."""


class ShardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard has to know of the configuration; `rules` are those of its dimension."""

    rules: tuple[Rule, ...]
    quiet_us: tuple[int, ...]
    detector: str
    learned: Learned
    half_life_minutes: int
    lateness_us: int
    keep_quantile: float
    keep_share: float
    max_records: int
    max_rings: int
    config_hash: str


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
        self.learned = settings.learned
        self.edges = score_edges()
        self.codes = np.array(feature_codes(dimension), np.int64)
        self.arrays: RuleArrays = rule_arrays(settings.rules, settings.quiet_us)
        self.s: ShardArrays = empty(len(settings.rules), settings.max_records, secret)
        self.watermarks: dict[str, int] = {}
        self.idle: set[str] = set()
        self.reached: dict[str, tuple[int, int]] = {}
        self.watermark = NONE_TIME
        self.waiting: list[Waiting] = []
        self.evidence = Evidence(settings.lateness_us)
        self.recent = Recent(dimension)
        self.incidents = Incidents(dimension, settings.rules, self.arrays, self.evidence, self.recent, canonical)
        self.findings: list[Finding] = []
        self.windows: list[dict[str, Any]] = []
        self._spikes = any(int(k) == SPIKE for k in self.arrays.kind)
        self._looked = NEVER
        self._early = any(MONOTONE[int(k)] for k in self.arrays.kind)
        self._steps = np.empty((256, STEP_FIELDS), np.int64), np.empty((256, 2))
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
        if self._early:
            self._open_early(batch, piece.rows)
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
        head = self.s.head.tolist()
        return {
            "overtaken": head[OVERTAKEN],
            "overflowed": head[OVERFLOWED] + head[PAIRS_REFUSED] + self.evidence.dropped,
            "evicted": head[EVICTED],
            "guarded": head[GUARDED],
            "learned": head[LEARNED],
            "late": head[LATE_ROWS],
            "entities": head[RECORDS],
            "active": head[ACTIVE],
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
            before, self.watermark = self.watermark, min(moving)
            if self.watermark // PANE_US > before // PANE_US or self.s.head[NEXT] == NEVER:
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
        columns = row_arrays(batch, self.dimension, rows)
        self.s = make_room(self.s, columns, self.settings.max_rings)
        skip = self._counted_before(batch, rows)
        ahead = np.zeros(n, np.bool_)
        if _ARRIVE(
            self.s, self.arrays, self.learned, self.edges, self.codes, self.dimension, columns, skip, scores, ahead
        ):
            self.waiting.append(wait(columns, rows[ahead]))
        fresh = rows[skip:]
        fresh = fresh[(batch.flags[fresh] & SKIP) == 0]
        if self.dimension in (IP, USER):
            self.evidence.add(batch, self.dimension, fresh)
        if self._spikes:
            self.recent.add(batch, fresh)
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
            # A partition may have shown more than the slowest one allowed to close: begin with its oldest row.
            first = min((int(w.rows.place[w.rows.rows].min()) // PANE_US for w in self.waiting), default=until)
            if ended and not self.waiting:
                return
            head[NEXT] = min(first, until)
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
        before = int(self.s.head[NEXT])
        self.evidence.forget(before * PANE_US)
        if self.recent.closed(before):
            self.recent.forget(before, self._streaking())

    def _streaking(self) -> NDArray[np.uint64]:
        """The entities of which some rule's condition held in the pane that has closed last."""
        active = self.s.active[: self.s.head[ACTIVE]]
        hot = active[self.s.hot[active] != 0]
        owners: NDArray[np.uint64] = self.s.rings["owner"][hot[(self.s.streak[hot] > 0).any(axis=1)]]
        return owners

    def near_spike(self) -> NDArray[np.uint64]:
        """The entities that may spike next, for whom a snapshot keeps events: those with a streak, and the busiest."""
        active = self.s.active[: self.s.head[ACTIVE]]
        busiest = active[np.argsort(self.s.rings["sum5"][active, 0])[-BUSIEST:]]
        owners = [self._streaking(), self.s.rings["owner"][busiest]]
        if self.waiting:
            waiting = [w.rows.entity[w.rows.rows[~w.done]] for w in self.waiting]
            ahead, events = np.unique(np.concatenate(waiting), return_counts=True)
            owners.append(ahead[np.argsort(events)[-BUSIEST:]])
        return np.unique(np.concatenate(owners))

    def _close(self, limit: int) -> None:
        steps, baselines = self._room(2 * int(self.s.head[ACTIVE]) * len(self.arrays.kind))
        # The loop ends with the shard empty: at the end of time there is no last pane.
        while self.s.head[NEXT] < limit and self.s.head[ACTIVE]:
            pane = int(self.s.head[NEXT])
            n, minute = _CLOSE_PANES(self.s, self.arrays, self.learned, limit, steps, baselines)
            self._follow(steps[:n], baselines[:n], pane)
            if minute:
                self._learn()

    def _open_early(self, batch: EventBatch, rows: NDArray[np.int64]) -> None:
        """Nothing can open that was not open before unless something was counted, or another pane is the first."""
        pane = int(self.s.head[NEXT]) // PER30
        if pane == self._looked and not (batch.counts[rows] & (FAILURE | DELETION)).any():
            return
        self._looked = pane
        if self.s.head[NEXT] == NEVER or not self.s.head[ACTIVE]:
            return
        steps, baselines = self._room(int(self.s.head[ACTIVE]) * len(self.arrays.kind))
        n = _OPEN_EARLY(self.s, self.arrays, steps, baselines)
        self._follow(steps[:n], baselines[:n], int(self.s.head[NEXT]))

    def _room(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # Kept, because fresh pages for a busy shard's largest number of steps cost more than the few steps there are.
        if n > len(self._steps[0]):
            self._steps = np.empty((2 * n, STEP_FIELDS), np.int64), np.empty((2 * n, 2))
        return self._steps

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
        kept = _LEARN_MINUTE(
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
                "feature": [FEATURES[code] for code in out.feature[:kept].tolist()],
            }
            for i in range(FEATURE_COUNT):
                columns[FEATURES[i]] = out.values[:kept, i].copy()
                columns["peak_" + FEATURES[i]] = out.peaks[:kept, i].copy()
            self.windows.append(columns)

    def _add_waiting(self) -> None:
        still: list[Waiting] = []
        for w in self.waiting:
            self.s = make_room(self.s, w.rows, self.settings.max_rings)
            if _ADD_WAITING(self.s, self.dimension, w.rows, w.done):
                still.append(w)
        self.waiting = still
