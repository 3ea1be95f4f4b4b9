"""`decide`: what of the findings of all shards an analyst is told, and how."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from bytewax.operators import StatefulBatchLogic

from flows.config import Config
from flows.drift import Drift, DriftState, ScoreDrift
from flows.formats.canary import signed_at
from flows.steps.gather import Gathered
from flows.tally import Hours, Tally
from models.alert import CANARY, CLOSE, CREATE, HISTORY, MUTE, SHADOW, Alert
from models.base import END_OF_TIME, SEVERITIES
from models.exceptions import Exceptions
from models.groups import Groups, GroupsState, keys
from models.history import History
from models.kernels.layout import NEVER, PANE_US
from models.mutes import Mutes
from models.rules import Rule, about, opens_early
from models.rules.base import LEARNING, About
from models.thresholds.storm import BEAT_US, Hour, Storms
from models.windows.slice import Finding

VERSION = 2
_ENDED = 2**62
"""What shards have passed at the end of time."""
_SILENT = _ENDED - 1
"""The mark of a source that has nothing to say."""


class Traits(NamedTuple):
    """What there is to know of a detection: its campaign, whether it opens before its pane is final, its severest.

    `shadow`: none of its incidents is told.
    """

    campaign: str
    early: bool
    severest: int
    shadow: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration says of alerts. A detection that it no longer has is forgotten."""

    traits: Mapping[str, Traits]
    exceptions: Exceptions
    most_per_hour: int
    ipv6_prefix: int
    learn_until: int = -1
    canary: "Signed | None" = None

    def ours(self, alert: Alert) -> bool:
        """Whether an incident is that of a canary."""
        return self.canary is not None and self.canary.made(alert)


@dataclass(frozen=True, slots=True)
class Signed:
    """How incidents of the canary are known: their tenant, and a user who bears the time and a signature."""

    tenant: str
    key: bytes
    within_us: int

    def made(self, alert: Alert) -> bool:
        """Whether it is one, and of now: the same for all messages of an incident."""
        if alert.tenant != self.tenant or alert.dimension != "user":
            return False
        second = signed_at(self.key, self.tenant, alert.entity)
        return second is not None and 0 <= alert.first_seen - second * 1_000_000 <= self.within_us


def traits(rules: Iterable[Rule]) -> dict[str, Traits]:
    """The traits of every detection, by id.

    >>> from models.rules import default_rules
    >>> traits(default_rules())["brute_force_user"].early, traits(default_rules())["password_spray_ip"].early
    (True, False)
    """
    return {rule.id: _traits(rule, about(rule)) for rule in rules}


def _traits(rule: Rule, text: About) -> Traits:
    learned = text.analytic_type == LEARNING
    severest = SEVERITIES.index("medium" if learned else SEVERITIES[-1])
    return Traits(text.campaign, opens_early(rule), severest, rule.mode == "shadow")


def policy(config: Config, now_us: int = -1) -> Policy:
    """What a configuration says of alerts. `now_us`, microseconds UTC, is what it calls now.

    Raises
    ------
    UsageError
        There is a canary, and no key for it.
    """
    canary = config.canary
    exceptions = Exceptions(config.exception)
    output = config.output
    return Policy(
        traits(config.detection),
        exceptions,
        output.max_incidents_per_hour,
        config.input.ipv6_prefix,
        config.time.learn_until_us(now_us),
        Signed(canary.tenant, canary.key(), int(canary.within_s * 1e6)) if canary.tenant else None,
    )


class _State(msgspec.Struct):
    version: int
    passed: int
    held: list[tuple[int, Alert]]
    told: list[str] = []
    excepted: dict[str, str] = {}
    shadowed: list[str] = []
    muted: dict[str, str] = {}
    undecided: dict[str, Alert] = {}
    groups: GroupsState = msgspec.field(default_factory=GroupsState)
    hours: list[Hour] = []
    beat: int = NEVER
    learn_until: int = -1
    past: dict[str, Alert] = {}
    incidents: Hours = {}
    drift: DriftState = msgspec.field(default_factory=DriftState)


