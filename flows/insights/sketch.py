"""Who was there, in bounded room: the least of the subjects' random ids, exact up to a size, a fair sample beyond."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint64]
_SPAN: Final = float(2**64)


def packed(ids: Ids, most: int) -> bytes:
    """The least `most` of some ids, as they are kept.

    Ids are drawn at random (a subject's are), so the least of them are a sample that nobody chooses, and two sets that
    share people share them in their samples too: what is counted of both together is counted of the same people
    (bottom-k sketch, Cohen and Kaplan 2007). Union is associative, and nothing is counted twice.
    """
    return np.unique(ids)[:most].astype("<u8").tobytes()


def unpacked(sketch: bytes) -> Ids:
    """The ids in a sketch, the least first."""
    return np.frombuffer(sketch, "<u8").astype(np.uint64)


def union(sketches: Iterable[bytes], most: int) -> bytes:
    """The sketch of all that several are of.

    >>> one, other = packed(np.array([3, 1], np.uint64), 2), packed(np.array([2, 3], np.uint64), 2)
    >>> unpacked(union([one, other], 2)).tolist()
    [1, 2]
    """
    parts = [unpacked(sketch) for sketch in sketches]
    return packed(np.concatenate(parts), most) if parts else b""


def reach(ids: Ids, most: int) -> float:
    """Below which id a sketch knows everybody."""
    return float(ids[most - 1]) if len(ids) >= most else _SPAN


def known(ids: Ids, limit: float) -> Ids:
    """The ids below a limit, which several sketches know everybody up to.

    >>> known(np.array([7, 9], np.uint64), 9.0).tolist()
    [7]
    """
    return ids if limit >= _SPAN else ids[ids < np.uint64(int(limit))]
