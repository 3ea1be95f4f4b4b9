"""What a backtest found, as plain types: they encode to JSON as they are. Times are RFC 3339, UTC."""

import msgspec

from flows.precision import Precision


class Share(msgspec.Struct, frozen=True):
    """`count` of `of`, with Wilson's interval at 95 %. `share` is None where there is nothing to divide by."""

    count: int
    of: int
    share: float | None
    low: float
    high: float


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """What is reported on: `start` inclusive to `end` exclusive, the part of what was asked for that has events.

    `days` are the calendar days (UTC) that it touches, `partial_days` those of them that it does not cover whole.
    `events` are the scored events in it, `first_event` and `last_event` those of the whole input. `warm_up_s` is the
    event time before it from which was learned, `begins` where that began: `stream` (at its first message), `state`
    (a saved one) or `middle` (of a stream, so that not all is as live). `lost` are the messages of a trail up to its
    end that could not be played again, because their retention is over or somebody they are about was erased.
    """

    start: str
    end: str
    days: int
    partial_days: int
    events: int
    events_before: int
    first_event: str
    last_event: str
    warm_up_s: float
    begins: str
    lost: int = 0


class Rate(msgspec.Struct, frozen=True):
    """Incidents in all, and a day over the whole days of the range (over parts of days if it has no whole one).

    A day without any counts as 0. `p95` is by nearest rank.
    """

    detection: str
    severity: str
    total: int
    median: float
    p95: float


class Noisy(msgspec.Struct, frozen=True):
    """An entity and how many incidents it has."""

    tenant: str
    dimension: str
    entity: str
    incidents: int


class Delay(msgspec.Struct, frozen=True):
    """Seconds of event time from an incident's first counted event to the end of the pane in which it crossed."""

    detection: str
    incidents: int
    median: float
    p95: float


class Cut(msgspec.Struct, frozen=True):
    """Incidents of which the range does not show all.

    `under_way_before` had crossed before it, and are in no figure; `warm_up` crossed so soon after the first message of
    a stream's middle that live they may be part of an older one; `under_way_after` had not closed by its end.
    """

    under_way_before: int
    warm_up: int
    under_way_after: int


class Day(msgspec.Struct, frozen=True):
    """A day's events and incidents by severity."""

    date: str
    events: int
    incidents: dict[str, int]


class Example(msgspec.Struct, frozen=True):
    """An incident to look at. `cut` says in a word how, "" for not."""

    uid: str
    severity: str
    tenant: str
    detection: str
    dimension: str
    entity: str
    crossed: str
    message: str
    cut: str


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """What one configuration tells in the range.

    `entries` are the attacks that an analyst's queue shows: several incidents may be one. `kept_back` counts incidents
    that were not told one by one, by what kept them (`exception ID`, `digest`).
    """

    config: str
    config_hash: str
    incidents: Rate
    entries: Rate
    rates: tuple[Rate, ...]
    entities: tuple[Noisy, ...]
    noisiest_five: Share
    delay: tuple[Delay, ...]
    cut: Cut
    kept_back: dict[str, int]
    by_day: tuple[Day, ...]


class Moved(msgspec.Struct, frozen=True):
    """Incidents of a detection beside the other configuration's."""

    detection: str
    added: int
    removed: int
    kept: int


class Change(msgspec.Struct, frozen=True):
    """New beside old. An incident is kept if the other has one of its detection and entity at an overlapping time.

    `kept` counts the new side's. The examples are the gravest.
    """

    added: int
    removed: int
    kept: int
    detections: tuple[Moved, ...]
    examples_added: tuple[Example, ...]
    examples_removed: tuple[Example, ...]


class Times(msgspec.Struct, frozen=True):
    """Seconds of event time from an attack's first event to the end of the pane in which its first incident crossed.

    `low` and `high` are the interval of the median at 95 %. Negative where an incident was open already.
    """

    attacks: int
    median: float
    low: float
    high: float
    p95: float


class Kind(msgspec.Struct, frozen=True):
    """All attacks of a kind; `times` is None if none was detected."""

    kind: str
    recall: Share
    as_expected: int
    times: Times | None


class Missed(msgspec.Struct, frozen=True):
    """An attack without incident."""

    attack: str
    kind: str
    entities: dict[str, list[str]]
    start: str


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents beside labels.

    Attacks count that lie in the range from first to last event; `attacks_cut` lie across one of its ends. An incident
    is true if it belongs to any attack, as `lapwing compare` says it.
    """

    precision: Share
    recall: Share
    times: Times | None
    attacks_cut: int
    kinds: tuple[Kind, ...]
    missed: tuple[Missed, ...]
    false: tuple[Example, ...]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents beside verdicts: a verdict is on an incident with its uid, or on one that is kept from the other side.

    `precision` is of those judged true or false; `detections` are all that have incidents. `false` are the gravest that
    were judged so.
    """

    precision: Share
    benign: int
    unjudged: int
    detections: tuple[Precision, ...]
    false: tuple[Example, ...]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A backtest. `notes` are what its reader must know, in words."""

    input: str
    range: Range
    notes: tuple[str, ...]
    new: Side
    old: Side | None = None
    change: Change | None = None
    labels: Labels | None = None
    labels_old: Labels | None = None
    judged: Judged | None = None
    judged_old: Judged | None = None
