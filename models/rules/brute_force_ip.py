"""Many failed logins from one address for few accounts."""

import msgspec

from models.rules.base import About, Attack, Count, Severity

ABOUT = About(
    title="Brute force from one IP",
    measure="failed logins",
    attacks=(Attack("TA0006", "Credential Access", "T1110", "Brute Force", "T1110.001", "Password Guessing"),),
    remediation="Throttle or block the address at the edge; check the accounts in the evidences for a success.",
    analytic_type=1,
    confidence=75,
)


class BruteForceIp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="brute_force_ip"):
    """At least `at_least` failed logins from one IP within 10 minutes, for fewer than `users_below` accounts."""

    id: str = "brute_force_ip"
    at_least: Count = 20
    users_below: Count = 5
    severity: Severity = "medium"
    quiet: str = "10m"
