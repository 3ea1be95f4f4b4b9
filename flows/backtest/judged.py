"""Incidents beside what analysts said of them."""

from collections.abc import Mapping, Sequence

import msgspec

from flows.backtest.figures import Span, examples, like, share
from flows.backtest.report import Judged
from flows.backtest.told import Told
from flows.errors import Refused
from flows.precision import precision
from flows.verdicts import Verdict


def judged(told: Sequence[Told], others: Sequence[Told], verdicts: Mapping[str, Verdict], span: Span) -> Judged:
    """How often the incidents of a span were right, of those that were judged.

    With another limit an incident has another uid, so one without verdict has that of an incident of the other side
    with its detection and entity at an overlapping time.
    """
    inside = [one for one in told if span.has(one)]
    known = like([one for one in others if one.uid in verdicts])
    said: dict[str, Verdict] = {}
    for one in inside:
        if one.uid in verdicts:
            said[one.uid] = verdicts[one.uid]
        elif same := next(iter(known(one)), None):
            said[one.uid] = msgspec.structs.replace(verdicts[same.uid], uid=one.uid)
    words = [said[one.uid].verdict for one in inside if one.uid in said]
    right, wrong = words.count("true"), words.count("false")
    return Judged(
        precision=share(right, right + wrong),
        benign=words.count("benign"),
        unjudged=len(inside) - len(words),
        detections=tuple(precision(inside, said)),
        false=examples([one for one in inside if one.uid in said and said[one.uid].verdict == "false"], span),
    )


def check(path: str, verdicts: Mapping[str, Verdict], told: Sequence[Sequence[Told]], span: Span) -> None:
    """Refuse verdicts that are on none of the incidents.

    Raises
    ------
    Refused
        There is none, or none on an incident of any side in the span.
    """
    if not verdicts:
        raise Refused(f"{path}: holds no verdict; `lapwing verdict` writes them")
    if not any(one.uid in verdicts for side in told for one in side if span.has(one)):
        raise Refused(
            f"{path}: none of its {len(verdicts):,} verdicts is on an incident here: they are of another input or "
            "range, or of another configuration, which --against has to name"
        )
