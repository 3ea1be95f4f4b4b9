"""Many failed logins for one account."""

import msgspec

from models.rules.base import About, Attack, Count, Severity

ABOUT = About(
    title="Brute force on one account",
    measure="failed logins",
    attacks=(Attack("TA0006", "Credential Access", "T1110", "Brute Force", "T1110.001", "Password Guessing"),),
    remediation="Lock the account or ask for a second factor; throttle the addresses in the evidences; tell the user.",
    analytic_type=1,
    confidence=80,
)


class BruteForceUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="brute_force_user"):
    """At least `at_least` failed logins for one user within 10 minutes, from any number of addresses."""

    id: str = "brute_force_user"
    at_least: Count = 10
    severity: Severity = "medium"
    quiet: str = "10m"
