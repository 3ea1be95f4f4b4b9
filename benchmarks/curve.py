"""A line through a few points as SVG, without a library and without anything outside the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10

WIDTH, HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 30, 50
_MOST = 12
"""With more points than this they have no circles, and not each has its number below."""


@dataclass(slots=True, frozen=True)
class Curve:
    """Points (x, y) with what they are called; y begins at 0, x may be on a logarithmic axis."""

    points: Sequence[tuple[float, float]]
    x: str
    y: str
    logarithmic: bool = False


def svg(title: str, curves: Sequence[Curve]) -> str:
    """The curves side by side.

    >>> svg("cost", [Curve([(1, 2.0), (2, 4.0)], "n", "ns")]).count("<circle")
    2
    """
    size = f'width="{WIDTH * len(curves)}" height="{HEIGHT + 30}"'
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    out.append('<rect width="100%" height="100%" fill="white"/>')
    out.append(f'<text x="{_LEFT}" y="22" font-size="15">{escape(title)}</text>')
    for number, curve in enumerate(curves):
        out.append(f'<g transform="translate({WIDTH * number},30)">{_drawn(curve)}</g>')
    return "\n".join([*out, "</svg>\n"])


def _drawn(curve: Curve) -> str:
    at = [log10(x) if curve.logarithmic else x for x, _ in curve.points]
    low, high = min(at), max(at)
    top = max(y for _, y in curve.points) * 1.1 or 1.0
    wide, tall = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    across = [_LEFT + wide * (x - low) / ((high - low) or 1.0) for x in at]
    down = [_TOP + tall * (1 - y / top) for _, y in curve.points]
    right, floor = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    out = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _TOP + tall * (1 - share)
        out.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{top * share:,.0f}</text>')
    step = ceil(len(curve.points) / _MOST)
    for x, (value, _) in list(zip(across, curve.points, strict=True))[::step]:
        out.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{value:,.0f}</text>')
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(across, down, strict=True))
    out.append(f'<path d="M{path}" fill="none" stroke="#1f6fb4" stroke-width="2"/>')
    if step == 1:
        circles = zip(across, down, strict=True)
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#1f6fb4"/>' for x, y in circles]
    out.append(f'<text x="{_LEFT + wide / 2}" y="{HEIGHT - 14}" text-anchor="middle">{escape(curve.x)}</text>')
    out.append(f'<text x="{_LEFT}" y="{_TOP - 10}">{escape(curve.y)}</text>')
    return "".join(out)
