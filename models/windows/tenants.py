"""Whole tenants, minute by minute: series beside the levels they have reached, and what their minutes are made of."""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alert import CLOSE, CREATE, UPDATE, Alert, Reason
from models.base import END_OF_TIME, FEATURES, TENANT
from models.detectors.reservoir_ensemble import ReservoirEnsembleParams
from models.detectors.return_levels import ReturnLevels, ReturnLevelsParams
from models.features.minute import COUNTS
from models.kernels.direct import direct
from models.kernels.layout import ACTIVE, MINUTE, NEXT, PANE_US, ShardArrays
from models.kernels.learn import FEATURE_COUNT, sampled
from models.kernels.panes import minute_counts
from models.rules import TenantRule, span
from models.rules.level_anomaly import LevelAnomaly
from models.rules.mix_anomaly import MixAnomaly
from models.windows.dead_letters import REPORT
from models.windows.kept import no_levels
from models.windows.mix import BUSY, MOST_MIXES, Mix, mix_bytes
from models.windows.outage import Outage, Subject, alert_of, begin
from models.windows.rings import name_of
from models.windows.slice import ClosedWindows, Texts

_COUNTS = direct(minute_counts)
SERIES: Final = ("events", "failures")
"""The first of the counts; each is a series of its own."""
MOST_TENANTS: Final = 256
"""Of a shard, each some 75 KB. Beyond them newcomers have no series: no made-up tenant takes another's place."""
DAY: Final = 1_440
FORGOTTEN: Final = 7 * DAY
"""Minutes: a silence is zeros for a day at most; who is silent for a week makes room."""
_MINUTE_US: Final = MINUTE * PANE_US
_PER_MINUTE: Final = 2
"""Panes of 30 s, in which incidents of whole tenants are told."""
_SILENT: Final = [0.0] * len(COUNTS)
_FEATURES: Final = tuple(FEATURES.index(name) for name in ("events_1m", "failures_1m", "behaviour"))
_MIX: Final = len(SERIES)
"""The feature of a window of the mix comes after those of the series."""


class TenantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard has to know of the detectors of whole tenants; `learned` says by what parameters they learn."""

    levels: ReturnLevelsParams | None
    mix: ReservoirEnsembleParams | None
    level_rules: tuple[LevelAnomaly, ...]
    mix_rules: tuple[MixAnomaly, ...]
    lateness_us: int
    keep_quantile: float
    keep_share: float
    learned: str


class Learned(msgspec.Struct, array_like=True):
    """The minute of the first row that a detector has judged, how many there were, and how many had no score."""

    began: int = 0
    rows: int = 0
    unscored: int = 0


class Known(msgspec.Struct, array_like=True):
    """A tenant but for what its detectors have learned.

    In minutes: `due`, the next to be judged; `spoke`, its last with events; `strange`, those of late, by rule.
    """

    tenant: str
    due: int
    spoke: int
    levels: Learned
    mix: Learned | None = None
    strange: dict[str, list[int]] = {}
    open: dict[str, Outage] = {}


class _Tenant(msgspec.Struct):
    known: Known
    levels: tuple[ReturnLevels, ...]
    mix: Mix | None = None


class _Row(NamedTuple):
    """A closed minute as one detector has judged it."""

    owner: int
    tenant: str
    feature: int
    minute: int
    score: float
    quantile: float
    usual: float
    value: float


class _Crossing(NamedTuple):
    """What crossed: since which minute, the measure, what was expected, and the limit."""

    since: int
    value: float
    expected: float
    limit: float
    reasons: tuple[Reason, ...] = ()


class Tenants:
    """A shard's tenants, a row a minute, each judged before it is learned.

    A row is a closed minute: so nothing hangs on batches or on the order of events, and `lapwing score --detector
    default` over the same minutes says the same to the bit. Minutes without events are zeros, from a tenant's first
    one on, for at most a day on end; those in which nobody of the shard is heard are learned, and not told of.

    Cost: some 100 us a tenant and minute, nothing an event.
    """

    def __init__(self, settings: TenantSettings) -> None:
        self.settings = settings
        rules: list[TenantRule] = [*settings.level_rules, *settings.mix_rules]
        self._rules = {rule.id: rule for rule in rules}
        self.tenants: dict[int, _Tenant] = {}
        self._level_rules = [[rule for rule in settings.level_rules if rule.series == name] for name in SERIES]

    def close(self, s: ShardArrays, watermark: int) -> tuple[list[Alert], list[ClosedWindows]]:
        """The minute before head[NEXT] has closed: what it is told of, and the windows that are kept."""
        until, now = int(s.head[NEXT]), watermark
        if watermark == END_OF_TIME:
            if s.newest[s.active[: s.head[ACTIVE]]].max() < until - MINUTE:
                return [], []  # that nobody says more is no silence
            now = until * PANE_US
        minute, created = until // MINUTE - 1, now + self.settings.lateness_us
        spoke = self._hear(s, minute)
        alerts: list[Alert] = []
        rows: list[_Row] = []
        for owner in sorted(self.tenants):
            one = self.tenants[owner]
            known = one.known
            if owner in spoke:
                known.spoke = minute
            elif minute - known.spoke > FORGOTTEN:
                alerts += self._end(known, minute)
                del self.tenants[owner]
                continue
            _learn_silence(one, max(known.due, minute - DAY), minute)
            counts = spoke.get(owner, _SILENT)
            rows += self._judge_levels(owner, one, minute, counts, created, alerts)
            rows += self._judge_mix(owner, one, minute, counts, created, alerts)
            known.due = minute + 1
        return alerts, self._kept(rows)

    def end(self, s: ShardArrays) -> list[Alert]:
        """The input has ended: all incidents close, what was learned stays."""
        minute = int(s.head[NEXT]) // MINUTE
        return [alert for owner in sorted(self.tenants) for alert in self._end(self.tenants[owner].known, minute)]

    def _hear(self, s: ShardArrays, minute: int) -> dict[int, list[float]]:
        """Who has events in a minute, and its counts; who is new is welcome while there is room."""
        slots = s.active[: s.head[ACTIVE]].copy()
        counts = np.empty((len(slots), len(COUNTS)))
        _COUNTS(s, slots, int(s.head[NEXT]) - 1, counts)
        owners = s.rings["owner"][slots].tolist()
        rows = zip(owners, slots.tolist(), counts.tolist(), strict=True)
        found = {owner: (slot, row) for owner, slot, row in rows if row[0] > 0.0}
        for owner in sorted(found.keys() - self.tenants.keys())[: MOST_TENANTS - len(self.tenants)]:
            known = Known(name_of(s, found[owner][0])[0], minute, minute, Learned(minute))
            self.tenants[owner] = self._tenant(known)
        if self.settings.mix is not None:
            busy = sorted(owner for owner, (_, row) in found.items() if row[0] >= BUSY and owner in self.tenants)
            self._mix(self.settings.mix, [owner for owner in busy if self.tenants[owner].mix is None], minute)
        return {owner: row for owner, (_, row) in found.items()}

    def _mix(self, params: ReservoirEnsembleParams, owners: list[int], minute: int) -> None:
        """Tables for tenants that have none, while there is room."""
        for owner in owners[: MOST_MIXES - sum(one.mix is not None for one in self.tenants.values())]:
            self.tenants[owner].known.mix = Learned(minute)
            self.tenants[owner].mix = Mix(params)

    def _tenant(self, known: Known) -> _Tenant:
        its = self.settings
        levels = tuple(ReturnLevels(its.levels, 1) for _ in SERIES) if its.levels else ()
        return _Tenant(known, levels, Mix(its.mix) if its.mix and known.mix else None)

    def _judge_levels(
        self, owner: int, one: _Tenant, minute: int, counts: list[float], created: int, alerts: list[Alert]
    ) -> list[_Row]:
        """Judge and learn the series of one minute of a tenant."""
        known = one.known
        time = np.array([minute * _MINUTE_US])
        rows = []
        for series, detector in enumerate(one.levels):
            value, rules = counts[series], self._level_rules[series]
            beside = [detector.level_at(value, rule.at_least, int(time[0])) for rule in rules]
            scores, quantiles = detector.score_learn(np.array([[value]]), time)
            score = float(scores[0])
            for rule, (usual, limit) in zip(rules, beside, strict=True):
                judged = known.levels.rows >= rule.after_minutes and max(value, usual) >= rule.events
                crossing = _Crossing(minute, value, usual, limit) if judged and score >= rule.at_least else None
                alerts += _follow(known, rule, minute, int(value), crossing, created)
            known.levels.unscored += score != score
            usual = beside[0][0] if beside else np.nan
            rows.append(_Row(owner, known.tenant, series, minute, score, float(quantiles[0]), usual, value))
        known.levels.rows += 1
        return rows

    def _judge_mix(
        self, owner: int, one: _Tenant, minute: int, counts: list[float], created: int, alerts: list[Alert]
    ) -> list[_Row]:
        """Judge and learn what one minute of a tenant is made of."""
        known = one.known
        if one.mix is None or known.mix is None:
            return []
        score, quantile = one.mix.judge(counts)
        for rule in self.settings.mix_rules:
            strange = quantile >= rule.quantile and score >= rule.score
            late = [at for at in known.strange.get(rule.id, ()) if at > minute - rule.windows] + [minute] * strange
            known.strange[rule.id] = late
            crossing = None
            if strange and len(late) >= rule.hits and known.mix.rows >= rule.after_minutes:
                crossing = _Crossing(late[0], score, 1.0, rule.score, one.mix.reasons(counts))
            alerts += _follow(known, rule, minute, int(counts[0]), crossing, created)
        known.mix.rows += 1
        known.mix.unscored += score != score
        return [_Row(owner, known.tenant, _MIX, minute, score, quantile, 1.0, score)]

    def _end(self, known: Known, minute: int) -> list[Alert]:
        incidents, known.open = known.open, {}
        time = minute * _MINUTE_US
        return [alert_of(one, _subject(known, self._rules[name]), CLOSE, time) for name, one in incidents.items()]

    def _kept(self, rows: list[_Row]) -> list[ClosedWindows]:
        """The windows to be written, a piece for each minute and detector."""
        its = self.settings
        kept: dict[tuple[int, str], list[tuple[_Row, float]]] = {}
        for row in rows:
            params = its.mix if row.feature == _MIX else its.levels
            assert params is not None
            piece = row.minute, params.id
            if row.quantile >= its.keep_quantile:
                kept.setdefault(piece, []).append((row, 1.0))
            elif sampled(np.uint64(row.owner), row.minute, its.keep_share):
                kept.setdefault(piece, []).append((row, 1.0 / its.keep_share))
        return [_windows(detector, minute, kept[minute, detector]) for minute, detector in sorted(kept)]

    def tables(self) -> dict[str, NDArray[Any]]:
        """What the detectors have learned, by tenant, as it lies there."""
        found: dict[str, NDArray[Any]] = {}
        for owner, one in self.tenants.items():
            found |= {f"{owner:016x}.{name}": levels.words for name, levels in zip(SERIES, one.levels, strict=False)}
            if one.mix is not None:
                found |= {f"{owner:016x}.mix.{name}": array for name, array in one.mix.tables().items()}
        return found

    def snapshot(self) -> list[tuple[int, Any]]:
        """The rest of it, as plain values."""
        return [(owner, msgspec.to_builtins(one.known)) for owner, one in sorted(self.tenants.items())]

    def restore(self, saved: list[tuple[int, Any]], tables: dict[str, bytes]) -> None:
        """Take what a snapshot holds; incidents of rules that are gone end silently."""
        for owner, plain in saved:
            known = msgspec.convert(plain, Known)
            known.open = {name: one for name, one in known.open.items() if name in self._rules}
            known.strange = {name: one for name, one in known.strange.items() if name in self._rules}
            self.tenants[owner] = one = self._tenant(known)
            for name, levels in zip(SERIES, one.levels, strict=False):
                levels.words[:] = np.frombuffer(tables[f"{owner:016x}.{name}"], np.int64)
            if one.mix is not None:
                mine = f"{owner:016x}.mix."
                one.mix.restore({name.removeprefix(mine): raw for name, raw in tables.items() if name.startswith(mine)})


def _learn_silence(one: _Tenant, begin_minute: int, end_minute: int) -> None:
    """Minutes in which nobody of the shard spoke: rows of zeros, all at once, however long it was."""
    n = end_minute - begin_minute
    if n <= 0:
        return
    times = np.arange(begin_minute, end_minute) * _MINUTE_US
    for detector in one.levels:
        scores, _ = detector.score_learn(np.zeros((n, 1)), times)
        one.known.levels.unscored += int(np.isnan(scores).sum())
    one.known.levels.rows += n
    if one.mix is not None and one.known.mix is not None:
        one.known.mix.unscored += one.mix.learn_silence(n)
        one.known.mix.rows += n


def _follow(
    known: Known, rule: TenantRule, minute: int, events: int, crossing: _Crossing | None, created: int
) -> list[Alert]:
    """One rule, one minute: the incident that opens, goes on, or has been quiet for long enough."""
    incident, subject = known.open.get(rule.id), _subject(known, rule)
    pane, now = (minute + 1) * _PER_MINUTE - 1, (minute + 1) * _MINUTE_US
    activity = UPDATE
    if incident is None:
        if crossing is None:
            return []
        incident = known.open[rule.id] = begin(subject, pane, crossing.since * _PER_MINUTE, created)
        activity = CREATE
    incident.pending += events
    reasons: tuple[Reason, ...] = ()
    if crossing is not None:
        incident.count, incident.pending, incident.last = incident.count + incident.pending, 0, pane
        _, incident.value, incident.expected, incident.limit, reasons = crossing
        if activity == UPDATE and incident.count < max(2 * incident.told, 1) and (pane - incident.first) % REPORT:
            return []
        incident.told = float(incident.count)
    elif pane - incident.last >= span.microseconds(rule.quiet) // _MINUTE_US * _PER_MINUTE:
        del known.open[rule.id]
        activity = CLOSE
    else:
        return []
    return [msgspec.structs.replace(alert_of(incident, subject, activity, now), reasons=reasons)]


def tenant_bytes(levels: ReturnLevelsParams | None, mix: ReservoirEnsembleParams | None) -> int:
    """What the tenants of one shard take at most.

    >>> tenant_bytes(ReturnLevelsParams(), None) // 2**20
    17
    """
    found = MOST_TENANTS * len(SERIES) * int(ReturnLevels(levels, 1).words.nbytes) if levels else 0
    return found + (mix_bytes(mix) if mix else 0)


def _subject(known: Known, rule: TenantRule) -> Subject:
    minutes = rule.windows if isinstance(rule, MixAnomaly) else 1
    return Subject(known.tenant, "tenant", known.tenant, rule.id, rule.severity, 60 * minutes)


def _windows(detector: str, minute: int, kept: list[tuple[_Row, float]]) -> ClosedWindows:
    rows = [row for row, _ in kept]
    names = Texts.of([row.tenant for row in rows])
    unknown = np.full((len(rows), FEATURE_COUNT), np.nan)
    return ClosedWindows(
        TENANT, detector, (minute + 1) * _MINUTE_US, names, names,
        feature=np.array([_FEATURES[row.feature] for row in rows]),
        guarded=np.zeros(len(rows), np.bool_),
        score=np.array([row.score for row in rows]),
        quantile=np.array([row.quantile for row in rows]),
        expected=np.array([row.usual for row in rows]),
        observed=np.array([row.value for row in rows]),
        weight=np.array([weight for _, weight in kept]),
        values=unknown,
        peaks=unknown,
        rules=(),
        levels=no_levels(),
    )  # fmt: skip
