"""TIME.md 2 to 4 for one shard of one dimension, as slow plain Python: the oracle of `models.windows` and its kernels.

It is told every row with its place and closes every pane. Nothing here is incremental but what learning itself is: a
count is a count over the rows of a window, each time anew. It shares no code with models/.
"""

import hashlib
import math
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from models.rules import BruteForceIp, BruteForceUser, DeletionSurge, PasswordSprayIp

BASE = 5_000_000
DIMENSIONS = ("tenant", "ip", "endpoint", "user")
VALUES = ("events", "failures", "error_share", "deletions", "resets", "met", "failed", "targets")
RATES = 2
FEATURES = (
    "events_1m", "failures_1m", "error_share_1m", "events_10m", "failures_10m", "error_share_10m", "deletions_10m",
    "resets_10m", "distinct_users_15m", "distinct_failed_users_15m", "distinct_ips_15m", "distinct_targets_10m",
)  # fmt: skip


@dataclass(slots=True)
class Row:
    """One event. Names and keys are in the order of DIMENSIONS; a key of 0 means that there is no such entity."""

    time: int
    names: tuple[str, str, str, str]
    keys: tuple[int, int, int, int]
    target: int = 0
    failure: bool = False
    error: bool = False
    deletion: bool = False
    reset: bool = False
    success: bool = False
    message: bytes = b"{}"
    place: int = 0
    late: bool = False
    skip: bool = False


class Params(NamedTuple):
    alpha: float
    pool_alpha: float
    warm_up: int
    entity_warm_up: int
    guard: float
    accept_after: int
    floor_failures: int
    floor_targets: int


class Window(NamedTuple):
    tenant: str
    entity: str
    end: int
    score: float
    quantile: float
    guarded: bool
    expected: float
    observed: float
    half_way: bool
    values: dict[str, float]
    peaks: dict[str, float]


class Message(NamedTuple):
    """What is exact of an alert."""

    uid: str
    seq: int
    activity: int
    tenant: str
    detection: str
    entity: str
    severity: str
    time: int
    first_seen: int
    start: int
    end: int
    count: int
    value: float
    limit: float
    expected: float | None
    z: float | None
    evidences: tuple[bytes, ...]


@dataclass(slots=True)
class Incident:
    first: int
    last: int
    start: int
    uid: str
    value: float
    expected: float | None
    z: float | None
    told: int = 0  # the count that the next doubling is compared with
    reports: int = 0
    seq: int = 0
    crossed: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Entity:
    key: int
    tenant: str
    name: str
    rows: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))  # by base pane
    first: int = 0
    last: int = 0
    count: int = 0
    guard_day: int | None = None
    guard_since: int | None = None
    mean: list[float] = field(default_factory=lambda: [0.0] * len(VALUES))
    square: list[float] = field(default_factory=lambda: [0.0] * len(VALUES))
    streak: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    open: dict[int, Incident] = field(default_factory=dict)

    def within(self, pane: int, panes: int) -> list[Row]:
        """Rows of `panes` base panes that end with `pane`."""
        if panes > len(self.rows):
            return [row for k in sorted(self.rows) if pane - panes < k <= pane for row in self.rows[k]]
        return [row for k in range(pane - panes + 1, pane + 1) if k in self.rows for row in self.rows[k]]


def anscombe(count: float, mean: float, variance: float) -> float:
    """Distance of two counts after the square root, in units of the burstier of Poisson and what was learned."""
    dispersion = max(1.0, min(variance / mean, 10_000.0)) if mean > 0 and variance > mean else 1.0
    return 2.0 * (math.sqrt(count + 0.375) - math.sqrt(mean + 0.375)) / math.sqrt(dispersion)


def powered(base: float, n: int) -> float:
    """By squaring, lowest bit first: the order of the products is part of the definition."""
    result = 1.0
    while n:
        if n % 2:
            result *= base
        base *= base
        n //= 2
    return result


def short(x: float) -> float:
    """Baselines are kept in 32 bits."""
    return float(np.float32(x))


def bucket_edges() -> list[float]:
    edges = [0.02]
    while len(edges) < 1023:
        edges.append(edges[-1] * (1.005 / 0.995))
    return edges


