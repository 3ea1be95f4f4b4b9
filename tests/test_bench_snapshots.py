"""The benchmark of snapshots runs, and what it counts is there."""

from benchmarks.snapshots import measure
from flows.kernels_cache import load_numba
from models.kernels.layout import RECORD


def test_what_an_epoch_writes() -> None:
    load_numba()
    found = measure(2_000, 0.1, 1.0)
    assert found.entities == 2_002  # half addresses, half accounts; a tenant and an endpoint
    assert 0 < found.active <= found.entities
    assert found.touched >= 4
    assert found.first.plain_bytes > found.entities * RECORD.itemsize > found.first.bytes > 0
    assert found.first.plain_bytes > found.later.plain_bytes > 200 * RECORD.itemsize
    assert found.first.bytes > found.later.bytes > 0
    assert found.later.stall_s > found.later.longest_s > 0
    assert found.reading_s > 0
