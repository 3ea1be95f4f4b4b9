"""The pictures of a report, as SVG that stands in it. Colours are the page's variables: light or dark."""

from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any, Final

from flows.html_page import text
from flows.insights.report import Chart
from flows.insights.world import LAND

WIDE: Final = 360
_TALL, _LEFT, _RIGHT, _TOP, _BELOW = 150, 46, 6, 10, 22
_ROW: Final = 31
_LONGEST: Final = 42


def drawn(chart: Chart) -> str:
    """A chart's picture."""
    return _KINDS[chart.kind](chart)


def number(value: Any) -> str:
    """A number for people, short.

    >>> number(1234), number(0.25), number(1_500_000)
    ('1,234', '0.25', '1.5 M')
    """
    if abs(value) >= 1_000_000:
        return f"{value / 1_000_000:.3g} M"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _svg(chart: Chart, tall: float, inside: Sequence[str], wide: int = WIDE) -> str:
    head = f'<svg viewBox="0 0 {wide} {tall:.0f}" role="img" aria-label="{text(chart.title)}">'
    return "\n".join([head, *inside, "</svg>"])


def _frame(days: Sequence[Any], most: float) -> tuple[list[str], Callable[[int], float], Callable[[float], float]]:
    """Lines and words of a scale over days, and where a day and a value lie."""
    step = (WIDE - _LEFT - _RIGHT) / max(1, len(days) - 1)
    floor = _TOP + _TALL

    def x(at: int) -> float:
        return _LEFT + step * at if len(days) > 1 else (WIDE + _LEFT) / 2

    def y(value: float) -> float:
        return floor - value * _TALL / max(most, 1)

    out = []
    for value in (0, most / 2, most) if most > 1 else (0, most):
        out.append(f'<path class="grid" d="M{_LEFT} {y(value):.1f}H{WIDE - _RIGHT}"/>')
        whole = round(value) if most >= 10 or value == round(value) else value
        out.append(f'<text x="{_LEFT - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{number(whole)}</text>')
    for at, anchor in {0: "start", (len(days) - 1) // 2: "middle", len(days) - 1: "end"}.items():
        if anchor != "middle" or len(days) > 4:
            place = "middle" if len(days) == 1 else anchor
            out.append(f'<text x="{x(at):.1f}" y="{floor + 16}" text-anchor="{place}">{text(days[at])}</text>')
    return out, x, y


def _days(chart: Chart) -> str:
    values = [(row[1], row[2]) for row in chart.rows]
    most = max(float(value or 0) for pair in values for value in pair)
    out, x, y = _frame([row[0] for row in chart.rows], most)
    for which, kind in ((1, "before"), (0, "line")):
        path, pen = "", "M"
        for at, pair in enumerate(values):
            value = pair[which]
            if value is None:
                pen = "M"
                continue
            path += f"{pen}{x(at):.1f} {y(float(value)):.1f}"
            pen = "L"
        out.append(f'<path class="{kind}" d="{path}"/>')
    half = (WIDE - _LEFT) / max(1, len(values)) / 2
    for at, row in enumerate(chart.rows):
        before = "" if row[2] is None else f", a week before {row[2]:,}"
        if len(values) < 32:
            out.append(f'<circle class="dot" cx="{x(at):.1f}" cy="{y(float(row[1] or 0)):.1f}" r="2.5"/>')
        out.append(
            f'<rect class="none" x="{x(at) - half:.1f}" y="{_TOP}" width="{2 * half:.1f}" height="{_TALL}">'
            f"<title>{text(row[0])}: {row[1]:,}{before}</title></rect>"
        )
    return _svg(chart, _TOP + _TALL + _BELOW, out) + _legend(("line", "this range"), ("before", "same weekday before"))


def _stack(chart: Chart) -> str:
    most = max(float(row[2] or 0) + float(row[3] or 0) for row in chart.rows)
    out, _, y = _frame([row[0] for row in chart.rows], most)
    step = (WIDE - _LEFT - _RIGHT) / len(chart.rows)
    wide = min(step * 0.8, 40.0)
    for at, (day, active, new, returning) in enumerate(chart.rows):
        left, top = _LEFT + step * at + (step - wide) / 2, y(float(returning or 0))
        out.append(f"<g><title>{text(day)}: {active:,} active, {new:,} new</title>")
        out.append(_rect("bar", left, top, wide, y(0) - top))
        out.append(_rect("bar2", left, y(float(returning or 0) + float(new or 0)), wide, y(0) - y(float(new or 0))))
        out.append("</g>")
    return _svg(chart, _TOP + _TALL + _BELOW, out) + _legend(("bar", "returning"), ("bar2", "new"))


def _named(chart: Chart, rows: Sequence[tuple[Any, str, float, float]]) -> str:
    """A bar a row: its name and what is told of it stand above it. Lengths, the failed part of each too, are shares."""
    out = []
    for at, (name, told, length, failed) in enumerate(rows):
        top = _ROW * at
        out.append(f'<text x="0" y="{top + 13}">{text(name, _LONGEST)}</text>')
        out.append(f'<text x="{WIDE}" y="{top + 13}" text-anchor="end">{text(told)}</text>')
        out.append(_rect("track", 0, top + 18, WIDE, 8))
        out.append(_rect("bar", 0, top + 18, WIDE * length, 8))
        if failed:
            out.append(_rect("bad", 0, top + 18, WIDE * failed, 8))
    return _svg(chart, _ROW * len(rows), out)


def _shares(chart: Chart) -> str:
    most = max(float(row[1] or 0) for row in chart.rows)
    rows = [
        (name, f"{number(count)}, {float(share or 0):.1%} failed", float(count or 0) / most, float(failed or 0) / most)
        for name, count, failed, share, *_ in chart.rows
    ]
    return _named(chart, rows) + _legend(("bar", chart.unit), ("bad", "of these failed"))


def _failing(chart: Chart) -> str:
    rows = [
        (name, f"{float(share or 0):.1%} ({float(low or 0):.1%} to {float(high or 0):.1%})", 0.0, float(share or 0))
        for name, _, _, share, low, high in chart.rows
    ]
    return _named(chart, rows) + _legend(("bad", "share that failed, interval at 95 %"))


def _slow(chart: Chart) -> str:
    most = max(float(row[3] or 0) for row in chart.rows)
    return _named(chart, [(row[0], f"{row[3]:,g} ms", float(row[3] or 0) / most, 0.0) for row in chart.rows])


def _bars(chart: Chart) -> str:
    most = max(float(row[1] or 0) for row in chart.rows)
    rows = [
        (row[0], number(row[1]) + ("" if row[2] is None else f", before {number(row[2])}"), float(row[1] or 0) / most,
         0.0)
        for row in chart.rows
    ]  # fmt: skip
    return _named(chart, rows)


def _steps(chart: Chart) -> str:
    first = float(chart.rows[0][1] or 0) or 1.0
    rows = []
    for at, (name, users, share, low, high) in enumerate(chart.rows):
        told = number(users)
        if at and share is not None:
            told += f": {share:.1%} ({low:.1%} to {high:.1%})"
        rows.append((name, told, float(users or 0) / first, 0.0))
    return _named(chart, rows)


def _week(chart: Chart) -> str:
    most = max(float(cell or 0) for row in chart.rows for cell in row[1:]) or 1.0
    step, tall = (WIDE - 34) / 24, 20
    out = []
    for line, row in enumerate(chart.rows):
        top = 2 + line * tall
        out.append(f'<text x="0" y="{top + 14}">{text(row[0])[:3]}</text>')
        for hour, cell in enumerate(row[1:]):
            told = f"{text(row[0])} {hour:02}:00: {cell:g}"
            out.append(_cell(34 + hour * step, top, step - 1, tall - 1, float(cell or 0) / most, told))
    for hour in (0, 6, 12, 18):
        out.append(f'<text x="{34 + hour * step:.1f}" y="{2 + 7 * tall + 14}">{hour:02}:00</text>')
    return _svg(chart, 7 * tall + 22, out)


def _cohorts(chart: Chart) -> str:
    weeks = max(1, len(chart.heads) - 2)
    left, tall = 78, 20
    step = (WIDE - left) / weeks
    most = max((float(cell) for row in chart.rows for cell in row[2:] if cell is not None), default=1.0) or 1.0
    out = []
    for line, row in enumerate(chart.rows):
        top = line * tall
        out.append(f'<text x="0" y="{top + 14}">{text(row[0])}</text>')
        for at, cell in enumerate(row[2:]):
            if cell is not None:
                told = f"{row[0]}, {chart.heads[at + 2]}: {cell:.1%}"
                out.append(_cell(left + at * step, top, step - 2, tall - 2, float(cell) / most, told))
    floor = len(chart.rows) * tall + 14
    out.append(f'<text x="{left}" y="{floor}">1 week later</text>')
    if weeks > 4:
        out.append(f'<text x="{WIDE}" y="{floor}" text-anchor="end">{weeks} weeks later</text>')
    return _svg(chart, floor + 6, out) + _legend(("bar", f"darkest: {most:.1%} came again"))


def _map(chart: Chart) -> str:
    wide, top, low = 720, 84, -58

    def at(lon: float, lat: float) -> tuple[float, float]:
        return (lon + 180) * wide / 360, (top - lat) * wide / 360

    out = []
    for line in LAND:
        points = " ".join("{:.0f},{:.0f}".format(*at(*map(float, point.split(",")))) for point in line.split())
        out.append(f'<polygon class="land" points="{points}"/>')
    for meridian in range(-150, 180, 30):
        out.append(f'<path class="grid" d="M{at(meridian, 0)[0]:.0f} 0V{(top - low) * wide / 360:.0f}"/>')
    for parallel in (-30, 0, 30, 60):
        out.append(f'<path class="grid" d="M0 {at(0, parallel)[1]:.0f}H{wide}"/>')
    placed = [row for row in chart.rows if row[2] is not None and row[3] is not None]
    most = max((float(row[4] or 0) for row in placed), default=1.0)
    for city, country, lat, lon, attempts, failed in placed:
        x, y = at(float(lon or 0), max(low, min(top, float(lat or 0))))
        share = float(attempts or 0) / most
        bad = " bad" if float(failed or 0) * 2 > float(attempts or 0) else ""
        out.append(
            f'<circle class="place{bad}" cx="{x:.1f}" cy="{y:.1f}" r="{2.5 + 9 * sqrt(share):.1f}">'
            f"<title>{text(city)}, {text(country)}: {attempts:,}, {failed:,} failed</title></circle>"
        )
    names = " ".join(f"{text(row[0], 30)} {number(row[4])}," for row in placed[:8]).rstrip(",")
    legend = _legend(("bar", f"area: {chart.unit}"), ("bad", "more than half failed"))
    return _svg(chart, (top - low) * wide / 360, out, wide) + legend + f'<p class="note">Most: {names}.</p>'


def _cell(x: float, y: float, wide: float, tall: float, share: float, told: str) -> str:
    return (
        f'<rect class="heat" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}" '
        f'fill-opacity="{0.06 + 0.94 * share:.2f}"><title>{told}</title></rect>'
    )


def _rect(kind: str, x: float, y: float, wide: float, tall: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0.0, wide):.1f}" height="{max(0.0, tall):.1f}"/>'


def _legend(*entries: tuple[str, str]) -> str:
    marks = "".join(
        f'<span><svg class="key" viewBox="0 0 16 8"><path class="{kind}" d="M0 {4 if kind in _LINES else 0}h16'
        f'{"" if kind in _LINES else "v8h-16z"}"/></svg> {text(name)}</span>'
        for kind, name in entries
    )
    return f'<p class="legend">{marks}</p>'


_LINES: Final = ("line", "before")
_KINDS: Final[dict[str, Callable[[Chart], str]]] = {
    "days": _days, "stack": _stack, "shares": _shares, "failing": _failing, "slow": _slow, "bars": _bars,
    "steps": _steps, "week": _week, "cohorts": _cohorts, "map": _map,
}  # fmt: skip
