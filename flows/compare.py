"""Alerts beside the truth: which attacks were found, how soon, and which incidents belong to none."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.errors import InputError
from flows.formats.truth import Truth, read_truth

__all__ = ["AttackResult", "Comparison", "Incident", "compare", "match", "read_alerts", "read_truth", "render"]

TOLERANCE_MS = 60_000
_CREATE = 1
_MOST_FALSE_ROWS = 20
_Ms = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class _FindingInfo(msgspec.Struct):
    uid: str


class _Metadata(msgspec.Struct):
    tenant_uid: str = "default"


class _Unmapped(msgspec.Struct):
    detection: str
    dimension: str
    entity: str


class _AlertLine(msgspec.Struct):
    time: _Ms
    activity_id: int
    finding_info: _FindingInfo
    unmapped: _Unmapped
    metadata: _Metadata
    start_time: _Ms
    end_time: _Ms


class Incident(msgspec.Struct, frozen=True):
    """All messages of one incident together. Times are epoch milliseconds; `created` is the create's event time."""

    uid: str
    tenant: str
    detection: str
    dimension: str
    entity: str
    created: int
    start: int
    end: int


class AttackResult(msgspec.Struct, frozen=True):
    """One attack and what became of it.

    `seconds` is event time from its first event to the end of the pane in which its first incident crossed; None if it
    was missed. It can be negative where an incident was open already.
    """

    attack: str
    kind: str
    entities: dict[str, list[str]]
    start: str
    events: int
    detected: bool
    detections: tuple[str, ...]
    seconds: float | None
    incidents: tuple[str, ...]


class Totals(msgspec.Struct, frozen=True):
    """A comparison in five numbers; `false_incidents` belong to no attack."""

    attacks: int
    detected: int
    missed: int
    incidents: int
    false_incidents: int


class Comparison(msgspec.Struct, frozen=True):
    """Attacks in the truth's order, and the incidents that belong to none. Encodes to JSON as it is."""

    totals: Totals
    attacks: tuple[AttackResult, ...]
    false: tuple[Incident, ...]


def read_alerts(path: str | Path) -> list[Incident]:
    """The incidents in a file of alerts, by time of their creation.

    An incident whose create is not in the file counts from its earliest message.

    Raises
    ------
    InputError
        The file cannot be read, or a line is no alert of Lapwing's; says which.
    """
    decoder = msgspec.json.Decoder(_AlertLine)
    messages: dict[str, list[_AlertLine]] = defaultdict(list)
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    alert = _decoded(decoder, line, f"{path}:{number}")
                    messages[alert.finding_info.uid].append(alert)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    return sorted((_incident(uid, alerts) for uid, alerts in messages.items()), key=lambda one: (one.created, one.uid))


def _decoded(decoder: msgspec.json.Decoder[_AlertLine], line: bytes, where: str) -> _AlertLine:
    try:
        return decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not an alert of Lapwing's: {error}") from error


def _incident(uid: str, alerts: list[_AlertLine]) -> Incident:
    creates = [alert.time for alert in alerts if alert.activity_id == _CREATE]
    first = alerts[0]
    return Incident(
        uid,
        first.metadata.tenant_uid,
        first.unmapped.detection,
        first.unmapped.dimension,
        first.unmapped.entity,
        min(creates or [alert.time for alert in alerts]),
        min(alert.start_time for alert in alerts),
        max(alert.end_time for alert in alerts),
    )


def compare(alerts: str | Path, truth: str | Path) -> Comparison:
    """`match` what is in two files.

    Raises
    ------
    InputError
        A file cannot be read or holds something else.
    """
    return match(read_alerts(alerts), read_truth(truth))


