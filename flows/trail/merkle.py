"""RFC 9162 Merkle trees: roots that grow with their leaves, and proofs that a leaf is in them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

EMPTY: Final = hashlib.sha256(b"").digest()
"""The root of no leaves."""
HASH_BYTES: Final = 32
BLOCK: Final = 8
"""Leaves are hashed together 2^8 at a time: a block, whose hash a range can remember."""
_sha256 = hashlib.sha256

Subtree = Callable[[int, int], bytes]
"""The hash of the leaves from one number to before another."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162, 2.1.1: SHA-256 of a one and the hashes of both children."""
    return _sha256(b"\x01" + left + right).digest()


class Range:
    """The leaves `begin` to before `end` of a tree, as the hashes of the largest whole subtrees that they make.

    From the first leaf on it is the tree's frontier: all that it takes to go on, and to give the root. At most
    2 log2(end) hashes, whatever the size. A leaf costs about 0.6 microseconds, taken many at a time.

    Parameters
    ----------
    begin, end : leaves, counted from 0.
    nodes : the subtrees' hashes, from left to right, as `nodes` of another range gave them.

    `blocks` may be set to a list: the hash of every block that becomes whole is then added to it.

    Raises
    ------
    ValueError
        The hashes are not as many, or not as long, as such a range has.

    Examples
    --------
    >>> whole, begun = Range(), Range()
    >>> leaves = [hashlib.sha256(bytes([n])).digest() for n in range(7)]
    >>> whole.extend(leaves)
    >>> begun.extend(leaves[:3])
    >>> rest = Range(3)
    >>> rest.extend(leaves[3:])
    >>> begun.join(rest)
    >>> begun.root() == whole.root(), len(whole.nodes)
    (True, 3)
    """

    __slots__ = ("begin", "blocks", "end", "nodes")

    def __init__(self, begin: int = 0, end: int | None = None, nodes: Iterable[bytes] = ()) -> None:
        self.begin, self.end = begin, begin if end is None else end
        self.nodes = list(nodes)
        self.blocks: list[bytes] | None = None
        levels = sum(1 for _ in _levels(self.begin, self.end))
        if not 0 <= self.begin <= self.end or len(self.nodes) != levels or {*map(len, self.nodes)} - {HASH_BYTES}:
            raise ValueError("not the hashes of such a range")

    def extend(self, hashes: Sequence[bytes]) -> None:
        """Add leaves, by their hashes, at the end."""
        self.extend_by(b"".join(hashes), whole)

    def extend_by(self, hashes: bytes, subtree: Callable[[bytes], bytes]) -> None:
        """As `extend`, the hashes one behind the other; with what does the same as `whole`."""
        at, count = 0, len(hashes) // HASH_BYTES
        while at < count:
            level = min(BLOCK, _trailing_zeros(self.end), (count - at).bit_length() - 1)
            some = hashes[at * HASH_BYTES : (at + (1 << level)) * HASH_BYTES]
            self._push(level, subtree(some) if level else some)
            at += 1 << level

    def join(self, after: "Range") -> None:
        """Add the leaves of a range that begins where this one ends.

        Raises
        ------
        ValueError
            It begins elsewhere.
        """
        if after.begin != self.end:
            raise ValueError(f"a range from {after.begin} does not follow one to {self.end}")
        for level, node in zip(_levels(after.begin, after.end), after.nodes, strict=True):
            self._push(level, node)

    def root(self) -> bytes:
        """The hash over all of it; of the tree, where it begins with the first leaf."""
        if not self.nodes:
            return EMPTY
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = node_hash(node, root)
        return root

    def whole_blocks(self) -> "Range":
        """The beginning of a tree without the leaves behind its last whole block."""
        rest = (self.end & (1 << BLOCK) - 1).bit_count()
        return Range(0, self.end >> BLOCK << BLOCK, self.nodes[: len(self.nodes) - rest])

    def take_blocks(self, blocks: Iterable[bytes]) -> None:
        """Add whole blocks, by their hashes, behind whole blocks."""
        for block in blocks:
            self._push(BLOCK, block)

    def _push(self, level: int, node: bytes) -> None:
        index = self.end >> level
        self.end += 1 << level
        while True:
            if level == BLOCK and self.blocks is not None:
                self.blocks.append(node)
            if not index & 1 or (index - 1) << level < self.begin:
                break
            node = node_hash(self.nodes.pop(), node)
            index, level = index >> 1, level + 1
        self.nodes.append(node)


def subtrees(before: Range, hashes: Sequence[bytes | None], others: Iterable[Range] = ()) -> Subtree:
    """The subtrees of a tree of which the first leaves are known as a frontier, and the others by their hashes.

    Enough for proofs about those others. Where a hash is missing, one of the `others` stands for it.

    Raises
    ------
    ValueError
        By the function that is given back: too little is known.
    """
    known: dict[tuple[int, int], bytes] = {}
    for some in (before, *others):
        at = some.begin
        for level, node in zip(_levels(some.begin, some.end), some.nodes, strict=True):
            known[at, at + (1 << level)] = node
            at += 1 << level

    def subtree(begin: int, end: int) -> bytes:
        if begin >= before.end:
            there = hashes[begin - before.end : end - before.end]
            whole = [hash_ for hash_ in there if hash_ is not None]
            if len(whole) == end - begin:
                some = Range(begin)
                some.extend(whole)
                return some.root()
        node = known.get((begin, end))
        if node is None:
            if end - begin < 2:
                raise ValueError(f"leaf {begin} is missing")
            middle = begin + _split(end - begin)
            node = node_hash(subtree(begin, middle), subtree(middle, end))
        return node

    return subtree


def inclusion(leaf: int, size: int, subtree: Subtree) -> list[bytes]:
    """RFC 9162, 2.1.3.1: the path from a leaf to the root of a tree of so many.

    Raises
    ------
    ValueError
        The tree has no such leaf.
    """
    if not 0 <= leaf < size:
        raise ValueError(f"no leaf {leaf} in a tree of {size}")
    begin, end, path = 0, size, []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if leaf < middle:
            path.append(subtree(middle, end))
            end = middle
        else:
            path.append(subtree(begin, middle))
            begin = middle
    return path[::-1]


def is_included(hash_: bytes, leaf: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2: whether a path leads from a leaf's hash to the root."""
    if not 0 <= leaf < size:
        return False
    at, last = leaf, size - 1
    for node in path:
        if not last:
            return False
        if at & 1 or at == last:
            hash_ = node_hash(node, hash_)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            hash_ = node_hash(hash_, node)
        at, last = at >> 1, last >> 1
    return not last and hash_ == root


def whole(nodes: bytes) -> bytes:
    """The hash of a whole subtree from those of its leaves, two or another power of it, one behind the other."""
    pair = 2 * HASH_BYTES
    while len(nodes) > HASH_BYTES:
        nodes = b"".join(_sha256(b"\x01" + nodes[at : at + pair]).digest() for at in range(0, len(nodes), pair))
    return nodes


def _levels(begin: int, end: int) -> Iterator[int]:
    """The heights of the largest whole subtrees that leaves make, from left to right."""
    while begin < end:
        level = min(_trailing_zeros(begin), (end - begin).bit_length() - 1)
        yield level
        begin += 1 << level


def _trailing_zeros(number: int) -> int:
    return (number & -number).bit_length() - 1 if number else 64


def _split(count: int) -> int:
    """The largest power of two below a count."""
    return 1 << (count - 1).bit_length() - 1
