"""A timeline as a table for a terminal, as JSON, CSV or one HTML page; whatever stands in it, it cannot do anything.

What senders wrote, attackers among them, is shown with its control characters as codes. A CSV cell that a spreadsheet
would take for a formula begins with an apostrophe. The page loads and runs nothing.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from typing import Any, Final

import msgspec

from flows import html_page
from flows.formats.evidence import shown
from flows.trail.timeline import Row

MEMBERS: Final = (
    "action", "outcome", "reason", "error_code", "error", "user", "username", "actor", "actor_type", "target", "factor",
    "ip", "ip_type", "asn", "country", "city", "app", "app_version", "method", "endpoint", "status", "latency_ms",
    "session", "request_id", "api_key", "device", "user_agent", "path", "old", "new", "detection", "title", "activity",
    "severity", "count", "dimension", "entity", "message", "verdict", "ttl",
)  # fmt: skip
PLACE: Final = ("time", "received", "kind", "table", "tenant", "log", "offset", "index", "leaf", "proof", "id", "risk")
_FORMULA: Final = "=+-@\uff1d\uff0b\uff0d\uff20|%"
_LONGEST: Final = 120
_CELL: Final = 32_000
"""Characters that a spreadsheet takes in a cell."""
_STYLE: Final = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ccc; --soft: #555; --mark: #fff3d6;
  --bad: #a40000; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #16181a; --line: #444; --soft: #b0b0b0; --mark: #3a2f12; --bad: #ff9c9c; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem; border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; min-width: 4rem; } td.n { text-align: right; } time { white-space: nowrap; }
tr.incident { background: var(--mark); } tr.change td { color: var(--soft); } .bad { color: var(--bad); }
.note { color: var(--soft); } @media print { tr { break-inside: avoid; } }
"""
_encode = msgspec.json.Encoder().encode


def as_json(head: Mapping[str, Any], rows: Iterable[Row]) -> Iterator[str]:
    """One JSON object: what was asked for, `rows`, and their `count` at the end."""
    yield _encode(dict(head)).decode()[:-1] + ',"rows":['
    count = 0
    for row in rows:
        yield ("\n" if count == 0 else ",\n") + _encode(row).decode()
        count += 1
    yield f'\n],"count":{count}}}\n'


def as_csv(head: Mapping[str, Any], rows: Iterable[Row]) -> Iterator[str]:
    """A line a row, with a head; all there is of it but its scores."""
    yield _line((*PLACE, "alerts", "erased", *MEMBERS))
    for row in rows:
        place = (getattr(row, name) for name in PLACE)
        told = (row.members.get(name) for name in MEMBERS)
        yield _line(map(cell, (*place, " ".join(row.alerts), _erased(row), *told)))


def as_table(head: Mapping[str, Any], rows: Iterable[Row]) -> Iterator[str]:
    """Lines for a terminal: time, what, who, from where, risk, proof."""
    count = 0
    for row in rows:
        count += 1
        time = row.time[:23].replace("T", " ")
        proof = "" if row.proof == "covered" else f"  [{row.proof}]"
        if row.kind == "event":
            risk = "  -" if row.risk is None else f"{row.risk:>3}"
            yield f"{time}  {risk}  {shown(what(row), _LONGEST)}{_tail(where(row))}{proof}\n"
        else:
            mark = {"incident": "!", "change": "~"}.get(row.kind, ">")
            yield f"{time}    {mark}  {shown(what(row), 2 * _LONGEST)}{proof}\n"
    yield f"{count:,} rows\n"


def as_html(head: Mapping[str, Any], rows: Iterable[Row]) -> Iterator[str]:
    """One page that needs nothing beside itself."""
    title = f"Timeline of {head['by']} {head['value']}"
    yield from html_page.pieces(title, _STYLE, _body(title, head, rows))


