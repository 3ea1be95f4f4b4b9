"""A report for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows.backtest import words
from flows.backtest.report import Change, Example, Judged, Labels, Report, Side
from flows.formats.evidence import shown

_LONGEST = 130


def render(report: Report) -> Group:
    """Tables and sentences; names that others wrote cannot move the cursor."""
    span = report.range
    head = (
        f"{span.start} to {span.end}: {span.events:,} events on {span.days} day{'' if span.days == 1 else 's'}, "
        f"of {shown(report.input)}"
    )
    out: list[RenderableType] = [Text(head, "bold"), *(Text(shown(note, 1000)) for note in report.notes)]
    sides = ("new", report.new, report.labels, report.judged), ("old", report.old, report.labels_old, report.judged_old)
    for name, side, labels, judged in sides:
        if side is not None:
            out += [
                Text(),
                *_side(name, side),
                *(_labels(labels) if labels else ()),
                *(_judged(judged) if judged else ()),
            ]
    if report.change is not None:
        out += [Text(), *_change(report.change)]
    return Group(*out)


def _side(name: str, side: Side) -> list[RenderableType]:
    rates = Table(title=f"{name}: {shown(side.config)}: incidents a day", title_justify="left")
    _columns(rates, ("detection", "severity"), ("in all", "median", "p95", "crossed after", "p95"))
    delays = {one.detection: one for one in side.delay}
    for rate in side.rates:
        delay = delays[rate.detection]
        rates.add_row(
            Text(shown(rate.detection)), rate.severity, f"{rate.total:,}", f"{rate.median:g}", f"{rate.p95:g}",
            f"{delay.median:.0f} s", f"{delay.p95:.0f} s",
        )  # fmt: skip
    for what, rate in (("all incidents", side.incidents), ("attacks (queue entries)", side.entries)):
        rates.add_row(Text(what, "bold"), "", f"{rate.total:,}", f"{rate.median:g}", f"{rate.p95:g}", "", "")
    out: list[RenderableType] = [rates]
    if side.entities:
        noisy = Table(title="Entities with the most incidents", title_justify="left")
        _columns(noisy, ("entity", "dimension", "tenant"), ("incidents",))
        for one in side.entities:
            noisy.add_row(
                *(Text(shown(text, _LONGEST)) for text in (one.entity, one.dimension, one.tenant)), f"{one.incidents:,}"
            )
        out += [noisy, Text(f"The noisiest five: {words.share(side.noisiest_five)} of all incidents.")]
    if side.kept_back:
        told = ", ".join(f"{count:,} by {shown(by)}" for by, count in side.kept_back.items())
        out.append(Text(f"Kept back, and in no figure above: {told}."))
    return out + ([Text(sentence)] if (sentence := words.cut(side.cut)) else [])


def _labels(labels: Labels) -> list[RenderableType]:
    table = Table(title="Beside labels", title_justify="left")
    _columns(table, ("kind",), ("recall", "as expected", "time to detect"))
    for one in labels.kinds:
        table.add_row(Text(shown(one.kind)), words.share(one.recall), f"{one.as_expected:,}", words.times(one.times))
    across = f"; {labels.attacks_cut:,} more lie across an end of the range" if labels.attacks_cut else ""
    after = f", after {words.times(labels.times)}" if labels.times else ""
    line = f"Precision {words.share(labels.precision)}; recall {words.share(labels.recall)}{after}{across}."
    out: list[RenderableType] = [*([table] if labels.kinds else []), Text(line)]
    if labels.missed:
        names = ", ".join(
            f"{shown(one.attack, 60)} ({shown(one.kind, 40)}, {shown(one.start, 40)})" for one in labels.missed
        )
        out.append(Text(f"Missed: {names}."))
    return out + ([_examples("Incidents of no attack", labels.false)] if labels.false else [])


def _judged(judged: Judged) -> list[RenderableType]:
    table = Table(title="Beside verdicts", title_justify="left")
    _columns(table, ("detection",), ("precision", "benign", "not judged"))
    for one in judged.detections:
        table.add_row(Text(shown(one.detection)), words.right(one), f"{one.benign:,}", f"{one.unjudged:,}")
    out: list[RenderableType] = [table, Text(f"Judged right: {words.share(judged.precision)}.")]
    return out + ([_examples("Judged false", judged.false)] if judged.false else [])


def _change(change: Change) -> list[RenderableType]:
    table = Table(title="new beside old", title_justify="left")
    _columns(table, ("detection",), ("added", "removed", "kept"))
    for one in change.detections:
        table.add_row(Text(shown(one.detection)), *(f"{count:,}" for count in (one.added, one.removed, one.kept)))
    line = f"{change.added:,} added, {change.removed:,} removed, {change.kept:,} kept."
    both = (("Added", change.examples_added), ("Removed", change.examples_removed))
    return [*([table] if change.detections else []), Text(line), *(_examples(*one) for one in both if one[1])]


def _examples(title: str, examples: tuple[Example, ...]) -> Table:
    table = Table(title=f"{title}, the gravest", title_justify="left")
    _columns(table, ("crossed", "severity", "detection", "entity", "tenant", "cut"), ())
    for one in examples:
        texts = (one.crossed, one.severity, one.detection, one.entity, one.tenant, one.cut)
        table.add_row(*(Text(shown(text, _LONGEST)) for text in texts))
    return table


def _columns(table: Table, texts: tuple[str, ...], numbers: tuple[str, ...]) -> None:
    for heading in texts:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
