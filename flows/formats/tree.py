"""Paths into JSON objects, for the kernel that finds what stands there."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.formats.reads import LAST, ONLY, Path, place
from models.kernels.pick import ELEMENT, NONE, pick


class Found(NamedTuple):
    """Where each node's value stands in each row's object and what it is, and which rows are ordinary."""

    at: NDArray[np.int32]  # (rows, nodes), from the object's begin on
    size: NDArray[np.int32]
    tag: NDArray[np.uint8]
    plain: NDArray[np.bool_]


class Tree:
    """Paths as a tree; `nodes` are they and those on their way, the object itself first.

    >>> Tree([("actor", "id"), ("id",)]).nodes
    [(), ('actor',), ('actor', 'id'), ('id',)]
    """

    def __init__(self, leaves: Iterable[Path]) -> None:
        known = {path[:k] for path in leaves for k in range(len(path) + 1)}
        known |= {(*path[:-1], f"[{at}]") for path in known if path for at in range(place(path[-1]) or 0)}
        self.nodes = sorted(known)
        number = {path: at for at, path in enumerate(self.nodes)}
        found = {path[-1] for path in self.nodes[1:] if place(path[-1]) is None}
        names = sorted((name.encode() for name in found), key=lambda name: (len(name), name))
        self._names, self._ends = joined(names)
        sizes = [len(name) for name in names]
        self._lengths = np.searchsorted(sizes, np.arange(max(sizes, default=0) + 2)).astype(np.int64)
        self._steps = np.full((len(self.nodes), len(names) + 2), NONE, np.int32)
        self._last, self._inner = np.zeros((2, len(self.nodes)), np.bool_)
        self._after = np.arange(len(self.nodes), dtype=np.int32)
        self._below = np.array(
            [at + sum(one[: len(path)] == path for one in self.nodes) for at, path in enumerate(self.nodes)], np.int64
        )
        column = {name.decode(): at + 1 for at, name in enumerate(names)} | dict.fromkeys((LAST, ONLY), ELEMENT)
        for path in self.nodes[1:]:
            above, at = number[path[:-1]], place(path[-1])
            if at is not None and at > 0:
                self._after[number[(*path[:-1], f"[{at - 1}]")]] = number[path]
            else:
                self._steps[above, column[path[-1]]] = number[path]
            self._last[number[path]] = path[-1] == LAST
            self._inner[above] |= at is None

    def pick(
        self, buffer: NDArray[np.uint8], begin: NDArray[np.int64], extent: NDArray[np.int32], rows: NDArray[np.int64]
    ) -> Found:
        """What stands at the nodes in the objects of some rows, which must be JSON."""
        shape = len(rows), len(self.nodes)
        at, size, tag = np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.uint8)
        plain = pick(
            buffer, begin, extent, rows, self._names, self._ends, self._lengths, self._steps, self._inner,
            self._last, self._after, self._below, at, size, tag,
        )  # fmt: skip
        return Found(at, size, tag, plain)


def joined(words: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Words one after another, and where each ends."""
    return np.frombuffer(b"".join(words), np.uint8), np.cumsum([len(word) for word in words], dtype=np.int64)
