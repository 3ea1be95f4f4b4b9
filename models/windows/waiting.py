"""Rows of a batch as one dimension needs them, and those that have to wait for open panes to move."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.base import DIMENSIONS, IP, USER
from models.event import EventBatch
from models.kernels.arrive import RowArrays
from models.kernels.open_minutes import CallArrays
from models.windows.joint import counted_only


@dataclass(slots=True)
class Waiting:
    """Rows too far ahead of the open panes, kept until those have moved."""

    rows: RowArrays
    done: NDArray[np.bool_]
    calls: CallArrays


def row_arrays(batch: EventBatch, dimension: int, rows: NDArray[np.int64]) -> RowArrays:
    """What one dimension needs of a batch, copied only where it does not lie in one piece: kernels rely on that."""
    other = USER if dimension == IP else IP
    return RowArrays(
        rows=rows,
        entity=np.ascontiguousarray(batch.entity[dimension]),
        other=np.ascontiguousarray(batch.entity[other]),
        target=batch.target,
        place=batch.place,
        flags=batch.flags if dimension < len(DIMENSIONS) else counted_only(batch, dimension),
        counts=batch.counts,
        names=batch.names,
        name_start=np.ascontiguousarray(batch.name_start[dimension]),
        name_length=np.ascontiguousarray(batch.name_length[dimension]),
        tenant_start=np.ascontiguousarray(batch.name_start[0]),
        tenant_length=np.ascontiguousarray(batch.name_length[0]),
        entities=np.ascontiguousarray(batch.entity),
        marks=batch.marks,
        hashes=np.ascontiguousarray(batch.hashes),
        numbers=np.ascontiguousarray(batch.numbers),
    )


def call_arrays(batch: EventBatch) -> CallArrays:
    """What of a batch's rows only behaviour needs."""
    return CallArrays(batch.method, batch.action, batch.outcome, batch.status)


def wait(columns: RowArrays, calls: CallArrays, rows: NDArray[np.int64]) -> Waiting:
    """A copy of some rows that does not hold on to their batch."""
    lengths = columns.name_length[rows], columns.tenant_length[rows]
    pieces = [
        columns.names[int(a) : int(a) + int(n)]
        for start, length in zip((columns.name_start, columns.tenant_start), lengths, strict=True)
        for a, n in zip(start[rows], length, strict=True)
    ]
    ends = np.cumsum(np.concatenate(lengths).astype(np.int64))
    starts = ends - np.concatenate(lengths)
    n = len(rows)
    copy = RowArrays(
        rows=np.arange(n),
        entity=columns.entity[rows],
        other=columns.other[rows],
        target=columns.target[rows],
        place=columns.place[rows],
        flags=columns.flags[rows],
        counts=columns.counts[rows],
        names=np.concatenate(pieces) if pieces else np.empty(0, np.uint8),
        name_start=starts[:n],
        name_length=lengths[0],
        tenant_start=starts[n:],
        tenant_length=lengths[1],
        entities=np.ascontiguousarray(columns.entities[:, rows]),
        marks=columns.marks[rows] if len(columns.marks) else columns.marks,
        hashes=np.ascontiguousarray(columns.hashes[:, rows]),
        numbers=np.ascontiguousarray(columns.numbers[:, rows]),
    )
    return Waiting(
        copy,
        np.zeros(n, np.bool_),
        CallArrays(calls.method[rows], calls.action[rows], calls.outcome[rows], calls.status[rows]),
    )
