"""A budget of incidents a day for detections: the limits that keep it, what they cost, and who burns it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from flows import query
from flows.budget import Proposal, counted, propose, whole_days
from flows.compare import Incident, epoch_ms, is_of, match
from flows.config import Config, config_hash
from flows.errors import Refused, UsageError
from flows.formats.truth import Truth
from flows.rethreshold import COLUMNS, Fired, Rethreshold, Share, answered, moment
from flows.verdicts import Verdict
from models.rules import Rule, about, dimension


class Now(msgspec.Struct, frozen=True):
    """The limit in force and how many incidents a day it had, over the whole days."""

    limit: float
    a_day: float


class Recall(msgspec.Struct, frozen=True):
    """Of so many attacks that the detection should see, those it finds now and with the proposal; `lost` by name."""

    attacks: int
    now: int
    proposed: int
    lost: tuple[str, ...]


class Judged(msgspec.Struct, frozen=True):
    """The detection's incidents that analysts judged, by what they said: of each, how many there are now, and how many
    have reached the proposed limit.
    """

    now: dict[str, int]
    proposed: dict[str, int]


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """One detection, and what it counts; `burners` have most of the incidents."""

    detection: str
    dimension: str
    measure: str
    since: str
    until: str
    days: int
    now: Now
    proposal: Proposal
    entities: int
    burners: tuple[Share, ...]
    labels: Recall | None = None
    simulated: Recall | None = None
    judged: Judged | None = None


class Answer(msgspec.Struct, frozen=True):
    """What the windows say: the tuned detections, and for each other one why there is no answer."""

    tuned: tuple[Tuned, ...]
    refused: dict[str, str]


def detections_of(config: Config, names: Sequence[str]) -> list[Rule]:
    """The detections of some ids, or all.

    Raises
    ------
    UsageError
        There is no such detection.
    """
    known = {rule.id: rule for rule in config.detection}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no detection {unknown[0][:64]!a} in the configuration; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(config.detection)


def index_of(directory: str, config: Config, detection: Rule) -> Rethreshold:
    """The index of a directory's windows for one detection.

    Raises
    ------
    Refused
        Windows do not say what the detection reaches, or no window is of a run with this configuration.
    InputError
        There is no table of windows.
    """
    answered(detection)  # or there is no need to read
    rows = query.windows(directory, columns=COLUMNS)
    mine = rows.filter(np.asarray(rows["config_hash"]) == config_hash(config)) if rows.num_rows else rows
    if not mine.num_rows:
        raise Refused(
            f"the windows in {directory} are of a run with another configuration: give its file with --config, since "
            "windows are kept from half of its limit on"
        )
    return Rethreshold(mine, detection, config.output.window_sample)


def tune(
    directory: str,
    config: Config,
    a_day: float,
    detections: Sequence[Rule],
    truth: Sequence[Truth] = (),
    horizon: int = 7,
    verdicts: Mapping[str, Verdict] | None = None,
) -> Answer:
    """A budget for each of some detections, from the windows of a directory.

    Raises
    ------
    InputError
        There is no table of windows.
    """
    tuned: list[Tuned] = []
    refused: dict[str, str] = {}
    for detection in detections:
        try:
            index = index_of(directory, config, detection)
            found = _tuned(index, propose(index, a_day, horizon), truth)
            if verdicts is not None:
                said = judged(directory, detection, found.proposal.limit, verdicts)
                found = msgspec.structs.replace(found, judged=said)
            tuned.append(found)
        except Refused as reason:
            refused[detection.id] = str(reason)
    return Answer(tuple(tuned), refused)


def _tuned(index: Rethreshold, proposal: Proposal, truth: Sequence[Truth]) -> Tuned:
    limit = limit_of(index.detection)
    days = whole_days(index)
    now, then = index.at(limit), index.at(proposal.limit)
    return Tuned(
        detection=index.detection.id,
        dimension=dimension(index.detection),
        measure=about(index.detection).measure,
        since=moment(index.start),
        until=moment(index.end),
        days=len(days),
        now=Now(limit, counted(now, days) / len(days)),
        proposal=proposal,
        entities=then.entities,
        burners=tuple(then.burners()),
        labels=recall(index, proposal.limit, truth) if truth else None,
    )


def limit_of(detection: Rule) -> float:
    """The limit in force."""
    return answered(detection).at_least


def recall(index: Rethreshold, limit: float, truth: Iterable[Truth]) -> Recall:
    """The attacks that a detection should see, found now and with another limit, matched as `lapwing compare` does.

    Raises
    ------
    Refused
        Not one of the labels is of the time of the windows.
    """
    name = index.detection.id
    labels = of_its_time(index, truth)
    expected = [one for one in labels if is_of(name, one.expected or [one.kind])]
    now, then = (
        {one.attack for one in match(_incidents(index, index.at(at), expected), expected).attacks if one.detected}
        for at in (limit_of(index.detection), limit)
    )
    return Recall(len(expected), len(now), len(then), tuple(sorted(now - then)))


def of_its_time(index: Rethreshold, truth: Iterable[Truth]) -> list[Truth]:
    """All labels, at least one of which must be of the time of the windows.

    Raises
    ------
    Refused
        Not one is.
    InputError
        A time is none.
    """
    labels = list(truth)
    start, end = 60_000 * index.start, 60_000 * index.end
    if labels and all(epoch_ms(one.end) < start or epoch_ms(one.start) > end for one in labels):
        raise Refused(
            f"the labels are of another range, {min(one.start for one in labels)} to {max(one.end for one in labels)}; "
            f"the windows are from {moment(index.start)} to {moment(index.end)}"
        )
    return labels


def judged(directory: str, detection: Rule, limit: float, verdicts: Mapping[str, Verdict]) -> Judged:
    """What analysts said of a detection's incidents, now and of those that another limit leaves.

    Raises
    ------
    InputError
        There are no alerts, or a line is none.
    """
    now: Counter[str] = Counter()
    then: Counter[str] = Counter()
    for one in query.incidents(directory):
        if one.detection == detection.id and one.uid in verdicts:
            word = verdicts[one.uid].verdict
            now[word] += 1
            then[word] += (one.value or 0.0) >= limit
    return Judged(dict(now), {word: then[word] for word in now})


class Beside(msgspec.Struct, frozen=True):
    """What fires beside labels: incidents of no attack among all, attacks found among those that the detection should.

    An incident belongs to an attack by entity and time, as `lapwing compare` says it but for events that it shows.
    """

    incidents: int
    false: int
    attacks: int
    found: int


def beside(index: Rethreshold, fired: Fired, truth: Iterable[Truth]) -> Beside:
    """Count what fires beside labels.

    Raises
    ------
    Refused
        Not one of the labels is of the time of the windows.
    """
    labels = of_its_time(index, truth)
    named = _incidents(index, fired, labels)
    compared = match(named, labels)
    expected = [
        one
        for given, one in zip(labels, compared.attacks, strict=True)
        if is_of(index.detection.id, given.expected or [given.kind])
    ]
    right = len(named) - len(compared.false)
    return Beside(fired.total, fired.total - right, len(expected), sum(one.detected for one in expected))


def _incidents(index: Rethreshold, fired: Fired, labels: Sequence[Truth]) -> list[Incident]:
    """What fired as the incidents that attacks are matched with, but for entities that no label is about.

    They begin no later than the minute that crosses.
    """
    by, name = dimension(index.detection), index.detection.id
    if all(any(one.entities.values()) for one in labels):  # a label without any is about all
        fired = fired.only({entity for one in labels for entity in one.entities.get(by, ())})
    return [
        Incident(
            one.uid, one.tenant, name, by, one.entity, (one.start + index.pane) // 1000, one.start // 1000,
            one.end // 1000,
        )
        for one in fired.incidents(fired.total)
    ]  # fmt: skip
