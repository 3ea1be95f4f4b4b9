"""Each tenant's minutes as series, events and failures, beside what their few strangest episodes have reached."""

from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.alert import CLOSE, CREATE, UPDATE, Alert
from models.base import FEATURES, TENANT
from models.detectors.return_levels import ReturnLevels, ReturnLevelsParams
from models.kernels.direct import direct
from models.kernels.layout import ACTIVE, MINUTE, NEXT, PANE_US, ShardArrays
from models.kernels.learn import FEATURE_COUNT, sampled
from models.kernels.panes import minute_counts
from models.rules import span
from models.rules.level_anomaly import LevelAnomaly
from models.windows.kept import no_levels
from models.windows.outage import Outage, Subject, alert_of, begin
from models.windows.rings import name_of
from models.windows.slice import ClosedWindows, Texts

SERIES: Final = ("events", "failures")
_FEATURES: Final = tuple(FEATURES.index(name) for name in ("events_1m", "failures_1m"))
_COUNTS = direct(minute_counts)
MOST_TENANTS: Final = 256
"""Of a shard, each some 75 KB. Beyond them newcomers have no series: no made-up tenant takes another's place."""
DAY: Final = 1_440
FORGOTTEN: Final = 7 * DAY
"""Minutes: a silence is zeros for a day at most; who is silent for a week makes room."""
_MINUTE_US: Final = MINUTE * PANE_US
_PER_MINUTE: Final = 2
"""Panes of 30 s, in which incidents of whole tenants are told."""
_SILENT: Final = [0.0, 0.0]


class SeriesSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard has to know of the detector; `learned` says by what parameters it learns."""

    params: ReturnLevelsParams
    rules: tuple[LevelAnomaly, ...]
    keep_quantile: float
    keep_share: float
    learned: str


class Known(msgspec.Struct, array_like=True):
    """A tenant but for what its detectors have learned.

    In minutes: `began`, its first; `due`, the next to be judged; `spoke`, its last with events.
    """

    tenant: str
    began: int
    due: int
    spoke: int
    rows: int = 0
    unscored: int = 0
    open: dict[str, Outage] = {}


class _Tenant(NamedTuple):
    known: Known
    detectors: tuple[ReturnLevels, ...]


class _Row(NamedTuple):
    """A closed minute of one series, as it was judged."""

    owner: int
    tenant: str
    series: int
    minute: int
    score: float
    quantile: float
    usual: float
    value: float


class TenantSeries:
    """The series of a shard's tenants, a row a minute, each judged before it is learned.

    A row is a closed minute: so nothing hangs on batches or on the order of events, and `lapwing score --detector
    default` over the same minutes says the same to the bit. Minutes without events are zeros, from a tenant's first
    one on, for at most a day on end.

    Cost: some 50 us a tenant and minute, nothing an event.
    """

    def __init__(self, settings: SeriesSettings) -> None:
        self.settings = settings
        self.tenants: dict[int, _Tenant] = {}
        self._rules = [[rule for rule in settings.rules if rule.series == name] for name in SERIES]

    def close(self, s: ShardArrays, created: int) -> tuple[list[Alert], list[ClosedWindows]]:
        """The minute before head[NEXT] has closed: what it is told of, and the windows that are kept."""
        minute = int(s.head[NEXT]) // MINUTE - 1
        spoke = self._hear(s, minute)
        alerts: list[Alert] = []
        rows: list[_Row] = []
        for owner in sorted(self.tenants):
            known = self.tenants[owner].known
            if owner in spoke:
                known.spoke = minute
            elif minute - known.spoke > FORGOTTEN:
                alerts += self._end(known, minute)
                del self.tenants[owner]
                continue
            for at in range(max(known.due, minute - DAY), minute):
                rows += self._judge(owner, at, _SILENT, created, alerts)
            rows += self._judge(owner, minute, spoke.get(owner, _SILENT), created, alerts)
        return alerts, self._kept(rows)

    def end(self, minute: int) -> list[Alert]:
        """The input has ended with a minute: all incidents close, what was learned stays."""
        return [alert for owner in sorted(self.tenants) for alert in self._end(self.tenants[owner].known, minute)]

    def _hear(self, s: ShardArrays, minute: int) -> dict[int, list[float]]:
        """Who has events in a minute, and how many in each series; who is new is welcome while there is room."""
        slots = s.active[: s.head[ACTIVE]].copy()
        counts = np.empty((len(slots), len(SERIES)))
        _COUNTS(s, slots, int(s.head[NEXT]) - 1, counts)
        spoke: dict[int, list[float]] = {}
        for slot, values in zip(slots.tolist(), counts.tolist(), strict=True):
            if values[0] > 0.0:
                spoke[int(s.rings["owner"][slot])] = values
        heard = s.rings["owner"][slots]
        for owner in sorted(spoke.keys() - self.tenants.keys())[: MOST_TENANTS - len(self.tenants)]:
            name = name_of(s, int(slots[np.flatnonzero(heard == owner)[0]]))[0]
            self.tenants[owner] = self._tenant(Known(name, minute, minute, minute))
        return spoke

    def _tenant(self, known: Known) -> _Tenant:
        return _Tenant(known, tuple(ReturnLevels(self.settings.params, 1) for _ in SERIES))

    def _judge(self, owner: int, minute: int, values: list[float], created: int, alerts: list[Alert]) -> list[_Row]:
        """Judge and learn one minute of a tenant."""
        known, detectors = self.tenants[owner]
        time = np.array([minute * _MINUTE_US])
        rows = []
        for series, (detector, value, rules) in enumerate(zip(detectors, values, self._rules, strict=True)):
            beside = [detector.level_at(value, rule.at_least, int(time[0])) for rule in rules]
            scores, quantiles = detector.score_learn(np.array([[value]]), time)
            score = float(scores[0])
            known.unscored += score != score
            for rule, (usual, limit) in zip(rules, beside, strict=True):
                judged = known.rows >= rule.after_minutes and max(value, usual) >= rule.events
                crossed = (usual, limit) if judged and score >= rule.at_least else None
                alerts += self._follow(known, rule, minute, value, crossed, created)
            usual = beside[0][0] if beside else np.nan
            rows.append(_Row(owner, known.tenant, series, minute, score, float(quantiles[0]), usual, value))
        known.rows += 1
        known.due = minute + 1
        return rows

    def _follow(
        self, known: Known, rule: LevelAnomaly, minute: int, value: float, crossed: tuple[float, float] | None,
        created: int,
    ) -> list[Alert]:  # fmt: skip
        """One rule, one minute: the incident that opens, goes on, or has been quiet for long enough."""
        incident, subject = known.open.get(rule.id), _subject(known, rule)
        pane, now = (minute + 1) * _PER_MINUTE - 1, (minute + 1) * _MINUTE_US
        if incident is None and crossed is None:
            return []
        activity = UPDATE
        if incident is None:
            incident = known.open[rule.id] = begin(subject, pane, minute * _PER_MINUTE, created)
            activity = CREATE
        incident.pending += int(value)
        if crossed is not None:
            incident.count, incident.pending, incident.last = incident.count + incident.pending, 0, pane
            incident.value, incident.expected, incident.limit = value, *crossed
        elif pane - incident.last >= span.microseconds(rule.quiet) // _MINUTE_US * _PER_MINUTE:
            del known.open[rule.id]
            activity = CLOSE
        else:
            return []
        return [alert_of(incident, subject, activity, now)]

    def _end(self, known: Known, minute: int) -> list[Alert]:
        rules = {rule.id: rule for rule in self.settings.rules}
        incidents, known.open = known.open, {}
        time = minute * _MINUTE_US
        return [alert_of(one, _subject(known, rules[name]), CLOSE, time) for name, one in incidents.items()]

    def _kept(self, rows: list[_Row]) -> list[ClosedWindows]:
        """The windows to be written, a piece for each minute."""
        its = self.settings
        kept: dict[int, list[tuple[_Row, float]]] = {}
        for row in rows:
            if row.quantile >= its.keep_quantile:
                kept.setdefault(row.minute, []).append((row, 1.0))
            elif sampled(np.uint64(row.owner), row.minute, its.keep_share):
                kept.setdefault(row.minute, []).append((row, 1.0 / its.keep_share))
        return [_windows(its.params.id, minute, kept[minute]) for minute in sorted(kept)]

    def tables(self) -> dict[str, NDArray[Any]]:
        """What the detectors have learned, by tenant, as it lies there."""
        return {
            f"{owner:016x}.{name}": detector.words
            for owner, (_, detectors) in self.tenants.items()
            for name, detector in zip(SERIES, detectors, strict=True)
        }

    def snapshot(self) -> list[tuple[int, Any]]:
        """The rest of it, as plain values."""
        return [(owner, msgspec.to_builtins(one.known)) for owner, one in sorted(self.tenants.items())]

    def restore(self, saved: list[tuple[int, Any]], tables: dict[str, NDArray[Any]]) -> None:
        """Take what a snapshot holds; incidents of rules that are gone end silently."""
        ids = {rule.id for rule in self.settings.rules}
        for owner, plain in saved:
            known = msgspec.convert(plain, Known)
            known.open = {name: one for name, one in known.open.items() if name in ids}
            self.tenants[owner] = one = self._tenant(known)
            for name, detector in zip(SERIES, one.detectors, strict=True):
                detector.words[:] = tables[f"{owner:016x}.{name}"]


def series_bytes(params: ReturnLevelsParams) -> int:
    """What the series of one shard take at most.

    >>> series_bytes(ReturnLevelsParams()) // 2**20
    17
    """
    return MOST_TENANTS * len(SERIES) * int(ReturnLevels(params, 1).words.nbytes)


def _subject(known: Known, rule: LevelAnomaly) -> Subject:
    return Subject(known.tenant, "tenant", known.tenant, rule.id, rule.severity, 60)


def _windows(detector: str, minute: int, kept: list[tuple[_Row, float]]) -> ClosedWindows:
    rows = [row for row, _ in kept]
    names = Texts.of([row.tenant for row in rows])
    unknown = np.full((len(rows), FEATURE_COUNT), np.nan)
    return ClosedWindows(
        TENANT, detector, (minute + 1) * _MINUTE_US, names, names,
        feature=np.array([_FEATURES[row.series] for row in rows]),
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
