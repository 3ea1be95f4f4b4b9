"""How far each tree of the trail is covered by its last signed checkpoint."""

from flows.trail.timeline import Proof


def proof_of(trail: str) -> Proof:
    """The proof status of rows."""
    return lambda kind, tree, log, leaf: "none"
