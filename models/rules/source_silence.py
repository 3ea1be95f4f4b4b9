"""A source, or a tenant, that always spoke and no longer does."""

from typing import Annotated, Literal

import msgspec

from models.rules import span
from models.rules.base import About, Attack, Mode, Severity

ABOUT = About(
    title="Silence",
    measure="minutes without events",
    attacks=(
        Attack("TA0005", "Defense Evasion", "T1562", "Impair Defenses", "T1562.008", "Disable or Modify Cloud Logs"),
    ),
    remediation=(
        "1. Page whoever is on call for the source: is it down, or only what ships its logs? 2. If it runs, find out "
        "who changed its logging, when, and what they did meanwhile. 3. Ask the platform itself for the events that "
        "are missing, and replay them."
    ),
    analytic_type=3,
    confidence=70,
    not_at="not before `after`, nor before `times` times its longest silence in `history`",
)


class SourceSilence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="source_silence"):
    """No event for `after`, and for `times` times the longest silence that the last `history` has known.

    `dimension` says whose events: those of a source partition, or of a tenant in all of them. It is judged once it has
    been heard for `history`, and in 30 panes of 30 s of that. It ends when an event comes, and after seven days, when
    the source is forgotten. It is told of again whenever the silence has doubled. A silence that was told of teaches
    nothing, unless it lasted six hours: nights and weekends are learned, an attack is not.

    When it fails: time is event time. Where all sources are silent nothing moves it, and the silence is told of when it
    is over; watch the process itself for that. A source whose events come later than they happened, all at once, was
    silent until they came. A tenant whose events found no room (`max_active`, counted as overflowed) is not heard.
    """

    id: str = ""
    dimension: Literal["source", "tenant"] = "source"
    after: str = "5m"
    times: Annotated[float, msgspec.Meta(ge=1, le=1e6)] = 5.0
    history: str = "24h"
    severity: Severity = "high"
    mode: Mode = "live"

    @property
    def after_us(self) -> int:
        """The least silence, microseconds."""
        return span.microseconds(self.after)

    @property
    def history_us(self) -> int:
        """How long a source must be known, microseconds."""
        return span.microseconds(self.history)


def faults(rule: SourceSilence, path: str) -> list[str]:
    """What is wrong with the lengths, one line a fault.

    >>> faults(SourceSilence(after="10s", history="90d"), "$.detection[0]")
    ['Expected whole minutes, at least "1m", got "10s" - at $.detection[0].after',
     'Expected whole minutes from "15m" to "7d", got "90d" - at $.detection[0].history']
    """
    found = []
    if rule.after_us < span.MINUTE or rule.after_us % span.MINUTE:
        found.append(f'Expected whole minutes, at least "1m", got "{rule.after[:20]}" - at {path}.after')
    if not 15 * span.MINUTE <= rule.history_us <= 168 * span.HOUR or rule.history_us % span.MINUTE:
        found.append(f'Expected whole minutes from "15m" to "7d", got "{rule.history[:20]}" - at {path}.history')
    return found
