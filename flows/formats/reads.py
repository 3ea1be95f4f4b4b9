"""What of a platform's records its format reads: with this most records become canonical without Python."""

from dataclasses import dataclass
from typing import Final

Path = tuple[str, ...]

LAST: Final = "[-1]"
"""A step into a list's last element, whatever stands before it."""
ONLY: Final = "[0]"
"""A step into a list's only element; a list of more is read record by record."""


@dataclass(slots=True, frozen=True)
class Reads:
    """Everything that a format's `event` looks at, for records that are taken by their shape.

    `event` must do the same with two records that differ only in values at `carried` and `times`, and in what is at no
    path: pass these values on as they are, or as `members_of.normal` has them. It may ask whether they are there,
    empty, zero, of which JSON type, or one of `words`, and nothing else. `tests/test_format_reads.py` holds it to that.

    Parameters
    ----------
    carried : paths whose values are passed on.
    times : the same, of times; strings that do not end in `Z` or `+hh:mm` are read record by record.
    decisive : paths whose values decide; containers with anything in them are read record by record.
    refused : paths where nothing may stand, else the record is read by itself: other shapes that the format knows.
    words : strings in small letters that decide wherever they stand, however written.
    whole : actions of whose records `event` reads more.
    """

    carried: tuple[Path, ...]
    times: tuple[Path, ...]
    decisive: tuple[Path, ...]
    refused: tuple[Path, ...] = ()
    words: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()


def paths(text: str, *before: str) -> tuple[Path, ...]:
    """Paths written with dots, each below others.

    >>> paths("id actor.id", "", "data")
    (('id',), ('actor', 'id'), ('data', 'id'), ('data', 'actor', 'id'))
    """
    return tuple(tuple(f"{above}.{path}".strip(".").split(".")) for above in before or ("",) for path in text.split())
