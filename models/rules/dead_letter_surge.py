"""Far more messages of one source that are no events than it usually has."""

from typing import Annotated

import msgspec

from models.rules import span
from models.rules.base import About, Attack, Count, Mode, Severity

ABOUT = About(
    title="Dead-letter surge",
    measure="messages that are no events",
    attacks=(Attack("TA0005", "Defense Evasion", "T1562", "Impair Defenses"),),
    remediation=(
        "1. Look at dead-letters.ndjson for the reasons and the first messages. 2. Compare with the last release of "
        "the source and of what ships its logs; mend it, and replay from the first dead letter. 3. If nothing was "
        "released, find out who can write to the source: what cannot be read hides what was done."
    ),
    analytic_type=1,
    confidence=75,
    not_at="not below `at_least`, nor below `times` times the mean of the hour before",
)


OF_ALL = msgspec.structs.replace(ABOUT, not_at="not below `at_least`, nor below a share of `share` of all its messages")
"""What an alert says where the rule asks for a share."""


class DeadLetterSurge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="dead_letter_surge"):
    """At least `at_least` dead letters of a source in 5 minutes, and `times` times its mean of the hour before.

    With a `share` above 0 it is this share of all messages of the source in the 5 minutes that counts, and not `times`:
    a source that goes on sending some rubbish stays an incident.

    A dead letter has no time of its own: it counts at the greatest event time that its source partition had shown in
    front of it, so a replay gives the same. The hour before is the 60 minutes that end where the 5 begin; a source that
    is younger than that had nothing in the rest of them.

    When it fails: dead letters before the first event of a source wait for it, and for a source without any event for
    ever: there is no time to count them at. A source that has always sent some rubbish crosses `times` above its usual.
    """

    id: str = "dead_letter_surge"
    at_least: Count = 100
    times: Annotated[float, msgspec.Meta(gt=1, le=1e6)] = 4.0
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    severity: Severity = "medium"
    mode: Mode = "live"
    quiet: str = "10m"


def faults(rule: DeadLetterSurge, path: str) -> list[str]:
    """What is wrong with `quiet`, which counts panes of 30 s.

    >>> faults(DeadLetterSurge(quiet="400000ms"), "$.detection[0]")
    ['Expected whole seconds, got "400000ms" - at $.detection[0].quiet']
    """
    if span.microseconds(rule.quiet) < 0:
        return [f'Expected whole seconds, got "{rule.quiet[:20]}" - at {path}.quiet']
    return []
