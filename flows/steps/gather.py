"""`gather`: the slices of a batch become one scored batch again."""

from dataclasses import MISSING, dataclass, fields
from typing import Any

import numpy as np
from bytewax.operators import StatefulBatchLogic
from numpy.typing import NDArray

from flows.drift import NO_SHARES, Shares, shares
from flows.steps.assess import Assessed, Assessing
from models.base import DIMENSIONS
from models.event import EventBatch, ScoredBatch
from models.kernels.arrive import ScoreArrays
from models.thresholds.risk import risk
from models.windows.slice import ClosedWindows, Finding, SliceScores

UIDS_SHOWN = 4
_NO_ROWS: dict[str, Any] = {
    field.name: np.empty(0)
    for field in fields(EventBatch)
    if field.default_factory is MISSING and "ndarray" in str(field.type)
}
_NO_SCORES: dict[str, Any] = {field.name: np.empty(0) for field in fields(ScoredBatch) if field.name != "batch"}


@dataclass(slots=True)
class Gathered:
    """All that one batch has brought. `passed` is the first base pane that some shard has not closed.

    `heads` are the shards' counters (`models.kernels.layout`), by (dimension, shard), `shares` how many of its events
    are strange.
    """

    scored: ScoredBatch
    passed: int
    findings: list[Finding]
    windows: list[ClosedWindows]
    heads: dict[tuple[int, int], NDArray[np.int64]]
    shares: Shares = NO_SHARES

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process goes what decides there: findings, the time and how many are strange, no rows."""
        batch = self.scored.batch
        said = batch.source, batch.sources, batch.number, batch.reached, batch.watermark, batch.idle
        return _arrived, (said, self.passed, self.findings, self.shares)


def _arrived(said: tuple[Any, ...], passed: int, findings: list[Finding], found: Shares) -> Gathered:
    source, sources, number, reached, watermark, idle = said
    batch = EventBatch(
        source=source, sources=sources, number=number, first=reached, reached=reached, watermark_before=watermark,
        watermark=watermark, idle=idle, **_NO_ROWS,
    )  # fmt: skip
    return Gathered(ScoredBatch(batch=batch, **_NO_SCORES), passed, findings, [], {}, found)


@dataclass(slots=True, frozen=True)
class Home:
    """A batch and its scores, where they stay while slices of it are assessed in other processes too."""

    number: int
    batch: EventBatch
    scores: ScoreArrays


class Gather(StatefulBatchLogic[Assessing | Assessed | Home, Gathered, list[object]]):
    """Waits for the slices of each batch of one source, of four dimensions and those that are `joint`.

    If its slices are `spread` over processes the batch itself comes beside them, as `Home`; else one slice brings it.

    Every slice of an item is assessed in the epoch of the item, so at an epoch's end nothing waits here. If something
    does, a batch would be lost by a restart: that is a bug, and stops the process.
    """

    def __init__(self, shards: int, joint: int = 0, spread: bool = False) -> None:
        self._slices = shards * (len(DIMENSIONS) + joint)
        self._spread = spread
        self._waiting: dict[int, list[Assessing | Assessed]] = {}
        self._homes: dict[int, Home] = {}

    def on_batch(self, values: list[Assessing | Assessed | Home]) -> tuple[list[Gathered], bool]:
        """Give each batch whose last slice has come."""
        out = []
        for piece in values:
            pieces = self._waiting.setdefault(piece.number, [])
            if isinstance(piece, Home):
                self._homes[piece.number] = piece
            else:
                pieces.append(piece)
            if len(pieces) == self._slices and (not self._spread or piece.number in self._homes):
                del self._waiting[piece.number]
                pieces[-1].result()  # the last to be done, mostly: one wait is shorter than many
                out.append(gather([one.result() for one in pieces], self._homes.pop(piece.number, None)))
        return out, StatefulBatchLogic.RETAIN

    def snapshot(self) -> list[object]:
        """Nothing, or an error."""
        if self._waiting:
            raise RuntimeError(f"{len(self._waiting)} batches are not complete at the end of an epoch")
        return []


def gather(pieces: list[SliceScores], home: Home | SliceScores | None = None) -> Gathered:
    """One scored batch of the slices of all shards and dimensions; `home` has the batch, if no slice brings it."""
    home = home or next(piece for piece in pieces if piece.batch is not None)
    batch, scores = home.batch, home.scores
    assert batch is not None
    for piece in pieces:
        if piece.scores is not scores:  # assessed in another process
            at = piece.dimension, piece.rows
            for name in scores._fields:
                if len(column := getattr(piece.scores, name)):
                    getattr(scores, name)[at] = column
    uid_from, uids, more = _uids(batch, pieces)
    severity = scores.severity  # of joint entities too
    if len(scores.score) > len(DIMENSIONS):
        scores = ScoreArrays._make(column[: len(DIMENSIONS)] for column in scores)
    scored = ScoredBatch(
        batch=batch,
        feature=scores.feature,
        score=scores.score,
        quantile=scores.quantile,
        z=scores.z,
        expected=scores.expected,
        observed=scores.observed,
        risk=risk(scores.quantile, severity),
        uid_from=uid_from,
        uids=uids,
        uids_more=more,
    )
    for piece in pieces:
        for window in piece.windows:
            window.shard = piece.shard
    return Gathered(
        scored=scored,
        passed=min(piece.passed for piece in pieces),
        findings=[finding for piece in pieces for finding in piece.findings],
        windows=[window for piece in pieces for window in piece.windows],
        heads={(piece.dimension, piece.shard): piece.head for piece in pieces},
        shares=shares(batch, scores.quantile),
    )


def _uids(batch: EventBatch, pieces: list[SliceScores]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The open incidents of each row as (uid_from, uids, how many more), smallest first, at most four."""
    n = len(batch)
    more = np.zeros(n, np.int32)
    marked = [piece for piece in pieces if len(piece.uid_rows)]
    if not marked:
        return np.zeros(n + 1, np.int64), np.empty(0, np.uint8), more
    rows = np.concatenate([piece.uid_rows for piece in marked])
    uids = np.concatenate([piece.uids for piece in marked])
    high, low = np.ascontiguousarray(uids).view(">u8").astype(np.uint64).T
    order = np.lexsort((low, high, rows))
    rows, uids = rows[order], uids[order]
    count = np.bincount(rows, minlength=n)
    rank = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    more[:] = np.maximum(count - UIDS_SHOWN, 0)
    shown = np.minimum(count, UIDS_SHOWN)
    return np.concatenate([[0], np.cumsum(shown)]).astype(np.int64), uids[rank < UIDS_SHOWN].reshape(-1), more
