"""Windows as messages say what windows.parquet says."""

import json

import numpy as np
import pyarrow as pa

from flows.formats.window_rows import window_rows
from flows.formats.windows import MEASURED, table_of
from models.base import DIMENSIONS, FEATURES
from models.kernels.levels import Levels
from models.windows.kept import no_levels
from models.windows.slice import ClosedWindows, Texts


def texts(*names: str) -> Texts:
    blobs = [name.encode() for name in names]
    return Texts(np.frombuffer(b"".join(blobs), np.uint8), np.cumsum([0, *map(len, blobs)]).astype(np.int32))


def some(dimension: int, generator: np.random.Generator) -> ClosedWindows:
    def floats(*shape: int) -> np.ndarray:
        found = generator.normal(size=(3, *shape)) * 1e3
        return np.where(generator.random(found.shape) < 0.3, np.nan, found)

    return ClosedWindows(
        dimension=dimension,
        detector='e"w\\ma',
        end=1_700_000_040_000_000,
        tenant=texts("acme", "", "ä|\n"),
        entity=texts("2001:db8::/64", 'o"brien', "\x00☃"),
        feature=generator.integers(0, len(FEATURES), 3),
        guarded=np.array([True, False, True]),
        score=floats(),
        quantile=floats(),
        expected=floats(),
        observed=floats(),
        weight=np.array([1.0, 100.0, 1e-300]),
        values=floats(len(MEASURED)),
        peaks=floats(len(MEASURED)),
        rules=("brute_force_ip", 'my "own"'),
        levels=Levels(np.array([0, 2, 2]), np.array([1, 0, 1]), np.array([2, 1, 3]), np.array([5.0, -4, 7, 0, 0, -3])),
    )


def test_as_in_parquet() -> None:
    for dimension in range(len(DIMENSIONS)):
        closed = some(dimension, np.random.default_rng(dimension))
        table = table_of([closed], "0f0f")
        assert table["levels"].null_count == 1
        plain = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in table.columns]
        expected = [
            dict(zip(table.column_names, [*row[:-1], row[-1] and dict(row[-1])], strict=True))
            for row in zip(*map(pa.Array.to_pylist, (c.combine_chunks() for c in plain)), strict=True)
        ]
        rows = [*window_rows(closed, "0f0f")]
        assert [json.loads(value) for _, value in rows] == expected
        assert [list(json.loads(value)) for _, value in rows] == [table.column_names] * 3
        assert [key.decode() for key, _ in rows] == [f"{e['tenant']}|{e['dimension']}|{e['entity']}" for e in expected]


def test_infinite_is_null() -> None:
    closed = some(0, np.random.default_rng(5))
    closed.score[:] = [np.inf, -np.inf, np.nan]
    assert [json.loads(value)["score"] for _, value in window_rows(closed, "")] == [None] * 3


def test_none_of_none() -> None:
    empty = np.empty(0)
    closed = ClosedWindows(
        0, "ewma", 60_000_000, texts(), texts(), empty.astype(np.int64), empty.astype(np.bool_), empty, empty, empty,
        empty, empty, np.empty((0, len(MEASURED))), np.empty((0, len(MEASURED))), (), no_levels(),
    )  # fmt: skip
    assert [*window_rows(closed, "")] == []
