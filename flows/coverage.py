"""What a format makes of samples: which value became which member, what was left, what is off by what is missing."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from flows.formats.blank import Blanking
from flows.formats.canonical import canonical
from flows.formats.dead_letter import is_secret_name
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.mapping import MAPPED, DeclaredMapping, text_of
from flows.formats.paths import spell
from flows.formats.raw import raw_batch
from flows.formats.source_format import SourceFormat
from models.rules import Rule
from models.rules.needs import missing

MOST_LEAVES: Final = 500
"""Values of one object that are looked at."""
MOST_DEPTH: Final = 32
LONGEST_EXAMPLE: Final = 60
MOST_DEAD: Final = 100
LAPWING: Final = "lapwing"

Choose = Callable[[dict[str, Any]], SourceFormat | None]
"""The format of an object; None where it is Lapwing's own."""


@dataclass(slots=True)
class Seen:
    """A member, or a path that was left, with how many events have it and the first value."""

    name: str
    events: int = 0
    example: str = ""
    paths: dict[str, int] = field(default_factory=dict)  # rank of each: 0 where the value itself stands


@dataclass(slots=True)
class Coverage:
    """What samples became; every list in the order of the canonical members, or of first sight.

    `formats` counts the events of each format, `dead` has (event number, reason, detail). `unlisted` are words that
    are in no table, or no value of a closed list: (member, path, word) and how often. `off` has the detections that no
    such event can make fire, with the groups of members of which they need one each.
    """

    events: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    members: dict[str, Seen] = field(default_factory=dict)
    left: dict[str, Seen] = field(default_factory=dict)
    secrets: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, Seen] = field(default_factory=dict)
    unlisted: dict[tuple[str, str, str], int] = field(default_factory=dict)
    dead: list[tuple[int, str, str]] = field(default_factory=list)
    dead_letters: int = 0
    empty: tuple[str, ...] = ()
    off: dict[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)


def own_members(record: dict[str, Any]) -> dict[str, Any]:
    """What format `lapwing` takes of an object."""
    return {name: record[name] for name in MAPPED if name in record}


def cover(
    records: Sequence[dict[str, Any]],
    choose: Choose,
    detections: Sequence[Rule],
    limits: Limits,
    closed: dict[str, Any],
) -> Coverage:
    """Ask the format of each object what it becomes, then once more for each value: what changes if that one does?

    So the paths are what the format really reads, whoever wrote it. `closed` has the members of closed lists.

    Cost: twice the format's own for each value of an object; objects are changed and put back while it runs.
    """
    found = Coverage(events=len(records))
    events: list[dict[str, Any]] = []
    for sample in records:
        form = choose(sample)
        record = sample if form is None or not form.secrets else _blanked(sample, form, found)
        event_of = own_members if form is None else form.event
        kind = LAPWING if form is None else form.type
        found.formats[kind] = found.formats.get(kind, 0) + 1
        events.append(event_of(record))
        _leaves_of(record, form, event_of, found)
        if isinstance(form, DeclaredMapping):
            for name, path, word in form.unlisted(record):
                _count(found.unlisted, (name, spell(path), word))
        for name, values in closed.items():
            given = events[-1].get(name)
            if isinstance(given, str) and given and given not in values:
                _count(found.unlisted, (name, "", given))
    _judged(events, found, limits)
    found.left = {path: seen for path, seen in found.left.items() if not seen.paths}
    found.members = {name: found.members[name] for name in MAPPED if name in found.members}
    found.empty = tuple(name for name in MAPPED if name not in found.members)
    for rule in detections:
        if groups := missing(rule, found.members):
            found.off[rule.id] = groups
    return found


def _blanked(record: dict[str, Any], form: SourceFormat, found: Coverage) -> dict[str, Any]:
    """An object as its format sees it: without its secrets, also those in strings that hold JSON."""
    for _, _, path in _first(leaves(record)):
        if any(is_below(path, secret) for secret in form.secrets):
            _count(found.secrets, _general(path))
    blank: dict[str, Any] = msgspec.json.decode(Blanking(form.secrets).of(msgspec.json.encode(_encodable(record))))
    return blank


def _general(path: Sequence[str | int]) -> str:
    """A path with `[*]` for every place in a list."""
    return spell(tuple([None if isinstance(step, int) else step for step in path])).replace(".*", "[*]")


def _count(counts: dict[Any, int], key: Any) -> None:
    counts[key] = counts.get(key, 0) + 1


