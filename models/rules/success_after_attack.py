"""A sign-in that follows an attack on passwords: the one event of it that matters most."""

from typing import Final, Literal

import msgspec

from models.rules.base import About, Attack, Count, Mode, Severity

_ATTACKS: Final = (
    Attack("TA0001", "Initial Access", "T1078", "Valid Accounts", "T1078.004", "Cloud Accounts"),
    Attack("TA0006", "Credential Access", "T1110", "Brute Force"),
)
ABOUTS: Final = {
    "user": About(
        title="Sign-in after brute force",
        measure="sign-ins after failed logins",
        attacks=_ATTACKS,
        remediation=(
            "1. Ask the user whether that was them; if not, or if nobody answers: sign the account out everywhere, "
            "reset its password and its factors. 2. Look at what its session changed and exported since. "
            "3. Block the address of the sign-in, unless it is a shared one."
        ),
        analytic_type=1,
        confidence=80,
        not_at="not after fewer than `at_least` failed logins",
    ),
    "ip": About(
        title="Sign-in after a password spray",
        measure="sign-ins after failed ones of other accounts",
        attacks=_ATTACKS,
        remediation=(
            "1. Sign out everywhere, and reset, the accounts that signed in from the address (see the evidences). "
            "2. Look at what their sessions changed and exported since. 3. Block the address at the edge."
        ),
        analytic_type=1,
        confidence=85,
        not_at="not after fewer than `at_least` failed accounts, nor where as many succeed as fail",
    ),
}


class SuccessAfterAttack(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="success_after_attack"
):
    """A sign-in within 15 minutes after `at_least` failed ones of its user, or of so many users at its address.

    A sign-in is a success of login, mfa_challenge or token_issue. With `dimension` "user" it follows `at_least` failed
    logins of the same user, wherever either came from (Sigma's and Sentinel's 10). With "ip" it comes from an address
    at which `at_least` users failed before it, and more than have succeeded there, this one included: anybody who gets
    in during a spray. Order is that of the events' own time; of two at the same microsecond the failure counts as the
    first. Decided when a pane of 30 s is final, so that no disorder within lateness changes it.

    When it fails: a user who signs in during an attack on their own account is told of as well. Who is sprayed from one
    address and signed in to from another is not seen, unless the account itself failed `at_least` times.
    """

    id: str = ""
    dimension: Literal["user", "ip"] = "user"
    at_least: Count = 10
    severity: Severity = "high"
    mode: Mode = "live"
    quiet: str = "15m"
