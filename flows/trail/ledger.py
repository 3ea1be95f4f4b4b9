"""The trees of a trail that is being written: they grow with each commit, and are signed at least once a minute."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from flows.errors import InputError, Refused
from flows.trail.checkpoints import CHECKPOINT, EXPIRED, Checkpoint, Expired, Place, trail_name
from flows.trail.leaves import Gathered, by_log, leaf_files, leaves, logs_of
from flows.trail.many import subtree
from flows.trail.merkle import HASH_BYTES, Range
from flows.trail.note_table import Note, NoteTable, Witness
from flows.trail.notes import BadNote, Verifier, sign, signers
from flows.trail.schema import KINDS
from flows.trail.signing import SigningKeys, believed, publish
from flows.trail.store import Store

EVERY_S: Final = 60
"""Seconds after which what has grown is signed."""
_PIECE: Final = 1 << 16
_RUNS: Final = 1_000
"""Runs of leaves in one manifest of what has expired; each takes less than 4 kB."""
_FIRST, _LAST = -(1 << 62), 1 << 62


class _Growing:
    """A tree since its last checkpoint."""

    def __init__(self, tree: Range) -> None:
        self.tree = tree
        self.blocks: list[bytes] = []
        self.tree.blocks = self.blocks
        self.signed = tree.end
        self.least, self.greatest = _LAST, _FIRST

    def sign(self) -> None:
        """All of it is under a checkpoint."""
        self.signed, self.least, self.greatest = self.tree.end, _LAST, _FIRST
        self.blocks.clear()

    def grow(self, hashes: bytes, least: int, greatest: int) -> None:
        self.tree.extend_by(hashes, subtree)
        self.least, self.greatest = min(self.least, least), max(self.greatest, greatest)


class Ledger:
    """What is signed of a trail while one process writes it.

    A checkpoint is made only of what has been committed. After a crash a tree goes on from its last checkpoint, whose
    signature is checked, with the leaves that were committed after it, whose hashes are computed anew: what a tree
    was is never taken from a file that is not signed.

    Parameters
    ----------
    trail : directory or URL.
    keys : the key directory, which must exist.
    identity : the key store's.
    witness : a directory or a file that is the second place.
    every_s : seconds of wall clock between checkpoints.
    clock : microseconds UTC.

    Raises
    ------
    InputError
        The trail was signed with other keys, or cannot be read.
    OutputError
        The notes cannot be written.
    """

    def __init__(
        self,
        trail: str,
        keys: Path,
        identity: str,
        witness: Path | None = None,
        every_s: float = EVERY_S,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.trail, self._place = trail_name(identity), trail
        self._written: set[str] = set()
        self._clock, self._every_us = clock, int(every_s * 1_000_000)
        self._keys = SigningKeys(keys, self.trail)
        self._witness = Witness(witness, self.trail) if witness is not None else None
        table = NoteTable.open(trail, create=True)
        assert table is not None
        self._table = table
        with self._keys.held():
            self._keys.begin(table, self._witness, clock())
        self._last = self._latest()
        self._trees: dict[Place, _Growing] = {}
        self._looked = clock()

    def resume(self, store: Store) -> None:
        """Go on with the trees of a table as their last checkpoints left them.

        Raises
        ------
        InputError
            A file cannot be read.
        Refused
            The table is not what its checkpoints say.
        """
        self._written.add(store.kind)
        known = {place for place in self._last if place.kind == store.kind}
        signed = {place.tree for place in known}
        for file in leaf_files(store):
            if file.tree not in signed:  # a crash came before the first checkpoint
                known.update(Place(store.kind, file.tree, log) for log in logs_of(store, file))
        for place in sorted(known):
            self._growing(store, place, store.size(place.tree, place.log))

    def grow(self, store: Store, rows: pa.Table) -> None:
        """Take in rows that have just been committed; raises as `resume`."""
        hashes = rows.column("leaf_hash").combine_chunks()
        each = np.frombuffer(hashes.buffers()[1], np.dtype((np.void, HASH_BYTES)))[hashes.offset :][: len(hashes)]
        leaf, times = (rows.column(name).cast(pa.int64()).to_numpy() for name in ("leaf", "time"))
        trees, logs = (rows.column(name).combine_chunks() for name in ("tree", "log"))
        for tree, of_tree in by_log(trees):
            for log, some in by_log(logs.take(pa.array(of_tree))):
                which = of_tree[some]
                numbers, when = leaf[which], times[which]
                growing = self._growing(store, Place(store.kind, tree, log), int(numbers[0]))
                if growing.tree.end != numbers[0] or (np.diff(numbers) != 1).any():
                    raise ValueError(f"{tree}, {log}: leaves {numbers[0]} on after {growing.tree.end}")
                growing.grow(each[which].tobytes(), int(when.min()), int(when.max()))

    def look(self) -> None:
        """Sign what has grown, if a minute is over or a tree has no checkpoint yet.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        new = any(not growing.signed for growing in self._trees.values() if growing.tree.end)
        if new or not 0 <= self._clock() - self._looked < self._every_us:
            self.finish()

    def finish(self) -> None:
        """Sign all that has grown, also by what commands have noted; raises as `look`."""
        self._see_own()
        grown = {place: one for place, one in self._trees.items() if one.tree.end > one.signed}
        self._looked = self._clock()
        if not grown:
            return
        with self._keys.held():
            key, now = self._key(), self._clock()
            notes = []
            for place, one in sorted(grown.items()):
                root, frontier = one.tree.root(), tuple(one.tree.nodes)
                point = Checkpoint(
                    self.trail, place, one.tree.end, root, now, one.signed, one.least, one.greatest, frontier
                )
                notes.append(
                    Note(CHECKPOINT, sign(point.text(), self.trail, [key]), list(frontier), b"".join(one.blocks))
                )
            self._publish(notes)
        for one in grown.values():
            one.sign()

    def _see_own(self) -> None:
        """Take in the tables that commands write, each into the log of the table's name."""
        for kind in set(KINDS) - self._written:
            try:
                store = Store.open(self._place, kind)
            except InputError:
                continue  # there is none, or `lapwing verify` says what is wrong with it
            for tree in store.trees():
                self._growing(store, Place(kind, tree, kind), store.size(tree, kind))

    def rotate(self) -> Verifier:
        """Put a new signing key in the place of the present one; raises as `look`."""
        with self._keys.held():
            return self._keys.rotated(self._table, self._witness, self._clock())

    def expire(self, place: Place, reason: str, runs: tuple[Range, ...]) -> None:
        """Say, before they are removed, which leaves retention takes away, and why: signed, in the trail for ever.

        Each range is a run of leaves. The few hashes that it has stand for them in their tree from then on, so that
        all others stay proven. A note has so many runs at most that it can always be read. Raises as `look`.
        """
        with self._keys.held():
            key, now = self._key(), self._clock()
            some = (runs[at : at + _RUNS] for at in range(0, len(runs), _RUNS))
            texts = (Expired(self.trail, place, now, reason, each).text() for each in some)
            self._publish([Note(EXPIRED, sign(text, self.trail, [key])) for text in texts])

    def _key(self) -> Ed25519PrivateKey:
        """The key that signs now, asked for before the time of what it signs. Within `held`."""
        return self._keys.current(self._table, self._witness, self._clock())

    def _publish(self, notes: list[Note]) -> None:
        """To the second place first: so whatever is in the trail is there too."""
        publish(notes, self._table, self._witness)

    def _latest(self) -> dict[Place, tuple[Checkpoint, Note]]:
        """The greatest checkpoint of each tree, whoever has signed it."""
        found: dict[Place, tuple[Checkpoint, Note]] = {}
        changes = []
        for note in self._table.notes():
            try:
                said = note.read()
            except BadNote as error:
                raise Refused(f"{self._table.place}: {error}; `lapwing verify` says what is so") from None
            if isinstance(said, Checkpoint):
                if said.place not in found or said.size > found[said.place][0].size:
                    found[said.place] = said, note
            elif not isinstance(said, Expired):
                changes.append(note)
        trusted, _ = believed(changes, self._keys.public())
        ours = {id_: one.key for id_, one in trusted.items()}
        for place, (_, note) in found.items():
            try:
                signers(note.note, ours)
            except BadNote as error:
                raise Refused(f"{place}: the last checkpoint: {error}; `lapwing verify` says what is so") from None
        return found

    def _growing(self, store: Store, place: Place, size: int) -> _Growing:
        """A tree as it is with its first `size` leaves, if it is not known yet."""
        known = self._trees.get(place)
        if known is None:
            last = self._last.get(place)
            tree = Range() if last is None else last[0].range()
            if tree is None or tree.end > size:
                raise Refused(f"{place}: not what its last checkpoint says; `lapwing verify` says what is so")
            known = self._trees[place] = _Growing(tree)
        if known.tree.end < size:
            self._catch_up(store, place, known, size)
        return known

    def _catch_up(self, store: Store, place: Place, growing: _Growing, size: int) -> None:
        """Take in the leaves that were committed and not signed any more."""
        begin = growing.tree.end
        wrong = f"{place}: leaves {begin:,} to {size - 1:,} are not as they were written; `lapwing verify` says more"

        def wanted(logs: pa.Array, leaf: NDArray[np.int64], _: NDArray[np.int64]) -> NDArray[np.bool_]:
            mine: NDArray[np.bool_] = pc.equal(logs, place.log).to_numpy(zero_copy_only=False)
            return mine & (leaf >= begin) & (leaf < size)

        least, greatest = _LAST, _FIRST
        with Gathered({place.log: (begin, size)}) as found:
            for file in leaf_files(store):
                if file.tree != place.tree or file.last < begin or file.first >= size:
                    continue
                for rows in leaves(store, file, wanted):
                    least, greatest = min(least, *rows.time), max(greatest, *rows.time)
                    if rows.claimed != rows.found or found.put(place.log, rows.leaf, rows.found).any():
                        raise Refused(wrong)
            for at in range(begin, size, _PIECE):
                hashes = found.get(place.log, at, min(size, at + _PIECE))
                whole = [hash_ for hash_ in hashes if hash_ is not None]
                if len(whole) < len(hashes):
                    raise Refused(wrong)
                growing.grow(b"".join(whole), least, greatest)
