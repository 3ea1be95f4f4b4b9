"""Where in a log something is not as it was signed: the parts of a checkpoint, each proven by itself."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flows.errors import InputError
from flows.trail.checkpoints import CHECKPOINT, Checkpoint
from flows.trail.leaves import Gathered
from flows.trail.merkle import BLOCK, HASH_BYTES, Range
from flows.trail.note_table import Note, NoteTable
from flows.trail.notes import BadNote


class Piece(NamedTuple):
    """Leaves from `begin` to before `end`, whose hash is known; None where it is not."""

    begin: int
    end: int
    hash: bytes | None


class Looked(NamedTuple):
    """What was found in the leaves of a checkpoint: how many are proven, and which pieces are not what was signed."""

    proven: int
    wrong: list[Piece]


def pieces(table: NoteTable | None, point: Checkpoint, since: Range | None) -> list[Piece]:
    """The parts that a checkpoint is made of: blocks, and the smaller subtrees behind the last.

    Their hashes are believed because they give its root; where the trail does not have them, or has others, a piece
    without a hash stands for all of them. `since` is the tree at the checkpoint before, if it is known.
    """
    tree = point.range()
    if tree is None:
        return [Piece(point.since, point.size, None)]
    first, whole = point.since >> BLOCK << BLOCK, tree.whole_blocks()
    found = []
    if whole.end > first:
        blocks = [] if table is None or since is None else _blocks(table, point, since, whole)
        size = 1 << BLOCK
        found = [Piece(first + at * size, first + (at + 1) * size, block) for at, block in enumerate(blocks)]
        found = found or [Piece(first, whole.end, None)]
    at = whole.end
    for node in tree.nodes[len(whole.nodes) :]:
        level = (point.size - at).bit_length() - 1
        found.append(Piece(at, at + (1 << level), node))
        at += 1 << level
    return found


def looked_at(log: str, begin: int, some: Sequence[Piece], hashes: Gathered, since: Range | None) -> Looked:
    """Compare pieces with the hashes that were gathered; leaves before `begin` are not counted.

    A piece with a missing leaf is neither proven nor wrong: the leaf is a finding of its own. Where a piece begins
    before the tree that is known, its first leaves are taken from there.
    """
    proven, wrong = 0, []
    for piece in some:
        first = max(piece.begin, begin)
        if piece.end <= begin:
            continue
        tree = Range(piece.begin)
        if since is not None and since.end > piece.begin:
            within = (since.end - piece.begin).bit_count()
            tree = Range(piece.begin, since.end, since.nodes[len(since.nodes) - within :])
        if not hashes.has_all(log, max(tree.end, begin) if piece.hash is None else tree.end, piece.end):
            continue
        if piece.hash is not None:
            tree.extend([hash_ for hash_ in hashes.get(log, tree.end, piece.end) if hash_ is not None])
        if piece.hash is not None and tree.root() == piece.hash:
            proven += piece.end - first
        else:
            wrong.append(piece)
    return Looked(proven, wrong)


def _blocks(table: NoteTable, point: Checkpoint, since: Range, whole: Range) -> list[bytes]:
    """The hashes of a checkpoint's new blocks, if the trail has them and they lead to its root."""
    for note in _with_blocks(table):
        try:
            said = note.read()
        except BadNote:
            continue
        if not isinstance(said, Checkpoint) or said[:5] != point[:5] or not note.blocks:
            continue
        found = [note.blocks[at : at + HASH_BYTES] for at in range(0, len(note.blocks), HASH_BYTES)]
        tree = since.whole_blocks()
        tree.take_blocks(found)
        if (tree.end, tree.nodes) == (whole.end, whole.nodes):
            return found
    return []


def _with_blocks(table: NoteTable) -> Iterator[Note]:
    try:
        yield from (note for note in table.notes(blocks=True) if note.what == CHECKPOINT)
    except InputError:  # a finding already
        return
