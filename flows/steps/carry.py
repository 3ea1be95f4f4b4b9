"""`carry`: a batch's slices travel to each other process together, so that what they share travels once."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from bytewax.operators import StatefulBatchLogic
from numpy.typing import NDArray

from flows.connectors.board import Board
from flows.steps.gather import Home
from flows.steps.packed import Packed, pack, trimmed, unpack
from flows.steps.routing import key_at, worker_of
from flows.steps.split import split
from models.base import DIMENSIONS, TENANT
from models.event import EventBatch
from models.windows.slice import Slice, unknown

_PLAIN: Final = (
    "offset", "index", "time", "place", "flags", "counts", "action", "outcome", "status", "method", "target", "marks",
    "hashes", "numbers",
)  # fmt: skip
"""Columns of a batch that shards read as they are."""
_MOMENT_S: Final = 0.003
_SOON: Final = timedelta(milliseconds=20)
_NONE: Final = np.empty(0, np.uint8)


@dataclass(slots=True, frozen=True)
class Place:
    """Which of how many processes this is, and the board on which its partitions and the others' stand."""

    number: int
    count: int
    board: Board


@dataclass(slots=True)
class Bundle:
    """The slices of a batch for the shards of one process, each with its key. `home` is there in the batch's own.

    `front` is where the batch's partition stands on its process' board.
    """

    origin: int
    front: int
    batch: EventBatch
    slices: list[tuple[str, Slice]]
    home: Home | None
    packed: tuple[Any, ...] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The engine pickles everything twice, once to know its length.
        self.packed = self.packed or self._pack()
        return _opened, self.packed

    def _pack(self) -> tuple[Any, ...]:
        batch = self.batch
        rows = np.concatenate([piece.rows for _, piece in self.slices]).astype(np.int32)
        shares = [(key, piece.dimension, piece.shard, len(piece.rows)) for key, piece in self.slices]
        first = any(piece.dimension == TENANT and piece.shard == 0 for _, piece in self.slices)
        wanted = sorted({*range(len(DIMENSIONS)), *(piece.dimension for _, piece in self.slices)})
        shown, length = batch.shown
        start, buffer = trimmed(batch.buffer, shown, length)
        name_length = batch.name_length[wanted]
        name_start, names = trimmed(batch.names, batch.name_start[wanted], name_length)
        columns = [getattr(batch, name) for name in _PLAIN]
        columns += [batch.entity[wanted], name_start, name_length, names, start, length, buffer, rows]
        letters = (batch.dead, batch.dead_place) if first else ((), batch.dead_place[:0])
        said = (
            batch.source, batch.sources, batch.number, batch.first, batch.reached, batch.watermark_before,
            batch.watermark, batch.idle,
        )  # fmt: skip
        return self.origin, self.front, said, len(batch.entity), wanted, pack(columns), letters, shares


def bundles(batch: EventBatch, shards: int, joint: Mapping[int, np.uint64], place: Place) -> list[tuple[str, Bundle]]:
    """A bundle for every process: each has a shard of something, if only to hear the watermark."""
    slices = split(batch, shards, joint)
    whole, scores = slices[0][1].batch, slices[0][1].scores
    for_worker: list[list[tuple[str, Slice]]] = [[] for _ in range(place.count)]
    for key, piece in slices:
        for_worker[worker_of(key, place.count)].append((key, piece))
    home, front = Home(batch.number, batch, scores), place.board.at(batch.source)
    return [
        (
            key_at("carry", worker, place.count),
            Bundle(place.number, front, whole, mine, home if worker == place.number else None),
        )
        for worker, mine in enumerate(for_worker)
        if mine or worker == place.number
    ]


class Carry(StatefulBatchLogic[Bundle, tuple[str, Slice | Home], list[object]]):
    """Takes bundles apart where they have arrived. `origins` is told where each source is read.

    It also waits where an epoch ends. Processes end one together: shards are saved, transactions committed, and all
    have to hear of it. Meanwhile Bytewax polls no partition, but a worker with one that is due asks again and again
    whether it may, and takes a core from those who save. So each of its turns waits a moment here, unless it had
    something to do.
    """

    def __init__(self, place: Place, origins: dict[str, int]) -> None:
        self._place, self._origins = place, origins
        self._asked = 0.0

    def on_batch(self, values: list[Bundle]) -> tuple[list[tuple[str, Slice | Home]], bool]:
        """Give the slices, each under the key of its shard."""
        out: list[tuple[str, Slice | Home]] = []
        for bundle in values:
            source = bundle.batch.source
            self._origins[source] = bundle.origin
            if bundle.origin != self._place.number:
                self._place.board.heard(source, bundle.front)
            out += bundle.slices
            if bundle.home is not None:
                out.append((gather_key(source, bundle.origin, self._place.count), bundle.home))
        return out, StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[list[tuple[str, Slice | Home]], bool]:
        """A turn of the worker."""
        if self._place.board.pulse.ending and time.monotonic() - self._asked < _MOMENT_S:
            time.sleep(_MOMENT_S)
        self._asked = time.monotonic()
        return [], StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime:
        """With the next turn while an epoch ends, else soon: nobody says when it will."""
        return datetime.now(UTC) + (timedelta() if self._place.board.pulse.ending else _SOON)

    def snapshot(self) -> list[object]:
        """Nothing: what has arrived is passed on at once."""
        return []


def gather_key(source: str, origin: int, workers: int) -> str:
    """The key under which a source's batches are gathered in the process that reads it."""
    return key_at(source, origin, workers)


def _opened(
    origin: int,
    front: int,
    said: tuple[Any, ...],
    dimensions: int,
    wanted: list[int],
    packed: Packed,
    letters: tuple[tuple[Any, ...], NDArray[np.int64]],
    shares: list[tuple[str, int, int, int]],
) -> Bundle:
    """A bundle that comes from another process."""
    columns = unpack(packed)
    plain: dict[str, Any] = dict(zip(_PLAIN, columns, strict=False))
    entity, name_start, name_length, names, start, length, buffer, rows = columns[len(_PLAIN) :]
    wide: dict[str, Any] = {"entity": entity, "name_start": name_start.astype(np.int64), "name_length": name_length}
    if len(wanted) < dimensions:
        wide = {name: _widened(column, wanted, dimensions) for name, column in wide.items()}
    source, sources, number, first, reached, before, watermark, idle = said
    none = np.empty(0, np.int64)
    batch = EventBatch(
        source=source, sources=sources, number=number, first=first, reached=reached, watermark_before=before,
        watermark=watermark, idle=idle, buffer=buffer, start=start.astype(np.int64), length=length,
        note_start=none, note_length=none.astype(np.int32), reason=_NONE, names=names,
        dead=letters[0], dead_place=letters[1], **wide, **plain,
    )  # fmt: skip
    scores, at, slices = unknown(len(batch), dimensions), 0, []
    all_rows = rows.astype(np.int64)
    for key, dimension, shard, count in shares:
        slices.append((key, Slice(batch, dimension, shard, all_rows[at : at + count], scores)))
        at += count
    return Bundle(origin, front, batch, slices, None)


def _widened(column: NDArray[Any], wanted: list[int], dimensions: int) -> NDArray[Any]:
    wide = np.zeros((dimensions, column.shape[1]), column.dtype)
    wide[wanted] = column
    return wide