def shown_value(value: Any) -> str:
    """A value as JSON, cut."""
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    text = msgspec.json.encode(value).decode(errors="replace")
    return text if len(text) <= LONGEST_EXAMPLE else text[: LONGEST_EXAMPLE - 3] + "..."


def is_below(path: Sequence[str | int], secret: Sequence[str]) -> bool:
    """Whether a path is a secret's, or lies in it; `*` is any member or element.

    >>> is_below(("login", "old", 0), ("login", "*")), is_below(("login",), ("login", "*"))
    (True, False)
    """
    return len(path) >= len(secret) and all(b in ("*", str(a)) for a, b in zip(path, secret, strict=False))


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[Any, Any, tuple[str | int, ...]]]:
    """Every value of an object that is neither object nor list: what holds it, its key there, its path."""
    if len(path) >= MOST_DEPTH:
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in [*inner][:MOST_LEAVES]:
        if isinstance(one, dict | list):
            yield from leaves(one, (*path, key))
        elif one is not None and one != "":
            yield value, key, (*path, key)


def _leaves_of(
    record: dict[str, Any], form: SourceFormat | None, event_of: Callable[[dict[str, Any]], Any], found: Coverage
) -> None:
    before = event_of(record)
    secrets = () if form is None else form.secrets
    used: dict[str, dict[str, int]] = {name: {} for name in before}
    seen_here: set[str] = set()
    for holder, key, path in [*_first(leaves(record))]:
        if any(is_below(path, secret) for secret in secrets):
            continue
        general = _general(path)
        value = holder[key]
        touched: set[str] = set()
        for other in (_changed(value), None):
            holder[key] = other
            after = event_of(record)
            touched |= {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        holder[key] = value
        for name in touched & before.keys():
            used[name][spell(path)] = 0 if text_of(value) == text_of(before[name]) else 1
        hidden = is_secret_name(str(path[-1])) if isinstance(path[-1], str) else False
        left = found.left.setdefault(
            general, Seen(general, example="a secret by its name" if hidden else shown_value(value))
        )
        left.events += general not in seen_here
        seen_here.add(general)
        if touched:
            left.paths["used"] = 0
    for name, paths in used.items():
        seen = found.members.setdefault(name, Seen(name))
        for path_text, rank in paths.items():
            seen.paths[path_text] = min(rank, seen.paths.get(path_text, 1))


def _first(every: Iterator[tuple[Any, Any, tuple[str | int, ...]]]) -> Iterator[tuple[Any, Any, tuple[str | int, ...]]]:
    for _, one in zip(range(MOST_LEAVES), every, strict=False):
        yield one


def _changed(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}~"


def _judged(events: Sequence[dict[str, Any]], found: Coverage, limits: Limits) -> None:
    """What the canonical decoder says of the events: what it takes, what it ignores, what is dead and why."""
    messages = [msgspec.json.encode(_encodable(event)) for event in events]
    decoded = decode(raw_batch("sample", messages), limits)
    found.dead_letters = len(decoded.dead)
    found.dead = [(letter.offset + 1, letter.reason, letter.detail) for letter in decoded.dead[:MOST_DEAD]]
    dead = {letter.offset for letter in decoded.dead}
    notes = {}
    for at, start, length in zip(decoded.row, decoded.note_start, decoded.note_length, strict=True):
        if length:
            notes[int(at)] = msgspec.json.decode(decoded.buffer[start : start + length].tobytes(), type=list[str])
    for at, (event, message) in enumerate(zip(events, messages, strict=True)):
        taken = _alive(event) if at in dead else canonical(message)
        for name in event:
            seen = found.members[name] if name in taken else None
            if seen is None:
                if name in notes.get(at, ()):
                    ignored = found.ignored.setdefault(name, Seen(name, example=shown_value(event[name])))
                    ignored.events += 1
                continue
            seen.events += 1
            seen.example = seen.example or shown_value(taken[name])
    for name in [name for name, seen in found.members.items() if not seen.events]:
        del found.members[name]


def _alive(event: dict[str, Any]) -> dict[str, Any]:
    """What would be taken of a dead event's other members, if it had a time and an entity."""
    lent = {"time": 1_763_874_000} | ({} if isinstance(event.get("actor"), str) else {"actor": "-"})
    taken = canonical(msgspec.json.encode(_encodable(event | lent)))
    return {name: value for name, value in taken.items() if name not in lent}


def _encodable(value: Any) -> Any:
    """A value without what JSON has not: numbers that are not finite."""
    if isinstance(value, dict):
        return {key: _encodable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_encodable(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
