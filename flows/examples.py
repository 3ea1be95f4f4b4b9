"""Examples of detections, run: each alone through the real flow, and what fired beside what was expected."""

import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from flows import durations
from flows.config import Config
from flows.connectors.output_directory import ALERTS, DEAD_LETTERS, SCORED, SUPPRESSED
from flows.detect import run
from flows.errors import ConfigError
from flows.example_block import LONGEST, MOST_BYTES, Example, lines
from flows.formats.source_formats import LAPWING
from models import rules
from models.rules.describe import bound_text, meter_text
from models.rules.program import NO_METER, Bound, compile_rules
from models.rules.threshold import Condition, Threshold, kind_of, listed
from models.rules.traffic_spike import TrafficSpike

CREATE: Final = 1
MOST_SHOWN: Final = 20
LEAST: Final = {"count": 1.0, "distinct": 1.0, "ratio": 1e-9, "sum": 1e-9}
"""The limits that whatever was measured at all reaches."""


class Fired(msgspec.Struct, frozen=True):
    """One incident that came of an example: the most that was measured, and what holds it back, if anything does."""

    detection: str
    dimension: str
    entity: str
    value: float
    limit: float
    suppressed_by: str = ""


class Measured(msgspec.Struct, frozen=True):
    """The most that one bound of a detection was measured at in any window, for the entity that came nearest.

    `holds`: whether that alone would let the detection fire; the bounds' windows may differ.
    """

    bound: str
    entity: str
    value: float
    holds: bool


class Outcome(msgspec.Struct, frozen=True):
    """What became of an example. `fired` are the detection's incidents, `others` those of other detections.

    `measured` says how near it came where the detection did not fire, one line a bound; nothing where no bound stands
    for itself, as with sign-ins after failures.
    """

    detection: str
    name: str
    path: str
    expected: str
    passed: bool
    events: int
    dead_letters: int
    fired: tuple[Fired, ...]
    others: tuple[Fired, ...]
    measured: tuple[Measured, ...]


class _Metadata(msgspec.Struct):
    uid: str = ""


class _Unmapped(msgspec.Struct):
    detection: str
    dimension: str
    entity: str
    value: float = 0.0
    limit: float = 0.0
    digest: int | None = None


class _FindingInfo(msgspec.Struct):
    uid: str


class _AlertLine(msgspec.Struct):
    finding_info: _FindingInfo
    unmapped: _Unmapped
    status_detail: str = ""


class _Dead(msgspec.Struct):
    offset: int
    reason: str
    detail: str = ""


class _Lapwing(msgspec.Struct):
    ignored: tuple[str, ...] = ()


class _ScoredLine(msgspec.Struct):
    lapwing: _Lapwing


def run_example(config: Config, folder: Path, example: Example, stop: threading.Event) -> Outcome:
    """Run one example. A file of events is named relative to `folder`, the configuration's own.

    It begins with nothing learned and nothing counted. Exceptions and hourly limits hold as in any run: what they
    keep out of the queue has fired, and says so. Where `stop` gets set meanwhile the outcome is of no worth.

    Raises
    ------
    ConfigError
        Its file cannot be used, or one of its own events is not what it seems: a dead letter, or a member that would
        be ignored. One line for each, in the example's place.
    """
    with tempfile.TemporaryDirectory(prefix="lapwing-") as place:
        return _outcome(config, example, _events(example, folder, Path(place)), Path(place), stop)


def _events(example: Example, folder: Path, place: Path) -> Path:
    """The file of an example's events, checked or written."""
    if isinstance(example.events, str):
        path = folder / example.events
        try:
            size = path.stat().st_size if path.is_file() else -1
        except (OSError, ValueError):
            size = -1
        if size < 0:
            raise ConfigError([f"No file {path} - at {example.path}.events"])
        if size > MOST_BYTES:
            raise ConfigError([f"{path} is larger than {MOST_BYTES >> 20} MiB - at {example.path}.events"])
        return path
    path = place / "example.ndjson"
    path.write_bytes(b"".join(line + b"\n" for line, _ in lines(example)))
    return path


def _outcome(config: Config, example: Example, events: Path, place: Path, stop: threading.Event) -> Outcome:
    written = not isinstance(example.events, str)
    if written:
        # A step in time is one that somebody wrote here, not a bad clock.
        time = msgspec.structs.replace(config.time, max_jump=durations.spell(2 * int(LONGEST.total_seconds()) * 10**6))
        config = msgspec.structs.replace(config, time=time)
    output = place / "out"
    done = run(config, str(events), str(output), None, True, LAPWING, stop)
    if written and not done.interrupted and (faults := [*_event_faults(example, output)]):
        raise ConfigError(faults)
    fired = [] if done.interrupted else [*_fired(output)]  # there may be no files yet
    mine = tuple(one for one in fired if one.detection == example.detection)
    return Outcome(
        detection=example.detection,
        name=example.name,
        path=example.path,
        expected=_expected(example),
        passed=_as_expected(example, mine),
        events=done.scored,
        dead_letters=done.dead_letters,
        fired=mine,
        others=tuple(one for one in fired if one.detection != example.detection),
        measured=() if mine or done.interrupted else _measured(config, example, events, place, stop),
    )


def _expected(example: Example) -> str:
    if not example.fires:
        return "silent"
    times = f" {example.times} times" if example.times > 1 else " once" if example.times else ""
    return f"fires{times}" + (f" for {example.entity}" if example.entity else "")


def _as_expected(example: Example, fired: Sequence[Fired]) -> bool:
    if not example.fires:
        return not fired
    of = [one for one in fired if example.entity in ("", one.entity)]
    return len(of) == example.times if example.times else bool(of)


