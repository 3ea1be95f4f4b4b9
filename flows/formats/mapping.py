"""A declared mapping: any JSON object to the canonical members, by paths, tables, constants, formats of time."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Any, Final, TypeAlias

from flows.formats.paths import Steps, getter
from flows.formats.proxied import client_of
from flows.formats.reads import Path, Reads, place
from flows.formats.timestamps import Reader
from models.kernels.scan import ARRAY_KIND, KINDS, NUMBER_KIND, RESERVED_KIND, STRING_KIND

Scalar: TypeAlias = str | int | float | bool

MAPPED: Final = tuple(name for name, kind in KINDS.items() if not kind & RESERVED_KIND)
"""The members that can be mapped."""
MOST_CHANGES: Final = 64
_LONGEST_BAD: Final = 64
_FARTHEST: Final = 9

Find: TypeAlias = Callable[[dict[str, Any]], Any]
"""An object to a member's value: None where there is none, `_Bad` where there is one that cannot be it."""


@dataclass(slots=True, frozen=True)
class Candidate:
    """One way to a member's value. Exactly one of `path` and `constant` is given.

    Parameters
    ----------
    path
        Where it stands.
    constant
        The value of every event.
    table
        What each of the platform's words is to Lapwing; a word that is not in it is no value.
    default
        The value where there is none, or none in the table.
    time
        What reads it as a time.
    forwarded
        Whether it is a chain of proxies; `peer` is then where the connection's own other end stands, if anywhere.
    each
        Of `changes`: where path, old and new stand in each element.
    passing
        Whether ordinary times are passed on as they are.
    after, until
        Of a string only what stands behind the first `after`, up to the next `until`; without `after` in it there is no
        value.
    """

    path: Steps = ()
    constant: Scalar | None = None
    table: Mapping[str, Scalar] | None = None
    default: Scalar | None = None
    time: Reader | None = None
    forwarded: bool = False
    peer: Steps = ()
    each: Mapping[str, Steps] | None = None
    passing: bool = False
    after: str = ""
    until: str = ""


class _Bad:
    """A value that is there and cannot be the member's; a short text of it for whoever asks why."""

    __slots__ = ("text",)

    def __init__(self, value: Any) -> None:
        self.text = value[:_LONGEST_BAD] if isinstance(value, str) else ""


