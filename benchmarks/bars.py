"""Named numbers as bars in SVG, without a library and without anything outside the file."""

from collections.abc import Sequence
from html import escape

_LEFT, _WIDE, _ROW, _TOP = 260, 420, 22, 40


def svg(title: str, unit: str, rows: Sequence[tuple[str, float]]) -> str:
    """A bar for each number, from zero; one below zero goes to the left.

    >>> svg("cost", "ns", [("a", 3.0), ("b", -1.0)]).count("<rect")
    3
    """
    low = min(0.0, *(value for _, value in rows))
    high = max(0.0, *(value for _, value in rows))
    scale = _WIDE / ((high - low) or 1.0)
    zero = _LEFT - low * scale
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDE + 110}" '
        f'height="{_TOP + _ROW * len(rows) + 14}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="22" font-size="15">{escape(title)}, {escape(unit)}</text>',
    ]
    for number, (name, value) in enumerate(rows):
        y = _TOP + _ROW * number
        left, right = sorted((zero, zero + value * scale))
        out.append(f'<text x="{_LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect x="{left:.1f}" y="{y + 4}" width="{right - left:.1f}" height="14" fill="#4292c6"/>')
        out.append(f'<text x="{right + 6:.1f}" y="{y + 15}">{_text(value)}</text>')
    return "\n".join([*out, "</svg>\n"])


def _text(value: float) -> str:
    """A number as it is read: whole from a hundred on.

    >>> _text(1234.5), _text(0.256), _text(7.0)
    ('1,234', '0.256', '7')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
