"""`[[detection.example]]`: events beside a detection that it is to fire on, or to be silent at."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from flows import durations
from flows.structure import meant, shown, structure
from models.kernels.scan import MEMBERS

START: Final = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""When an example begins whose events have no time; it lies on every pane's grid."""
MOST_EXAMPLES: Final = 64
MOST_TABLES: Final = 1_000
MOST_EVENTS: Final = 100_000
MOST_BYTES: Final = 64 << 20
LONGEST: Final = timedelta(days=31)

_KNOWN: Final = (*MEMBERS, "changes")
_PLACEHOLDER: Final = re.compile(r"\{n(?:%([1-9][0-9]{0,5}))?\}", re.ASCII)


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One example as it is written. `events` are tables of members (Event has their other keys), or a file of lines.

    `fires`: whether there must be an incident of the detection; then `entity` names one that must have it, and `times`
    says how many there are, 0 being any number.
    """

    name: str = ""
    fires: bool = True
    entity: str = ""
    times: Annotated[int, Meta(ge=0, le=MOST_EVENTS)] = 0
    events: str | dict[str, Any] | tuple[dict[str, Any], ...] = ()
    detection: str = ""
    path: str = ""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """How often a table of members is an event, and when.

    `repeat` events follow each other by `every`. The first is at `time`, or so long after the example's begin as `at`
    says, or, without either, `every` after the last event of the table before. `{n}` in a string is the event's number
    from 1, `{n%5}` the rest of its division by 5.
    """

    repeat: Annotated[int, Meta(ge=1, le=MOST_EVENTS)] = 1
    every: str = "1s"
    at: str = "0s"


def examples(written: Mapping[str, Any], detection: str, path: str, faults: list[str]) -> list[Example]:
    """The examples of a detection's table, with a line in `faults` for each thing that is wrong.

    >>> faults = []
    >>> one = {"type": "base", "example": [{"events": {"usr": "sam", "repeat": 0}}]}
    >>> _ = examples(one, "x", "$.detection[0]", faults)
    >>> print("\\n".join(faults))
    Expected int >= 1 - at $.detection[0].example[0].events.repeat
    Unknown member "usr", did you mean "user"? - at $.detection[0].example[0].events
    """
    rows = written.get("example", [])
    if not isinstance(rows, list):
        faults.append(
            f"Expected a list of tables, written [[detection.example]], got {shown(rows)} - at {path}.example"
        )
        return []
    if len(rows) > MOST_EXAMPLES:
        faults.append(f"Expected at most {MOST_EXAMPLES} examples, got {len(rows)} - at {path}.example")
        return []
    found = []
    for at, row in enumerate(rows):
        place = f"{path}.example[{at}]"
        before = len(faults)
        one = structure(Example, row, place, faults)
        if len(faults) > before:
            continue
        one = msgspec.structs.replace(one, detection=detection, path=place, name=one.name or f"example {at + 1}")
        faults += _faults(row, one)
        found.append(one)
    return found


def without_examples(rows: object) -> object:
    """The tables of the detections as they are structured: what is beside them is read apart."""
    if not isinstance(rows, list):
        return rows
    return [
        {key: value for key, value in row.items() if key != "example"} if isinstance(row, Mapping) else row
        for row in rows
    ]


def lines(example: Example) -> list[tuple[bytes, str]]:
    """The events of a sound example that has them in tables, in the order of their times, each with its table's path.

    >>> one = Example(events={"user": "u{n%2}", "repeat": 2})
    >>> [line for line, _ in lines(one)]
    [b'{"time":"2026-01-05T12:00:00Z","user":"u1"}', b'{"time":"2026-01-05T12:00:01Z","user":"u0"}']
    """
    rows = []
    for table, event, first, place in _placed(example):
        every = timedelta(microseconds=durations.microseconds(event.every))
        members = {key: value for key, value in table.items() if key not in (*_EVENT_KEYS, "time")}
        for n in range(event.repeat):
            time = (first + n * every).astimezone(UTC)
            rows.append((time, msgspec.json.encode({"time": time, **_numbered(members, n + 1)}), place))
    return [(line, place) for _, line, place in sorted(rows, key=lambda row: row[0])]


_EVENT_KEYS: Final = tuple(field.name for field in msgspec.structs.fields(Event))


def tables(example: Example) -> list[tuple[dict[str, Any], str]]:
    """The tables of events of an example, each with its path; none if it names a file."""
    if isinstance(example.events, str):
        return []
    if isinstance(example.events, dict):
        return [(example.events, f"{example.path}.events")]
    return [(table, f"{example.path}.events[{k}]") for k, table in enumerate(example.events)]


def _placed(example: Example) -> Iterator[tuple[dict[str, Any], Event, datetime, str]]:
    following = None
    for table, place in tables(example):
        event = structure(Event, {key: table[key] for key in _EVENT_KEYS if key in table}, place, [])
        every = timedelta(microseconds=durations.microseconds(event.every))
        if "time" in table:
            first = _time(table["time"])
        elif "at" in table or following is None:
            first = START + timedelta(microseconds=durations.microseconds(event.at))
        else:
            first = following + every
        following = first + (event.repeat - 1) * every
        yield table, event, first, place


def _faults(row: Mapping[str, Any], example: Example) -> Iterator[str]:
    if "events" not in row or not example.events:
        yield f"Missing key events, a table, a list of them or the name of a file - at {example.path}"
    for key in ("detection", "path"):
        if key in row:
            yield f"Unknown key {shown(key)} - at {example.path}"
    if not example.fires:
        yield from (
            f"Expected only where it fires - at {example.path}.{key}" for key in ("entity", "times") if key in row
        )
    found = tables(example)
    if len(found) > MOST_TABLES:
        yield f"Expected at most {MOST_TABLES} tables of events, got {len(found)} - at {example.path}.events"
        return
    wrong = [fault for table, place in found for fault in _table_faults(table, place)]
    yield from wrong
    if not wrong and found:
        yield from _size_faults(example)


def _table_faults(table: Mapping[str, Any], place: str) -> Iterator[str]:
    faults: list[str] = []
    structure(Event, {key: table[key] for key in _EVENT_KEYS if key in table}, place, faults)
    yield from faults
    for key in table:
        if key not in (*_EVENT_KEYS, *_KNOWN):
            yield f"Unknown member {shown(key)}{_close(key)} - at {place}"
    if "time" in table and "at" in table:
        yield f"Expected one of time and at - at {place}"
    if "time" in table:
        try:
            _time(table["time"])
        except ValueError:
            wrong = shown(table["time"])
            yield f'Expected a time with offset such as "2026-01-05T12:00:00Z", got {wrong} - at {place}.time'


def _size_faults(example: Example) -> Iterator[str]:
    events = size = 0
    begin, end = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    for table, event, first, place in _placed(example):
        events += event.repeat
        size += event.repeat * (len(msgspec.json.encode(table)) + 64)
        begin, end = min(begin, first), max(end, first)
        span = timedelta(microseconds=durations.microseconds(event.every)) * (event.repeat - 1)
        if max(span, end - begin) > LONGEST:
            yield f"Expected events within {LONGEST.days} days - at {place}"
            return
        end = max(end, first + span)
    if events > MOST_EVENTS:
        yield f"Expected at most {MOST_EVENTS} events, got {events} - at {example.path}.events"
    if size > MOST_BYTES:
        yield f"Expected at most {MOST_BYTES >> 20} MiB of events - at {example.path}.events"
    if end - begin > LONGEST:
        yield f"Expected events within {LONGEST.days} days - at {example.path}.events"


def _time(value: object) -> datetime:
    """The time of an event as TOML has it, or as text; ValueError if it has no offset or lies where no event may."""
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if time.tzinfo is None or not 2000 <= time.year <= 2099:
        raise ValueError(value)
    return time


def _close(word: str) -> str:
    found = meant(word, (*_KNOWN, *_EVENT_KEYS))
    return found if found.startswith(",") else ""


def _numbered(value: Any, n: int) -> Any:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: str(n % int(found[1]) if found[1] else n), value)
    if isinstance(value, Mapping):
        return {key: _numbered(inner, n) for key, inner in value.items()}
    if isinstance(value, list):
        return [_numbered(inner, n) for inner in value]
    return value.isoformat() if isinstance(value, date) else value
