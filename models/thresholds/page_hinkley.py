"""Whether a mean is still what it was."""

import msgspec


class Sums(msgspec.Struct, array_like=True):
    """What a test has added up: values so far and their mean, both sums, the least and the greatest that they were."""

    count: int = 0
    mean: float = 0.0
    up: float = 0.0
    down: float = 0.0
    least: float = float("inf")
    greatest: float = -1.0


class PageHinkley:
    """The Page-Hinkley test in both directions: adds up how far values are from their mean, and tells when it is far.

    Each value's distance from the mean of all values so far, less `slack`, is added to one sum, plus `slack` to
    another; the mean has moved when the first is more than `threshold` above its least, or the second as much below
    its greatest, with `fewest` values at least. A test that has told is over. River's, to the bit, with `alpha` 1.
    `sums` is all that it remembers; another test goes on from them.

    When it fails: a drift slower than `slack` is never told; the mean of a long past answers slowly.

    Source: Page, Continuous inspection schemes (1954).

    >>> test = PageHinkley(fewest=30, slack=0.05, threshold=5.0)
    >>> next(at for at in range(200) if test.update(0.1 if at < 100 else 0.6))
    111
    """

    def __init__(self, fewest: int, slack: float, threshold: float, sums: Sums | None = None) -> None:
        self._fewest, self._slack, self._threshold = fewest, slack, threshold
        self.sums = sums or Sums()

    def update(self, value: float) -> bool:
        """Take a value; whether the mean has moved."""
        s = self.sums
        s.count += 1
        s.mean += (value - s.mean) / s.count
        away = value - s.mean
        s.up += away - self._slack
        s.down += away + self._slack
        s.least = min(s.least, s.up)
        s.greatest = max(s.greatest, s.down)
        return s.count >= self._fewest and max(s.up - s.least, s.greatest - s.down) > self._threshold
