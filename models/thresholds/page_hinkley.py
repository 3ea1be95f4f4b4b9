"""Whether a mean is still what it was."""


class PageHinkley:
    """The Page-Hinkley test in both directions: adds up how far values are from their mean, and tells when it is far.

    Each value's distance from the mean of all values so far, less `slack`, is added to one sum, plus `slack` to
    another; the mean has moved when the first is more than `threshold` above its least, or the second as much below
    its greatest, with `fewest` values at least. A test that has told is over. River's, to the bit, with `alpha` 1.

    When it fails: a drift slower than `slack` is never told; the mean of a long past answers slowly.

    Source: Page, Continuous inspection schemes (1954).

    >>> test = PageHinkley(fewest=30, slack=0.05, threshold=5.0)
    >>> next(at for at in range(200) if test.update(0.1 if at < 100 else 0.6))
    111
    """

    def __init__(self, fewest: int, slack: float, threshold: float) -> None:
        self._fewest, self._slack, self._threshold = fewest, slack, threshold
        self._count, self._mean, self._up, self._down = 0, 0.0, 0.0, 0.0
        self._least, self._greatest = float("inf"), -1.0

    def update(self, value: float) -> bool:
        """Take a value; whether the mean has moved."""
        self._count += 1
        self._mean += (value - self._mean) / self._count
        away = value - self._mean
        self._up += away - self._slack
        self._down += away + self._slack
        self._least = min(self._least, self._up)
        self._greatest = max(self._greatest, self._down)
        furthest = max(self._up - self._least, self._greatest - self._down)
        return self._count >= self._fewest and furthest > self._threshold
