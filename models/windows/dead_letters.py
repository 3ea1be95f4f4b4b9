"""Dead letters of each source, counted in panes, and the incidents where they surge."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from models.alert import CLOSE, CREATE, UPDATE, Alert
from models.base import NONE_TIME
from models.event import DeadLetter
from models.rules.dead_letter_surge import DeadLetterSurge
from models.windows.evidence import Witness, ends
from models.windows.outage import NO_TENANT, PANE30_US, Outage, Subject, alert_of, begin

WINDOW: Final = 10
BEFORE: Final = 120
REPORT: Final = 10
"""Panes of 30 s: the window, the hour before it, and how often an open incident is told of."""


class Pane(msgspec.Struct, array_like=True):
    """What one pane has of one source; `shown` are its first three and last two, by position, `events` what could be
    read, counted where a rule asks for a share.
    """

    count: int = 0
    shown: list[Witness] = []
    events: int = 0


class Letters(msgspec.Struct, array_like=True):
    """One source: its panes, and its open incident of each rule. What came before its first event lies at NONE_TIME."""

    panes: dict[int, Pane] = {}
    open: dict[str, Outage] = {}


class DeadLetters:
    """Counts dead letters by source and pane of 30 s, and tells of surges when a pane is final.

    Memory and cost: some numbers for each source and pane of the last 65 minutes with dead letters; five small
    witnesses (reason, position, size; never a body) for each pane.
    """

    def __init__(self, rules: Sequence[tuple[DeadLetterSurge, int]]) -> None:
        self.rules = rules  # each with its `quiet` in panes
        self.sources: dict[str, Letters] = {}
        self.shares = any(rule.share for rule, _ in rules)

    def add(self, dead: Sequence[DeadLetter], places: Sequence[int], next_pane: int) -> None:
        """Count dead letters of one source in order of position; `next_pane` is the first that is not final."""
        letters = self.sources.setdefault(dead[0].source, Letters())
        for letter, place in zip(dead, places, strict=True):
            at = NONE_TIME if place == NONE_TIME else max(place // PANE30_US, next_pane)
            pane = letters.panes.setdefault(at, Pane())
            pane.count += 1
            pane.shown = ends([*pane.shown, _witness(letter, place)])

    def heard(self, source: str, pane: int, events: int) -> None:
        """A source has shown so many events in a pane that is not final."""
        letters = self.sources.setdefault(source, Letters())
        letters.panes.setdefault(pane, Pane()).events += events

    def placed(self, source: str, pane: int) -> None:
        """The source has shown its first event, in `pane`: what came before it counts there."""
        letters = self.sources.get(source)
        if letters is None or NONE_TIME not in letters.panes:
            return
        early = letters.panes.pop(NONE_TIME)
        mine = letters.panes.setdefault(pane, Pane())
        mine.count += early.count
        mine.shown = ends([*early.shown, *mine.shown])

    def close(self, first: int, until: int, created: int) -> list[Alert]:
        """Tell of panes from `first` to before `until`, all final."""
        out = []
        for source in sorted(self.sources):
            letters = self.sources[source]
            for pane in self._due(letters, first, until):
                for rule, quiet in self.rules:
                    out += self._look(letters, source, rule, quiet, pane, created)
            oldest = until - WINDOW - BEFORE
            recent = until - WINDOW
            letters.panes = {
                at: pane
                for at, pane in letters.panes.items()
                if at >= recent or (pane.count and (at >= oldest or at == NONE_TIME))
            }
            if not letters.panes and not letters.open:
                del self.sources[source]
        return out

    def _look(
        self, letters: Letters, source: str, rule: DeadLetterSurge, quiet: int, pane: int, created: int
    ) -> list[Alert]:
        panes = letters.panes
        count = sum(panes[at].count for at in range(pane - WINDOW + 1, pane + 1) if at in panes)
        before = sum(panes[at].count for at in range(pane - WINDOW - BEFORE + 1, pane - WINDOW + 1) if at in panes)
        expected = before * WINDOW / BEFORE
        limit = max(float(rule.at_least), rule.times * expected)
        if rule.share:
            events = sum(panes[at].events for at in range(pane - WINDOW + 1, pane + 1) if at in panes)
            limit = max(float(rule.at_least), rule.share * (count + events))
        holds = count >= limit
        subject = Subject(NO_TENANT, "source", source, rule.id, rule.severity, WINDOW * PANE30_US // 1_000_000)
        mine = panes.get(pane, Pane())
        incident = letters.open.get(rule.id)
        end = (pane + 1) * PANE30_US
        if incident is None:
            if not holds or not mine.count:
                return []
            counted = [at for at in range(pane - WINDOW + 1, pane + 1) if at in panes and panes[at].count]
            incident = letters.open[rule.id] = begin(subject, pane, counted[0], created)
            incident.count, incident.value, incident.expected = count, float(count), expected
            incident.limit = limit
            for at in counted:
                incident.witnesses = ends([*incident.witnesses, *panes[at].shown])
            incident.told = float(count)
            return [alert_of(incident, subject, CREATE, end)]
        incident.pending += mine.count
        if holds:
            incident.value = max(incident.value, float(count))
            incident.count, incident.pending, incident.last = incident.count + incident.pending, 0, pane
            incident.witnesses = ends([*incident.witnesses, *mine.shown])
        elif pane - incident.last >= quiet:
            del letters.open[rule.id]
            return [alert_of(incident, subject, CLOSE, end)]
        if incident.count < 2 * incident.told and (pane - incident.first) % REPORT:
            return []
        incident.told = float(incident.count)
        return [alert_of(incident, subject, UPDATE, end)]

    def _due(self, letters: Letters, first: int, until: int) -> Iterator[int]:
        """The panes of which anything can come: those soon after dead letters, however far the time goes on."""
        known = [at for at, pane in letters.panes.items() if at != NONE_TIME and pane.count] + [
            one.last for one in letters.open.values()
        ]
        longest = WINDOW + max(quiet for _, quiet in self.rules)
        for at in sorted(known):
            end = min(until, at + longest + 1)
            yield from range(max(first, at), end)
            first = max(first, end)


def _witness(letter: DeadLetter, place: int) -> Witness:
    members = {
        "id": f"{letter.source}:{letter.offset}",
        "time": place // 1000 if place != NONE_TIME else None,
        "reason": letter.reason,
        "error": f"{letter.size} bytes at offset {letter.offset}",
    }
    return Witness(place, b"", msgspec.json.encode({k: v for k, v in members.items() if v is not None}))