def _fired(output: Path) -> Iterator[Fired]:
    """Every incident of a run, by detection and entity."""
    found: dict[str, Fired] = {}
    for name in (ALERTS, SUPPRESSED):
        for text in (output / name).read_bytes().splitlines():
            line = msgspec.json.decode(text, type=_AlertLine)
            told = line.unmapped
            if told.digest:
                continue
            before = found.get(line.finding_info.uid)
            found[line.finding_info.uid] = Fired(
                told.detection,
                told.dimension,
                told.entity,
                max(told.value, before.value if before else told.value),
                told.limit,
                line.status_detail or (before.suppressed_by if before else ""),
            )
    yield from sorted(found.values(), key=lambda one: (one.detection, one.entity, -one.value))


def _event_faults(example: Example, output: Path) -> Iterator[str]:
    """What the events written in the configuration turned out not to be, once for each table."""
    places = [place for _, place in lines(example)]
    seen: set[str] = set()
    for text in (output / DEAD_LETTERS).read_bytes().splitlines():
        dead = msgspec.json.decode(text, type=_Dead)
        if places[dead.offset] not in seen:
            seen.add(places[dead.offset])
            detail = f" ({dead.detail})" if dead.detail else ""
            yield f"It would be a dead letter, {dead.reason}{detail} - at {places[dead.offset]}"
    if seen:
        return
    for place, text in zip(places, (output / SCORED).read_bytes().splitlines(), strict=True):
        if b'"ignored"' not in text or place in seen:
            continue
        if ignored := msgspec.json.decode(text, type=_ScoredLine).lapwing.ignored:
            seen.add(place)
            yield f"Ignored as no value of its member: {', '.join(ignored)} - at {place}"


def _measured(
    config: Config, example: Example, events: Path, place: Path, stop: threading.Event
) -> tuple[Measured, ...]:
    """Every bound of the detection as a detection of its own with the least limit, run over the same events."""
    rule = next(rule for rule in config.detection if rule.id == example.detection)
    probes = [*_probes(rule)]
    if not probes:
        return ()
    output = msgspec.structs.replace(config.output, max_incidents_per_hour=1_000_000)
    detection = tuple(probe.rule for probe in probes)
    probing = msgspec.structs.replace(config, detection=detection, exception=(), output=output)
    done = run(probing, str(events), str(place / "probes"), None, True, LAPWING, stop)
    if done.interrupted:
        return ()
    by_probe: dict[str, dict[str, float]] = {probe.rule.id: {} for probe in probes}
    for one in _fired(place / "probes"):
        most = by_probe[one.detection]
        most[one.entity] = max(one.value, most.get(one.entity, one.value))
    main = by_probe[probes[0].rule.id]
    nearest = max(sorted(main), key=lambda entity: (entity == example.entity, main[entity]), default=example.entity)
    values = [by_probe[probe.rule.id].get(nearest, 0.0) for probe in probes]
    return tuple(
        Measured(probe.text, nearest, value, (value >= (probe.at_least or probe.times * values[0])) != probe.forbids)
        for probe, value in zip(probes, values, strict=True)
    )


class _Probe(msgspec.Struct, frozen=True):
    """A bound in words, a detection that fires at whatever it measures, and what it is to reach or must not."""

    text: str
    rule: Threshold
    at_least: float
    times: float = 0.0
    forbids: bool = False


def _probes(rule: rules.Rule) -> Iterator[_Probe]:
    """The bounds of a detection, the main one first."""
    found = rules.threshold(rule)
    if isinstance(rule, TrafficSpike):
        by = rules.dimension(rule)
        text = f"at least {rule.at_least:g} events a minute, and more than was learned"
        spike = Threshold(id="probe0", by=by, count=True, window="1m")  # type: ignore[arg-type]
        yield _Probe(text, spike, float(rule.at_least))
        return
    if found is None:  # a sign-in after failures, dead letters, a silence: there is no bound to tell alone
        return
    program = compile_rules([found])
    compiled = program.detections[0]
    yield _probe(found, found, 0, bound_text(program, compiled.main), compiled.main)
    number = 1
    if compiled.floor != NO_METER:
        text = f"at least {compiled.at_least_events} {meter_text(program, compiled.floor)}"
        yield _probe(found, Condition(count=True), 1, text, Bound(compiled.floor, at_least=compiled.at_least_events))
        number = 2
    for word, given, bounds in (("", found.also, compiled.also), ("unless ", found.unless, compiled.unless)):
        for condition, bound in zip(listed(given), bounds, strict=True):
            yield _probe(found, condition, number, word + bound_text(program, bound), bound, forbids=bool(word))
            number += 1


def _probe(
    rule: Threshold, aggregate: Threshold | Condition, number: int, text: str, bound: Bound, *, forbids: bool = False
) -> _Probe:
    kind = kind_of(aggregate)
    probe = Threshold(
        id=f"probe{number}",
        by=rule.by,
        where=aggregate.where or rule.where,
        window=rule.window,
        at_least=LEAST[kind],
        **{kind: getattr(aggregate, kind)},
    )
    return _Probe(text, probe, bound.at_least, bound.times, forbids)


def told(fired: Iterable[Fired]) -> list[str]:
    """Incidents in words, twenty at most.

    >>> told([Fired("brute_force_user", "user", "sam", 12.0, 10.0)])
    ['user sam: 12 (limit 10)']
    """
    found = [*fired]
    texts = [
        f"{one.dimension} {one.entity}: {one.value:g} (limit {one.limit:g})"
        + (f", suppressed by {one.suppressed_by}" if one.suppressed_by else "")
        for one in found[:MOST_SHOWN]
    ]
    return texts + ([f"and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else [])
