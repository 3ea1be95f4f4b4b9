"""How far each tree of the trail is covered by its last signed checkpoint."""

from collections.abc import Iterator

from flows.trail.checkpoints import CHECKPOINT, KEY, Checkpoint, Place, headed
from flows.trail.note_table import Note, NoteTable
from flows.trail.notes import BadNote
from flows.trail.signing import believed, fault
from flows.trail.timeline import Proof


def proof_of(trail: str) -> Proof:
    """The proof status of rows: "covered" by a checkpoint whose signature is good, "pending", or "none" where there
    is no checkpoint, or the greatest is not to be believed. Whether the row is what was signed is what `lapwing verify`
    finds.

    Of all others only the size is looked at: about 20 microseconds each, and no memory.

    Raises
    ------
    InputError
        The trail's checkpoints cannot be read.
    """
    table = NoteTable.open(trail)
    greatest: dict[str, tuple[int, Note]] = {}
    changes: list[Note] = []
    for note in table.notes() if table is not None else ():
        if note.what == KEY:
            changes.append(note)
        elif note.what == CHECKPOINT:
            origin, size = headed(note.note)
            if size > greatest.get(origin, (-1, note))[0]:
                greatest[origin] = size, note
    trusted, _ = believed(changes, ())
    sizes = {
        said.place: said.size for note, said in _read(note for _, note in greatest.values())
        if fault(note, said, trusted) is None
    }  # fmt: skip

    def status(kind: str, tree: str, log: str, leaf: int) -> str:
        size = sizes.get(Place(kind, tree, log))
        return "none" if size is None else "covered" if leaf < size else "pending"

    return status


def _read(notes: Iterator[Note]) -> Iterator[tuple[Note, Checkpoint]]:
    """Notes with what they say; those that say nothing that can be read are passed over."""
    for note in notes:
        try:
            said = note.read()
        except BadNote:
            continue
        if isinstance(said, Checkpoint):
            yield note, said
