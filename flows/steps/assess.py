"""`assess`: one shard's state, fed with its slices."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import Any

import msgspec
import numpy as np
import zstandard
from bytewax.operators import StatefulBatchLogic

from flows.errors import Refused
from flows.generations import WAY_OUT
from flows.shard_log import ShardLog
from flows.shard_state import packed, state_of
from flows.steps.packed import Packed, pack, unpack
from flows.steps.strands import Result, Strand, Strands
from models.base import DIMENSIONS, WATCHED
from models.kernels.arrive import ScoreArrays
from models.windows.delta import Changes
from models.windows.saved import changes, without_positions
from models.windows.shard import Shard
from models.windows.slice import Slice, SliceScores

MakeShard = Callable[[int, bytes | None], Shard]
"""A shard of a dimension, new or as a snapshot says."""


class Assessed:
    """A slice's scores, as they come from another process. `number` is the batch's."""

    __slots__ = ("_scores", "number")

    def __init__(self, number: int, scores: SliceScores) -> None:
        self.number, self._scores = number, scores

    def result(self) -> SliceScores:
        """The scores."""
        return self._scores


class Assessing:
    """A slice that is being assessed: who gathers a batch asks for the scores. `scores` are those to come.

    To another process go the scores themselves, of its rows only and without the batch.
    """

    __slots__ = ("_packed", "number", "scores")

    def __init__(self, number: int, scores: Result[SliceScores]) -> None:
        self.number, self.scores = number, scores
        self._packed: tuple[Any, ...] | None = None

    def result(self) -> SliceScores:
        """The scores, waiting for them."""
        return self.scores.result()

    def __reduce__(self) -> tuple[Any, ...]:
        # The engine pickles everything twice, once to know its length.
        self._packed = self._packed or self._pack()
        return _arrived, self._packed

    def _pack(self) -> tuple[Any, ...]:
        scores = self.result()
        at = scores.dimension, scores.rows
        asked = ScoreArrays._fields[:-1] if scores.dimension < len(DIMENSIONS) else ("severity",)
        columns = [getattr(scores.scores, name)[at] for name in asked]
        columns += [scores.rows.astype(np.int32), scores.uid_rows, scores.uids, scores.head]
        said = scores.dimension, scores.shard, scores.number, scores.passed, scores.findings, scores.windows
        return said, pack(columns)


def _arrived(said: tuple[Any, ...], packed: Packed) -> Assessed:
    """What another process says of a slice: its own rows only, and of a joint dimension nothing but the severity."""
    *columns, rows, uid_rows, uids, head = unpack(packed)
    none = np.empty(0, np.int32)
    own = [*columns, none] if len(columns) > 1 else [none] * ScoreArrays._fields.index("severity") + [*columns, none]
    dimension, shard, number, passed, findings, windows = said
    return Assessed(
        number,
        SliceScores(
            batch=None, dimension=dimension, shard=shard, number=number, rows=rows, scores=ScoreArrays._make(own),
            uid_rows=uid_rows, uids=uids, passed=passed, head=head, findings=findings, windows=windows,
        ),
    )  # fmt: skip


class Saving:
    """The shards that an epoch has moved: all save themselves beside each other when the first is asked to.

    Bytewax asks one after another, and all that have had slices in the epoch.
    """

    def __init__(self, threads: Executor) -> None:
        self._threads = threads
        self._moved: dict[int, list[Assess]] = {}

    def moved(self, logic: "Assess") -> None:
        """`logic` will be asked at the end of this epoch. Each worker has epochs of its own."""
        self._moved.setdefault(get_ident(), []).append(logic)

    def begin(self) -> None:
        """Begin for all that have moved since the last time."""
        for logic in self._moved.pop(get_ident(), []):
            logic.begin_save(self._threads)


class Assess(StatefulBatchLogic[Slice, tuple[str, Assessing | Assessed], bytes]):
    """Passes slices to the shard, and keeps its state for recovery.

    Each shard is a strand of `strands`: its slices are assessed in their order, beside those of other shards, and its
    snapshot waits for them. The snapshot is a pointer into the log in the folder `log`; without that it is the
    shard's own bytes, compressed. Without recovery Bytewax asks for it all the same: without `saving` nobody will read
    it.
    """

    def __init__(
        self,
        make: MakeShard,
        saving: Saving | None,
        resume: bytes | None,
        strands: Strands,
        log: Path | None = None,
    ) -> None:
        self._make = make
        self._shard: Shard | None = None
        self._saving = saving
        self._moved = False
        self._saved: Future[bytes] | None = None
        self._resume = resume or None
        self._strands = strands
        self._strand: Strand | None = None
        self._folder = log
        self._log: ShardLog | None = None
        self._seen = Changes()
        self._last: Result[SliceScores] | None = None

    def on_batch(self, values: list[Slice]) -> tuple[list[tuple[str, Assessing | Assessed]], bool]:
        """Assess slices in the order of their arrival."""
        # Bytewax does not say for which key a logic is built: the first slice does.
        shard = self._shard or self._begin(values[0].dimension, values[0].shard)
        strand = self._strand = self._strand or self._strands.strand()
        if self._saving is not None and not self._moved:
            self._saving.moved(self)
            self._moved = True
        out: list[tuple[str, Assessing | Assessed]] = []
        for piece in values:
            self._last = strand.add(partial(shard.assess, piece))
            out.append((piece.batch.source, Assessing(piece.batch.number, self._last)))
        return out, StatefulBatchLogic.RETAIN

    def _begin(self, dimension: int, number: int) -> Shard:
        try:
            state = state_of(self._resume, self._folder) if self._resume else None
            self._shard = self._make(dimension, state)
        except (zstandard.ZstdError, msgspec.MsgspecError, ValueError, KeyError) as error:
            if not self._resume:
                raise
            raise Refused(f"a shard of {WATCHED[dimension]} cannot be read ({error}): {WAY_OUT}") from error
        self._resume = None
        if self._saving is not None and self._folder is not None:
            self._log = ShardLog(self._folder, dimension, number)
        return self._shard

    def _settle(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None

    def on_eof(self) -> tuple[list[tuple[str, Assessing | Assessed]], bool]:
        """Nothing: what is open stays open (a finite input ends with an item that closes it)."""
        return [], StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """The shard's state."""
        if self._saving is None:
            return b""
        if self._shard is None:
            return self._resume or b""
        if not self._moved:  # at the end of the input all are asked
            self._saving.moved(self)
        self._saving.begin()
        assert self._saved is not None
        saved, self._saved, self._moved = self._saved.result(), None, False
        return saved

    def begin_save(self, threads: Executor) -> None:
        """Begin what `snapshot` waits for; until it has, the shard may not be touched."""
        assert self._shard is not None
        self._settle()
        self._saved = threads.submit(self._save, self._shard)

    def _save(self, shard: Shard) -> bytes:
        if self._log is None:
            return packed(shard.snapshot())
        if self._log.due:
            self._seen = Changes()
        return self._log.append(changes(shard, self._seen))


def elsewhere(saved: bytes, log: Path) -> bytes:
    """What a shard has saved, without the positions that it was at, and without need of the log.

    Raises
    ------
    Refused
        The log is damaged.
    """
    return packed(without_positions(state_of(saved, log))) if saved else saved
