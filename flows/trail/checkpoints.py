"""What is signed of a trail: how far its trees have grown, who may sign, and what retention has taken away."""

import base64
from binascii import Error
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, Self
from urllib.parse import quote, unquote

from flows.trail.merkle import HASH_BYTES, Range
from flows.trail.notes import BadNote, Verifier
from flows.trail.schema import stamp

CHECKPOINT, KEY, EXPIRED = "checkpoint", "key", "expired"
"""What a note is."""
_DIGITS: Final = 20
"""No size has as many."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """Whose leaves are counted together: a tree's of one log, in the table of a kind."""

    kind: str
    tree: str
    log: str

    def __str__(self) -> str:
        """The place in words."""
        return f"{self.kind}, tree {self.tree}, log {self.log}"


class Checkpoint(NamedTuple):
    """A root, signed: all that a tree had at a time, and when what is new in it happened.

    Times are microseconds UTC. `since` is the size of the checkpoint before, 0 for none; `least` and `greatest` are of
    the leaves after it. `frontier` is not signed: it is believed if it gives the root.
    """

    trail: str
    place: Place
    size: int
    root: bytes
    time: int
    since: int
    least: int
    greatest: int
    frontier: tuple[bytes, ...] | None = None

    def text(self) -> str:
        """What is signed: a C2SP checkpoint (origin, size, root) with three lines of Lapwing's own.

        >>> print(Checkpoint("lapwing/7", Place("events", "acme", "a b"), 3, bytes(32), 0, 1, 5, 6).text(), end="")
        lapwing/7/events/acme/a%20b
        3
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
        time 1970-01-01T00:00:00.000000Z
        since 1
        events 1970-01-01T00:00:00.000005Z 1970-01-01T00:00:00.000006Z
        """
        return (
            f"{_origin(self.trail, self.place)}\n{self.size}\n{_base64(self.root)}\ntime {stamp(self.time)}\n"
            f"since {self.since}\nevents {stamp(self.least)} {stamp(self.greatest)}\n"
        )

    @classmethod
    def parse(cls, text: str, frontier: Sequence[bytes] | None = None) -> Self:
        """A checkpoint from what was signed.

        Raises
        ------
        BadNote
            It is none.
        """
        lines = text.split("\n")
        try:
            origin, size, root, time, since, events, end = lines
            trail, place = _whence(origin)
            least, greatest = _after("events", events).split(" ")
            found = cls(
                trail, place, int(size), base64.b64decode(root, validate=True), _read(_after("time", time)),
                int(_after("since", since)), _read(least), _read(greatest),
                None if frontier is None else tuple(frontier),
            )  # fmt: skip
        except (ValueError, Error, OverflowError):
            raise BadNote("not a checkpoint") from None
        if end or found.text() != text or not 0 <= found.since < found.size or len(found.root) != HASH_BYTES:
            raise BadNote("not a checkpoint")
        return found

    def range(self) -> Range | None:
        """The frontier, if there is one that gives the root."""
        if self.frontier is None:
            return None
        try:
            known = Range(0, self.size, self.frontier)
        except ValueError:
            return None
        return known if known.root() == self.root else None


class KeyChange(NamedTuple):
    """The key that signs from a time on."""

    trail: str
    key: Verifier
    time: int

    def text(self) -> str:
        """What the key before and the new one sign; the first key only itself."""
        return f"{self.trail}\n{KEY} {self.key.text}\ntime {stamp(self.time)}\n"

    @classmethod
    def parse(cls, text: str) -> Self:
        """A change of keys from what was signed.

        Raises
        ------
        BadNote
            It is none.
        """
        try:
            trail, key, time, _ = text.split("\n")
            found = cls(trail, Verifier.parse(_after(KEY, key)), _read(_after("time", time)))
        except (ValueError, OverflowError):
            raise BadNote("not a change of keys") from None
        if found.text() != text or found.key.name != trail:
            raise BadNote("not a change of keys")
        return found


class Expired(NamedTuple):
    """Leaves that retention has taken away: what stands for them in the tree is kept, a few hashes for each run."""

    trail: str
    place: Place
    time: int
    reason: str
    ranges: tuple[Range, ...]

    def text(self) -> str:
        """What is signed."""
        runs = "".join(
            f"leaves {run.begin} {run.end}{''.join(f' {_base64(node)}' for node in run.nodes)}\n" for run in self.ranges
        )
        return f"{_origin(self.trail, self.place)}\n{EXPIRED} {quote(self.reason)}\ntime {stamp(self.time)}\n{runs}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """What has expired, from what was signed.

        Raises
        ------
        BadNote
            It is nothing such.
        """
        lines = text.split("\n")
        try:
            trail, place = _whence(lines[0])
            runs = []
            for line in lines[3:-1]:
                begin, end, *nodes = _after("leaves", line).split(" ")
                runs.append(Range(int(begin), int(end), [base64.b64decode(node, validate=True) for node in nodes]))
            found = cls(trail, place, _read(_after("time", lines[2])), unquote(_after(EXPIRED, lines[1])), tuple(runs))
        except (ValueError, IndexError, Error, OverflowError):
            raise BadNote("not a manifest of what has expired") from None
        if found.text() != text:
            raise BadNote("not a manifest of what has expired")
        return found


def headed(note: str) -> tuple[str, int]:
    """Whose a checkpoint is and its size, read from its first lines and nothing else; -1 where it has no size.

    >>> headed("lapwing/7/events/acme/a\\n3\\n..."), headed("nothing")
    (('lapwing/7/events/acme/a', 3), ('nothing', -1))
    """
    origin, _, rest = note.partition("\n")
    size = rest.partition("\n")[0]
    return origin, int(size) if size.isascii() and size.isdigit() and len(size) < _DIGITS else -1


def trail_name(identity: str) -> str:
    """What a trail's signatures are called, by its keys' identity."""
    return f"lapwing/{identity}"


def _read(text: str) -> int:
    since = datetime.fromisoformat(text) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _origin(trail: str, place: Place) -> str:
    return "/".join((trail, *(quote(part, safe="") for part in place)))


def _whence(origin: str) -> tuple[str, Place]:
    trail, kind, tree, log = origin.rsplit("/", 3)
    return trail, Place(unquote(kind), unquote(tree), unquote(log))


def _after(word: str, line: str) -> str:
    first, _, rest = line.partition(" ")
    if first != word:
        raise ValueError(word)
    return rest


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
