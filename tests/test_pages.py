"""Zeroed memory on large pages: an array as numpy's, whatever the size and the system."""

import gc
import mmap
import weakref

import numpy as np
import pytest

from models.kernels import pages
from models.kernels.layout import RING, allocate_pairs, allocate_records, allocate_rings
from models.kernels.pages import LARGE, zeros


@pytest.mark.parametrize("shape", [0, 7, (3, 5), LARGE // 8 - 1, LARGE // 8, (LARGE // 8, 3), LARGE + 1])
def test_an_array_is_as_one_of_numpys(shape: int | tuple[int, ...]) -> None:
    made, plain = zeros(shape, np.int64), np.zeros(shape, np.int64)
    assert (made.shape, made.dtype, made.strides) == (plain.shape, plain.dtype, plain.strides)
    assert made.flags.writeable
    assert made.flags.c_contiguous
    assert made.flags.aligned
    assert not made.any()
    made[...] = -1
    assert (made == -1).all(), "the whole of it can be written"


def test_a_large_array_begins_on_a_large_page_and_has_structured_rows() -> None:
    made = zeros(LARGE // RING.itemsize + 1, RING)
    assert made.ctypes.data % LARGE == 0
    made[-1]["owner"] = 7
    assert made["owner"].sum() == 7


def test_its_memory_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watched(mmap.mmap):
        """One that can be watched."""

    monkeypatch.setattr(pages.mmap, "mmap", Watched)
    made = zeros(LARGE, np.uint8)
    owner = made
    while isinstance(owner, np.ndarray):
        owner = owner.base if owner.base is not None else pytest.fail("no memory of its own")
    watched = weakref.ref(owner.obj if isinstance(owner, memoryview) else owner)
    assert isinstance(watched(), Watched)
    del made, owner
    gc.collect()
    assert watched() is None


@pytest.fixture(params=["without", "refused"])
def no_large_pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no large pages, or has the word for it but refuses it."""
    monkeypatch.setattr(pages, "_ADVICE", None if request.param == "without" else -1)


@pytest.mark.usefixtures("no_large_pages")
def test_a_system_without_large_pages_has_the_same_array() -> None:
    made = zeros(LARGE // 4, np.int32)
    assert made.nbytes == LARGE
    assert not made.any()
    made[-1] = 1
    assert made.sum() == 1


def test_no_room_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        zeros(1 << 60, np.uint8)


def test_the_tables_lie_on_large_pages() -> None:
    rings = allocate_rings(10_000, 3, 0)["rings"]
    for table in (allocate_records(1 << 16), allocate_pairs(1 << 16), rings):
        assert table.nbytes > LARGE
        assert table.ctypes.data % LARGE == 0
