"""The lines of a file of results, one at a time and of a bounded length."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import msgspec

from flows.errors import InputError

LONGEST: Final = 1 << 22
"""Bytes of a line that are read at once; more than any that Lapwing writes."""
_Line = TypeVar("_Line", bound=msgspec.Struct)
_MEMBER: Final = b',"lapwing":'
"""Behind this stands Lapwing's own member, the last of a scored event."""


class _Member(msgspec.Struct):
    time: int


_OWN: Final = msgspec.json.Decoder(_Member)


class Scored(NamedTuple):
    """A line of scored events, the event in it as it was before, and its time in epoch milliseconds."""

    line: bytes
    event: bytes
    time: int


def scored(line: bytes) -> Scored | None:
    """A line of scored events; none where it is not, such as one that is half written.

    >>> scored(b'{"ip":"::1","lapwing":{"v":1,"time":7}}\\n').event, scored(b'{"ip":"::1","lapwing":{"v"')
    (b'{"ip":"::1"}', None)
    """
    begins = line.rfind(_MEMBER)
    try:
        time = _OWN.decode(line[begins + len(_MEMBER) : line.rindex(b"}")]).time
    except ValueError:  # those of msgspec are some, too
        return None
    return Scored(line, line[:begins] + b"}", time) if begins >= 0 else None


def raw_lines(path: Path) -> Iterator[bytes]:
    """The lines, each with its LF.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            while line := file.readline(LONGEST):
                yield line
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def lines(path: Path, kind: type[_Line], what: str) -> Iterator[_Line]:
    """The lines as structs; `what` says what a bad one is, such as "no alert".

    Raises
    ------
    InputError
        The file cannot be read, or a line is none; says which.
    """
    decoder = msgspec.json.Decoder(kind)
    for number, line in enumerate(raw_lines(path), 1):
        try:
            yield decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: line {number} is {what} ({error})") from error
