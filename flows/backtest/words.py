"""What the reader of a report must know, in sentences, and how its numbers are spelled."""

from flows.backtest.report import Cut, Labels, Range, Share, Times
from flows.precision import Precision

BEGINS = {
    "stream": "The input's first message is taken for the stream's first: then live told just this.",
    "state": "It went on from a saved state, so live tells just this from there on.",
    "middle": (
        "The input is taken to begin in the middle of a stream: rules without learning tell what live told, but for "
        "incidents marked as cut; learned detections began anew at its first message and may tell more or less."
    ),
}
NO_LABELS = "No labels were given (--truth FILE, or --verdicts), so precision, recall and time to detect are not known."
NO_RECALL = "Verdicts say what was right of what was told, so recall and time to detect are not known (--truth FILE)."
NO_ATTACKS = "The labels name no attack: every incident counts as false, and recall cannot be known."


def notes(
    span: Range, asked: tuple[str, str], labels: Labels | None, attacks: int, *, judged: bool = False
) -> tuple[str, ...]:
    """The sentences for a range, of which `asked` is what was asked for ("" for no bound)."""
    out = []
    start, end = asked
    if (start and start < span.start) or (end and end > span.end):
        out.append(
            f"Asked for {start or 'the beginning'} to {end or 'the end'}; there are events from {span.first_event} to "
            f"{span.last_event} only, and all figures are of {span.start} to {span.end}."
        )
    learned = f"{duration(span.warm_up_s)} ({span.events_before:,} events)" if span.warm_up_s else "nothing"
    out.append(f"Learned before the range from: {learned}. {BEGINS[span.begins]}")
    if span.lost:
        out.append(
            f"{span.lost:,} messages of the trail are kept no longer, or of somebody erased, and were not played again."
        )
    if span.partial_days == span.days:
        out.append("The range has no whole day (UTC): medians and p95 are over the parts of days that it has.")
    elif span.partial_days:
        whole = span.days - span.partial_days
        out.append(f"Medians and p95 are over its {whole:,} whole day{'' if whole == 1 else 's'} (UTC).")
    if labels is None:
        out.append(NO_RECALL if judged else NO_LABELS)
    elif not attacks:
        out.append(NO_ATTACKS)
    elif not labels.recall.of:
        out.append("Every labelled attack lies across an end of the range, so recall cannot be known.")
    return tuple(out)


def cut(found: Cut) -> str:
    """What is cut, in a sentence; "" for nothing.

    >>> cut(Cut(0, 0, 2))
    'Cut: 2 had not closed at its end.'
    """
    parts = [
        (found.under_way_before, "had crossed before the range and are in no figure"),
        (found.warm_up, "crossed so soon after the first message that live may count them to older ones"),
        (found.under_way_after, "had not closed at its end"),
    ]
    told = [f"{count:,} {what}" for count, what in parts if count]
    return f"Cut: {', '.join(told)}." if told else ""


def share(found: Share) -> str:
    """A share with its interval.

    >>> share(Share(3, 4, 0.75, 0.3006, 0.9544)), share(Share(0, 0, None, 0.0, 1.0))
    ('75 % (3 of 4; 30-95 %)', 'not known (0 of 0)')
    """
    if found.share is None:
        return f"not known ({found.count:,} of {found.of:,})"
    return (
        f"{found.share:.0%} ({found.count:,} of {found.of:,}; {100 * found.low:.0f}-{100 * found.high:.0f} %)".replace(
            "%", " %", 1
        )
    )


def right(found: Precision) -> str:
    """How often a detection was right, with its interval."""
    judged = found.true + found.false
    low, high = (found.low, found.high) if found.low is not None and found.high is not None else (0.0, 1.0)
    return share(Share(found.true, judged, found.precision, low, high))


def times(found: Times | None) -> str:
    """A median with its interval.

    >>> times(Times(9, 40.0, 12.5, 130.0, 140.0))
    '40 s (12-130 s; p95 140 s)'
    """
    return "" if found is None else f"{found.median:.0f} s ({found.low:.0f}-{found.high:.0f} s; p95 {found.p95:.0f} s)"


def duration(seconds: float) -> str:
    """A length of time in its largest units.

    >>> duration(90), duration(3 * 86400 + 7200), duration(12)
    ('1 min', '3 d 2 h', '12 s')
    """
    days, rest = divmod(int(seconds), 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"
