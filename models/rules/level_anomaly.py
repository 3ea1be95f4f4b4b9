"""A tenant's traffic, or its failures, reach a level that only a few episodes before have reached."""

from typing import Annotated, Literal

import msgspec

from models.rules import span
from models.rules.base import LEARNING, About, Attack, Count, Mode

_REMEDIATION = (
    "1. Look at what else is told of this tenant since then: addresses, accounts and endpoints say more. 2. If nothing "
    "is, compare the minutes before and after: {where}. 3. A release, a campaign or a holiday is learned as one "
    "episode; what comes a few times is normal."
)
_NOT_AT = "not within `at_least` times what its few strangest episodes so far have reached"
ABOUTS = {
    "events": About(
        title="Unusual level of traffic",
        measure="events a minute",
        attacks=(Attack("TA0040", "Impact", "T1499", "Endpoint Denial of Service"),),
        remediation=_REMEDIATION.format(where="which endpoint or client has more, or less, than usual"),
        analytic_type=LEARNING,
        confidence=50,
        not_at=_NOT_AT,
    ),
    "failures": About(
        title="Unusual level of failures",
        measure="failures a minute",
        attacks=(Attack("TA0006", "Credential Access", "T1110", "Brute Force"),),
        remediation=_REMEDIATION.format(where="which accounts and addresses fail, and with which reason"),
        analytic_type=LEARNING,
        confidence=50,
        not_at=_NOT_AT,
    ),
}
"""What an alert says, by the series."""


class LevelAnomaly(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="level_anomaly"):
    """A minute of a tenant at `at_least` times the level that its few strangest episodes so far have reached.

    `series` says of what: events, or failures. More or less than ever, restless or still, or strange for this time of
    the day or the week: it needs the detector `return_levels`, whose score is meant (1 is the level itself). Of the
    minute's value and what is usual the larger must be `events` at least. A tenant is judged once it has been heard for
    `after`. It is never above medium by itself, and proposes nothing to be blocked.

    When it fails: an episode is told once, so what goes on is told at its beginning only; a first day, or a first week,
    is compared with less than the seasons that it will know; a tenant of few events has no level; minutes in which
    nobody speaks are learned and not told of (`source_silence` tells of silence).
    """

    id: str = ""
    dimension: Literal["tenant"] = "tenant"
    series: Literal["events", "failures"] = "events"
    at_least: Annotated[float, msgspec.Meta(ge=1, le=1e6)] = 3.0
    events: Count = 30
    after: str = "24h"
    severity: Literal["low", "medium"] = "low"
    mode: Mode = "live"
    quiet: str = "30m"

    @property
    def after_minutes(self) -> int:
        """How long a tenant must be known, in minutes."""
        return span.microseconds(self.after) // span.MINUTE


def faults(rule: LevelAnomaly, path: str) -> list[str]:
    """What is wrong with its lengths, one line a fault.

    >>> faults(LevelAnomaly(after="90s"), "$.detection[0]")
    ['Expected whole minutes, at most "90d", got "90s" - at $.detection[0].after']
    """
    return span.whole_minutes(rule.after, f"{path}.after")
