"""The report of insights as one HTML page: findings, pictures, and the table behind each."""

from typing import Final

from flows.html_page import document, table, text
from flows.insights.pictures import drawn
from flows.insights.report import Chart, Report

_LIGHT: Final = (
    "--ink:#1b2430;--soft:#4b5766;--page:#f4f6f8;--card:#ffffff;--line:#d5dbe2;--main:#2a6f9e;--new:#e0912f;"
    "--bad:#b3261e;--land:#dfe5ea;--grave:#b3261e"
)
_DARK: Final = (
    "--ink:#e8ecf1;--soft:#b4bfcb;--page:#11161c;--card:#1a212a;--line:#36414d;--main:#5aa9dc;--new:#f0b35f;"
    "--bad:#f0776c;--land:#2b3541;--grave:#f5a199"
)
_STYLE: Final = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box; }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 0 auto;
  padding: 1rem; max-width: 1400px; overflow-wrap: anywhere; }}
h1 {{ font-size: 1.5rem; margin: .3rem 0; }} h2 {{ font-size: 1.15rem; margin: 1.6rem 0 .6rem; }}
h3 {{ font-size: 1rem; margin: 0; }}
.cards {{ display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); }}
.card {{ background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .8rem; min-width: 0; }}
.wide {{ grid-column: 1 / -1; }}
@media screen and (min-width: 1100px) {{ .wide {{ grid-column: 1 / -2; }} }}
.unit, .note, .legend {{ color: var(--soft); font-size: .86rem; margin: .1rem 0 .5rem; }}
.legend span {{ margin-right: 1rem; white-space: nowrap; }} .legend .key {{ width: 16px; height: 8px; }}
.card > svg {{ display: block; width: 100%; height: auto; }}
svg text {{ font: 11px system-ui, sans-serif; fill: var(--ink); }}
.grid {{ stroke: var(--line); fill: none; }} .land {{ fill: var(--land); }}
.line {{ stroke: var(--main); stroke-width: 2; fill: none; }} .dot {{ fill: var(--main); }}
.before {{ stroke: var(--soft); stroke-width: 1.3; stroke-dasharray: 4 3; fill: none; }} .none {{ fill: none;
  pointer-events: all; }}
.bar, .heat {{ fill: var(--main); }} .bar2 {{ fill: var(--new); }} .bad {{ fill: var(--bad); }}
.track {{ fill: var(--line); fill-opacity: .5; }}
.place {{ fill: var(--main); fill-opacity: .7; stroke: var(--card); }} .place.bad {{ fill: var(--bad); }}
.findings {{ padding-left: 1.2rem; margin: .5rem 0; }} .findings li {{ margin: .4rem 0; }}
.grave::marker {{ color: var(--grave); }} .grave b {{ color: var(--grave); }}
summary {{ cursor: pointer; color: var(--soft); font-size: .86rem; margin-top: .5rem; }}
.scroll {{ overflow-x: auto; max-height: 24rem; overflow-y: auto; }}
table {{ border-collapse: collapse; font-size: .86rem; }}
th, td {{ text-align: left; padding: .15rem .6rem .15rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: normal; white-space: nowrap; }}
td.n, th.n {{ text-align: right; font-variant-numeric: tabular-nums; }}
@media print {{
  :root {{ {_LIGHT}; --page:#ffffff; color-scheme: light; }}
  * {{ print-color-adjust: exact; -webkit-print-color-adjust: exact; }}
  body {{ padding: 0; font-size: 12px; }}
  .cards {{ display: block; columns: 2; column-gap: 1rem; }}
  .card {{ break-inside: avoid; margin: 0 0 1rem; }} .wide {{ column-span: all; }}
  h1, h2, h3 {{ break-after: avoid; }} li {{ break-inside: avoid; }} details {{ display: none; }}
  @page {{ margin: 12mm; }}
}}
"""
_NONE: Final = "Nothing stands out: no figure is far from what is usual, or there are too few events to say."


def page(report: Report) -> str:
    """The whole page."""
    whose = f"tenant <b>{text(report.tenant)}</b>" if report.tenant is not None else "all tenants"
    body = [
        "<h1>Insights</h1>",
        f"<p><b>{text(report.start)}</b> to <b>{text(report.end)}</b> (exclusive, whole days UTC), {whose}: "
        f"{report.events:,} events in {report.days:,} day{'' if report.days == 1 else 's'}.</p>",
        "<h2>Findings</h2>",
        '<p class="note">Intervals are at 95 %. A finding says what the numbers suggest, not what must be so.</p>',
    ]
    found = [
        f"<li{' class=' + chr(34) + 'grave' + chr(34) if one.grave else ''}>"
        f"{'<b>Look at this:</b> ' if one.grave else ''}{text(one.text, 1000)}</li>"
        for one in report.findings
    ]
    body.append(f'<ul class="findings">{"".join(found)}</ul>' if found else f"<p>{_NONE}</p>")
    for section in dict.fromkeys(chart.section for chart in report.charts):
        body.append(f'<section><h2>{text(section)}</h2><div class="cards">')
        body += [_card(chart) for chart in report.charts if chart.section == section]
        body.append("</div></section>")
    return document(f"Insights {report.start} to {report.end}", _STYLE, body)


def _card(chart: Chart) -> str:
    numbers = [at for at in range(len(chart.heads)) if any(isinstance(row[at], int | float) for row in chart.rows)]
    rows = [["-" if cell is None else _shown(cell) for cell in row] for row in chart.rows]
    return "\n".join([
        f'<article class="card{" wide" if chart.kind == "map" else ""}" id="{text(chart.id)}">',
        f'<h3>{text(chart.title)}</h3><p class="unit">{text(chart.unit)}</p>',
        drawn(chart),
        f'<p class="note">{text(chart.note)}</p>' if chart.note else "",
        f'<details><summary>Table</summary><div class="scroll" tabindex="0">{table(chart.heads, rows, numbers)}</div>'
        "</details></article>",
    ])  # fmt: skip


def _shown(cell: str | int | float) -> str:
    return cell if isinstance(cell, str) else f"{cell:,}"
