"""What Lapwing detects: thresholds in the users' own language, presets of them under a name, and what is learned.

The union below is the list. A preset is a base detection (models.rules.defaults) with its few numbers as keys of its
own; it runs as the threshold that `threshold` makes of it.
"""

from collections.abc import Iterable
from types import ModuleType

import msgspec

from models.base import DIMENSIONS, WATCHED
from models.rules import (
    behaviour_anomaly,
    brute_force_ip,
    brute_force_user,
    dead_letter_surge,
    deletion_surge,
    level_anomaly,
    mix_anomaly,
    password_spray_ip,
    source_silence,
    traffic_spike,
)
from models.rules.base import About
from models.rules.base_detection import BaseDetection
from models.rules.behaviour_anomaly import BehaviourAnomaly
from models.rules.brute_force_ip import BruteForceIp
from models.rules.brute_force_user import BruteForceUser
from models.rules.dead_letter_surge import DeadLetterSurge
from models.rules.defaults import BASE
from models.rules.deletion_surge import DeletionSurge
from models.rules.level_anomaly import LevelAnomaly
from models.rules.mix_anomaly import MixAnomaly
from models.rules.password_spray_ip import PasswordSprayIp
from models.rules.program import Program, compile_rules
from models.rules.source_silence import SourceSilence
from models.rules.success_after_attack import ABOUTS, SuccessAfterAttack
from models.rules.threshold import Condition, Threshold
from models.rules.traffic_spike import TrafficSpike

EntityRule = (
    Threshold
    | BaseDetection
    | BruteForceUser
    | BruteForceIp
    | PasswordSprayIp
    | DeletionSurge
    | TrafficSpike
    | SuccessAfterAttack
    | BehaviourAnomaly
)
SourceRule = DeadLetterSurge | SourceSilence
"""Rules on what a source sends, not on what an entity's events are."""
TenantRule = LevelAnomaly | MixAnomaly
WholeRule = SourceRule | TenantRule
"""Rules on a source or a tenant as a whole: no shard's arrays know them."""
Rule = EntityRule | WholeRule

_FILES: dict[type, ModuleType] = {
    BruteForceUser: brute_force_user,
    BruteForceIp: brute_force_ip,
    PasswordSprayIp: password_spray_ip,
    DeletionSurge: deletion_surge,
    TrafficSpike: traffic_spike,
    DeadLetterSurge: dead_letter_surge,
    SourceSilence: source_silence,
    BehaviourAnomaly: behaviour_anomaly,
    MixAnomaly: mix_anomaly,
}
_BASE = {rule.id: rule for rule in BASE}


def about(rule: Rule) -> About:
    """What an alert of this rule says of its detection."""
    if isinstance(rule, Threshold | BaseDetection):
        found = threshold(rule)
        assert found is not None
        return found.about
    if isinstance(rule, SuccessAfterAttack):
        return ABOUTS[rule.dimension]
    if isinstance(rule, LevelAnomaly):
        return level_anomaly.ABOUTS[rule.series]
    if isinstance(rule, DeadLetterSurge) and rule.share:
        return dead_letter_surge.OF_ALL
    text: About = _FILES[type(rule)].ABOUT
    return text


def dimension(rule: Rule) -> str:
    """The dimension whose entities the rule watches, of WATCHED.

    >>> dimension(BruteForceUser())
    'user'
    """
    match rule:
        case Threshold():
            return rule.dimension
        case BaseDetection():
            return _BASE[rule.id].dimension
        case BruteForceUser():
            return "user"
        case DeletionSurge() | TrafficSpike() | SuccessAfterAttack() | BehaviourAnomaly() | SourceSilence():
            return rule.dimension
        case LevelAnomaly() | MixAnomaly():
            return rule.dimension
        case DeadLetterSurge():
            return "source"
        case _:
            return "ip"


def watched(rules: Iterable[Rule]) -> tuple[str, ...]:
    """The dimensions that there is state for, of WATCHED: the four, and those that some rule watches together.

    >>> watched([Threshold(by=("user", "ip"), count=True)])
    ('tenant', 'ip', 'endpoint', 'user', 'ip_user')
    """
    asked = {dimension(rule) for rule in rules}
    return tuple(name for name in WATCHED if name in DIMENSIONS or name in asked)


