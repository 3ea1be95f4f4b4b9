"""How far each tree of the trail is covered by its last signed checkpoint."""

from flows.trail.checkpoints import Place
from flows.trail.heard import Findings, Heard
from flows.trail.note_table import NoteTable
from flows.trail.timeline import Proof


def proof_of(trail: str) -> Proof:
    """The proof status of rows: "covered" by a checkpoint whose signature is good, "pending", or "none" where there
    is no checkpoint. Whether the row is what was signed is what `lapwing verify` finds.

    Raises
    ------
    InputError
        The trail's checkpoints cannot be read.
    """
    heard = Heard(NoteTable.open(trail), None, (), Findings())
    sizes = {place: points[-1].size for place, points in heard.points.items()}

    def status(kind: str, tree: str, log: str, leaf: int) -> str:
        size = sizes.get(Place(kind, tree, log))
        return "none" if size is None else "covered" if leaf < size else "pending"

    return status
