"""Shares with their intervals, and when two of them differ."""

from typing import Final, NamedTuple

import msgspec

from flows.intervals import wilson

LEAST: Final = 5
"""Of fewer nothing is said."""
MOST_GROUPS: Final = 10_000
"""Values of a member that are told apart: whoever sends events chooses them."""
OTHER: Final = "(other)"


class Share(msgspec.Struct, frozen=True):
    """So many of so many, and the interval at 95 % (Wilson) in which the share lies."""

    found: int
    of: int
    low: float
    high: float

    def __str__(self) -> str:
        """In words.

        >>> print(share(9, 10), share(3, 900), share(0, 0), sep="; ")
        9 of 10 (60 to 98 %); 3 of 900 (0.1 to 1.0 %); none
        """
        if not self.of:
            return "none"
        digits = 1 if self.high < 0.1 else 0
        return f"{self.found:,} of {self.of:,} ({100 * self.low:.{digits}f} to {100 * self.high:.{digits}f} %)"


def share(found: int, of: int) -> Share:
    """A share and its interval."""
    return Share(found, of, *wilson(found, of))


def differs(one: Share, other: Share) -> bool | None:
    """Whether a share is greater than another beyond chance: their intervals do not touch. None: too few to tell.

    Intervals at 95 % that do not touch differ at about 99 %: with a hundred comparisons one may still be chance.

    >>> differs(share(9, 10), share(1, 40)), differs(share(3, 10), share(2, 10)), differs(share(2, 2), share(0, 90))
    (True, False, None)
    """
    if one.of < LEAST or other.of < LEAST:
        return None
    return one.low > other.high


class Group(NamedTuple):
    """A member's value and how many fared how."""

    value: str
    share: Share
    rest: Share