def _body(title: str, head: Mapping[str, Any], rows: Iterable[Row]) -> Iterator[str]:
    span = f"{head.get('from') or 'the beginning'} to {head.get('to') or 'the end'}"
    yield (
        f"<h1>{html_page.text(title)}</h1><p>From {html_page.text(span)}; times are UTC.</p>\n"
        f'<p class="note">{html_page.text(LEGEND)}</p>\n<div class="wide"><table><thead><tr>'
        + "".join(f"<th>{name}</th>" for name in ("time", "what", "from", "risk", "proof"))
        + "</tr></thead><tbody>"
    )
    count = 0
    for row in rows:
        count += 1
        risk = "" if row.risk is None else str(row.risk)
        proof = escape(row.proof) if row.proof == "covered" else f'<span class="bad">{escape(row.proof)}</span>'
        place = f"{row.table}, tree {row.tree}, log {row.log}, leaf {row.leaf}, offset {row.offset}, id {row.id}"
        yield (
            f'<tr class="{row.kind}"><td><time>{escape(row.time.replace("T", " ").rstrip("Z"))}</time></td>'
            f'<td>{html_page.text(what(row), 1000)}</td><td>{html_page.text(where(row))}</td><td class="n">{risk}</td>'
            f'<td title="{html_page.text(place)}">{proof}</td></tr>'
        )
    yield f"</tbody></table></div><p>{count:,} rows.</p>"


LEGEND: Final = (
    "Covered: below the size of the last signed checkpoint, so that `lapwing verify` can prove it unchanged. Pending: "
    "it came after that. None: there is no checkpoint that can be believed. Names as person-... are others', in place "
    "of their names."
)
FORMATS: Final[Mapping[str, Callable[[Mapping[str, Any], Iterable[Row]], Iterator[str]]]] = {
    "table": as_table, "json": as_json, "csv": as_csv, "html": as_html,
}  # fmt: skip


def what(row: Row) -> str:
    """What happened, in a line of text; not yet safe to show."""
    told = row.members
    if row.sealed:
        return f"{row.kind} {row.id}: sealed, it names a person whose key was destroyed"
    if row.kind == "change":
        values = [f" {name} {_value(told[name])}" for name in ("old", "new") if name in told]
        return f"changed {told['path']}:{','.join(values) or ' values are not told'}"
    if row.kind == "incident":
        words = [told.get(name) for name in ("severity", "detection", "activity")]
        about = told.get("message") or f"{told.get('title', '')}, {told.get('count', '?')} events"
        return f"{' '.join(str(word) for word in words if word)}: {about}"
    if row.kind != "event":
        return f"{row.kind}: {', '.join(f'{name} {_value(value)}' for name, value in told.items())}"
    words = [told.get("action"), told.get("outcome"), told.get("reason")]
    why = [str(told[name]) for name in ("error_code", "error") if told.get(name)]
    text = " ".join(str(word) for word in words if word)
    text += f" ({': '.join(why)})" if why else ""
    for name, word in (("username", "of"), ("actor", "by"), ("target", "on"), ("factor", "with")):
        value = told.get(name) or (told.get("user") if name == "username" else None)
        text += f" {word} {value}" if value else ""
    return text + (f" [erased: {_erased(row)}]" if row.erased else "")


def where(row: Row) -> str:
    """From where and with what an event came."""
    told = row.members
    if row.kind != "event":
        return ""
    app = " ".join(str(told[name]) for name in ("app", "app_version") if told.get(name))
    call = " ".join(str(told[name]) for name in ("method", "endpoint", "status") if told.get(name))
    place = " ".join(str(told[name]) for name in ("ip", "country", "city") if told.get(name))
    return ", ".join(word for word in (place, app, call) if word)


def cell(value: Any) -> str:
    """A value of a CSV: nothing that a spreadsheet runs, nothing that ends a line.

    >>> cell("=1+2"), cell(-97.7), cell("a\\r\\n@b"), cell("  +x"), cell(None)
    ("'=1+2", '-97.7', 'a\\\\u000d\\\\u000a@b', "'  +x", '')
    """
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    text = shown(_value(value), _CELL)
    return f"'{text}" if text.lstrip()[:1] in tuple(_FORMULA) else text


def _line(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _value(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()


def _erased(row: Row) -> str:
    return " ".join(row.erased)


def _tail(text: str) -> str:
    return f"  {shown(text, _LONGEST)}" if text else ""
