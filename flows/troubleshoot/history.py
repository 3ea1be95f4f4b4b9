"""One person's way in: attempts, what changed, which addresses they got in from; bounded, of however many events."""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from flows.trail.reader import TrailEvent
from flows.trail.schema import stamp
from flows.trail.versions import readable
from flows.troubleshoot.others import ATTEMPTS, FAILED, fared, version_of

_CHANGED: Final = (
    "account_lock", "account_unlock", "account_delete", "password_reset", "password_change", "email_change",
    "role_change", "policy_change", "profile_update", "register",
)  # fmt: skip
GUESSES: Final = 5
"""Failures from addresses and devices that never got in, from which on somebody else is at work."""
_HOUR: Final = 3_600_000_000
_MOST_ATTEMPTS: Final = 1_000
_MOST_CHANGES: Final = 200
_MOST_PLACES: Final = 10_000


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt to get in. `time` is microseconds UTC, `known` whether the person had got in from there before."""

    time: int
    action: str
    outcome: str
    reason: str | None = None
    error_code: str | None = None
    error: str | None = None
    request_id: str | None = None
    status: int | None = None
    factor: str | None = None
    ip: str | None = None
    device: str | None = None
    asn: int | None = None
    country: str | None = None
    app: str | None = None
    app_version: str | None = None
    known: bool = False

    @property
    def failed(self) -> bool:
        """Whether it failed or was blocked."""
        return self.outcome in ("failure", "blocked")

    @property
    def version(self) -> str | None:
        """App and version as one name."""
        return version_of(self.app, self.app_version)

    @property
    def flags(self) -> int:
        """How it went, as `others.fared` says it."""
        return fared(self.action, self.outcome, self.reason, self.status)


class Happened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that may have shut somebody out. `by` is who did it, where that was somebody else."""

    time: int
    what: str
    by: str | None = None
    fields: tuple[str, ...] = ()


class History(msgspec.Struct, kw_only=True):
    """What is known of a person's way in, up to the last event. `since` are the attempts after the last that got in.

    At most 1,000 attempts and 200 changes are kept, the last; `failures` counts all since the last that got in.
    `intruder` is the first that got in from where the person never had, after `guesses` failures from such places in
    the hour before; nothing of it becomes known, and it is forgotten once the person gets in again.
    """

    attempts: deque[Attempt] = msgspec.field(default_factory=lambda: deque(maxlen=_MOST_ATTEMPTS))
    changes: deque[Happened] = msgspec.field(default_factory=lambda: deque(maxlen=_MOST_CHANGES))
    events: int = 0
    last_event: int | None = None
    last_in: Attempt | None = None
    last_factor: Attempt | None = None
    failures: int = 0
    intruder: Attempt | None = None
    guesses: int = 0
    _places: dict[tuple[str, str], None] = msgspec.field(default_factory=dict)

    def add(self, event: TrailEvent) -> None:
        """Take in an event about the person; in the order of time."""
        told = event.event
        self.events += 1
        self.last_event = event.time
        action, outcome = told.get("action"), told.get("outcome")
        if action in ATTEMPTS:
            self._attempt(_attempt(event, self._is_known(told)))
        elif (action in _CHANGED and outcome in ("success", None)) or readable(event):
            actor = told.get("actor")
            by = actor if actor not in (told.get("user"), told.get("username")) else None
            fields = tuple(change.path for change in readable(event))[:8]
            self.changes.append(Happened(time=event.time, what=str(action or "change"), by=by, fields=fields))

    def _attempt(self, one: Attempt) -> None:
        before = self.last_in
        if before is not None and one.version and before.version and one.version != before.version:
            told = f"first attempt with {one.version} (before: {before.version})"
            if not any(change.what == told for change in self.changes):
                self.changes.append(Happened(time=one.time, what=told))
        self.attempts.append(one)
        if one.failed:
            self.failures += 1
        if one.outcome == "success":
            if one.action == "mfa_challenge":
                self.last_factor = one
            self._got_in(one)

    def _got_in(self, one: Attempt) -> None:
        wrong = [at for at in self.attempts if at.failed and not at.known and at.time >= one.time - _HOUR]
        is_strange = bool(self._places) and not one.known and len(wrong) >= GUESSES
        self.last_in, self.failures = one, 0
        if is_strange:
            if self.intruder is None:
                self.intruder, self.guesses = one, len(wrong)
            return
        self.intruder, self.guesses = None, 0
        for place in (("ip", one.ip), ("device", one.device)):
            if place[1] and len(self._places) < _MOST_PLACES:
                self._places[place[0], place[1]] = None

    def _is_known(self, told: dict[str, Any]) -> bool:
        return any((name, told.get(name)) in self._places for name in ("ip", "device"))

    @property
    def since(self) -> list[Attempt]:
        """The kept attempts after the last that got in."""
        found: list[Attempt] = []
        for one in reversed(self.attempts):
            if one.outcome == "success":
                break
            found.append(one)
        return found[::-1]

    @property
    def failed(self) -> list[Attempt]:
        """Those of `since` that failed."""
        return [one for one in self.since if one.flags & FAILED]


def history(events: Iterable[TrailEvent]) -> History:
    """The history that events about a person make, in their order."""
    found = History()
    for event in events:
        found.add(event)
    return found


def _attempt(event: TrailEvent, known: bool) -> Attempt:
    told = event.event
    text = {
        name: told[name]
        for name in ("reason", "error_code", "error", "request_id", "factor", "ip", "device", "country", "app",
                     "app_version")
        if isinstance(told.get(name), str)
    }  # fmt: skip
    whole = {name: told[name] for name in ("status", "asn") if isinstance(told.get(name), int)}
    return Attempt(
        time=event.time, action=told["action"], outcome=told.get("outcome") or "unknown", known=known, **text, **whole
    )


def at(time: int) -> str:
    """A time to the second, for a sentence.

    >>> at(1_793_577_600_000_123)
    '2026-11-02 00:00:00 UTC'
    """
    return f"{stamp(time)[:19].replace('T', ' ')} UTC"
