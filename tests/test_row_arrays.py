"""What kernels are handed lies in one piece: they are called without a look at it (models/kernels/direct.py)."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from models.base import DIMENSIONS
from models.windows.waiting import row_arrays


@pytest.mark.parametrize("dimension", range(len(DIMENSIONS)))
def test_columns_of_any_layout_arrive_in_one_piece(dimension: int) -> None:
    n = 7
    table = np.arange(4 * n).reshape(n, 4).T  # as fancy indexing of the second axis may leave it
    one: Any = np.arange(n)
    batch: Any = SimpleNamespace(
        entity=table.astype(np.uint64, order="K"), name_start=table, name_length=table.astype(np.int32, order="K"),
        target=one, place=one, flags=one, counts=one, names=one, marks=one, hashes=table, numbers=table,
    )  # fmt: skip
    assert not batch.entity[dimension].flags.c_contiguous
    found = row_arrays(batch, dimension, np.arange(n))
    assert all(column.flags.c_contiguous for column in found)
    assert found.entity.tolist() == table[dimension].tolist()
    assert found.tenant_start.tolist() == table[0].tolist()
