"""Which tree each tenant's rows grow in, and how far each log has come there."""

from collections.abc import Sequence
from typing import Final

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
        size = self._sizes.get((tree, log))
        if size is None:
            size = self._store.size(tree, log)
        self._sizes[tree, log] = size + 1
        self._changed.add((tree, log))
        return tree, size

    def take(self, tenants: Sequence[str], log: str) -> tuple[list[str], list[int]]:
        """The trees and leaves of the next rows of a log, given their tenants."""
        where = [self.next(tenant, log) for tenant in tenants]
        return [tree for tree, _ in where], [leaf for _, leaf in where]

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
