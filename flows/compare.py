"""Alerts beside the truth: which attacks were found, how soon, and which incidents belong to none."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from flows.errors import InputError
from flows.formats.truth import Truth, read_truth

__all__ = [
    "AttackResult",
    "Comparison",
    "Incident",
    "KindResult",
    "compare",
    "epoch_ms",
    "is_of",
    "match",
    "read_alerts",
    "read_truth",
    "render",
]

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
    entities: dict[str, str] = {}
    digest: int | None = None


class _Evidence(msgspec.Struct):
    uid: str = ""


class _AlertLine(msgspec.Struct):
    time: _Ms
    activity_id: int
    finding_info: _FindingInfo
    unmapped: _Unmapped
    metadata: _Metadata
    start_time: _Ms
    end_time: _Ms
    evidences: list[_Evidence] = []


class Incident(msgspec.Struct, frozen=True):
    """All messages of one incident together. Times are epoch milliseconds; `created` is the create's event time.

    `evidences` are the ids of the events that it shows, `entities` both parts of an entity of two dimensions.
    """

    uid: str
    tenant: str
    detection: str
    dimension: str
    entity: str
    created: int
    start: int
    end: int
    evidences: tuple[str, ...] = ()
    entities: dict[str, str] = {}


class AttackResult(msgspec.Struct, frozen=True):
    """One attack and what became of it.

    `seconds` is event time from its first event to the end of the pane in which its first incident crossed; None if it
    was missed. It can be negative where an incident was open already. `as_expected`: one of its incidents is of a
    detection that should see this kind of attack, not only of one that happens to see it too.
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
    as_expected: bool


class KindResult(msgspec.Struct, frozen=True):
    """All attacks of one kind together; `seconds` is the median of those detected, None if none was."""

    kind: str
    attacks: int
    detected: int
    as_expected: int
    seconds: float | None


class Totals(msgspec.Struct, frozen=True):
    """A comparison in five numbers; `false_incidents` belong to no attack."""

    attacks: int
    detected: int
    missed: int
    incidents: int
    false_incidents: int


class Comparison(msgspec.Struct, frozen=True):
    """Attacks in the truth's order, by kind, and the incidents that belong to none. Encodes to JSON as it is."""

    totals: Totals
    kinds: tuple[KindResult, ...]
    attacks: tuple[AttackResult, ...]
    false: tuple[Incident, ...]


def read_alerts(path: str | Path) -> list[Incident]:
    """The incidents in a file of alerts, by time of their creation; a digest of incidents is none.

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
                    if alert.unmapped.digest is None:
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
        tuple(sorted({one.uid for alert in alerts for one in alert.evidences if one.uid})),
        first.unmapped.entities,
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
    its endpoint's spike is found. An attack that names no entity (a surge of dead letters) has the incidents of its
    expected detections at the time. An incident that shows an event of an attack is not false, whatever its entity: the
    sign-in page behaves strangely while somebody sprays it. The attack is not found by that alone.
    """
    incidents = list(incidents)
    by_entity: dict[tuple[str, str], list[Incident]] = defaultdict(list)
    for incident in incidents:
        for entity in incident.entities.items() or ((incident.dimension, incident.entity),):
            by_entity[entity].append(incident)
    matched: set[str] = set()
    attacking: set[str] = set()
    results = []
    for attack in truth:
        attacking.update(attack.events)
        start, end = epoch_ms(attack.start), epoch_ms(attack.end)
        expected = attack.expected or [attack.kind]
        named = any(attack.entities.values())
        candidates = (
            incident
            for dimension, entities in attack.entities.items()
            for entity in dict.fromkeys(entities)
            for incident in by_entity.get((dimension, entity), ())
        )
        found = [
            incident
            for incident in (candidates if named else (one for one in incidents if is_of(one.detection, expected)))
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
                any(is_of(incident.detection, expected) for incident in found),
            )
        )
    false = tuple(one for one in incidents if one.uid not in matched and attacking.isdisjoint(one.evidences))
    detected = sum(result.detected for result in results)
    totals = Totals(len(results), detected, len(results) - detected, len(incidents), len(false))
    return Comparison(totals, _by_kind(results), tuple(results), false)


def is_of(detection: str, names: Iterable[str]) -> bool:
    """Whether a detection's id is one of the names, or one of them with its dimension behind.

    >>> is_of("brute_force_user", ["brute_force"]), is_of("distributed_brute_force_user", ["brute_force"])
    (True, False)
    """
    return any(detection == name or detection.startswith(f"{name}_") for name in names)


def _by_kind(results: list[AttackResult]) -> tuple[KindResult, ...]:
    kinds: dict[str, list[AttackResult]] = defaultdict(list)
    for result in results:
        kinds[result.kind].append(result)
    return tuple(
        KindResult(
            kind,
            len(of_kind),
            sum(result.detected for result in of_kind),
            sum(result.as_expected for result in of_kind),
            median(seconds) if (seconds := [one.seconds for one in of_kind if one.seconds is not None]) else None,
        )
        for kind, of_kind in sorted(kinds.items())
    )


def epoch_ms(time: str) -> int:
    """A label's time.

    Raises
    ------
    InputError
        It is none, or lacks the offset.

    >>> epoch_ms("2026-11-23T05:00:00Z")
    1795410000000
    """
    try:
        moment = datetime.fromisoformat(time)
    except ValueError as error:
        raise InputError(f"not a time: {_shown(time, 40)}") from error
    if moment.tzinfo is None:
        raise InputError(f"a time without an offset: {_shown(time, 40)}")
    return round(moment.timestamp() * 1000)


def render(comparison: Comparison) -> Group:
    """For rich: tables of the attacks, of their kinds and of the false incidents (if any), and a line of totals."""
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
    kinds = [_kinds(comparison.kinds)] if comparison.kinds else []
    return Group(table, *kinds, *_false(comparison.false), line)


def _kinds(kinds: tuple[KindResult, ...]) -> Table:
    table = Table(title="By kind", title_justify="left")
    table.add_column("kind")
    for heading in ("attacks", "detected", "as expected", "missed", "median"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in kinds:
        counts = (one.attacks, one.detected, one.as_expected, one.attacks - one.detected)
        seconds = "" if one.seconds is None else f"{one.seconds:.0f} s"
        table.add_row(Text(_shown(one.kind, 40)), *(f"{count:,}" for count in counts), seconds)
    return table


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
