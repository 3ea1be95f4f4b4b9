"""Many failed logins for one account."""

import msgspec

from models.rules.base import About, Attack, Count, Mode, Severity

ABOUT = About(
    title="Brute force on one account",
    measure="failed logins",
    attacks=(Attack("TA0006", "Credential Access", "T1110", "Brute Force", "T1110.001", "Password Guessing"),),
    remediation=(
        "1. Ask the account for a second factor; lock it only if a success follows, since a lock is what an attacker "
        "can bring about too. 2. Throttle the addresses in the evidences. 3. After a success: sign it out everywhere, "
        "reset the password, tell the user."
    ),
    analytic_type=1,
    confidence=80,
)


class BruteForceUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="brute_force_user"):
    """At least `at_least` failed logins for one user within 10 minutes, from any number of addresses."""

    id: str = "brute_force_user"
    at_least: Count = 10
    severity: Severity = "medium"
    mode: Mode = "live"
    quiet: str = "10m"
