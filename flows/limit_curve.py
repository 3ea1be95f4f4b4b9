"""Incidents a day at each limit as SVG, with the chosen limit in it: drawn once, so that another choice is one dot."""

from collections.abc import Sequence
from math import floor, log, log1p, log10
from typing import Final

_WIDE: Final = 760
_TALL: Final = 200
_LEFT, _RIGHT, _TOP, _BELOW = 64, 14, 24, 36


class LimitCurve:
    """Incidents a day over limits, which rise and are above zero, on logarithmic scales (a day's one begins at zero).

    >>> LimitCurve([(5.0, 100.0), (50.0, 1.0)]).svg(10, 20.0).count("<circle")
    1
    >>> ">0.25</text>" in LimitCurve([(5.0, 0.25), (50.0, 0.0)]).svg(5, 0.25)
    True
    """

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._least, self._greatest = log(points[0][0]), log(points[-1][0])
        most = max(a_day for _, a_day in points)
        self._most = log1p(most)
        out = []
        for value in sorted({0.0, *(_decades(1.0, most) or [most])}):
            y = self._y(value)
            out.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDE - _RIGHT}" stroke="#8884"/>')
            out.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.3g}</text>')
        for value in _decades(points[0][0], points[-1][0], (1, 2, 5)):
            out.append(f'<text x="{self._x(value):.1f}" y="{_TOP + _TALL + 16}" text-anchor="middle">{value:,g}</text>')
        line = "".join(f"H{self._x(limit):.1f}V{self._y(a_day):.1f}" for limit, a_day in points)
        first = f"M{self._x(points[0][0]):.1f} {self._y(points[0][1]):.1f}"
        out.append(f'<path d="{first}{line}" fill="none" stroke="#1f77b4" stroke-width="2"/>')
        self._drawn = "".join(out)

    def svg(self, limit: float, a_day: float) -> str:
        """The curve, and what was chosen as a dot."""
        tall = _TOP + _TALL + _BELOW
        return (
            f'<svg viewBox="0 0 {_WIDE} {tall}" role="img" aria-label="Incidents a day at each limit" '
            f'fill="currentColor" font-size="12"><text x="0" y="14">incidents a day</text>{self._drawn}'
            f'<text x="{_WIDE - _RIGHT}" y="{tall - 4}" text-anchor="end">limit</text>'
            f'<circle cx="{self._x(limit):.1f}" cy="{self._y(a_day):.1f}" r="6" fill="#d62728"/></svg>'
        )

    def _x(self, limit: float) -> float:
        wide = (self._greatest - self._least) or 1.0
        return _LEFT + (_WIDE - _LEFT - _RIGHT) * (log(limit) - self._least) / wide

    def _y(self, a_day: float) -> float:
        return _TOP + _TALL * (1 - log1p(a_day) / (self._most or 1.0))


def _decades(least: float, greatest: float, steps: Sequence[int] = (1,)) -> list[float]:
    """So many times each power of ten, between two numbers.

    >>> _decades(5.0, 30.0, (1, 2, 5)), _decades(1.0, 0.0)
    ([5.0, 10.0, 20.0], [])
    """
    powers = range(floor(log10(least)), floor(log10(max(least, greatest))) + 1)
    found = (step * 10.0**power for power in powers for step in steps)
    return [value for value in found if least <= value <= greatest]
