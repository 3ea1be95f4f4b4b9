"""What of a platform's records its format reads: with this most records become canonical without Python."""

import re
from dataclasses import dataclass
from typing import Final

Path = tuple[str, ...]

LAST: Final = "[-1]"
"""A step into a list's last element, whatever stands before it."""
ONLY: Final = "[0]"
"""A step into a list's only element; a list of more is read record by record."""
_PLACE: Final = re.compile(r"\[(-1|[0-9])\]")


@dataclass(slots=True, frozen=True)
class Reads:
    """Everything that a format's `event` looks at, for records that are taken by their shape.

    `event` must do the same with two records that differ only in values at `carried`, `times` and `addresses`, and in
    what is at no path: pass these values on as they are, or as `members_of.normal` has them, or a number as a string,
    or a time of digits as a number. It may ask whether they are there, empty, zero, of which JSON type, one of `words`,
    begin with one of `heads`, or how many digits a time has, and nothing else. `tests/test_format_reads.py` holds it to
    that.

    Parameters
    ----------
    carried : paths whose values are passed on.
    times : the same, of times; strings that are neither digits alone nor end in `Z` or `+hh:mm` are read record by
        record.
    addresses : the same; of these `event` may ask whether they begin with a digit or have a colon.
    decisive : paths whose values decide; containers with anything in them are read record by record.
    refused : paths where nothing may stand, else the record is read by itself: other shapes that the format knows.
    words : strings in small letters that decide wherever they stand, however written.
    heads : what strings may begin with so that it decides, in ASCII, eight letters at most.
    whole : actions of whose records `event` reads more.
    """

    carried: tuple[Path, ...]
    times: tuple[Path, ...]
    decisive: tuple[Path, ...]
    refused: tuple[Path, ...] = ()
    addresses: tuple[Path, ...] = ()
    words: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()


def place(step: str) -> int | None:
    """The place in a list that a step is, from its end where it is negative; None for a member's name.

    >>> place("[2]"), place(LAST), place("id")
    (2, -1, None)
    """
    found = _PLACE.fullmatch(step)
    return None if found is None else int(found[1])


def each(above: str, most: int, below: str = "") -> tuple[Path, ...]:
    """The paths of the first elements of a list, or below each; a list of more is read record by record.

    >>> each("a.b", 2, "x y")
    (('a', 'b', '[0]', 'x'), ('a', 'b', '[0]', 'y'), ('a', 'b', '[1]', 'x'), ('a', 'b', '[1]', 'y'))
    """
    lists = [(*above.split("."), f"[{at}]") for at in range(most)]
    return tuple((*one, *path) for one in lists for path in (paths(below) if below else ((),)))


def paths(text: str, *before: str) -> tuple[Path, ...]:
    """Paths written with dots, each below others.

    >>> paths("id actor.id", "", "data")
    (('id',), ('actor', 'id'), ('data', 'id'), ('data', 'actor', 'id'))
    """
    return tuple(tuple(f"{above}.{path}".strip(".").split(".")) for above in before or ("",) for path in text.split())
