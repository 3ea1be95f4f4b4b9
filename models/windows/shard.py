"""One shard of one dimension: its entities' windows, what they taught, and their open incidents."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alert import Alert, Reason
from models.base import DIMENSIONS, END_OF_TIME, IP, NONE_TIME, SKIP, TENANT, USER
from models.event import EventBatch
from models.features.behaviour import reasons_of
from models.features.rates import feature_codes
from models.kernels.arrive import Learned, RowArrays, add_waiting, arrive
from models.kernels.close import (
    JUDGE,
    KIND,
    NUMBERS,
    OPEN,
    PANE,
    RULE,
    SLOT,
    STEP_FIELDS,
    close_panes,
    open_early,
    settle,
)
from models.kernels.direct import direct
from models.kernels.layout import (
    ACTIVE,
    AHEAD5,
    EVIDENCE_DROPPED,
    LEARNED_RULE,
    LINGER,
    NEVER,
    NEXT,
    PANE_US,
    PER30,
    SPIKE,
    WINDOW15M,
    RuleArrays,
    ShardArrays,
)
from models.kernels.learn import WindowArrays, window_arrays
from models.kernels.pairs import users_at
from models.kernels.table import release_before
from models.rules import Rule, SourceRule
from models.rules.program import Program
from models.thresholds.edges import score_edges
from models.windows import saved
from models.windows.arrays import empty, make_room
from models.windows.behaviour import Behaviour, BehaviourSettings, behaviour_of
from models.windows.evidence import Evidence
from models.windows.hold_back import HoldBack
from models.windows.incidents import Incidents
from models.windows.joint import forget_idle
from models.windows.kept import kept_windows, no_levels
from models.windows.minute import learn_minute
from models.windows.recent import Recent
from models.windows.rings import NO_ROWS, NO_UIDS, name_of, streaking, under_incidents
from models.windows.rules import rule_arrays, sequences
from models.windows.slice import ClosedWindows, Finding, Slice, SliceScores
from models.windows.sources import Sources
from models.windows.tenants import Tenants, TenantSettings
from models.windows.waiting import Waiting, call_arrays, row_arrays, wait

_ARRIVE, _ADD_WAITING = direct(arrive), direct(add_waiting)
_CLOSE_PANES, _OPEN_EARLY = direct(close_panes), direct(open_early)
_USERS_AT, _RELEASE_BEFORE, _SETTLE = direct(users_at), direct(release_before), direct(settle)
NO_SLOTS = np.empty(0, np.int32)


class ShardSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard has to know of the configuration: `rules` of its dimension, `program` with all thresholds."""

    rules: tuple[Rule, ...]
    quiet_us: tuple[int, ...]
    program: Program
    detector: str
    learned: Learned
    half_life_minutes: int
    lateness_us: int
    source_rules: tuple[SourceRule, ...] = ()
    keep_quantile: float
    keep_share: float
    max_records: int
    max_rings: int
    max_hours: int = 0  # entities whose hours of the week are learned
    behaviour: BehaviourSettings | None = None
    tenants: TenantSettings | None = None
    learned_by: tuple[str, str] = ("", "")  # rates, behaviour; what others learned is not gone on with


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
        self.arrays: RuleArrays = rule_arrays(settings.rules, settings.quiet_us, settings.program, dimension)
        self.s: ShardArrays = empty(self.arrays, settings.max_records, settings.max_rings, settings.max_hours, secret)
        self.watermarks: dict[str, int] = {}
        self.idle: set[str] = set()
        self.reached: dict[str, tuple[int, int]] = {}
        self.watermark = NONE_TIME
        self.waiting: list[Waiting] = []
        longest = int((self.arrays.window * self.arrays.grid).max(initial=0)) * PANE_US
        self.evidence = Evidence(settings.lateness_us, int(self.arrays.marks[1]), longest)
        self.recent = Recent(dimension)
        other, ordered = USER if dimension == IP else IP, sequences(settings.rules, self.arrays)
        self.hold_back = HoldBack(dimension, other, ordered, self.arrays, self.evidence)
        self.incidents = Incidents(dimension, settings.rules, self.arrays, self.evidence, self.recent, canonical)
        watched = settings.source_rules if dimension == TENANT else ()
        self.sources = Sources(watched, settings.lateness_us) if watched else None
        self.tenants = Tenants(settings.tenants) if settings.tenants else None
        self.findings: list[Finding] = []
        self.windows: list[ClosedWindows] = []
        self._kept: WindowArrays = window_arrays(256)
        self._spikes = any(int(k) in (SPIKE, LEARNED_RULE) for k in self.arrays.kind)
        self.behaviour = self.new_behaviour()
        self._looked = NEVER
        self._stirred: NDArray[np.int32] = NO_SLOTS
        self._early = bool(self.arrays.monotone.any())
        self._due = np.empty(len(self.arrays.kind), np.int64)
        self._steps = np.empty((256, STEP_FIELDS), np.int64), np.empty((256, NUMBERS))
        if state is not None:
            saved.restore(self, state)

    def new_behaviour(self) -> Behaviour | None:
        """What learns how entities behave, if anything does, before it has learned."""
        its = self.settings
        keep = its.keep_quantile, its.keep_share
        return behaviour_of(self.dimension, its.behaviour, its.rules, self.s, self.edges, keep)

    def assess(self, piece: Slice) -> SliceScores:
        """Count and score a slice's rows, then do what its watermark makes due."""
        batch = piece.batch
        self._stirred = NO_SLOTS
        self._hear(batch.source, batch.sources, batch.watermark_before, idle=batch.idle and not len(batch))
        uid_rows, uids = self._arrive(piece) if len(piece.rows) else (NO_ROWS, NO_UIDS)
        sources = self.sources
        if sources:
            if sources.latest < batch.watermark != END_OF_TIME:
                sources.latest = batch.watermark
            if piece.shard == 0:
                sources.take(batch, self.reached.get(batch.source, (-1, -1)))
        if self.reached.get(batch.source, (-1, -1)) < batch.reached:
            self.reached[batch.source] = batch.reached
        self._hear(batch.source, batch.sources, batch.watermark, idle=batch.idle)
        if self._early:
            self._open_early()
        if sources and sources.due(self.watermark):
            created = min(self.watermark, sources.latest) + self.settings.lateness_us
            self._find(sources.close(self.watermark, created))
        if self.tenants and self.watermark == END_OF_TIME:
            self._find(self.tenants.end(self.s))
        self.s.head[EVIDENCE_DROPPED] = self.evidence.dropped
        out = SliceScores(
            batch=batch if self.dimension == 0 and piece.shard == 0 else None,
            dimension=self.dimension,
            shard=piece.shard,
            number=batch.number,
            rows=piece.rows,
            scores=piece.scores,
            uid_rows=uid_rows,
            uids=uids,
            passed=2**62 if self.watermark == END_OF_TIME else int(self.s.head[NEXT]),
            head=self.s.head.copy(),
            findings=self.findings,
            windows=self.windows,
        )
        self.findings, self.windows = [], []
        return out

    def _find(self, alerts: Iterable[Alert], windows: Iterable[ClosedWindows] = ()) -> None:
        self.findings += [Finding(alert.time // PANE_US - 1, alert) for alert in alerts]
        self.windows += windows

    def snapshot(self) -> bytes:
        """The shard as versioned plain bytes; `Shard(..., state=...)` goes on from them."""
        return saved.snapshot(self)

    def _hear(self, source: str, sources: tuple[str, ...], watermark: int, *, idle: bool) -> None:
        marks = self.watermarks
        if (
            watermark <= marks.get(source, NONE_TIME - 1)
            and idle == (source in self.idle)
            and len(sources) == len(marks)
        ):
            return
        for name in sources:
            # A partition that is new after a restart joins where the stream is.
            marks.setdefault(name, self.watermark)
        if idle:
            self.idle.add(source)
        else:
            self.idle.discard(source)
        marks[source] = max(marks[source], watermark)
        moving = [marks[name] for name in sources if name not in self.idle]
        if not moving and all(marks[name] == END_OF_TIME for name in sources):
            moving = [END_OF_TIME]
        if moving and min(moving) > self.watermark:
            before, self.watermark = self.watermark, min(moving)
            if self.watermark // PANE_US > before // PANE_US or self.s.head[NEXT] == NEVER:
                self._advance()

    def _arrive(self, piece: Slice) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Count and score the rows of a slice; the rows under an open incident, and its uid for each."""
        batch, rows, scores = piece.batch, piece.rows, piece.scores
        columns = row_arrays(batch, self.dimension, rows)
        self.grow(columns)
        skip = self._counted_before(batch, rows)
        ahead, floor = np.empty(len(rows), np.bool_), int(self.s.head[NEXT])
        waiting, fresh, witnessed, newest, hot = _ARRIVE(
            self.s, self.arrays, self.learned, self.edges, self.codes, self.dimension, columns, skip, scores, ahead
        )
        if self.behaviour is not None:
            self.behaviour.count(self.s, columns, batch, skip, ahead, scores)
        if waiting:
            self.waiting.append(wait(columns, call_arrays(batch), rows[ahead]))
        if fresh and self.hold_back.sequences:
            self.hold_back.add(batch, rows[skip:], floor, int(newest))
        if fresh and (self._spikes or witnessed):
            counted = rows[skip:]
            if fresh < len(counted):
                counted = counted[(batch.flags[counted] & SKIP) == 0]
            if witnessed:
                picked = self.evidence.add(batch, self.dimension, counted)
                self._stirred = scores.slot[self.dimension, picked]
            if self._spikes:
                self.recent.add(batch, counted, newest)
        if not hot or not self.incidents.open:
            return NO_ROWS, NO_UIDS
        return under_incidents(self.s, self.incidents, rows, scores.slot[self.dimension, rows])

    def grow(self, rows: RowArrays) -> None:
        """Make room for the entities of some rows and their pairs, as far as the limits allow."""
        before, self.s = self.s, make_room(self.s, self.arrays, rows)
        if self.behaviour is not None:
            self.behaviour.move(before, self.s)

    def _counted_before(self, batch: EventBatch, rows: NDArray[np.int64]) -> int:
        offset, index = self.reached.get(batch.source, (-1, -1))
        if batch.first >= (offset, index):
            return 0
        mine = batch.offset[rows]
        old = (mine < offset) | ((mine == offset) & (batch.index[rows] <= index))
        return int(np.count_nonzero(old))

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
            next_waiting = self._add_waiting() if self.waiting else None
            if head[NEXT] >= until:
                break
            if head[ACTIVE] == 0:
                if next_waiting is None:
                    if not ended:
                        head[NEXT] = until
                    break
                head[NEXT] = max(int(head[NEXT]), min(until, next_waiting - AHEAD5 + 1))
                if head[NEXT] < until:
                    continue
                break
            self._close(until if next_waiting is None else min(until, int(head[NEXT]) + 6))
        before = int(head[NEXT])
        self.evidence.forget(before * PANE_US)
        if self.hold_back.sequences:
            self.hold_back.forget(before)
        if self.recent.closed(before):
            self.recent.forget(before, streaking(self.s))

    def _close(self, limit: int) -> None:
        if self.sources:
            self.sources.hear_tenants(self.s, limit)
        steps, numbers = self._room(2 * int(self.s.head[ACTIVE]) * len(self.arrays.kind))
        # The loop ends with the shard empty: at the end of time there is no last pane.
        while self.s.head[NEXT] < limit and self.s.head[ACTIVE]:
            pane = int(self.s.head[NEXT])
            n, minute = _CLOSE_PANES(self.s, self.arrays, self.learned, limit, self._due, steps, numbers)
            self._follow(steps[:n], numbers[:n], pane)
            if minute:
                if self.behaviour is not None:
                    self._close_behaviour(self.behaviour)
                if self.tenants is not None:
                    self._find(*self.tenants.close(self.s, self.watermark))
                self._learn()

    def _open_early(self) -> None:
        """Nothing can open that was not open before unless something was counted, or another pane is the first."""
        pane = int(self.s.head[NEXT]) // PER30
        slots = self._stirred if pane == self._looked else self.s.active[: self.s.head[ACTIVE]]
        self._looked = pane
        if self.s.head[NEXT] == NEVER or not len(slots):
            return
        steps, numbers = self._room(len(slots) * len(self.arrays.kind))
        n = _OPEN_EARLY(self.s, self.arrays, slots, steps, numbers)
        self._follow(steps[:n], numbers[:n], int(self.s.head[NEXT]))

    def _room(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        # Kept, because fresh pages for a busy shard's largest number of steps cost more than the few steps there are.
        if n > len(self._steps[0]):
            self._steps = np.empty((2 * n, STEP_FIELDS), np.int64), np.empty((2 * n, NUMBERS))
        return self._steps

    def _follow(
        self,
        steps: NDArray[np.int64],
        numbers: NDArray[np.float64],
        pane: int,
        reasons: list[tuple[Reason, ...]] | None = None,
    ) -> None:
        if not len(steps):
            return
        created = (self.watermark if self.watermark != END_OF_TIME else pane * PANE_US) + self.settings.lateness_us
        for step, each, features in zip(steps.tolist(), numbers.tolist(), reasons or [()] * len(steps), strict=True):
            slot, name, owner = step[SLOT], ("", ""), 0
            if step[KIND] == JUDGE:
                self._judge(step[RULE], slot, step[PANE], pane)
                continue
            if step[KIND] == OPEN:
                name = name_of(self.s, slot)
                owner = int(self.s.rings["owner"][slot])
            alert = self.incidents.take(step, each, owner, name, created, features)
            if alert is None:
                continue
            if self.dimension == IP:
                # Whether it may be blocked hangs on who else gets in there.
                window = min(alert.window_s // 30 + 1, WINDOW15M)
                failed, succeeded = _USERS_AT(self.s, slot, alert.time // (PER30 * PANE_US) - 1, window)
                alert = msgspec.structs.replace(alert, failed_users=failed, succeeded_users=succeeded)
            self.findings.append(Finding(pane, alert))

    def _judge(self, rule: int, slot: int, pane30: int, pane: int) -> None:
        """Count what follows failures in a pane that has closed, then go on with its incident as with any other."""
        self.hold_back.judge(self.s, rule, slot, pane30)
        steps, numbers = np.empty((1, STEP_FIELDS), np.int64), np.empty((1, NUMBERS))
        n = _SETTLE(self.s, self.arrays, self.learned, rule, slot, pane30, steps, numbers)
        self._follow(steps[:n], numbers[:n], pane)

    def _close_behaviour(self, behaviour: Behaviour) -> None:
        judged = behaviour.close(self.s, self.arrays)
        if judged is None:
            return
        self._follow(judged.steps, judged.numbers, int(self.s.head[NEXT]) - 1, reasons_of(judged.reasons))
        rows, rules = judged.windows, self.settings.rules
        self.windows += kept_windows(self.s, self.dimension, behaviour.detector, rows, rules, no_levels())

    def _learn(self) -> None:
        if self.dimension >= len(DIMENSIONS):
            # Of joint entities nothing is learned: there are too many of them, and each is seen too seldom.
            _RELEASE_BEFORE(self.s, int(self.s.head[NEXT]) - LINGER, int(self.s.head[NEXT]))
            self.s = forget_idle(self.s)
            return
        active = int(self.s.head[ACTIVE])
        if active > len(self._kept.slot):
            self._kept = window_arrays(2 * active)
        its = self.settings
        self.windows += learn_minute(
            self.s, self.arrays, self.learned, self.edges, self.codes, self.dimension,
            its.half_life_minutes, its.keep_quantile, its.keep_share, its.detector, its.rules, self._kept,
        )  # fmt: skip

    def _add_waiting(self) -> int | None:
        """Count the waiting rows that are within reach; the base pane of the first that is not."""
        still: list[Waiting] = []
        for w in self.waiting:
            self.grow(w.rows)
            before = w.done.copy()
            if _ADD_WAITING(self.s, self.arrays, self.dimension, w.rows, w.done):
                still.append(w)
            self._looked = NEVER  # any of them may open something
            if self.behaviour is not None:
                self.behaviour.count_waiting(self.s, w.rows, w.calls, before, w.done)
        self.waiting = still
        return min((int(w.rows.place[w.rows.rows[~w.done]].min()) // PANE_US for w in still), default=None)