def match(incidents: Iterable[Incident], truth: Iterable[Truth]) -> Comparison:
    """Match incidents to attacks: an entity is shared and the times overlap within 60 seconds.

    An incident may belong to several attacks, an attack have several incidents. Any detection counts: a flood found by
    its endpoint's spike is found.
    """
    incidents = list(incidents)
    by_entity: dict[tuple[str, str], list[Incident]] = defaultdict(list)
    for incident in incidents:
        by_entity[(incident.dimension, incident.entity)].append(incident)
    matched: set[str] = set()
    results = []
    for attack in truth:
        start, end = _ms(attack.start), _ms(attack.end)
        found = [
            incident
            for dimension, entities in attack.entities.items()
            for entity in dict.fromkeys(entities)
            for incident in by_entity.get((dimension, entity), ())
            if incident.start - TOLERANCE_MS <= end and start <= incident.end + TOLERANCE_MS
        ]
        found.sort(key=lambda incident: (incident.created, incident.uid))
        matched.update(incident.uid for incident in found)
        results.append(
            AttackResult(
                attack.attack,
                attack.kind,
                attack.entities,
                attack.start,
                len(attack.events),
                bool(found),
                tuple(dict.fromkeys(incident.detection for incident in found)),
                (found[0].created - start) / 1000 if found else None,
                tuple(incident.uid for incident in found),
            )
        )
    false = tuple(incident for incident in incidents if incident.uid not in matched)
    detected = sum(result.detected for result in results)
    totals = Totals(len(results), detected, len(results) - detected, len(incidents), len(false))
    return Comparison(totals, tuple(results), false)


def _ms(time: str) -> int:
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as error:
        raise InputError(f"not a time: {_shown(time, 40)}") from error
    if moment.tzinfo is None:
        raise InputError(f"a time without an offset: {_shown(time, 40)}")
    return round(moment.timestamp() * 1000)


def render(comparison: Comparison) -> Group:
    """For rich: a table of the attacks, one of the false incidents if there are any, and a line of totals."""
    table = Table(title="Attacks and what became of them", title_justify="left")
    for heading in ("attack", "entity", "began", "events"):
        table.add_column(heading, justify="right" if heading == "events" else "left", overflow="fold")
    table.add_column("result")
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("detections", overflow="fold")
    for attack in comparison.attacks:
        table.add_row(
            Text(_shown(attack.attack, 40)),
            Text(_entity(attack.entities)),
            Text(_shown(attack.start[5:19], 19)),
            f"{attack.events:,}",
            Text("detected", "green") if attack.detected else Text("MISSED", "bold red"),
            "" if attack.seconds is None else f"{attack.seconds:.0f} s",
            Text(_shown(", ".join(attack.detections), 200)),
        )
    totals = comparison.totals
    line = Text(
        f"{totals.detected} of {totals.attacks} attack{'' if totals.attacks == 1 else 's'} detected; "
        f"{totals.incidents} incident{'' if totals.incidents == 1 else 's'}, {totals.false_incidents} of them false"
    )
    return Group(table, *_false(comparison.false), line)


def _false(false: tuple[Incident, ...]) -> list[Table | Text]:
    if not false:
        return []
    table = Table(title="Incidents that belong to no attack", title_justify="left")
    for heading in ("detection", "dimension", "entity", "tenant", "at"):
        table.add_column(heading, overflow="fold")
    for one in false[:_MOST_FALSE_ROWS]:
        texts = (one.detection, one.dimension, one.entity, one.tenant, _at(one.created))
        table.add_row(*(Text(_shown(text, 130)) for text in texts))
    more = len(false) - _MOST_FALSE_ROWS
    return [table, Text(f"and {more} more")] if more > 0 else [table]


def _at(time: int) -> str:
    try:
        return datetime.fromtimestamp(time // 1000, tz=UTC).isoformat()[5:19]
    except (ValueError, OverflowError, OSError):
        return str(time)


def _entity(entities: dict[str, list[str]]) -> str:
    """The entities in few words: the first of each dimension and how many more there are.

    >>> _entity({"ip": ["192.0.2.1", "192.0.2.2"], "user": [], "tenant": ["acme"]})
    'ip 192.0.2.1 (+1), tenant acme'
    """
    named = [
        f"{_shown(dimension, 20)} {_shown(values[0], 130)}" + (f" (+{len(values) - 1})" if len(values) > 1 else "")
        for dimension, values in entities.items()
        if values
    ]
    return ", ".join(named)


def _shown(text: str, most: int) -> str:
    """Text that cannot move a terminal's cursor, cut to a length.

    >>> _shown("a\\x1b[2Jb", 10)
    'a?[2Jb'
    """
    clean = "".join(letter if letter.isprintable() else "?" for letter in text[: most + 1])
    return clean if len(clean) <= most else clean[: most - 3] + "..."
