"""What a tenant's minutes are made of is unlike its minutes before."""

from typing import Annotated, Literal

import msgspec

from models.rules import span
from models.rules.base import LEARNING, About, Attack, Mode

ABOUT = About(
    title="Unusual mix of events",
    measure="times as strange as usual",
    attacks=(
        Attack("TA0001", "Initial Access", "T1078", "Valid Accounts", "T1078.004", "Cloud Accounts"),
        Attack("TA0040", "Impact", "T1531", "Account Access Removal"),
    ),
    remediation=(
        "1. Look at what made the minutes strange: each reason names a count, what it was and what is typical. 2. Look "
        "at what else is told of this tenant since then: addresses, accounts and endpoints say more. 3. A release or a "
        "job that explains it is learned when it goes on; until then add an exception with an expiry."
    ),
    analytic_type=LEARNING,
    confidence=50,
    not_at="not in fewer than `hits` of `windows` minutes, nor at a score below `score`",
)
MOST_WINDOWS = 60


class MixAnomaly(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="mix_anomaly"):
    """At least `hits` strange minutes of a tenant's last `windows`: its events, failures, errors, deletions and resets.

    A minute is strange if its quantile among the tenant's minutes is at least `quantile`, and its score at least
    `score` (1 is usual). It needs the detector `reservoir_ensemble` with `over = "tenants"`. A tenant is judged once
    its minutes have been known for `after`. It is never above medium by itself, and proposes nothing to be blocked.

    When it fails: one strange minute alone opens nothing; what is strange only for the time of day is not known to be
    (`level_anomaly` knows hours); a small attack on a large tenant is nothing beside its minutes; tenants beyond the
    16 of a shard that were busy first are not watched.
    """

    id: str = ""
    dimension: Literal["tenant"] = "tenant"
    hits: Annotated[int, msgspec.Meta(ge=1, le=MOST_WINDOWS)] = 3
    windows: Annotated[int, msgspec.Meta(ge=1, le=MOST_WINDOWS)] = 5
    quantile: Annotated[float, msgspec.Meta(gt=0.5, lt=1)] = 0.995
    score: Annotated[float, msgspec.Meta(ge=0)] = 20.0
    after: str = "24h"
    severity: Literal["low", "medium"] = "low"
    mode: Mode = "live"
    quiet: str = "30m"

    @property
    def after_minutes(self) -> int:
        """How long a tenant must be known, in minutes."""
        return span.microseconds(self.after) // span.MINUTE


def faults(rule: MixAnomaly, path: str) -> list[str]:
    """What is wrong with a detection beside the types of its values, one line a fault.

    >>> faults(MixAnomaly(hits=3, windows=2), "$.detection[0]")
    ['Expected at most windows (2), got 3 - at $.detection[0].hits']
    """
    found = span.whole_minutes(rule.after, f"{path}.after")
    if rule.hits > rule.windows:
        found.append(f"Expected at most windows ({rule.windows}), got {rule.hits} - at {path}.hits")
    return found
