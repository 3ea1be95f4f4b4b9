"""One address fails on many accounts."""

import msgspec

from models.rules.base import About, Attack, Count, Mode, Severity

ABOUT = About(
    title="Password spray from one IP",
    measure="accounts with failed logins",
    attacks=(Attack("TA0006", "Credential Access", "T1110", "Brute Force", "T1110.003", "Password Spraying"),),
    remediation=(
        "1. Block the address at the edge. 2. Reset and sign out every account that it has signed in to. "
        "3. Ask the other targets for a second factor; look for the same names from other addresses."
    ),
    analytic_type=1,
    confidence=85,
    unless="nor if as many accounts had signed in there as failed",
    campaign="password spray",
)


class PasswordSprayIp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="password_spray_ip"):
    """At least `at_least` accounts with failed logins from one IP within 15 minutes, and more than succeeded there."""

    id: str = "password_spray_ip"
    at_least: Count = 15
    severity: Severity = "medium"
    mode: Mode = "live"
    quiet: str = "15m"