class Decide(StatefulBatchLogic[Gathered, list[Alert], bytes]):
    """Exceptions, hourly limits and merging, in the order of event time.

    A finding is acted on when every shard has passed its `time`, in the order (time, detection, tenant, entity, seq):
    then all that comes before it is known, and what is decided hangs on event time alone. A create of a detection that
    opens early does not wait for its pane: it is told once every shard has passed the base pane in which it was found,
    if the hour has room and no exception needs its evidences; its group is then what is known so far. Where the limit
    is reached within one pane of such a detection, which of its incidents are told may differ between runs, never how
    many.

    An incident that ended by `learn_until`, which a state keeps from its first run, is silent too, and so is one that
    opened while its detection was in shadow, or while somebody had muted it, for its whole life. `mutes` is asked with
    every batch; one that was told of stays told. What the
    canary did, by its signature, is silent before all else is asked.

    What is not told is not lost: it goes out as suppressed, and a digest counts what is beyond an hour's limit. Each
    item is answered, if only with an empty list, so that the sink is touched in every epoch. `flush` at the end of the
    input lets go of what is held: nobody will come back for it, and so no snapshot is read either.

    Besides it counts incidents by detection and hour, and looks whether scores drift: all batches come by here, and
    what it saves survives a restart. `tell` is told of each drift.
    """

    def __init__(
        self,
        policy: Policy,
        flush: bool,
        resume: bytes | None,
        tell: Callable[[Drift], None] = lambda drift: None,
        mutes: Callable[[], Mutes] = Mutes,
    ) -> None:
        state = msgspec.msgpack.decode(resume, type=_State) if resume else _State(VERSION, NEVER, [])
        until = state.learn_until if resume else policy.learn_until
        if state.version not in (1, VERSION):
            raise ValueError(f"held findings of version {state.version} cannot be read")
        self._policy = policy
        self._flush = flush
        self._marks: dict[str, int] = {}
        self._passed = state.passed if state.passed < _ENDED else NEVER  # a closed stream begins anew
        self._held = [Finding(pane, alert) for pane, alert in state.held if alert.detection in policy.traits]
        self._told = set(state.told)
        self._excepted = state.excepted
        self._shadowed = set(state.shadowed)
        self._muted = state.muted
        self._ask, self._mutes = mutes, Mutes()
        self._undecided = state.undecided
        self._groups = Groups(state.groups, policy.traits)
        self._storms = Storms(policy.most_per_hour, [hour for hour in state.hours if hour.detection in policy.traits])
        self._beat = state.beat
        self._history = History(until, state.past)
        self._tally = Tally(state.incidents, policy.traits)
        self._drift = ScoreDrift(tell, state.drift)

    def on_batch(self, values: list[Gathered]) -> tuple[list[list[Alert]], bool]:
        """Take findings, and say what is to be told."""
        self._mutes = self._ask()
        return [self._decide(gathered) for gathered in values], StatefulBatchLogic.RETAIN

    def _decide(self, gathered: Gathered) -> list[Alert]:
        """What one batch makes known: what is told early does not hang on how many batches come at once."""
        self._held += [self._capped(finding) for finding in gathered.findings]
        self._hear(gathered)
        self._drift.add(gathered.shares)
        until = None if self._passed >= _ENDED else self._passed * PANE_US
        out = self._settle(until)
        if until is not None:
            out += self._tell_early()
        self._drift.settle(until)
        self._tally.count(out)
        return out

    def on_eof(self) -> tuple[list[list[Alert]], bool]:
        """Let go of everything, where nobody will come back for it."""
        if not self._flush or self._passed >= _ENDED:
            return [], StatefulBatchLogic.RETAIN
        last = max((finding.alert.time for finding in self._held), default=max(self._passed * PANE_US, self._beat))
        out = self._settle(last) + self._beats(last + BEAT_US + 1)
        self._drift.settle(None)
        self._tally.count(out)
        return [out] if out else [], StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """What is held, and what is remembered of open incidents, groups, hours and drift, as plain bytes."""
        if self._flush:
            return b""
        state = _State(
            version=VERSION,
            passed=self._passed,
            held=[(finding.pane, finding.alert) for finding in self._held],
            told=sorted(self._told),
            excepted=self._excepted,
            shadowed=sorted(self._shadowed),
            muted=self._muted,
            undecided=self._undecided,
            groups=self._groups.snapshot(),
            hours=self._storms.snapshot(),
            beat=self._beat,
            learn_until=self._history.until,
            past=self._history.open,
            incidents=self._tally.hours,
            drift=self._drift.state,
        )
        return msgspec.msgpack.encode(state)

    def _capped(self, finding: Finding) -> Finding:
        """What was only learned is at most medium, also when it is asked who leads a group."""
        alert, severest = finding.alert, self._policy.traits[finding.alert.detection].severest
        if alert.severity <= severest:
            return finding
        return Finding(finding.pane, msgspec.structs.replace(alert, severity=severest))

    def _hear(self, gathered: Gathered) -> None:
        """What every shard has passed, as far as batches of every source have come: those to come find nothing older.

        A source that has nothing to say holds nobody up, and if all have nothing to say this batch's word counts.
        """
        batch = gathered.scored.batch
        if batch.watermark == END_OF_TIME:
            self._marks[batch.source] = _ENDED
        else:
            self._marks[batch.source] = _SILENT if batch.idle else gathered.passed
        slowest = min(self._marks.get(source, NEVER) for source in batch.sources)
        self._passed = max(self._passed, gathered.passed if slowest == _SILENT else slowest)

    def _settle(self, until: int | None) -> list[Alert]:
        """Act on all findings up to a time, or on all, with the digests due between them."""
        ready = [finding.alert for finding in self._held if until is None or finding.alert.time <= until]
        self._held = [] if until is None else [finding for finding in self._held if finding.alert.time > until]
        ready.sort(key=lambda alert: (alert.time, alert.detection, alert.tenant, alert.entity, alert.uid, alert.seq))
        out: list[Alert] = []
        for alert in ready:
            out += self._beats(alert.time)
            self._groups.forget(alert.time // BEAT_US * BEAT_US)
            acted, silent = self._history.sift(alert)
            for one in acted:
                out += self._take(one)
            out += [_suppressed(one, HISTORY) for one in silent]
        if until is not None:
            return out + self._beats(until + 1)
        # All has ended, and the clock runs on until every hour is over: so does a stream that ends a little later.
        while self._storms.due():
            self._beat += BEAT_US
            out += self._digests(self._storms.beat(self._beat))
        return out

    def _beats(self, end: int) -> list[Alert]:
        """The digests due on the grid before `end`."""
        out: list[Alert] = []
        last = (end - 1) // BEAT_US * BEAT_US
        while self._beat < last:
            self._beat = self._beat + BEAT_US if self._storms.due() else last
            out += self._digests(self._storms.beat(self._beat))
        return out

    def _digests(self, digests: list[Alert]) -> list[Alert]:
        return [self._groups.belongs(digest, self._policy.traits[digest.detection].campaign) for digest in digests]

    def _tell_early(self) -> list[Alert]:
        """Creates that would wait for a final pane, and need not."""
        early = [
            finding
            for finding in self._held
            if finding.pane < self._passed and finding.alert.activity == CREATE and finding.alert.uid not in self._told
            and finding.alert not in self._history
            and not self._policy.ours(finding.alert)
            and self._policy.traits[finding.alert.detection].early
            and not self._policy.traits[finding.alert.detection].shadow
        ]  # fmt: skip
        early.sort(key=lambda f: (f.pane, f.alert.detection, f.alert.tenant, f.alert.entity, f.alert.uid))
        waiting = (finding.alert for finding in self._held if finding.alert.uid in self._told) if early else ()
        before = [(alert, self._places(alert)) for alert in waiting if alert.activity == CREATE]
        out = []
        for alert in (finding.alert for finding in early):
            exceptions = self._policy.exceptions
            if exceptions.by_name(alert) is not None or exceptions.may_depend(alert) or self._mute(alert):
                continue
            if self._storms.admit(alert, alert.time):
                self._told.add(alert.uid)
                out.append(self._groups.foreseen(alert, self._keys(alert, exact=True), before))
                before.append((alert, self._places(alert)))
        return out

    def _take(self, alert: Alert) -> list[Alert]:
        """Act on one finding, of which all that is older is known."""
        if self._policy.ours(alert):
            return [_suppressed(alert, CANARY)]
        if alert.activity == CREATE:
            return self._open(alert)
        if (create := self._undecided.pop(alert.uid, None)) is not None:
            opened = self._judge(create, self._policy.exceptions.by_evidence(create, alert.evidences), alert.time)
            return opened + self._take(alert)
        if (exception := self._excepted.get(alert.uid)) is not None:
            if alert.activity == CLOSE:
                del self._excepted[alert.uid]
            return [_suppressed(alert, f"exception {exception}")]
        if alert.uid in self._shadowed:
            if alert.activity == CLOSE:
                self._shadowed.remove(alert.uid)
            return [_suppressed(alert, SHADOW)]
        if (mute := self._muted.get(alert.uid)) is not None:
            if alert.activity == CLOSE:
                del self._muted[alert.uid]
            return [_suppressed(alert, mute)]
        if (digest := self._storms.digest_of(alert.uid)) is not None:
            self._storms.follow(alert)
            return [_suppressed(alert, f"digest {digest}")]
        out = self._groups.follow(alert, self._keys(alert, exact=True))
        return out + (self._groups.close(alert) if alert.activity == CLOSE else [self._groups.shown(alert)])

    def _open(self, create: Alert) -> list[Alert]:
        if create.uid in self._told:
            self._told.remove(create.uid)
            return self._groups.create(create, self._keys(create, exact=False), exact=False)
        exceptions = self._policy.exceptions
        exception = exceptions.by_name(create)
        if exception is None and exceptions.may_depend(create):
            if self._policy.traits[create.detection].early:
                # What its evidences will be is known with its next message, and only then.
                self._undecided[create.uid] = create
                return []
            exception = exceptions.by_evidence(create, create.evidences)
        return self._judge(create, exception, create.time)

    def _judge(self, create: Alert, exception: str | None, now: int) -> list[Alert]:
        exact = not self._policy.traits[create.detection].early
        if exception is not None:
            self._excepted[create.uid] = exception
            return [_suppressed(create, f"exception {exception}")]
        if self._policy.traits[create.detection].shadow:
            self._shadowed.add(create.uid)
            return [_suppressed(create, SHADOW)]
        if mute := self._mute(create):
            self._muted[create.uid] = mute
            return [_suppressed(create, mute)]
        if not self._storms.admit(create, now):
            digest, digests = self._storms.add(create, now, exact)
            return [*self._digests(digests), _suppressed(create, f"digest {digest}")]
        out = self._groups.create(create, self._keys(create, exact), exact)
        return [*out, self._groups.shown(create)]

    def _mute(self, create: Alert) -> str:
        """What keeps an incident silent because somebody has muted it; empty where nobody has."""
        if not len(self._mutes) or (mute := self._mutes.by(create, time.time_ns() // 1000)) is None:
            return ""
        return f"{MUTE} {mute.id}: {mute.reason}"

    def _places(self, alert: Alert) -> set[tuple[str, str, str]]:
        return {(alert.tenant, *key) for key in self._keys(alert, exact=True)}

    def _keys(self, alert: Alert, exact: bool) -> list[tuple[str, str]]:
        return keys(alert, self._policy.traits[alert.detection].campaign, self._policy.ipv6_prefix, exact)


def _suppressed(alert: Alert, by: str) -> Alert:
    return msgspec.structs.replace(alert, suppressed_by=by)
