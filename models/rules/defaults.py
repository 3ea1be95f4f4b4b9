"""The base detections, in the language that users write their own in.

Thresholds are published ones (sources in brackets) or stricter; every one is a floor that an operator can move.
"""

from typing import Final

from models.rules import brute_force_ip, brute_force_user, deletion_surge, password_spray_ip
from models.rules.attacks import AttackRef
from models.rules.threshold import Condition, Threshold

_GUESSING: Final = AttackRef(tactic="TA0006", technique="T1110", sub_technique="T1110.001")
_SPRAYING: Final = AttackRef(tactic="TA0006", technique="T1110", sub_technique="T1110.003")
_STUFFING: Final = AttackRef(tactic="TA0006", technique="T1110", sub_technique="T1110.004")
_REMOVAL: Final = AttackRef(tactic="TA0040", technique="T1531")
_ENUMERATION: Final = AttackRef(tactic="TA0007", technique="T1087", sub_technique="T1087.004")
_EMAILS: Final = AttackRef(tactic="TA0043", technique="T1589", sub_technique="T1589.002")

_MORE_SUCCEED: Final = Condition(where="success", distinct="user", times=1.0)
"""At least as many accounts sign in as fail: an office or a carrier behind one address, not an attack [Sentinel]."""
_MORE_SIGN_IN: Final = Condition(where='success and action in ("login", "mfa_challenge")', distinct="user", times=1.0)
"""The same of those alone who sign in: that sessions go on, which refreshes a token, says nothing of an attack."""

BASE: Final[tuple[Threshold, ...]] = (
    Threshold(
        id="brute_force_user",
        by="user",
        where="failure",
        count=True,
        window="10m",
        at_least=10,  # [Auth0, Entra smart lockout]
        severity="medium",
        confidence=80,
        title="Brute force on one account",
        measure="failed logins",
        attacks=(_GUESSING,),
        remediation=brute_force_user.ABOUT.remediation,
    ),
    Threshold(
        id="brute_force_ip",
        by="ip",
        where="failure",
        count=True,
        window="10m",
        at_least=20,  # [Splunk]
        unless=Condition(distinct="user", at_least=5),
        severity="medium",
        confidence=75,
        title="Brute force from one IP",
        measure="failed logins",
        attacks=(_GUESSING,),
        remediation=brute_force_ip.ABOUT.remediation,
    ),
    Threshold(
        id="password_spray_ip",
        by="ip",
        where="failure",
        distinct="user",
        window="15m",
        at_least=15,  # [Sentinel]
        unless=_MORE_SUCCEED,
        severity="medium",
        confidence=85,
        title="Password spray from one IP",
        measure="accounts with failed logins",
        attacks=(_SPRAYING,),
        remediation=password_spray_ip.ABOUT.remediation,
    ),
    Threshold(
        id="slow_spray_ip",
        by="ip",
        where="failure",
        distinct="user",
        window="2h",
        at_least=20,
        unless=_MORE_SIGN_IN,
        severity="medium",
        confidence=75,
        title="Slow password spray from one IP",
        measure="accounts with failed logins",
        attacks=(_SPRAYING,),
        remediation="1. Block the address at the edge, unless it is a shared one. 2. Reset and sign out every account "
        "that it has signed in to. 3. Look for the same client and the same pace from other addresses.",
    ),
    Threshold(
        id="credential_stuffing_ip",
        by="ip",
        where="failure",
        distinct="user",
        window="15m",
        at_least=15,
        at_least_events=25,  # [Elastic: 25 attempts, 15 users, at most 2 an account]
        also=Condition(
            ratio='reason == "unknown_user"', at_least=0.2
        ),  # a list from elsewhere: many are not known here
        unless=(_MORE_SUCCEED, Condition(count=True, times=2.5)),
        severity="high",
        confidence=80,
        title="Credential stuffing from one IP",
        measure="accounts tried once or twice, many of them unknown",
        attacks=(_STUFFING,),
        remediation="1. Block the address at the edge, unless it is a shared one. 2. Sign out and reset the accounts "
        "that it has signed in to. 3. Check new passwords against breached ones.",
    ),
    Threshold(
        id="distributed_brute_force_user",
        by="user",
        where="failure",
        distinct="ip",
        window="30m",
        at_least=8,
        at_least_events=10,  # [Elastic: 8 addresses and 10 attempts]
        severity="medium",
        confidence=80,
        title="Brute force on one account from many IPs",
        measure="addresses with failed logins",
        attacks=(_GUESSING,),
        remediation="1. Ask the account for a second factor and tell the user. 2. Look for a success among the "
        "attempts. 3. Blocking single addresses will not end it.",
    ),
    Threshold(
        id="distributed_spray_tenant",
        by="tenant",
        where="failure",
        distinct="user",
        window="15m",
        at_least=8,
        at_least_events=25,
        also=(
            Condition(distinct="ip", at_least=5),
            Condition(distinct="ip", times=0.125),  # an address for eight accounts: else one of them sprays alone
        ),
        unless=(
            _MORE_SIGN_IN,
            Condition(count=True, times=5.0),
        ),  # [Elastic: 5 addresses, 8 users, 25 attempts, 5 each]
        severity="high",
        confidence=75,
        title="Password spray from many IPs",
        measure="accounts with failed logins",
        attacks=(_SPRAYING,),
        remediation="1. Turn on a CAPTCHA for the tenant. 2. Block what the addresses share (user agent, network). 3. "
        "Reset every account that signed in from them.",
    ),
    *(
        Threshold(
            id=f"deletion_surge_{by}",
            by=by,
            where="deletion",
            distinct="target",
            window="10m",
            at_least=5,  # [Splunk]
            severity="high",
            confidence=85,
            title="Account-deletion surge",
            measure="accounts deleted",
            attacks=(_REMOVAL,),
            remediation=deletion_surge.ABOUT.remediation,
        )
        for by in ("user", "ip")
    ),
    Threshold(
        id="reset_surge_ip",
        by="ip",
        where="reset",
        distinct="user",
        window="15m",
        at_least=15,
        severity="medium",
        confidence=70,
        title="Password-reset surge from one IP",
        measure="accounts with reset requests",
        attacks=(_ENUMERATION, _EMAILS),
        remediation="1. Throttle the address; turn on a CAPTCHA. 2. Answer alike whether the account exists.",
    ),
    Threshold(
        id="reset_surge_user",
        by="user",
        where="reset",
        count=True,
        window="60m",
        at_least=5,  # [Elastic]
        severity="medium",
        confidence=60,
        title="Password-reset surge on one account",
        measure="reset requests",
        attacks=(AttackRef(tactic="TA0006", technique="T1110"),),
        remediation="1. Throttle resets for the account and tell the user. 2. Check for a success that followed.",
    ),
    Threshold(
        id="error_surge_endpoint",
        by="endpoint",
        ratio="error and not failure",
        window="5m",
        at_least=0.5,
        at_least_events=100,
        severity="medium",
        confidence=70,
        title="Most calls of an endpoint fail",
        measure="of the calls fail, failed logins apart",
        remediation="1. Compare with the last release of endpoint and clients. 2. Roll back; tell their owners.",
    ),
    Threshold(
        id="server_errors_endpoint",
        by="endpoint",
        where="status >= 500",
        count=True,
        window="5m",
        at_least=200,
        severity="medium",
        confidence=70,
        title="An endpoint's server errors surge",
        measure="server errors",
        remediation="1. Look at the endpoint's own logs and its last release. 2. Roll back; tell its owner.",
    ),
)