def threshold(rule: Rule) -> Threshold | None:
    """The rule as a threshold, None for one that learns, asks for an order, or watches sources.

    >>> threshold(BruteForceIp(at_least=30)).at_least, threshold(TrafficSpike())
    (30.0, None)
    """
    if isinstance(rule, Threshold):
        return rule
    if isinstance(rule, BaseDetection):
        found = _BASE[rule.id]
        return msgspec.structs.replace(
            found,
            at_least=rule.at_least or found.at_least,
            severity=rule.severity or found.severity,
            quiet=found.quiet if rule.quiet == "0s" else rule.quiet,
        )
    if isinstance(rule, TrafficSpike | SuccessAfterAttack | BehaviourAnomaly | WholeRule):
        return None
    base = {
        BruteForceUser: "brute_force_user",
        BruteForceIp: "brute_force_ip",
        PasswordSprayIp: "password_spray_ip",
        DeletionSurge: f"deletion_surge_{dimension(rule)}",
    }[type(rule)]
    found = msgspec.structs.replace(
        _BASE[base], id=rule.id, at_least=float(rule.at_least), severity=rule.severity, quiet=rule.quiet
    )
    if isinstance(rule, BruteForceIp):
        few = Condition(distinct="user", at_least=float(rule.users_below))
        found = msgspec.structs.replace(found, unless=few)
    return found


def of_entities(rules: Iterable[Rule], name: str) -> tuple[EntityRule, ...]:
    """The rules that the shards of a dimension look at.

    >>> [rule.id for rule in of_entities(default_rules(), "tenant")]
    ['distributed_spray_tenant', 'traffic_spike_tenant']
    """
    return tuple(rule for rule in rules if dimension(rule) == name and not isinstance(rule, WholeRule))


def of_sources(rules: Iterable[Rule]) -> tuple[SourceRule, ...]:
    """The rules on what sources send, and when.

    >>> [rule.id for rule in of_sources(default_rules())]
    ['dead_letter_surge', 'source_silence_source', 'source_silence_tenant']
    """
    return tuple(rule for rule in rules if isinstance(rule, SourceRule))


def of_tenants(rules: Iterable[Rule]) -> tuple[TenantRule, ...]:
    """The rules on the minutes of whole tenants.

    >>> [rule.id for rule in of_tenants(default_rules())]
    ['level_anomaly_events_tenant', 'level_anomaly_failures_tenant', 'mix_anomaly_tenant']
    """
    return tuple(rule for rule in rules if isinstance(rule, TenantRule))


def opens_early(rule: Rule) -> bool:
    """Whether an incident may open before its pane is final: more events can never undo what was reached.

    >>> opens_early(BruteForceUser()), opens_early(PasswordSprayIp()), opens_early(TrafficSpike())
    (True, False, False)
    """
    found = threshold(rule)
    return found is not None and compile_rules([found]).detections[0].monotone


def base_ids() -> tuple[str, ...]:
    """The ids of all base detections."""
    return tuple(_BASE)


def severity(rule: Rule) -> str:
    """The severity of a rule's alerts."""
    found = threshold(rule)
    return found.severity if found else rule.severity


def program(rules: Iterable[Rule]) -> Program:
    """All thresholds among the rules as one program."""
    return compile_rules([found for rule in rules if (found := threshold(rule)) is not None])


def default_rules() -> tuple[Rule, ...]:
    """The detections that run when the configuration names none.

    >>> [r.id for r in default_rules()][-1]
    'behaviour_anomaly_endpoint'
    """
    presets: tuple[Rule, ...] = (
        BruteForceUser(),
        BruteForceIp(),
        PasswordSprayIp(),
        DeletionSurge(id="deletion_surge_user", dimension="user"),
        DeletionSurge(id="deletion_surge_ip", dimension="ip"),
    )
    named = {rule.id for rule in presets}
    return (
        *presets,
        *(BaseDetection(id=rule.id) for rule in BASE if rule.id not in named),
        SuccessAfterAttack(id="success_after_attack_user", dimension="user", at_least=10),
        SuccessAfterAttack(id="success_after_attack_ip", dimension="ip", at_least=15),
        DeadLetterSurge(),
        SourceSilence(id="source_silence_source", dimension="source"),
        SourceSilence(id="source_silence_tenant", dimension="tenant"),
        TrafficSpike(id="traffic_spike_tenant", dimension="tenant"),
        TrafficSpike(id="traffic_spike_endpoint", dimension="endpoint"),
        TrafficSpike(id="traffic_spike_ip", dimension="ip"),
        LevelAnomaly(id="level_anomaly_events_tenant", series="events"),
        LevelAnomaly(id="level_anomaly_failures_tenant", series="failures"),
        MixAnomaly(id="mix_anomaly_tenant"),
        BehaviourAnomaly(id="behaviour_anomaly_ip", dimension="ip"),
        # An account that is slowly used for something else: strange for long, and never very strange in one minute
        BehaviourAnomaly(id="behaviour_anomaly_user", dimension="user", hits=5, windows=8, score=0.95),
        BehaviourAnomaly(id="behaviour_anomaly_endpoint", dimension="endpoint"),
    )
