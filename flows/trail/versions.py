"""A person's profile as a chain of versions, made of the changes that events tell, whatever order they come in."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec

from flows.trail.reader import TrailEvent

_SHOWN: Final = ("action", "actor", "ip", "app", "app_version", "session", "request_id")
_encode = msgspec.json.Encoder(order="deterministic").encode
_TIED: Final = 16
ABSENT: Final = msgspec.UNSET
"""A value that nobody told."""


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One field's change. `old` and `new` are absent where the event does not tell them; null is a value.

    `gap`: `old` is not what the field was last known to be (`known`), so a change between is missing.
    """

    path: str
    old: Any = ABSENT
    new: Any = ABSENT
    gap: bool = False
    known: Any = ABSENT


class Version(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one event changed of a profile. Versions count from 1 in event time; `time` is microseconds UTC.

    `actor` is who did it where it was not the person; `copies` is how often it came. `unreadable` are changes without a
    path.
    """

    number: int
    time: int
    tenant: str
    log: str
    leaf: int
    changes: tuple[Change, ...]
    id: str | None = None
    action: str | None = None
    actor: str | None = None
    ip: str | None = None
    app: str | None = None
    app_version: str | None = None
    session: str | None = None
    request_id: str | None = None
    copies: int = 1
    unreadable: int = 0

    @property
    def gaps(self) -> int:
        """How many of its changes do not connect."""
        return sum(change.gap for change in self.changes)


def versions(events: Iterable[TrailEvent]) -> list[Version]:
    """The versions that events of one person make, in the order of event time, each event once.

    What has the same time and members, its id among them, is one event; the same id with other contents is another, for
    whoever sends events chooses ids. Events of the same time are put so that their values connect; where that leaves a
    choice, by id and content. So the order in which they came, and
    what came twice, change nothing but `log`, `leaf` and `copies`. Memory is all events with changes.

    >>> told = [_told(2, "b", "c"), _told(1, "a", "b"), _told(2, "b", "c"), _told(3, "x", "d")]
    >>> [(one.number, one.time, one.changes[0].new, one.gaps, one.copies) for one in versions(told)]
    [(1, 1, 'b', 0, 1), (2, 2, 'c', 0, 2), (3, 3, 'd', 1, 1)]
    """
    found: dict[bytes, list[TrailEvent]] = {}
    for event in events:
        if event.event.get("changes"):
            found.setdefault(_identity(event), []).append(event)
    once = [(min(same, key=_first), len(same)) for same in found.values()]
    state: dict[str, Any] = {}
    made: list[Version] = []
    for event, copies in _connected(sorted(once, key=lambda one: _first(one[0])), state):
        made.append(_version(len(made) + 1, event, copies, state))
        _apply(event, state)
    return made


def as_of(chain: Sequence[Version], time: int) -> dict[str, Any]:
    """What each field was at a time (inclusive), as far as any version tells: a field that changed only later was
    what its first change calls `old`.

    >>> chain = versions([_told(10, "a", "b"), _told(20, "b", "c")])
    >>> as_of(chain, 9), as_of(chain, 10), as_of(chain, 99)
    ({'email': 'a'}, {'email': 'b'}, {'email': 'c'})
    """
    return at(chain, sum(1 for one in chain if one.time <= time))


def at(chain: Sequence[Version], number: int) -> dict[str, Any]:
    """The fields after a version; after version 0 what they were before the first."""
    state: dict[str, Any] = {}
    for one in reversed(chain[number:]):
        for change in reversed(one.changes):
            _set(state, change.path, change.old)
    for one in chain[:number]:
        for change in one.changes:
            _set(state, change.path, change.new)
    return dict(sorted(state.items()))


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A field that is not the same in two versions; absent where it is not known."""

    path: str
    first: Any = ABSENT
    second: Any = ABSENT


def difference(chain: Sequence[Version], first: int, second: int) -> list[Difference]:
    """The fields that differ after two versions, by name.

    >>> chain = versions([_told(10, "a", "b"), _told(20, "b", "c")])
    >>> difference(chain, 0, 2)
    [Difference(path='email', first='a', second='c')]
    """
    one, two = at(chain, first), at(chain, second)
    pairs = [(path, one.get(path, ABSENT), two.get(path, ABSENT)) for path in sorted({*one, *two})]
    return [Difference(path=path, first=a, second=b) for path, a, b in pairs if not _same(a, b)]


def of_field(chain: Sequence[Version], path: str) -> list[Version]:
    """The versions that changed a field, each with only its changes of it, and of what lies below it."""
    wanted = [
        msgspec.structs.replace(one, changes=tuple(change for change in one.changes if below(change.path, path)))
        for one in chain
    ]
    return [one for one in wanted if one.changes]


def readable(event: TrailEvent) -> list[Change]:
    """The changes of an event that name a path."""
    told = event.event.get("changes")
    return [
        Change(path=one["path"], old=one.get("old", ABSENT), new=one.get("new", ABSENT))
        for one in (told if isinstance(told, list) else ())
        if isinstance(one, Mapping) and isinstance(one.get("path"), str) and one["path"]
    ]


def _connected(events: list[tuple[TrailEvent, int]], state: Mapping[str, Any]) -> Iterator[tuple[TrailEvent, int]]:
    """Events by time; of those of one time the next is one that connects with the state as it then is.

    Of several the one that no other of them leads to. Where more than `_TIED` have one time they stand by content
    alone: choosing among them is cubic.
    """
    for _, same in groupby(events, lambda one: one[0].time):
        tied = list(same)
        while tied:
            if len(tied) > _TIED:
                yield tied.pop(0)
                continue
            able = [at for at, one in enumerate(tied) if _connects(one[0], state)]
            first = [at for at in able if not any(_leads_to(other[0], tied[at][0]) for other in tied)]
            yield tied.pop((first or able or [0])[0])


def _leads_to(event: TrailEvent, other: TrailEvent) -> bool:
    """Whether an event gives a field the value that another one changes."""
    if event is other:
        return False
    given = {change.path: change.new for change in readable(event)}
    return any(
        change.old is not ABSENT and _same(given.get(change.path, ABSENT), change.old) for change in readable(other)
    )


def _connects(event: TrailEvent, state: Mapping[str, Any]) -> bool:
    known = dict(state)
    for change in readable(event):
        if change.old is not ABSENT and change.path in known and not _same(known[change.path], change.old):
            return False
        _set(known, change.path, change.new)
    return True


def _version(number: int, event: TrailEvent, copies: int, state: Mapping[str, Any]) -> Version:
    known = dict(state)
    changes = []
    for change in readable(event):
        was = known.get(change.path, ABSENT)
        gap = was is not ABSENT and change.old is not ABSENT and not _same(was, change.old)
        changes.append(msgspec.structs.replace(change, gap=gap, known=was) if gap else change)
        _set(known, change.path, change.new)
    told = event.event["changes"]
    shown = {name: event.event[name] for name in _SHOWN if isinstance(event.event.get(name), str)}
    if shown.get("actor") in (event.event.get("user"), event.event.get("username")):
        shown.pop("actor", None)
    return Version(
        number=number, time=event.time, tenant=event.tenant, log=event.log, leaf=event.leaf, id=event.id,
        changes=tuple(changes), copies=copies,
        unreadable=len(told) - len(changes) if isinstance(told, list) else 1, **shown,
    )  # fmt: skip


def _apply(event: TrailEvent, state: dict[str, Any]) -> None:
    for change in readable(event):
        _set(state, change.path, change.new)


def _set(state: dict[str, Any], path: str, value: Any) -> None:
    """Note a value; after a change to what nobody told, the field is not known."""
    if value is ABSENT:
        state.pop(path, None)
    else:
        state[path] = value


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: true is not 1."""
    if one is ABSENT or other is ABSENT:
        return one is other
    return _encode(one) == _encode(other)


def below(path: str, wanted: str) -> bool:
    """Whether a path is a field, or lies below it.

    >>> below("address.city", "address"), below("address2", "address")
    (True, False)
    """
    return path == wanted or path.startswith((f"{wanted}.", f"{wanted}/", f"{wanted}["))


def _identity(event: TrailEvent) -> bytes:
    return _encode([event.tenant, event.time, event.event])


def _first(event: TrailEvent) -> tuple[Any, ...]:
    """What is told of an event before where it came from, so that the order of arrival decides nothing."""
    return event.time, event.id or "", _encode(event.event), event.log, event.leaf


def _told(time: int, old: str, new: str) -> TrailEvent:
    """An event of a change of email, for examples."""
    changes = [{"path": "email", "old": old, "new": new}]
    return TrailEvent(
        tree="acme", tenant="acme", time=time, received=None, log="events.ndjson", leaf=0, offset=0, index=0,
        id=None, event={"user": "u-1", "changes": changes}, lapwing=None,
    )  # fmt: skip
