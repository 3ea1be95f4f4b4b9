"""What a SIEM is told of one published record, in the words that every target's encoder maps from."""

from typing import Literal

Kind = Literal["alert", "scored"]
"""What a line is: an alert of `audit.alerts`, or a scored event of `audit.scored`."""


class NoRecord(ValueError):
    """The bytes are none of Lapwing's records of that kind; says why in one line."""
