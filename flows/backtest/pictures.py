"""The pictures of a report's page, as SVG that stands in it."""

from collections.abc import Sequence
from html import escape
from typing import Final

from flows.backtest.report import Day, Labels, Share, Side
from flows.bars import Bar, svg
from flows.formats.evidence import shown

_WIDE: Final = 860
_TALL: Final = 180
_LEFT, _TOP, _BELOW = 56, 34, 26
COLOURS: Final = {
    "unknown": "#bdbdbd", "informational": "#9ecae1", "low": "#6baed6", "medium": "#fdae6b", "high": "#e6550d",
    "critical": "#a50f15",
}  # fmt: skip


def by_day(title: str, side: Side, most: int) -> str:
    """Incidents of each day by severity; `most` is the height of the scale, so that two sides can be compared."""
    grades = [grade for grade in COLOURS if any(grade in day.incidents for day in side.by_day)]
    return _columns(
        title,
        [(day.date, [(COLOURS[grade], day.incidents.get(grade, 0)) for grade in grades]) for day in side.by_day],
        most,
        [(COLOURS[grade], grade) for grade in grades],
    )


def events(days: Sequence[Day]) -> str:
    """Scored events of each day."""
    most = max((day.events for day in days), default=0)
    return _columns("Events a day", [(day.date, [("#4292c6", day.events)]) for day in days], most, [])


def shares(labels: Labels) -> str:
    """Precision and recall, in all and by kind, each with its interval."""
    rows = [("precision", labels.precision), ("recall", labels.recall)]
    rows += [(f"recall: {shown(one.kind, 24)}", one.recall) for one in labels.kinds]
    return svg("Precision and recall, with intervals at 95 %", (), [_bar(*row) for row in rows if row[1].of])


def _bar(name: str, found: Share) -> Bar:
    return Bar(name, found.share or 0.0, (found.low, found.high), (), f"{found.count:,}/{found.of:,}")


def _columns(
    title: str,
    days: Sequence[tuple[str, Sequence[tuple[str, int]]]],
    most: int,
    legend: Sequence[tuple[str, str]],
) -> str:
    """A column a day, of coloured parts one on the other; the day and its numbers show under the pointer."""
    scale = _TALL / max(most, 1)
    step = (_WIDE - _LEFT) / max(len(days), 1)
    floor = _TOP + _TALL
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDE} {floor + _BELOW}" width="{_WIDE}" '
        f'role="img" font-family="sans-serif" font-size="12"><title>{escape(title)}</title>',
        f'<text x="0" y="16" font-size="15">{escape(title)}</text>',
    ]
    for at, (colour, name) in enumerate(legend):
        x = _WIDE - 110 * (len(legend) - at)
        out.append(f'<rect x="{x}" y="6" width="10" height="10" fill="{colour}"/>')
        out.append(f'<text x="{x + 14}" y="15">{escape(name)}</text>')
    for value in sorted({0, most // 2, most}):
        y = floor - value * scale
        out.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDE}" stroke="#ddd"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,}</text>')
    for at, (date, parts) in enumerate(days):
        left, y = _LEFT + step * at, float(floor)
        told = sum(count for _, count in parts)
        out.append(f"<g><title>{escape(date)}: {told:,}</title>")
        for colour, count in parts:
            y -= count * scale
            wide = max(0.5, min(step * 0.8, 60.0))
            out.append(
                f'<rect x="{left:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{count * scale:.1f}" fill="{colour}"/>'
            )
        out.append("</g>")
        if at % -(-len(days) // 8) == 0:
            out.append(f'<text x="{left:.1f}" y="{floor + 16}">{escape(date)}</text>')
    return "\n".join([*out, "</svg>"])
