"""`assess`: one shard's state, fed with its slices."""

from collections.abc import Callable

import zstandard
from bytewax.operators import StatefulBatchLogic

from models.windows.shard import Shard
from models.windows.slice import Slice, SliceScores

MakeShard = Callable[[int, bytes | None], Shard]
"""A shard of a dimension, new or as a snapshot says."""


class Assess(StatefulBatchLogic[Slice, tuple[str, SliceScores], bytes]):
    """Passes slices to the shard, and keeps its state for recovery.

    The snapshot is the shard's own bytes, compressed; without recovery Bytewax asks for it all the same, so `kept`
    says whether anybody will read it.
    """

    def __init__(self, make: MakeShard, kept: bool, resume: bytes | None) -> None:
        self._make = make
        self._shard: Shard | None = None
        self._kept = kept
        self._resume = resume or None

    def on_batch(self, values: list[Slice]) -> tuple[list[tuple[str, SliceScores]], bool]:
        """Assess slices in the order of their arrival."""
        # Bytewax does not say for which key a logic is built: the first slice does.
        shard = self._shard or self._begin(values[0].dimension)
        return [(piece.batch.source, shard.assess(piece)) for piece in values], StatefulBatchLogic.RETAIN

    def _begin(self, dimension: int) -> Shard:
        state = zstandard.ZstdDecompressor().decompress(self._resume) if self._resume else None
        self._shard, self._resume = self._make(dimension, state), None
        return self._shard

    def on_eof(self) -> tuple[list[tuple[str, SliceScores]], bool]:
        """Nothing: what is open stays open (a finite input ends with an item that closes it)."""
        return [], StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """The shard's state."""
        if not self._kept:
            return b""
        if self._shard is None:
            return self._resume or b""
        return zstandard.ZstdCompressor(level=1).compress(self._shard.snapshot())
