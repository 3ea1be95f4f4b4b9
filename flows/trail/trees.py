"""Which tree each tenant's rows grow in, and how far each log has come there."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.trail.schema import SHARED, tree_of
from flows.trail.store import Store

MOST: Final = 64
"""Tenants with a tree of their own. Senders choose tenants, and each costs a file a commit: later ones share a tree."""


class Trees:
    """The trees of one table, as they will be when what has been numbered is appended.

    A tenant that has rows keeps its tree; a new one gets its own while there is room, and if its name makes a folder's.
    """

    def __init__(self, store: Store, most: int = MOST) -> None:
        self._store = store
        self._most = most
        self._tree: dict[str, str] = {}
        self._own = store.trees()
        self._sizes: dict[tuple[str, str], int] = {}
        self._changed: set[tuple[str, str]] = set()

    def next(self, tenant: str, log: str) -> tuple[str, int]:
        """The tree and the leaf of a tenant's next row of a log."""
        tree = self._tree.get(tenant) or self._placed(tenant)
        size = self._size(tree, log)
        self._sizes[tree, log] = size + 1
        self._changed.add((tree, log))
        return tree, size

    def take(self, tenants: Sequence[str], which: NDArray[np.int64], log: str) -> tuple[list[str], NDArray[np.int64]]:
        """The tree of each tenant, and the leaves of the next rows of a log, given which tenant is each row's."""
        trees = [self._tree.get(tenant) or self._placed(tenant) for tenant in tenants]
        names = list(dict.fromkeys(trees))
        tree = np.array([names.index(name) for name in trees], np.int64)[which]
        leaf = np.empty(len(which), np.int64)
        for number, name in enumerate(names):
            mine = np.flatnonzero(tree == number)
            size = self._size(name, log)
            leaf[mine] = np.arange(size, size + len(mine))
            self._sizes[name, log] = size + len(mine)
            self._changed.add((name, log))
        return trees, leaf

    def _size(self, tree: str, log: str) -> int:
        size = self._sizes.get((tree, log))
        return self._store.size(tree, log) if size is None else size

    def grown(self) -> dict[tuple[str, str], int]:
        """How many leaves each (tree, log) has that has got some since this was asked last."""
        sizes = {place: self._sizes[place] for place in self._changed}
        self._changed.clear()
        return sizes

    def _placed(self, tenant: str) -> str:
        tree = tree_of(tenant)
        if tree not in self._own:
            if len(self._own) >= self._most:
                tree = SHARED
            self._own.add(tree)
        if len(self._tree) >= 1 << 16:
            self._tree.clear()
        self._tree[tenant] = tree
        return tree
