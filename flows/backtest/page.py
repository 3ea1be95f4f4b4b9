"""The report of a backtest as one HTML page."""

from collections.abc import Sequence
from typing import Final

from flows.backtest import pictures, words
from flows.backtest.report import Change, Example, Judged, Labels, Rate, Report, Side
from flows.html_page import document, table, text

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .8rem 0; font-size: 14px; }
th, td { text-align: left; padding: .2rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top; }
td { overflow-wrap: break-word; max-width: 24rem; } td.n, th.n { text-align: right; white-space: nowrap; }
svg { max-width: 100%; height: auto; } .note { color: #555; } code { font-size: 13px; }
"""


def page(report: Report) -> str:
    """The whole page."""
    span = report.range
    sides = [("New", report.new, report.labels, report.judged)]
    sides += [("Old", report.old, report.labels_old, report.judged_old)] if report.old else []
    most = max((sum(day.incidents.values()) for _, side, _, _ in sides for day in side.by_day), default=0)
    body = [
        "<h1>Backtest</h1>",
        f"<p><b>{text(span.start)}</b> to <b>{text(span.end)}</b>: {span.events:,} events on {span.days:,} "
        f"day{'' if span.days == 1 else 's'}, of <code>{text(report.input)}</code>.</p>",
        *(f'<p class="note">{text(note, 1000)}</p>' for note in report.notes),
        *(_change(report.change) if report.change else ()),
    ]
    for name, side, labels, judged in sides:
        body += [*_side(name, side, labels, most), *(_judged(judged) if judged else ())]
    body.append(pictures.events(report.new.by_day))
    return document(f"Backtest {span.start} to {span.end}", _STYLE, body)


def _side(name: str, side: Side, labels: Labels | None, most: int) -> list[str]:
    delays = {one.detection: one for one in side.delay}
    rows: list[Sequence[object]] = [
        (
            one.detection,
            one.severity,
            *_rate(one),
            f"{delays[one.detection].median:.0f} s",
            f"{delays[one.detection].p95:.0f} s",
        )
        for one in side.rates
    ]
    rows += [("all incidents", "", *_rate(side.incidents), "", "")]
    rows += [("attacks (queue entries)", "", *_rate(side.entries), "", "")]
    heads = ("detection", "severity", "in all", "median a day", "p95 a day", "crossed after", "p95")
    out = [
        f"<h2>{name}: <code>{text(side.config)}</code></h2>",
        pictures.by_day(f"{name}: incidents a day by severity", side, most),
        table(heads, rows, numbers=range(2, 7)),
        '<p class="note">Crossed after: event time from the first counted event to the end of the pane that crossed; '
        "live adds at most the lateness and one pane.</p>",
    ]
    if side.entities:
        noisy = [(one.entity, one.dimension, one.tenant, f"{one.incidents:,}") for one in side.entities]
        out += [
            "<h3>Entities with the most incidents</h3>",
            table(("entity", "dimension", "tenant", "incidents"), noisy, [3]),
        ]
        out.append(f"<p>The noisiest five: {text(words.share(side.noisiest_five))} of all incidents.</p>")
    if side.kept_back:
        told = ", ".join(f"{count:,} by {by}" for by, count in side.kept_back.items())
        out.append(f"<p>Kept back, and in no figure above: {text(told, 1000)}.</p>")
    if sentence := words.cut(side.cut):
        out.append(f"<p>{text(sentence)}</p>")
    return out + (_labels(labels) if labels else [])


def _labels(labels: Labels) -> list[str]:
    rows = [(one.kind, words.share(one.recall), f"{one.as_expected:,}", words.times(one.times)) for one in labels.kinds]
    line = f"Precision {words.share(labels.precision)}; recall {words.share(labels.recall)}"
    line += f"; time to detect {words.times(labels.times)}" if labels.times else ""
    line += f"; {labels.attacks_cut:,} attacks lie across an end of the range" if labels.attacks_cut else ""
    out = [
        "<h3>Beside labels</h3>",
        f"<p>{text(line)}.</p>",
        pictures.shares(labels),
        table(("kind", "recall", "as expected", "time to detect"), rows, [2]),
    ]
    if labels.missed:
        missed = [(one.attack, one.kind, one.start, _entities(one.entities)) for one in labels.missed]
        out += ["<h3>Missed attacks</h3>", table(("attack", "kind", "began", "entities"), missed)]
    return out + (_examples("Incidents of no attack", labels.false) if labels.false else [])


def _judged(judged: Judged) -> list[str]:
    rows = [(one.detection, words.right(one), f"{one.benign:,}", f"{one.unjudged:,}") for one in judged.detections]
    out = ["<h3>Beside verdicts</h3>", f"<p>Judged right: {text(words.share(judged.precision))}.</p>"]
    out.append(table(("detection", "precision", "benign", "not judged"), rows, [2, 3]))
    return out + (_examples("Judged false", judged.false) if judged.false else [])


def _change(change: Change) -> list[str]:
    rows = [
        (one.detection, *(f"{count:,}" for count in (one.added, one.removed, one.kept))) for one in change.detections
    ]
    return [
        "<h2>New beside old</h2>",
        f"<p><b>{change.added:,} added, {change.removed:,} removed</b>, {change.kept:,} kept.</p>",
        table(("detection", "added", "removed", "kept"), rows, range(1, 4)),
        *(_examples("Added", change.examples_added) if change.added else ()),
        *(_examples("Removed", change.examples_removed) if change.removed else ()),
    ]


def _examples(title: str, examples: Sequence[Example]) -> list[str]:
    rows = [(one.crossed, one.severity, one.detection, one.entity, one.message, one.cut) for one in examples]
    return [
        f"<h3>{title}, the gravest</h3>",
        table(("crossed", "severity", "detection", "entity", "message", "cut"), rows),
    ]


def _rate(rate: Rate) -> tuple[str, str, str]:
    return f"{rate.total:,}", f"{rate.median:g}", f"{rate.p95:g}"


def _entities(entities: dict[str, list[str]]) -> str:
    return ", ".join(
        f"{dimension} {values[0]}{f' (+{len(values) - 1})' if len(values) > 1 else ''}"
        for dimension, values in entities.items()
        if values
    )
