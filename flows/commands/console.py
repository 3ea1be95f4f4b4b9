"""What a person sees: lines on stderr, results on stdout, columns that line up."""

from collections.abc import Sequence
from typing import Any

import msgspec

from flows import log


def say(line: str) -> None:
    """One line to stderr, never to where results go."""
    log.say(line)


def result(found: Any) -> None:
    """A result as one JSON object on stdout."""
    text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
    print(text, flush=True)


def columns(rows: Sequence[Sequence[object]], indent: str = "  ") -> str:
    """Rows as lines whose cells line up, the last cell free.

    >>> print(columns([("id", "limit"), ("brute_force_ip", 20)], ""))
    id              limit
    brute_force_ip  20
    """
    if not rows:
        return ""
    texts = [[plain(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in texts) for at in range(len(texts[0]) - 1)]
    lines = (
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in texts
    )
    return "\n".join(indent + line.rstrip() for line in lines)


def plain(value: object) -> str:
    """A value as text that cannot move a terminal's cursor.

    >>> plain("a\\x1b[2Jb"), plain(1.5)
    ('a?[2Jb', '1.5')
    """
    return "".join(c if c.isprintable() else "?" for c in str(value))
