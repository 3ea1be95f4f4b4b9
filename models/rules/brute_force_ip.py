"""Many failed logins from one address for few accounts."""

import msgspec

from models.rules.base import About, Attack, Count, Mode, Severity

ABOUT = About(
    title="Brute force from one IP",
    measure="failed logins",
    attacks=(Attack("TA0006", "Credential Access", "T1110", "Brute Force", "T1110.001", "Password Guessing"),),
    remediation=(
        "1. Throttle or block the address at the edge, unless it is a shared one (office, carrier, proxy). "
        "2. Look for a success from it: sign that account out everywhere and reset its password. "
        "3. Ask its targets for a second factor."
    ),
    analytic_type=1,
    confidence=75,
    unless="nor for `users_below` accounts or more",
)


class BruteForceIp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="brute_force_ip"):
    """At least `at_least` failed logins from one IP within 10 minutes, for fewer than `users_below` accounts."""

    id: str = "brute_force_ip"
    at_least: Count = 20
    users_below: Count = 5
    severity: Severity = "medium"
    mode: Mode = "live"
    quiet: str = "10m"
