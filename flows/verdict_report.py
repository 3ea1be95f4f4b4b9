"""What all verdicts together say: of each detection, of entities it is wrong about, and what might be excepted."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import msgspec

from flows.precision import Precision, precision
from flows.verdicts import Incident, Subject, Verdict
from models.alert import SHADOW
from models.exceptions import AlertException, network

FALSE_FOR_EXCEPTION: Final = 3
"""So many false or benign verdicts of a detection on an entity, and no true one, are a case for an exception."""
EXPIRY_DAYS: Final = 90
MOST_ENTITIES: Final = 20
_LONGEST_NAME: Final = 256
_KEYS: Final = {"ip": "cidr", "user": "user", "endpoint": "endpoint", "source": "source", "tenant": "tenant"}
"""What an exception calls an entity of each dimension."""


class EntityVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts on all incidents of an entity; `note` is the last one's that was false."""

    tenant: str
    dimension: str
    entity: str
    true: int
    false: int
    benign: int
    note: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the verdicts on a directory or topic say. `unreadable` are records of the topic that are no verdict.

    `incidents` are those that were told or would have been, but for a detection's shadow, and all that were judged.
    """

    incidents: int
    unjudged: int
    unreadable: int
    detections: list[Precision]
    entities: list[EntityVerdicts]
    exceptions: list[AlertException]


def report(found: Mapping[str, Incident], verdicts: Mapping[str, Verdict], now: float, unreadable: int = 0) -> Report:
    """What verdicts say of the incidents found, and of those that they name and that are there no more."""
    told = {uid: one for uid, one in found.items() if one.kept_back in ("", SHADOW) or uid in verdicts}
    subjects: dict[str, Subject] = {**verdicts, **told}
    judged = [(subjects[uid], verdict) for uid, verdict in verdicts.items()]
    return Report(
        incidents=len(subjects),
        unjudged=len(subjects) - len(verdicts),
        unreadable=unreadable,
        detections=precision(subjects.values(), verdicts),
        entities=_entities(judged),
        exceptions=_exceptions(judged, now),
    )


def _entities(judged: list[tuple[Subject, Verdict]]) -> list[EntityVerdicts]:
    """Those with most false verdicts."""
    words: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    notes: dict[tuple[str, str, str], tuple[int, str]] = {}
    for subject, verdict in judged:
        key = subject.tenant, subject.dimension, subject.entity
        words[key][verdict.verdict] += 1
        if verdict.verdict == "false":
            notes[key] = max(notes.get(key, (0, "")), (verdict.time, verdict.note))
    ranked = sorted(notes, key=lambda key: (-words[key]["false"], key))[:MOST_ENTITIES]
    return [
        EntityVerdicts(
            tenant=key[0], dimension=key[1], entity=key[2], true=words[key]["true"], false=words[key]["false"],
            benign=words[key]["benign"], note=notes[key][1],
        )
        for key in ranked
    ]  # fmt: skip


def _exceptions(judged: list[tuple[Subject, Verdict]], now: float) -> list[AlertException]:
    """Exceptions to think about: for entities that a detection is always wrong of, or that may do what they do."""
    groups: dict[tuple[str, str, str, str], list[tuple[Subject, Verdict]]] = defaultdict(list)
    for subject, verdict in judged:
        groups[subject.detection, subject.tenant, subject.dimension, subject.entity].append((subject, verdict))
    found = []
    for key in sorted(groups):
        words = Counter(verdict.verdict for _, verdict in groups[key])
        if words["true"] or words.total() < FALSE_FOR_EXCEPTION:
            continue
        subject = groups[key][-1][0]
        matches = _matches(subject)
        if matches is not None:
            digest = blake2b("\0".join(key).encode(), digest_size=4).hexdigest()
            expiry = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            found.append(
                AlertException(
                    id=f"{subject.detection}_{digest}",
                    **matches,
                    owner=_owner(groups[key]),
                    reason=f"{words['false']} false and {words['benign']} benign verdicts, none true",
                    expiry=(expiry + timedelta(days=EXPIRY_DAYS)).strftime("%Y-%m-%dT00:00:00Z"),
                )
            )
    return found


def _owner(group: list[tuple[Subject, Verdict]]) -> str:
    """Who said so last."""
    last = max((verdict for _, verdict in group if verdict.by.strip()), key=lambda one: one.time, default=None)
    return "unknown" if last is None else last.by


def _matches(subject: Subject) -> dict[str, Any] | None:
    """The keys that match an entity's incidents of a detection and no others; None where none can.

    A name with a star, which is any run of characters in an exception, would match others.
    """
    entities = subject.entities or {subject.dimension: subject.entity}
    found = {"detection": subject.detection, "tenant": subject.tenant}
    found |= {_KEYS.get(dimension, ""): name for dimension, name in entities.items()}
    if "" in found or not subject.detection or not all(entities.values()):
        return None
    if not all(name.isprintable() and "*" not in name and len(name) < _LONGEST_NAME for name in found.values()):
        return None
    try:
        network(found.get("cidr", "::1"))
    except ValueError:
        return None
    return {key: name for key, name in found.items() if name}