def text_of(value: Any) -> str | None:
    """A value as a table names it: `true`, `401`, `LOGIN`; None for what is no scalar.

    >>> text_of("LOGIN"), text_of(401), text_of(True), text_of([1])
    ('LOGIN', '401', 'true', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else None
    return repr(value) if isinstance(value, float) and math.isfinite(value) else None


@dataclass(slots=True)
class DeclaredMapping:
    """A source format that was declared; see `flows.formats.source_format.SourceFormat`.

    A member's candidates are asked in their order and the first value counts. A value of the wrong type is passed
    over; if there is no other the member is given as one that the canonical decoder ignores and names, a time as
    `bad_time`. Numbers become strings where the member is one. Compiled once; an object of any shape never raises.

    Cost: about half a microsecond a member; a time of a `%` format some 8 us. Ordinary objects go through compiled
    code, but for those in which `reads` refuses something. Memory: as `client_of`'s.

    Examples
    --------
    >>> from flows.formats.paths import parse
    >>> mapping = DeclaredMapping(
    ...     {"action": [Candidate(parse("evt"), table={"SIGNIN": "login"}, default="other")],
    ...      "user": [Candidate(parse("who.id")), Candidate(parse("who.name"))],
    ...      "ip": [Candidate(parse("xff"), forwarded=True)]},
    ...     trusted=[IPv4Network("10.0.0.0/8")])
    >>> mapping.event({"evt": "SIGNIN", "who": {"id": 17}, "xff": "192.0.2.1, 203.0.113.9, 10.1.1.1"})
    {'action': 'login', 'user': '17', 'ip': '203.0.113.9'}
    """

    members: Mapping[str, Sequence[Candidate]]
    secrets: tuple[tuple[str, ...], ...] = ()
    when: Mapping[Steps, frozenset[str] | None] = field(default_factory=dict)
    trusted: Sequence[IPv4Network | IPv6Network] = ()
    type: str = "mapping"
    _finds: tuple[tuple[str, tuple[Find, ...]], ...] = ()
    _tests: tuple[tuple[Find, frozenset[str] | None], ...] = ()
    reads: Reads | None = None

    def __post_init__(self) -> None:
        client = client_of(self.trusted)
        self._finds = tuple(
            (name, tuple(_find(name, one, client) for one in candidates)) for name, candidates in self.members.items()
        )
        self._tests = tuple((getter(path), words) for path, words in self.when.items())
        self.reads = _reads(self.members)

    def matches(self, record: dict[str, Any]) -> bool:
        """Whether all that `when` asks for holds; never where it asks for nothing."""
        for find, words in self._tests:
            value = find(record)
            if value is None or (words is not None and text_of(value) not in words):
                return False
        return bool(self._tests)

    def event(self, record: dict[str, Any]) -> dict[str, Any]:
        """The canonical members of an object; absent ones are left out."""
        event: dict[str, Any] = {}
        for name, finds in self._finds:
            for find in finds:
                value = find(record)
                if value is None:
                    continue
                if type(value) is not _Bad:
                    event[name] = value
                    break
                event.setdefault(name, value.text or {})
        return event

    def unlisted(self, record: dict[str, Any]) -> list[tuple[str, Steps, str]]:
        """The words of an object that are in no table of theirs: member, path, word. For whoever writes the tables."""
        found = []
        for name, candidates in self.members.items():
            for one in candidates:
                word = None if one.table is None else text_of(_at(one)(record))
                if one.table is not None and word is not None and word not in one.table:
                    found.append((name, one.path, word))
        return found


def _reads(members: Mapping[str, Sequence[Candidate]]) -> Reads | None:
    """Everything that a mapping looks at; None where it looks at all. What cannot be passed on as it is is refused."""
    carried, times, decisive, refused = set[Path](), set[Path](), set[Path](), set[Path]()
    for name, candidates in members.items():
        for one in candidates:
            timed = one.time is not None
            made = one.forwarded or bool(KINDS[name] & ARRAY_KIND) or (timed and not one.passing)
            made = made or bool(one.after or one.until)
            for steps in (one.path, one.peer):
                path = _path(steps)
                if steps and not path:
                    return None
                if made or len(path) < len(steps):
                    refused.add(path)
                else:
                    (times if timed else carried if one.table is None else decisive).add(path)
    in_order = [(*sorted(one - {()}),) for one in (carried, times, decisive, refused)]
    return Reads(carried=in_order[0], times=in_order[1], decisive=in_order[2], refused=in_order[3])


def _path(steps: Steps) -> Path:
    """The steps as far as they lead to one place, and that one of the first of a list."""
    path: list[str] = []
    for step in steps:
        if isinstance(step, int) and 0 <= step <= _FARTHEST:
            path.append(f"[{step}]")
        elif isinstance(step, str) and place(step) is None:
            path.append(step)
        else:
            break
    return tuple(path)


def _find(name: str, one: Candidate, client: Callable[[Any, Any], str | None]) -> Find:
    if one.constant is not None:
        return lambda record: one.constant
    find = _values(name, one, client)
    default = one.default
    if default is None:
        return find

    def otherwise(record: dict[str, Any]) -> Any:
        value = find(record)
        return default if value is None or type(value) is _Bad else value

    return otherwise


def _values(name: str, one: Candidate, client: Callable[[Any, Any], str | None]) -> Find:
    at = _at(one)
    if one.table is not None:
        table = one.table

        def listed(record: dict[str, Any]) -> Any:
            text = text_of(at(record))
            return None if text is None else table.get(text)

        return listed
    if one.time is not None:
        return _time(at, one.time)
    if one.forwarded:
        peer = getter(one.peer) if one.peer else lambda record: None
        return lambda record: client(at(record), peer(record))
    if KINDS[name] & ARRAY_KIND:
        return _changes(at, one.each)
    return _number(at) if not KINDS[name] & STRING_KIND else _string(at, bool(KINDS[name] & NUMBER_KIND))


def _at(one: Candidate) -> Callable[[Any], Any]:
    at = getter(one.path)
    return _part(at, one.after, one.until) if one.after or one.until else at


def _part(at: Callable[[Any], Any], after: str, until: str) -> Find:
    def part(record: dict[str, Any]) -> Any:
        value = at(record)
        if not isinstance(value, str):
            return None
        _, found, rest = value.partition(after) if after else ("", True, value)
        return ((rest.partition(until)[0] if until else rest) or None) if found else None

    return part


def _time(at: Callable[[Any], Any], read: Reader) -> Find:
    def time(record: dict[str, Any]) -> Any:
        value = at(record)
        if value is None:
            return None
        text = read(value)
        return _Bad(text_of(value)) if text is None else text

    return time


def _string(at: Callable[[Any], Any], numbers: bool) -> Find:
    def string(record: dict[str, Any]) -> Any:
        value = at(record)
        if value is None or type(value) is str or (numbers and type(value) in (int, float)):
            return value
        text = text_of(value)
        return _Bad(value) if text is None else text

    return string


def _number(at: Callable[[Any], Any]) -> Find:
    def number(record: dict[str, Any]) -> Any:
        value = at(record)
        return value if value is None or type(value) in (str, int, float) else _Bad(value)

    return number


def _changes(at: Callable[[Any], Any], each: Mapping[str, Steps] | None) -> Find:
    parts = [(name, getter(path)) for name, path in (each or {}).items()]

    def changes(record: dict[str, Any]) -> Any:
        value = at(record)
        if not isinstance(value, list):
            return None if value is None else _Bad(value)
        if not parts:
            return value[:MOST_CHANGES]
        return [{name: find(one) for name, find in parts} for one in value[:MOST_CHANGES]]

    return changes
