"""What every rule has in config, and what every alert says of its detection."""

from typing import Annotated, Literal

import msgspec

Severity = Literal["low", "medium", "high", "critical"]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


class Attack(msgspec.Struct, frozen=True):
    """A MITRE ATT&CK (sub-)technique under its tactic."""

    tactic: str
    tactic_name: str
    technique: str
    technique_name: str
    sub_technique: str = ""
    sub_technique_name: str = ""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert says of its detection, whatever was observed.

    `measure` finishes "412 ..." in a message; `analytic_type` is OCSF's analytic.type_id (1 rule, 3 statistical,
    4 learning).
    """

    title: str
    measure: str
    attacks: tuple[Attack, ...]
    remediation: str
    analytic_type: int
    confidence: int
