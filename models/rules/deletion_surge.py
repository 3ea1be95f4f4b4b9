"""One actor or address deletes many accounts."""

from typing import Literal

import msgspec

from models.rules.base import About, Attack, Count, Mode, Severity

ABOUT = About(
    title="Account-deletion surge",
    measure="accounts deleted",
    attacks=(Attack("TA0040", "Impact", "T1531", "Account Access Removal"),),
    remediation=(
        "1. Suspend the acting account and its API keys. 2. Freeze deletions. 3. Ask whether it was a planned job; if "
        "not, restore the deleted accounts and look at what else the actor did."
    ),
    analytic_type=1,
    confidence=85,
    on_actor=True,
)


class DeletionSurge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="deletion_surge"):
    """At least `at_least` different accounts deleted within 10 minutes by one acting user, or from one IP."""

    id: str = ""
    dimension: Literal["user", "ip"] = "user"
    at_least: Count = 5
    severity: Severity = "high"
    mode: Mode = "live"
    quiet: str = "10m"
