"""`spread`: slices go to the processes that have their shards, and what is said of them to where their batch is."""

from collections.abc import Callable

import bytewax.operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream

from flows.steps.assess import Assessed, Assessing
from flows.steps.carry import Bundle, Carry, Place, gather_key
from flows.steps.gather import Home
from models.event import EventBatch
from models.windows.slice import Slice

Piece = Assessing | Assessed


def spread(
    batches: Stream[EventBatch],
    bundled: Callable[[EventBatch], list[tuple[str, Bundle]]],
    assess: Callable[[KeyedStream[Slice]], KeyedStream[tuple[str, Piece]]],
    place: Place,
) -> KeyedStream[Piece | Home]:
    """The pieces of all batches, each under a key of the process that reads the batch's source: there it has stayed."""
    origins: dict[str, int] = {}
    carried = op.stateful_batch("carry", op.flat_map("split", batches, bundled), lambda resume: Carry(place, origins))
    by_shard = op.map("by_shard", carried, lambda item: item[1])

    def homeward(item: tuple[str, tuple[str, Piece]]) -> tuple[str, Piece | Home]:
        source, piece = item[1]
        return gather_key(source, origins[source], place.count), piece

    homes: KeyedStream[Piece | Home] = op.flat_map("homes", by_shard, _homes)
    slices = op.flat_map("slices", by_shard, _slices)
    return op.merge("home", op.map("by_source", assess(slices), homeward), homes)


def _homes(item: tuple[str, Slice | Home]) -> list[tuple[str, Piece | Home]]:
    key, piece = item
    return [(key, piece)] if isinstance(piece, Home) else []


def _slices(item: tuple[str, Slice | Home]) -> list[tuple[str, Slice]]:
    key, piece = item
    return [(key, piece)] if isinstance(piece, Slice) else []
