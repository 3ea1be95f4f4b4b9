"""What a side of a backtest has told by an event time, and which events it had."""

from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

from flows.connectors.output_directory import ALERTS, SCORED, SUPPRESSED
from flows.errors import InputError
from flows.result_lines import lines

DAY_MS: Final = 86_400_000
_CREATE, _CLOSE = 1, 3
_TIME: Final = b'"lapwing":{"v":1,"time":'


class _FindingInfo(msgspec.Struct):
    uid: str
    first_seen_time: int


class _Metadata(msgspec.Struct):
    tenant_uid: str = "default"
    correlation_uid: str = ""


class _Unmapped(msgspec.Struct):
    detection: str
    dimension: str
    entity: str
    entities: dict[str, str] = {}
    digest: int | None = None


class _Evidence(msgspec.Struct):
    uid: str = ""


class _Line(msgspec.Struct):
    time: int
    activity_id: int
    severity_id: int
    message: str
    start_time: int
    end_time: int
    finding_info: _FindingInfo
    metadata: _Metadata
    unmapped: _Unmapped
    evidences: list[_Evidence] = []
    status_detail: str = ""


class Told(msgspec.Struct):
    """An incident as it was told by an event time. Times are epoch milliseconds.

    `crossed` is the end of the pane in which it crossed first, None if that was before the run. `attack` is the uid of
    the first incident of the attack that it belongs to, its own where it stands alone.
    """

    uid: str
    tenant: str
    detection: str
    dimension: str
    entity: str
    entities: dict[str, str]
    crossed: int | None
    first_seen: int
    start: int
    end: int
    severity: int
    closed: bool
    message: str
    attack: str
    evidences: set[str]


def incidents(directory: Path, until: int) -> list[Told]:
    """The incidents of a directory as its messages up to a time tell them, by crossing; a digest is none.

    Memory is one struct an incident.

    Raises
    ------
    InputError
        The file cannot be read or holds something else.
    """
    found: dict[str, Told] = {}
    for line in lines(directory / ALERTS, _Line, "no alert"):
        if line.time > until or line.unmapped.digest is not None:
            continue
        uid, about = line.finding_info.uid, line.unmapped
        told = found.get(uid)
        if told is None:
            told = found[uid] = Told(
                uid, line.metadata.tenant_uid, about.detection, about.dimension, about.entity, about.entities, None,
                line.finding_info.first_seen_time, line.start_time, line.end_time, 0, False, "", "", set(),
            )  # fmt: skip
        if line.activity_id == _CREATE:
            told.crossed = line.time
        told.start, told.first_seen = line.start_time, line.finding_info.first_seen_time
        told.end = max(told.end, line.end_time)
        told.severity, told.closed = line.severity_id, line.activity_id == _CLOSE
        told.message, told.attack = line.message, line.metadata.correlation_uid or uid
        told.evidences.update(one.uid for one in line.evidences if one.uid)
    return sorted(found.values(), key=lambda told: (told.crossed or 0, told.uid))


def kept_back(directory: Path, after: int, until: int) -> dict[str, int]:
    """How many incidents that crossed after a time, up to another, were kept back, by what kept them."""
    found: Counter[str] = Counter()
    for line in lines(directory / SUPPRESSED, _Line, "no alert"):
        if line.activity_id == _CREATE and after < line.time <= until:
            by, _, name = line.status_detail.partition(" ")
            found[line.status_detail if by == "exception" and name else by] += 1
    return dict(sorted(found.items()))


class Events(msgspec.Struct):
    """The scored events of a run: `minutes` counts them by minute of event time since the epoch.

    `first` and `last` are epoch ms: of the first event, and the greatest by a clock that believes a jump of more than
    `max_jump` only when a second event confirms it, as the flow does.
    """

    minutes: dict[int, int]
    first: int | None
    last: int


def events(directory: Path, max_jump_ms: int) -> Events:
    """Count the events of a directory. Memory is a number for each minute that has some.

    Raises
    ------
    InputError
        The file cannot be read or holds something else.
    """
    minutes: Counter[int] = Counter()
    first: int | None = None
    greatest, candidate = 0, None
    try:
        with (directory / SCORED).open("rb") as file:
            for line in file:
                place = line.rfind(_TIME) + len(_TIME)
                time = int(line[place : line.index(b",", place)])
                minutes[time // 60_000] += 1
                if first is None:
                    first = greatest = time
                elif time <= greatest + max_jump_ms:
                    greatest, candidate = max(greatest, time), None
                elif candidate is None:
                    candidate = time
                else:
                    greatest, candidate = min(candidate, time), max(candidate, time)
    except OSError as error:
        raise InputError(f"{directory / SCORED}: cannot be read ({error.strerror})") from error
    except ValueError:
        at = sum(minutes.values()) + 1
        raise InputError(f"{directory / SCORED}: line {at} is no scored event") from None
    return Events(dict(minutes), first, greatest)
