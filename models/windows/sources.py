"""What is known of sources, beside their events: dead letters, and silence."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from models.alert import Alert
from models.base import END_OF_TIME, NONE_TIME, SKIP
from models.event import EventBatch
from models.kernels.layout import ACTIVE, NEVER, NEXT, PER30, ShardArrays
from models.rules import SourceRule, span
from models.rules.dead_letter_surge import DeadLetterSurge
from models.rules.source_silence import SourceSilence
from models.windows.dead_letters import DeadLetters, Letters
from models.windows.outage import NO_TENANT, PANE30_US
from models.windows.rings import name_of
from models.windows.silence import Silence, Speaker, Watched


class _State(msgspec.Struct):
    next_pane: int
    latest: int
    letters: dict[str, Letters]
    sources: dict[int | str, Speaker]
    tenants: dict[int | str, Speaker]


class Sources:
    """Dead letters and silence, as a shard of the tenants sees them: its tenants, and the first shard all sources.

    Cost: two passes over the places of a batch in the first shard; with each pane of 30 s a look at every tenant and
    source that is watched.
    """

    def __init__(self, rules: Sequence[SourceRule], lateness_us: int) -> None:
        self.lateness_us = lateness_us
        surges = [rule for rule in rules if isinstance(rule, DeadLetterSurge)]
        self.dead = DeadLetters([(rule, -(-span.microseconds(rule.quiet) // PANE30_US)) for rule in surges])
        silences = [rule for rule in rules if isinstance(rule, SourceSilence)]
        self.sources = Silence([_watched(rule) for rule in silences if rule.dimension == "source"])
        self.tenants = Silence([_watched(rule) for rule in silences if rule.dimension == "tenant"])
        self.next_pane: int = NEVER
        self.latest: int = NONE_TIME

    def due(self, watermark: int) -> bool:
        """Whether a watermark has come past the end of a pane of which there may be something to tell."""
        if watermark == NONE_TIME or watermark // PANE30_US <= self.next_pane:
            return False
        return bool(self.tenants.speakers or self.sources.speakers or self.dead.sources)

    def take(self, batch: EventBatch, reached: tuple[int, int]) -> None:
        """Take notice of a batch of a source that was counted up to `reached`."""
        dead, places = batch.dead, batch.dead_place
        rows = batch.flags & SKIP == 0 if batch.first < reached or batch.flags.any() else None
        if rows is not None and batch.first < reached:
            fresh = [(letter.offset, letter.index) > reached for letter in dead]
            places = places[np.array(fresh, np.bool_)]
            dead = tuple(letter for letter, new in zip(dead, fresh, strict=True) if new)
            rows &= (batch.offset > reached[0]) | ((batch.offset == reached[0]) & (batch.index > reached[1]))
        if dead and self.dead.rules:
            self.dead.add(dead, places.tolist(), self.next_pane)
        place = batch.place if rows is None else batch.place[rows]
        if len(place):
            # A batch spans 30 s at most, so these are all of its panes.
            panes = {max(int(end) // PANE30_US, self.next_pane) for end in (place.min(), place.max())}
            self.dead.placed(batch.source, max(int(place[0]) // PANE30_US, self.next_pane))
            if self.dead.shares:
                for pane, count in zip(*np.unique(place // PANE30_US, return_counts=True), strict=True):
                    self.dead.heard(batch.source, max(int(pane), self.next_pane), int(count))
            if self.sources.rules:
                self.sources.hear(batch.source, NO_TENANT, batch.source, panes)

    def hear_tenants(self, s: ShardArrays, limit: int) -> None:
        """Take notice of the tenants with events in the panes that are about to close, those before `limit`."""
        slots = s.active[: s.head[ACTIVE]].tolist() if self.tenants.rules else ()
        for slot in slots:
            owner, newest, seen = None, int(s.newest30[slot]), int(s.rings["seen30"][slot])
            for pane in range(int(s.head[NEXT]) // PER30, min(limit // PER30, newest + 1)):
                if seen >> (newest - pane) & 1:
                    owner = int(s.rings["owner"][slot]) if owner is None else owner
                    name = "" if owner in self.tenants.speakers else name_of(s, slot)[0]
                    self.tenants.hear(owner, name, name, (pane,))

    def close(self, watermark: int, created: int) -> list[Alert]:
        """What the panes before a watermark that is `due` bring; at the end of time all incidents close."""
        if watermark == END_OF_TIME:
            until = (self.latest + self.lateness_us) // PANE30_US + 1
            out = self.dead.close(self.next_pane, END_OF_TIME, created)
            out += self.sources.end(until, created) + self.tenants.end(until, created)
            self.dead.sources = {}
            self.next_pane, self.latest = NEVER, NONE_TIME
            return out
        until = watermark // PANE30_US
        first, self.next_pane = self.next_pane, until
        out = self.dead.close(first, until, created) if self.dead.sources else []
        for silence in (self.sources, self.tenants):
            if silence.speakers:
                out += silence.close(until, created)
        return out

    def snapshot(self) -> Any:
        """Everything as plain values."""
        return msgspec.to_builtins(
            _State(self.next_pane, self.latest, self.dead.sources, self.sources.speakers, self.tenants.speakers),
            builtin_types=(bytes,),
        )

    def restore(self, saved: Any) -> None:
        """Take what a snapshot holds; incidents of rules that are gone end silently."""
        state = msgspec.convert(saved, _State)
        self.next_pane, self.latest = state.next_pane, state.latest
        ids = {rule.id for rule, _ in self.dead.rules}
        for letters in state.letters.values():
            letters.open = {name: one for name, one in letters.open.items() if name in ids}
        self.dead.sources = state.letters if ids else {}
        for silence, speakers in ((self.sources, state.sources), (self.tenants, state.tenants)):
            ids = {rule.id for rule in silence.rules}
            for speaker in speakers.values():
                speaker.open = {name: one for name, one in speaker.open.items() if name in ids}
            silence.speakers = speakers if ids else {}


def _watched(rule: SourceSilence) -> Watched:
    after, history = rule.after_us // PANE30_US, rule.history_us // PANE30_US
    return Watched(rule.id, rule.dimension, rule.severity, after, rule.times, history)
