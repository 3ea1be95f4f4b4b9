"""How far each tree of the trail is covered by its last signed checkpoint."""

from flows.trail.checkpoints import Checkpoint
from flows.trail.note_table import NoteTable
from flows.trail.notes import BadNote
from flows.trail.timeline import Proof


def proof_of(trail: str) -> Proof:
    """The proof status of rows: "covered" below the size of the tree's greatest checkpoint, else "pending"; "none"
    where the trail has no checkpoint at all.

    Signatures are not checked here, nor that a row is as it was: `lapwing verify` does both. A note that cannot be
    read covers nothing.

    Raises
    ------
    InputError
        The checkpoints cannot be read.
    """
    table = NoteTable.open(trail)
    sizes: dict[tuple[str, str, str], int] = {}
    for note in table.notes() if table is not None else ():
        try:
            said = note.read()
        except BadNote:
            continue
        if isinstance(said, Checkpoint):
            sizes[said.place] = max(said.size, sizes.get(said.place, 0))
    if not sizes:
        return lambda kind, tree, log, leaf: "none"
    return lambda kind, tree, log, leaf: "covered" if leaf < sizes.get((kind, tree, log), 0) else "pending"
