"""Merkle trees against the published roots, and against the definition, slowly."""

import hashlib
from binascii import unhexlify

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.trail.merkle import EMPTY, Range, inclusion, is_included, subtrees

LEAVES = [
    unhexlify(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""The leaves and roots with which implementations of Certificate Transparency are tested."""


def leaf_hash(leaf: bytes) -> bytes:
    """RFC 9162, 2.1.1, of a leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def naive(hashes: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, as it stands there, over leaves' hashes."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return hashlib.sha256(b"\x01" + naive(hashes[:half]) + naive(hashes[half:])).digest()


def made(count: int) -> list[bytes]:
    return [leaf_hash(number.to_bytes(4, "big")) for number in range(count)]


def test_published_roots() -> None:
    tree = Range()
    assert tree.root() == EMPTY == unhexlify(ROOTS[0])
    for leaf, root in zip(LEAVES, ROOTS[1:], strict=True):
        tree.extend([leaf_hash(leaf)])
        assert tree.root().hex() == root


@pytest.mark.parametrize(("leaf", "size", "lengths"), [(0, 7, 3), (3, 7, 3), (4, 7, 3), (6, 7, 2)])
def test_paths_of_the_seven_leaves_of_the_standard(leaf: int, size: int, lengths: int) -> None:
    """RFC 9162, 2.1.5: PATH(0) is [b, h, l], PATH(3) [c, g, l], PATH(4) [f, j, k], PATH(6) [i, k]."""
    a, b, c, d, e, f, j = hashes = made(7)
    g, h, i = naive([a, b]), naive([c, d]), naive([e, f])
    k, el = naive([a, b, c, d]), naive([e, f, j])
    wanted = {0: [b, h, el], 3: [c, g, el], 4: [f, j, k], 6: [i, k]}
    assert inclusion(leaf, size, subtrees(Range(), hashes)) == wanted[leaf]
    assert len(wanted[leaf]) == lengths


@given(st.integers(0, 3000), st.data())
def test_grows_as_the_definition_says(size: int, data: st.DataObject) -> None:
    hashes = made(size)
    cuts = sorted(data.draw(st.lists(st.integers(0, size), max_size=4)))
    tree = Range()
    for begin, end in zip([0, *cuts], [*cuts, size], strict=True):
        part = Range(begin)
        part.extend(hashes[begin:end])
        if data.draw(st.booleans()):
            tree.extend(hashes[begin:end])
        else:
            tree.join(Range(begin, end, part.nodes))
    assert (tree.end, tree.root()) == (size, naive(hashes))
    assert len(tree.nodes) == size.bit_count()


@given(st.integers(1, 300), st.data())
def test_a_leaf_is_proven_and_no_other(size: int, data: st.DataObject) -> None:
    hashes = made(size)
    leaf = data.draw(st.integers(0, size - 1))
    known = data.draw(st.integers(0, leaf))
    before = Range()
    before.extend(hashes[:known])
    path = inclusion(leaf, size, subtrees(before, hashes[known:]))
    root = naive(hashes)
    assert is_included(hashes[leaf], leaf, size, path, root)
    assert not is_included(leaf_hash(b"other"), leaf, size, path, root)
    assert not is_included(hashes[leaf], size, size, path, root)
    assert not is_included(hashes[leaf], leaf, size, [*path, root], root)
    other = data.draw(st.integers(0, size - 1).filter(lambda at: at != leaf)) if size > 1 else size
    assert not is_included(hashes[leaf], other, size, path, root)
    if path:
        wrong = data.draw(st.integers(0, len(path) - 1))
        path[wrong] = leaf_hash(path[wrong])
        assert not is_included(hashes[leaf], leaf, size, path, root)


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="hashes"):
        Range(0, 3, made(3))
    with pytest.raises(ValueError, match="follow"):
        Range(0, 1, made(1)).join(Range(2))
    with pytest.raises(ValueError, match="no leaf"):
        inclusion(3, 3, subtrees(Range(), made(3)))
