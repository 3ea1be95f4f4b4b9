"""Shares with their intervals as SVG, a row for each, without a library and without anything outside the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_LEFT, _WIDE, _ROW, _TOP = 220, 420, 22, 56
_COLOURS = ("#9ecae1", "#4292c6", "#08519c")


@dataclass(slots=True, frozen=True)
class Bar:
    """A share of 0..1, its interval, and the shares of its parts."""

    name: str
    share: float
    interval: tuple[float, float]
    parts: Sequence[float]
    note: str = ""


def svg(title: str, parts: Sequence[str], bars: Sequence[Bar]) -> str:
    """The bars one below the other; `parts` names the parts that each of them has a point for.

    >>> svg("recall", ["weak", "strong"], [Bar("spray", 0.75, (0.5, 0.9), (0.5, 1.0), "3/4")]).count("<circle")
    4
    """
    tall = _TOP + _ROW * len(bars) + 34
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDE + 90}" height="{tall}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-size="15">{escape(title)}</text>',
    ]
    for at, (name, colour) in enumerate(zip(parts, _COLOURS, strict=False)):
        out.append(f'<circle cx="{_LEFT + 110 * at}" cy="38" r="4" fill="{colour}"/>')
        out.append(f'<text x="{_LEFT + 110 * at + 9}" y="42">{escape(name)}</text>')
    floor = _TOP + _ROW * len(bars)
    for share in (0.0, 0.25, 0.5, 0.75, 0.95, 1.0):
        x = _LEFT + _WIDE * share
        out.append(f'<path d="M{x:.1f} {_TOP}V{floor}" stroke="#ddd"/>')
        anchor = "end" if share == 0.95 else "start" if share == 1.0 else "middle"
        out.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="{anchor}">{share:g}</text>')
    for number, bar in enumerate(bars):
        y = _TOP + _ROW * number + _ROW / 2
        low, high = (_LEFT + _WIDE * edge for edge in bar.interval)
        out.append(f'<text x="{_LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">{escape(bar.name)}</text>')
        out.append(f'<path d="M{low:.1f} {y:.1f}H{high:.1f}" stroke="#555"/>')
        middle = _LEFT + _WIDE * bar.share
        out.append(f'<path d="M{middle:.1f} {y - 6:.1f}V{y + 6:.1f}" stroke="#d94801" stroke-width="3"/>')
        for part, colour in zip(bar.parts, _COLOURS, strict=False):
            out.append(f'<circle cx="{_LEFT + _WIDE * part:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        out.append(f'<text x="{_LEFT + _WIDE + 24}" y="{y + 4:.1f}">{escape(bar.note)}</text>')
    return "\n".join([*out, "</svg>\n"])
