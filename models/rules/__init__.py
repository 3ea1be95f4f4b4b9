"""What Lapwing detects, one rule per file. The union below is the list."""

from types import ModuleType

from models.rules import brute_force_ip, brute_force_user, deletion_surge, password_spray_ip, traffic_spike
from models.rules.base import About
from models.rules.brute_force_ip import BruteForceIp
from models.rules.brute_force_user import BruteForceUser
from models.rules.deletion_surge import DeletionSurge
from models.rules.password_spray_ip import PasswordSprayIp
from models.rules.traffic_spike import TrafficSpike

Rule = BruteForceUser | BruteForceIp | PasswordSprayIp | DeletionSurge | TrafficSpike

_FILES: dict[type, ModuleType] = {
    BruteForceUser: brute_force_user,
    BruteForceIp: brute_force_ip,
    PasswordSprayIp: password_spray_ip,
    DeletionSurge: deletion_surge,
    TrafficSpike: traffic_spike,
}


def about(rule: Rule) -> About:
    """What an alert of this rule says of its detection."""
    text: About = _FILES[type(rule)].ABOUT
    return text


def dimension(rule: Rule) -> str:
    """The dimension whose entities the rule watches.

    >>> dimension(BruteForceUser())
    'user'
    """
    if isinstance(rule, BruteForceUser):
        return "user"
    return rule.dimension if isinstance(rule, DeletionSurge | TrafficSpike) else "ip"


def default_rules() -> tuple[Rule, ...]:
    """The detections that run when the configuration names none.

    >>> [r.id for r in default_rules()][-1]
    'traffic_spike_ip'
    """
    return (
        BruteForceUser(),
        BruteForceIp(),
        PasswordSprayIp(),
        DeletionSurge(id="deletion_surge_user", dimension="user"),
        DeletionSurge(id="deletion_surge_ip", dimension="ip"),
        TrafficSpike(id="traffic_spike_tenant", dimension="tenant"),
        TrafficSpike(id="traffic_spike_endpoint", dimension="endpoint"),
        TrafficSpike(id="traffic_spike_ip", dimension="ip"),
    )
