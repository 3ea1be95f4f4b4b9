"""How long each source (or tenant) has said nothing, and the incidents where that is longer than it ever is."""

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from models.alert import CLOSE, CREATE, UPDATE, Alert
from models.windows.outage import PANE30_US, Outage, Subject, alert_of, begin

HOUR: Final = 120
MINUTE: Final = 2
ACCEPTED: Final = 6 * HOUR
FORGOTTEN: Final = 7 * 24 * HOUR
"""Panes of 30 s: a silence that was told of teaches from `ACCEPTED` on; who is silent for `FORGOTTEN` is forgotten."""
LEAST_PANES: Final = 30
MOST_SPEAKERS: Final = 4096


class Watched(NamedTuple):
    """A rule on silence, lengths in panes of 30 s."""

    id: str
    dimension: str
    severity: str
    after: int
    times: float
    history: int


class Speaker(msgspec.Struct, array_like=True):
    """Who speaks: the first and the last pane with an event, the panes with events that are not final yet.

    It is known since `first`, if `hours` has anything: for each hour in which it spoke the longest silence that ended
    in it, and the panes with events.
    """

    tenant: str
    name: str
    first: int = 0
    last: int = 0
    heard: list[int] = []
    hours: dict[int, tuple[int, int]] = {}
    open: dict[str, Outage] = {}


class Silence:
    """Watches speakers for silences, by event time alone.

    A speaker falls silent in the pane in which its silence reaches the limit, and speaks again in that of its next
    event; both follow from the panes in which it spoke, so nothing hangs on batches or on when it was looked at. The
    cost is that of the panes in which somebody speaks; time without events costs nothing.

    Memory: a pair of numbers for each speaker and hour of the longest `history`; at most 4,096 speakers. Beyond that
    newcomers are not watched, so that no flood of made-up tenants hides one that falls silent.
    """

    def __init__(self, rules: Sequence[Watched]) -> None:
        self.rules = rules
        self.longest = max((rule.history for rule in rules), default=0)
        self.speakers: dict[int | str, Speaker] = {}

    def hear(self, key: int | str, tenant: str, name: str, panes: Iterable[int]) -> None:
        """Somebody has events in some panes, none of them final."""
        speaker = self.speakers.get(key)
        if speaker is None:
            if len(self.speakers) >= MOST_SPEAKERS:
                return
            speaker = self.speakers[key] = Speaker(tenant, name)
        for pane in panes:
            if pane not in speaker.heard:
                speaker.heard.append(pane)

    def close(self, until: int, created: int) -> list[Alert]:
        """Tell of what panes before `until`, all final, have shown."""
        out: list[Alert] = []
        for key in list(self.speakers):
            speaker = self.speakers[key]
            if speaker.heard == [speaker.last + 1] and not speaker.open and until == speaker.last + 2 and speaker.hours:
                speaker.heard.clear()  # what nearly always happens
                out += self._spoke(speaker, speaker.last + 1)
                continue
            if speaker.heard:
                final = sorted(pane for pane in speaker.heard if pane < until)
                speaker.heard = [pane for pane in speaker.heard if pane >= until]
                for pane in final:
                    out += self._waited(speaker, pane, created)
                    out += self._spoke(speaker, pane)
            if speaker.hours:
                out += self._waited(speaker, until, created)
            if not speaker.hours and not speaker.heard:
                del self.speakers[key]
        return out

    def end(self, until: int, created: int) -> list[Alert]:
        """The input has ended, with pane `until`: all incidents close, and time begins anew."""
        out = self.close(until, created)
        for speaker in self.speakers.values():
            out += self._end(speaker, until - 1)
        self.speakers = {}
        return out

    def _waited(self, speaker: Speaker, until: int, created: int) -> list[Alert]:
        """What its silence up to pane `until` brings: incidents that open, those that have doubled, and oblivion."""
        out: list[Alert] = []
        for rule in self.rules:
            incident = speaker.open.get(rule.id)
            if incident is None:
                if until - speaker.last <= rule.after:
                    continue
                longest = self._longest(speaker, rule)
                if longest is None:
                    continue
                limit = max(rule.after, math.ceil(rule.times * longest))
                pane = speaker.last + limit
                if pane >= min(until, speaker.last + FORGOTTEN):
                    continue
                subject = _subject(rule, speaker)
                incident = speaker.open[rule.id] = begin(subject, pane, speaker.last + 1, created)
                incident.value, incident.limit = limit / MINUTE, limit / MINUTE
                incident.expected = longest / MINUTE
                incident.told = incident.value
                out.append(alert_of(incident, subject, CREATE, (pane + 1) * PANE30_US))
            while (pane := speaker.last + int(2 * incident.told * MINUTE)) < min(until, speaker.last + FORGOTTEN):
                incident.value = incident.told = 2 * incident.told
                incident.last = pane
                out.append(alert_of(incident, _subject(rule, speaker), UPDATE, (pane + 1) * PANE30_US))
        if until - speaker.last > FORGOTTEN:
            out += self._end(speaker, speaker.last + FORGOTTEN)
            speaker.hours = {}
        return out

    def _spoke(self, speaker: Speaker, pane: int) -> list[Alert]:
        """An event ends its silence in a pane."""
        if not speaker.hours:
            speaker.first, speaker.last = pane, pane - 1
        silent = pane - speaker.last - 1
        out = self._end(speaker, pane)
        if out and silent < ACCEPTED:
            silent = 0
        hour = pane // HOUR
        longest, spoken = speaker.hours.get(hour, (0, 0))
        speaker.hours[hour] = max(longest, silent), spoken + 1
        oldest = hour - self.longest // HOUR - 1
        for old in [old for old in speaker.hours if old < oldest]:
            del speaker.hours[old]
        speaker.last = max(speaker.last, pane)
        return out

    def _end(self, speaker: Speaker, pane: int) -> list[Alert]:
        out = []
        for rule in self.rules:
            incident = speaker.open.pop(rule.id, None)
            if incident is not None:
                incident.last = max(pane - 1, incident.last)
                incident.value = (incident.last - speaker.last) / MINUTE
                out.append(alert_of(incident, _subject(rule, speaker), CLOSE, (pane + 1) * PANE30_US))
        return out

    def _longest(self, speaker: Speaker, rule: Watched) -> int | None:
        """Its longest silence in the history before its last event; None while it is not known well enough."""
        if speaker.last - speaker.first < rule.history:
            return None
        oldest = (speaker.last - rule.history) // HOUR
        known = [values for hour, values in speaker.hours.items() if hour >= oldest]
        if sum(spoken for _, spoken in known) < LEAST_PANES:
            return None
        return max(longest for longest, _ in known)


def _subject(rule: Watched, speaker: Speaker) -> Subject:
    return Subject(speaker.tenant, rule.dimension, speaker.name, rule.id, rule.severity, rule.history * 30)
