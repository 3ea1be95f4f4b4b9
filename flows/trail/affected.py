"""Whom an incident has hit: of each person what was read, what was changed, and what was only tried."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec

from flows.trail.incidents import Incident, events
from flows.trail.reader import Trail, TrailEvent
from flows.trail.schema import stamp

READ: Final = ("data_read", "data_export", "api_call")
"""Actions that show something of the person."""
CHANGED: Final = (
    "register", "password_reset", "password_change", "email_change", "profile_update", "account_lock", "account_unlock",
    "account_delete", "role_change", "policy_change", "api_key_change",
)  # fmt: skip
REACHED: Final = ("login", "token_issue", "token_refresh", "mfa_challenge")
"""Actions after which somebody acts as the person."""
_OF_TARGET: Final = ("data_read", "data_export", "account_lock", "account_unlock", "account_delete", "role_change")
"""Calls that are about their object where they name one."""


class Person(msgspec.Struct, kw_only=True):
    """What happened to one person. `reached` counts successes of logging in or going on as the person, `attempts` what
    failed; `read` and `changed` count what succeeded, by action, `fields` names what was changed.
    """

    name: str
    read: dict[str, int]
    changed: dict[str, int]
    fields: list[str]
    by: list[str]
    reached: int = 0
    attempts: int = 0
    first: str = ""
    last: str = ""


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """An incident, and all whom its events are about: those first of whom most succeeded."""

    uid: str
    tenant: str
    detection: str
    title: str
    severity: str
    entities: tuple[tuple[str, str], ...]
    start: str
    end: str
    events: int
    people: list[Person]
    erased: int


def affected(trail: Trail, incident: Incident, start: int | None = None, end: int | None = None) -> Affected:
    """Whom an incident has hit, by the events of its entities in its time, or in a range that is given.

    An event counts for the person whom it is about; an administrative call for its object. `erased` counts events of
    whom nobody can say any more whom they were about.

    Raises
    ------
    InputError
        The trail cannot be read.
    """
    first = incident.start if start is None else start
    last = max(incident.end, first + 1) if end is None else end
    people: dict[bytes, Person] = {}
    same = _persons(trail)
    count = erased = 0
    for event in events(trail, incident, first, last):
        count += 1
        id_, name = _whose(event)
        if id_ is None:
            continue
        if name is None:
            erased += 1
            continue
        one = people.setdefault(same(id_), Person(name=name, read={}, changed={}, fields=[], by=[]))
        if "@" in name:
            one.name = name
        _add(one, event)
    ordered = sorted(
        people.values(),
        key=lambda one: (-sum(one.changed.values()), -sum(one.read.values()), -one.reached, -one.attempts, one.name),
    )
    return Affected(
        uid=incident.uid, tenant=incident.tenant, detection=incident.detection, title=incident.title,
        severity=incident.severity, entities=incident.entities, start=stamp(first), end=stamp(last), events=count,
        people=ordered, erased=erased,
    )  # fmt: skip


def _persons(trail: Trail) -> Callable[[bytes], bytes]:
    """One id for all that a person has."""

    @lru_cache(maxsize=1 << 16)
    def same(id_: bytes) -> bytes:
        return min(trail.keys.persons([id_])) if trail.keys else id_

    return same


def _whose(event: TrailEvent) -> tuple[bytes | None, str | None]:
    """Whom an event is about: the id, and the name where it is not erased."""
    told = event.event
    user, actor, target = event.subjects
    if target is not None and told.get("action") in _OF_TARGET:
        return target, told.get("target")
    if user is not None:
        return user, told.get("username") or told.get("user")
    return actor, told.get("actor")


def _add(one: Person, event: TrailEvent) -> None:
    told = event.event
    action = str(told.get("action", "other"))
    done = told.get("outcome") == "success"
    if not done:
        one.attempts += told.get("outcome") in ("failure", "blocked")
    elif action in REACHED:
        one.reached += 1
    elif action in READ:
        one.read[action] = one.read.get(action, 0) + 1
    elif action in CHANGED:
        one.changed[action] = one.changed.get(action, 0) + 1
        changes = told.get("changes")
        paths = {str(each.get("path")) for each in changes if isinstance(each, dict)} if changes else set()
        one.fields = sorted({*one.fields, *paths})
    who = told.get("actor")
    if who and who not in (told.get("user"), told.get("username")) and who not in one.by:
        one.by = sorted([*one.by, str(who)])
    at = stamp(event.time)
    one.first = min(one.first or at, at)
    one.last = max(one.last, at)
