"""What every rule has in config, and what every alert says of its detection."""

from typing import Annotated, Final, Literal

import msgspec

Severity = Literal["low", "medium", "high", "critical"]
Mode = Literal["live", "shadow"]
"""A detection in shadow runs on live traffic and is counted; its incidents go to what is suppressed only."""
LEARNING: Final = 4
"""OCSF's analytic.type_id of a detection that learned: never above medium by itself."""
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
    4 learning). `unless` says what else would have kept it silent, besides fewer, with the rule's parameters in
    backticks; `not_at` says all of that, where a mere number would not. Incidents of detections with the same
    `campaign` are one attack within a tenant, however many entities it comes from. `on_actor` says that a user entity
    is who did it, not who suffered it.
    """

    title: str
    measure: str
    attacks: tuple[Attack, ...]
    remediation: str
    analytic_type: int
    confidence: int
    unless: str = ""
    not_at: str = ""
    campaign: str = ""
    on_actor: bool = False
