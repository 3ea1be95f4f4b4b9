"""A report as one HTML page that needs nothing beside itself: no script, no font, no picture from elsewhere.

Names in it were written by whoever sent the events, attackers among them: each is shown with its control characters as
codes and is escaped, and the page forbids itself to load or run anything.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from flows.formats.evidence import shown

_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'"
_LONGEST: Final = 600


def document(title: str, style: str, body: Iterable[str]) -> str:
    """The whole page; `body` is markup."""
    return "".join(pieces(title, style, body))


def pieces(title: str, style: str, body: Iterable[str]) -> Iterator[str]:
    """The page as it comes, a line for each piece of `body`: for one that is longer than memory."""
    yield (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_CSP)}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{text(title)}</title><style>{style}</style></head><body>\n"
    )
    for piece in body:
        yield f"{piece}\n"
    yield "</body></html>\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[int] = ()) -> str:
    """Rows as a table, columns of `numbers` flush right; nothing where there are none."""

    def line(tag: str, cells: Sequence[object]) -> str:
        marks = (' class="n"' if at in numbers else "" for at in range(len(cells)))
        texts = (f"<{tag}{mark}>{text(cell)}</{tag}>" for mark, cell in zip(marks, cells, strict=True))
        return f"<tr>{''.join(texts)}</tr>"

    return "\n".join(["<table>", line("th", heads), *(line("td", row) for row in rows), "</table>"]) if rows else ""


def listing(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """Rows as lines of text in columns: for many of them, since a browser takes them as one element.

    >>> print(listing(["who", "n"], [["<sam>", 3]]))
    <pre>who    n
    &lt;sam&gt;  3</pre>
    """
    lines = [[shown(str(cell), _LONGEST) for cell in row] for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
    return f"<pre>{escape(text)}</pre>"


def text(value: object, longest: int = _LONGEST) -> str:
    """Any value as text that is neither markup nor a command to a terminal.

    >>> text("<b>\\x1b[2J")
    '&lt;b&gt;\\\\u001b[2J'
    """
    return escape(shown(str(value), longest))
