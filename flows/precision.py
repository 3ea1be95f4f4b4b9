"""How often detections were right, by what people said of their incidents."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Protocol

import msgspec

from flows.intervals import wilson
from flows.verdicts import Verdict


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """How often a detection was right, of those incidents that were judged.

    `precision` is true / (true + false), `low` and `high` its Wilson interval at 95 %; None where both are 0. A benign
    one counts for neither.
    """

    detection: str
    incidents: int
    unjudged: int
    true: int
    false: int
    benign: int
    precision: float | None
    low: float | None
    high: float | None


class Named(Protocol):
    """Anything that is an incident of a detection."""

    @property
    def uid(self) -> str:
        """Its uid."""
        ...

    @property
    def detection(self) -> str:
        """The detection's id."""
        ...


def precision(incidents: Iterable[Named], verdicts: Mapping[str, Verdict]) -> list[Precision]:
    """How often each detection of these incidents was right, by id. Verdicts on other incidents do not count.

    >>> one = Verdict(uid="0" * 32, detection="brute_force_ip", verdict="true")
    >>> [(row.detection, row.true, row.precision) for row in precision([one], {one.uid: one})]
    [('brute_force_ip', 1, 1.0)]
    """
    words: dict[str, Counter[str]] = defaultdict(Counter)
    for incident in incidents:
        verdict = verdicts.get(incident.uid)
        words[incident.detection]["" if verdict is None else verdict.verdict] += 1
    return [_precision(detection, words[detection]) for detection in sorted(words)]


def _precision(detection: str, words: Counter[str]) -> Precision:
    true, false = words["true"], words["false"]
    low, high = wilson(true, true + false) if true + false else (None, None)
    return Precision(
        detection=detection,
        incidents=words.total(),
        unjudged=words[""],
        true=true,
        false=false,
        benign=words["benign"],
        precision=true / (true + false) if true + false else None,
        low=low,
        high=high,
    )