class Naive:
    def __init__(
        self, dimension: str, rules: tuple[Any, ...], quiet_us: tuple[int, ...], params: Params, half_life: int
    ) -> None:
        self.dimension = dimension
        self.at = DIMENSIONS.index(dimension)
        self.rules = rules
        self.quiet_us = quiet_us
        self.p = params
        self.half_life = half_life
        self.entities: dict[int, Entity] = {}
        self.seen = 0
        self.pool_mean = [0.0] * len(VALUES)
        self.pool_square = [0.0] * len(VALUES)
        self.histogram = [0] * 1024
        self.edges = bucket_edges()
        self.windows: list[Window] = []
        self.messages: list[Message] = []

    # Rows and windows

    def add(self, row: Row, pane: int | None = None) -> Entity:
        key = row.keys[self.at]
        entity = self.entities.get(key)
        if entity is None:
            entity = self.entities[key] = Entity(key, row.names[0], row.names[self.at])
        entity.rows[row.place // BASE if pane is None else pane].append(row)
        return entity

    def counterpart(self, row: Row) -> int:
        return row.keys[3 if self.dimension == "ip" else 1] if self.dimension in ("ip", "user") else 0

    def met(self, rows: list[Row]) -> set[int]:
        return {self.counterpart(row) for row in rows} - {0}

    def targets(self, rows: list[Row]) -> set[int]:
        return {r.target for r in rows if r.deletion and r.target and self.dimension in ("ip", "user")}

    def learned_values(self) -> list[bool]:
        """Which of VALUES the dimension has."""
        both = [self.dimension in ("ip", "user"), self.dimension == "ip", self.dimension in ("ip", "user")]
        return [True] * 5 + both

    def value_names(self) -> list[str]:
        met = "distinct_users_15m" if self.dimension == "ip" else "distinct_ips_15m"
        return [
            "events_1m", "failures_1m", "error_share_1m", "deletions_10m", "resets_10m", met,
            "distinct_failed_users_15m", "distinct_targets_10m",
        ]  # fmt: skip

    def values(self, entity: Entity, pane: int) -> list[float]:
        """What is learned of the windows that end with a base pane; longer windows end with its 30 s pane."""
        minute = entity.within(pane, 12)
        end30 = pane // 6 * 6 + 5
        ten, quarter = entity.within(end30, 120), entity.within(end30, 180)
        return [
            float(len(minute)),
            float(sum(r.failure for r in minute)),
            sum(r.error for r in minute) / max(len(minute), 1),
            float(sum(r.deletion for r in ten)),
            float(sum(r.reset for r in ten)),
            float(len(self.met(quarter))),
            float(len(self.met([r for r in quarter if r.failure]))),
            float(len(self.targets(ten))),
        ]

    # Rules

    def shape(self, rule: Any) -> tuple[int, int]:
        """Base panes in a pane of the rule, panes in its window."""
        if isinstance(rule, PasswordSprayIp):
            return 12, 15
        return (6, 20) if isinstance(rule, BruteForceIp | BruteForceUser | DeletionSurge) else (1, 12)

    def counts(self, rule: Any, row: Row) -> bool:
        if isinstance(rule, DeletionSurge):
            return row.deletion
        return row.failure if isinstance(rule, BruteForceIp | BruteForceUser | PasswordSprayIp) else True

    def measure(self, rule: Any, rows: list[Row]) -> tuple[float, bool]:
        """The rule's value over the rows of its window, and whether a rule without learning crosses."""
        failures = [r for r in rows if r.failure]
        match rule:
            case BruteForceUser():
                return len(failures), len(failures) >= rule.at_least
            case BruteForceIp():
                few = len(self.met(failures)) < rule.users_below
                return len(failures), len(failures) >= rule.at_least and few
            case PasswordSprayIp():
                failed = self.met(failures)
                fine = self.met([r for r in rows if r.success])
                return len(failed), len(failed) >= rule.at_least and len(failed) > len(fine)
            case DeletionSurge():
                return len(self.targets(rows)), len(self.targets(rows)) >= rule.at_least
        return len(rows), False

    def baseline(self, entity: Entity, value: int, minute: int) -> tuple[float, float]:
        """The entity's own mean and mean square before a minute; of rates the silent minutes are counted."""
        mean, square = entity.mean[value], entity.square[value]
        if value < RATES and (gap := minute - entity.last - 1) > 0:
            age = entity.last - entity.first + 1
            young = min(gap, max(0, int(1.0 / self.p.alpha) - age))
            left = age / (age + young) * powered(1.0 - self.p.alpha, gap - young)
            return mean * left, square * left
        return mean, square

    def expected_events(self, entity: Entity, minute: int) -> tuple[float, float] | None:
        if entity.count >= self.p.entity_warm_up:
            mean, square = self.baseline(entity, 0, minute)
            return mean, square - mean * mean
        if self.seen >= self.p.warm_up:
            return self.pool_mean[0], self.pool_square[0] - self.pool_mean[0] * self.pool_mean[0]
        return None

    def spikes(self, rule: Any, events: float, expected: tuple[float, float] | None) -> bool:
        if expected is None or events < rule.at_least or events <= rule.times * expected[0]:
            return False
        return anscombe(events, *expected) > rule.z

    def close_rule(self, entity: Entity, number: int, pane: int) -> None:
        """One rule at the end of base pane `pane`, which ends a pane of the rule."""
        rule = self.rules[number]
        grid, window = self.shape(rule)
        own = [r for r in entity.within(pane, grid) if self.counts(rule, r)]
        incident = entity.open.get(number)
        if incident is None and not own and not entity.streak[number]:
            return
        rows = entity.within(pane, grid * window)
        value, holds = self.measure(rule, rows)
        expected = None
        if hasattr(rule, "panes"):
            if value >= rule.at_least:
                expected = self.expected_events(entity, pane // 12)
            entity.streak[number] = entity.streak[number] + 1 if self.spikes(rule, value, expected) else 0
            holds = entity.streak[number] >= rule.panes
        k = pane // grid
        if incident is None:
            if not holds:
                return
            start = min(r.place for r in rows if self.counts(rule, r)) // (grid * BASE) * (grid * BASE)
            digest = hashlib.blake2b(digest_size=16)
            for part in (entity.tenant, rule.id, entity.name, str(k * grid * BASE)):
                digest.update(len(part.encode()).to_bytes(4, "big") + part.encode())
            incident = Incident(k, k, start, digest.hexdigest(), value, None, None)
            incident.crossed.append(k)
            if expected is not None:
                incident.expected, incident.z = expected[0], anscombe(value, *expected)
            entity.open[number] = incident
            incident.told = self.count(entity, number, incident)
            self.tell(entity, number, incident, 1, pane)
            return
        if holds:
            incident.last = k
            incident.crossed.append(k)
            incident.value = max(incident.value, value)
        elif (k - incident.last) * grid * BASE >= self.quiet_us[number]:
            del entity.open[number]
            self.tell(entity, number, incident, 3, pane)
            return
        periods = (k - incident.first) * grid * BASE // 300_000_000
        count = self.count(entity, number, incident)
        if count >= 2 * incident.told or periods > incident.reports:
            incident.told = count
            incident.reports = periods
            self.tell(entity, number, incident, 2, pane)

    def counted(self, entity: Entity, number: int, incident: Incident) -> list[Row]:
        """Counted events in [start, end of the last crossing pane)."""
        grid = self.shape(self.rules[number])[0]
        pane = incident.last * grid + grid - 1
        rows = entity.within(pane, pane + 1 - incident.start // BASE)
        return [r for r in rows if self.counts(self.rules[number], r)]

    def count(self, entity: Entity, number: int, incident: Incident) -> int:
        return len(self.counted(entity, number, incident))

    def tell(self, entity: Entity, number: int, incident: Incident, activity: int, pane: int) -> None:
        rule = self.rules[number]
        rows = self.counted(entity, number, incident)
        shown = self.evidences(number, incident, rows)
        self.messages.append(
            Message(
                uid=incident.uid,
                seq=incident.seq,
                activity=activity,
                tenant=entity.tenant,
                detection=rule.id,
                entity=entity.name,
                severity=rule.severity,
                time=(pane + 1) * BASE,
                first_seen=incident.start if hasattr(rule, "panes") else max(incident.start, shown[0].time),
                start=incident.start,
                end=(incident.last + 1) * self.shape(rule)[0] * BASE,
                count=len(rows),
                value=float(incident.value),
                limit=float(rule.at_least),
                expected=incident.expected,
                z=incident.z,
                evidences=tuple(r.message for r in shown),
            )
        )
        incident.seq += 1

    def evidences(self, number: int, incident: Incident, rows: list[Row]) -> list[Row]:
        """The first three and last two counted events of the windows that crossed.

        Of a spike: of the panes that crossed, and of the run of panes that made the first one cross.
        """
        rule = self.rules[number]
        grid, window = self.shape(rule)
        asked: set[int] = set()
        for k in incident.crossed:
            back = window
            if hasattr(rule, "panes"):
                back = rule.panes if k == incident.first else 1
            asked.update(range(k - back + 1, k + 1))
        shown = [r for r in rows if r.place // (grid * BASE) in asked]
        shown.sort(key=lambda r: (r.time, hashlib.blake2b(r.message, digest_size=8).digest()))
        return shown if len(shown) <= 5 else shown[:3] + shown[-2:]

    # Learning

    def z_of(self, value: int, x: list[float], mean: float, square: float) -> float:
        if VALUES[value] == "error_share":  # as the count of errors it stands for
            return anscombe(x[value] * x[0], mean * x[0], 0.0)
        return anscombe(x[value], mean, square - mean * mean)

    def strangest(self, entity: Entity, x: list[float], minute: int) -> tuple[float, float, float, str]:
        """z, expected and observed of the value that stands out most, and its feature; NaN while nothing is known."""
        warm = entity.count >= self.p.entity_warm_up
        best = None
        if warm or self.seen >= self.p.entity_warm_up:
            for value, there in enumerate(self.learned_values()):
                if not there or (x[value] == 0 and value != 0):
                    continue
                mean, square = self.pool_mean[value], self.pool_square[value]
                if warm:
                    mean, square = self.baseline(entity, value, minute)
                z = self.z_of(value, x, mean, square)
                if best is None or z > best[0]:
                    best = z, mean, x[value], self.value_names()[value]
        return best or (math.nan, math.nan, x[0], "events_1m")

    def quantile(self, score: float) -> float:
        n = sum(self.histogram)
        if n == 0:
            return 0.0
        bucket = bisect_left(self.edges, score)
        return min((sum(self.histogram[:bucket]) + 0.5 * self.histogram[bucket]) / n, 1.0 - 1.0 / n)

    def close_minute(self, minute: int) -> None:
        """Score every window that is not silent with the model as it stood; then the unguarded ones teach."""
        if minute % self.half_life == 0:
            self.histogram = [n // 2 for n in self.histogram]
        pane = minute * 12 + 11
        ended = sorted((e for e in self.entities.values() if e.within(pane, 12)), key=lambda e: e.key)
        verdicts = []
        for entity in ended:
            x = self.values(entity, pane)
            z, expected, observed, _ = self.strangest(entity, x, minute)
            score = max(z, 0.0) if z == z else math.nan
            quantile = math.nan
            guarded = False
            if self.seen >= self.p.warm_up and score == score:
                quantile = self.quantile(score)
                guarded = quantile >= self.p.guard
            strange = guarded
            floor = self.dimension in ("ip", "user") and (x[1] >= self.p.floor_failures or x[7] >= self.p.floor_targets)
            if floor:
                guarded = True
            elif guarded and entity.guard_since is None:
                entity.guard_since = minute
            elif guarded and entity.guard_since is not None and minute - entity.guard_since >= self.p.accept_after:
                guarded = False
            verdicts.append((entity, x, score, guarded, strange))
            self.windows.append(
                Window(
                    entity.tenant, entity.name, (minute + 1) * 12 * BASE, score, quantile, guarded, expected, observed,
                    self.half_way(entity, pane), self.features(entity, pane), self.peaks(entity, pane),
                )
            )  # fmt: skip
        for entity, x, score, guarded, strange in verdicts:
            remembered = True
            if guarded:
                remembered = entity.guard_day != minute // 1440
                entity.guard_day = minute // 1440
                if entity.count > 0 and minute > entity.last:  # it was not silent, so it teaches no silence
                    for value in range(RATES):
                        mean, square = self.baseline(entity, value, minute)
                        entity.mean[value], entity.square[value] = short(mean), short(square)
                    entity.last = minute
            else:
                self.teach(entity, x, minute)
                if not strange:
                    entity.guard_since = None
            if remembered and score == score:
                self.histogram[bisect_left(self.edges, score)] += 1

    def teach(self, entity: Entity, x: list[float], minute: int) -> None:
        if entity.count == 0:
            entity.first, entity.last = minute, minute - 1
        pool = max(self.p.pool_alpha, 1.0 / (self.seen + 1))
        for value, there in enumerate(self.learned_values()):
            if not there:
                continue
            age = minute - entity.first + 1 if value < RATES else entity.count + 1
            weight = max(self.p.alpha, 1.0 / age)
            mean, square = self.baseline(entity, value, minute)
            entity.mean[value] = short(mean + weight * (x[value] - mean))
            entity.square[value] = short(square + weight * (x[value] * x[value] - square))
            self.pool_mean[value] += pool * (x[value] - self.pool_mean[value])
            self.pool_square[value] += pool * (x[value] * x[value] - self.pool_square[value])
        entity.last = minute
        entity.count += 1
        self.seen += 1

    # What a kept window shows

    def sliding(self, entity: Entity, pane: int) -> dict[str, float]:
        """The named features whose window ends with a base pane; a share of nothing is not known."""
        out: dict[str, float] = {}
        for name, grid, panes in (("1m", 1, 12), ("10m", 6, 120)):
            rows = entity.within(pane, panes) if (pane + 1) % grid == 0 else []
            if not rows:
                continue
            out["events_" + name] = len(rows)
            out["failures_" + name] = sum(r.failure for r in rows)
            out["error_share_" + name] = sum(r.error for r in rows) / len(rows)
            if name == "10m":
                out["deletions_10m"] = sum(r.deletion for r in rows)
                out["resets_10m"] = sum(r.reset for r in rows)
                if self.dimension in ("ip", "user"):
                    out["distinct_targets_10m"] = len(self.targets(rows))
        if (pane + 1) % 12 == 0 and self.dimension in ("ip", "user"):
            quarter = entity.within(pane, 180)
            if self.dimension == "ip":
                out["distinct_users_15m"] = len(self.met(quarter))
                out["distinct_failed_users_15m"] = len(self.met([r for r in quarter if r.failure]))
            else:
                out["distinct_ips_15m"] = len(self.met(quarter))
        return out

    def features(self, entity: Entity, pane: int) -> dict[str, float]:
        return self.sliding(entity, pane)

    def peaks(self, entity: Entity, pane: int) -> dict[str, float]:
        """The largest sliding value that ends inside the minute."""
        out: dict[str, float] = {}
        for k in range(pane - 11, pane + 1):
            for name, x in self.sliding(entity, k).items():
                out[name] = max(x, out.get(name, x))
        return out

    def half_way(self, entity: Entity, pane: int) -> bool:
        """Whether some rule's measure reached half its threshold at a pane end inside the minute."""
        for rule in self.rules:
            grid, window = self.shape(rule)
            for k in range(pane - 11, pane + 1):
                if (k + 1) % grid == 0 and 2 * self.measure(rule, entity.within(k, grid * window))[0] >= rule.at_least:
                    return True
        return False

    # All of it

    def close_pane(self, pane: int) -> None:
        """Rules first (they use what was learned before), then what ends with a minute."""
        for entity in list(self.entities.values()):
            for number, rule in enumerate(self.rules):
                if (pane + 1) % self.shape(rule)[0] == 0:
                    self.close_rule(entity, number, pane)
        if (pane + 1) % 12 == 0:
            self.close_minute(pane // 12)

    def run(self, rows: list[Row]) -> None:
        """Every row of the shard, in any order; then the end of time."""
        for row in rows:
            if not row.skip and row.keys[self.at]:
                self.add(row)
        panes = [pane for entity in self.entities.values() for pane in entity.rows]
        if not panes:
            return
        pane, last = min(panes), max(panes) // 12 * 12 + 23  # a minute more, in which a spike may still cross
        while pane <= last or any(e.open for e in self.entities.values()):
            self.close_pane(pane)
            pane += 1
