"""Incidents beside labels: precision, recall and time to detect in a span."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from flows.backtest.figures import EXAMPLES, Span, examples, moment, share
from flows.backtest.report import Kind, Labels, Missed, Times
from flows.backtest.told import Told
from flows.compare import AttackResult, Incident, match
from flows.errors import InputError, Refused
from flows.formats.truth import Truth
from flows.intervals import median_interval, nearest_rank


def labels(told: Sequence[Told], truth: Sequence[Truth], span: Span) -> Labels:
    """How the incidents of a span do beside all labels.

    An incident that was under way before the span may find an attack in it, and an attack across its edge makes an
    incident true.
    """
    compared = match((_incident(one) for one in told if span.has(one) or span.under_way_before(one)), truth)
    whole = [
        result
        for one, result in zip(truth, compared.attacks, strict=True)
        if span.start <= ms(one.start) and _ends(one, span)
    ]
    false = {one.uid for one in compared.false}
    inside = [one for one in told if span.has(one)]
    wrong = [one for one in inside if one.uid in false]
    by_kind: dict[str, list[AttackResult]] = defaultdict(list)
    for one in whole:
        by_kind[one.kind].append(one)
    missed = [one for one in whole if not one.detected]
    return Labels(
        precision=share(len(inside) - len(wrong), len(inside)),
        recall=share(len(whole) - len(missed), len(whole)),
        times=_times(whole),
        attacks_cut=sum(_touches(one, span) for one in truth) - len(whole),
        kinds=tuple(
            Kind(
                kind,
                share(sum(one.detected for one in mine), len(mine)),
                sum(one.as_expected for one in mine),
                _times(mine),
            )
            for kind, mine in sorted(by_kind.items())
        ),
        missed=tuple(Missed(one.attack, one.kind, one.entities, one.start) for one in missed[:EXAMPLES]),
        false=examples(wrong, span),
    )


def check(path: str, truth: Sequence[Truth], span: Span) -> None:
    """Refuse labels of another range; none at all is an answer, too: nobody attacked.

    Raises
    ------
    Refused
        There are labels, and none lies in the span.
    InputError
        A label has no time.
    """
    if truth and not any(_touches(one, span) for one in truth):
        first, last = min(ms(one.start) for one in truth), max(ms(one.end) for one in truth)
        raise Refused(
            f"{path}: its labels are of another range: {moment(first)} to {moment(last)}; "
            f"the report is of {moment(span.start)} to {moment(span.end)}"
        )


def ms(time: str) -> int:
    """A label's time as epoch ms.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        found = datetime.fromisoformat(time)
    except ValueError:
        raise InputError(f"a label's time is none: {time[:40]!a}") from None
    if found.tzinfo is None:
        raise InputError(f"a label's time is without an offset: {time[:40]!a}")
    return round(found.timestamp() * 1000)


def _touches(one: Truth, span: Span) -> bool:
    return ms(one.start) < span.end and span.start <= ms(one.end)


def _ends(one: Truth, span: Span) -> bool:
    return ms(one.end) < span.end


def _times(attacks: Iterable[AttackResult]) -> Times | None:
    seconds = [one.seconds for one in attacks if one.seconds is not None]
    return Times(len(seconds), *median_interval(seconds), nearest_rank(seconds, 0.95)) if seconds else None


def _incident(one: Told) -> Incident:
    created = one.crossed if one.crossed is not None else one.start
    parts = one.uid, one.tenant, one.detection, one.dimension, one.entity
    return Incident(*parts, created, one.start, one.end, tuple(sorted(one.evidences)), one.entities)
