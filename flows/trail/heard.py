"""What signed notes say of a trail, from the trail itself and from the second place, and what is wrong with them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from flows.errors import InputError
from flows.trail.checkpoints import KEY, Checkpoint, Expired, KeyChange, Place
from flows.trail.merkle import Range
from flows.trail.note_table import Note, NoteTable, read_notes
from flows.trail.notes import BadNote, Verifier
from flows.trail.schema import stamp
from flows.trail.signing import believed, fault

MOST: Final = 1_000
"""Findings that are kept; the others are counted."""
THERE, ELSEWHERE = "the trail", "the second place"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that is not as it was when it was signed. `last` ends the leaves, where several are meant."""

    what: str
    said: str
    table: str | None = None
    tenant: str | None = None
    log: str | None = None
    leaf: int | None = None
    last: int | None = None
    file: str | None = None


class Findings:
    """Findings as they come; of many the first."""

    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.count = 0

    def add(
        self,
        what: str,
        said: str,
        place: Place | None = None,
        leaf: int | None = None,
        last: int | None = None,
        file: str | None = None,
        tenant: str | None = None,
    ) -> None:
        """Note one."""
        self.count += 1
        if len(self.kept) < MOST:
            table, tree, log = place if place is not None else (None, None, None)
            last = None if last == leaf else last
            self.kept.append(Finding(what, said, table, tenant or tree, log, leaf, last, file))


class Heard:
    """Checkpoints and manifests whose signatures are good. One takes about 400 bytes and 0.2 ms.

    Parameters
    ----------
    table : the notes in the trail, None where there are none.
    second : a file of the second place, or one checkpoint; None if there is none to compare with.
    given : public keys that are believed whatever the trail says.
    findings : where what is wrong is noted.

    Raises
    ------
    InputError
        A file cannot be read.
    """

    def __init__(
        self, table: NoteTable | None, second: Path | None, given: Sequence[Verifier], findings: Findings
    ) -> None:
        self._findings = findings
        self.points: dict[Place, list[Checkpoint]] = {}
        self.expired: dict[Place, dict[int, tuple[Range, str]]] = defaultdict(dict)
        changes = {
            one.note: one for one in (*self._inside(table), *_outside(second)) if one is not None and one.what == KEY
        }
        self._trusted, wrong = believed(changes.values(), given)
        for said in wrong:
            findings.add("key", said)
        self.keys = [one.key for one in self._trusted.values()]
        self.changes = list(changes)
        found: dict[Place, dict[int, Checkpoint]] = defaultdict(dict)
        for note in self._inside(table):
            self._hear(note, found, THERE)
        for place, points in found.items():
            self._chain(place, points)
        greatest = {place: max(points) for place, points in found.items()}
        odd = 0
        for heard in _outside(second):
            if heard is None:
                odd += 1
            else:
                self._hear(heard, found, ELSEWHERE)
        if odd:
            findings.add("second place", f"{odd} lines of {second} are no signed notes")
        if second is not None:
            self._compare(greatest, found)
        self.points = {place: sorted(points.values(), key=lambda one: one.size) for place, points in found.items()}

    def _inside(self, table: NoteTable | None) -> Iterator[Note]:
        """The trail's own notes, as far as they can be read."""
        if table is None:
            return
        try:
            yield from table.notes()
        except InputError as error:
            if not any(one.said == str(error) for one in self._findings.kept):
                self._findings.add("file", str(error))

    @property
    def name(self) -> str | None:
        """The trail's name, if a key is known."""
        return self.keys[0].name if self.keys else None

    def _hear(self, note: Note, found: dict[Place, dict[int, Checkpoint]], where: str) -> None:
        try:
            said = note.read()
        except BadNote as error:
            self._findings.add("checkpoint", f"{error} ({where})")
            return
        if isinstance(said, KeyChange):
            return
        if where == ELSEWHERE and said.trail != self.name:
            return  # it may keep several trails' notes
        wrong = fault(note, said, self._trusted)
        if wrong is not None:
            size = said.size if isinstance(said, Checkpoint) else None
            of = "the checkpoint" if size is None else f"the checkpoint of {size:,} leaves"
            self._findings.add("checkpoint", f"{of}: {wrong} ({where})", said.place)
        elif isinstance(said, Expired):
            self.expired[said.place].update((run.begin, (run, said.reason)) for run in said.ranges)
        else:
            before = found[said.place].get(said.size)
            if before is not None and before.root != said.root:
                self._findings.add(
                    "checkpoint",
                    f"two signed checkpoints of {said.size:,} leaves differ: of {stamp(before.time)} and of "
                    f"{stamp(said.time)} ({where})",
                    said.place,
                )
            elif before is None or before.range() is None:
                found[said.place][said.size] = said
                if said.frontier is not None and said.range() is None:
                    self._findings.add(
                        "checkpoint",
                        f"the frontier beside the checkpoint of {said.size:,} leaves is not its",
                        said.place,
                    )

    def _chain(self, place: Place, points: dict[int, Checkpoint]) -> None:
        """Each checkpoint in the trail names one before it."""
        for size, point in sorted(points.items()):
            if point.since and point.since not in points:
                self._findings.add(
                    "checkpoint", f"the checkpoint of {point.since:,} leaves is missing before that of {size:,}", place
                )

    def _compare(self, greatest: dict[Place, int], found: dict[Place, dict[int, Checkpoint]]) -> None:
        """What the second place has and the trail has not. Before a later checkpoint a crash may have come between."""
        for place, points in found.items():
            for size, point in sorted(points.items()):
                if size > greatest.get(place, 0):
                    self._findings.add(
                        "checkpoint",
                        f"the checkpoint of {size:,} leaves, signed {stamp(point.time)}, is in the trail no more",
                        place,
                    )


def _outside(second: Path | None) -> Iterator[Note | None]:
    return iter(()) if second is None else read_notes(second)
