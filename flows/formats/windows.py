"""Closed learning windows as an Arrow table: the columns of `windows.parquet`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.base import DIMENSIONS, FEATURES
from models.windows.slice import ClosedWindows, Texts

MEASURED: Final = tuple(feature for feature in FEATURES if feature != "behaviour")
"""The features that a window has a value of; `behaviour` is a score, not a measure."""

MINUTE_US: Final = 60_000_000
_TIME = pa.timestamp("us", tz="UTC")
LEVELS: Final = pa.map_(pa.string(), pa.list_(pa.float64()))

SCHEMA: Final = pa.schema([
    pa.field("tenant", pa.string(), nullable=False),
    pa.field("dimension", pa.string(), nullable=False),
    pa.field("entity", pa.string(), nullable=False),
    pa.field("detector", pa.string(), nullable=False),
    pa.field("start", _TIME, nullable=False),
    pa.field("end", _TIME, nullable=False),
    pa.field("score", pa.float64()),
    pa.field("quantile", pa.float64()),
    pa.field("guarded", pa.bool_(), nullable=False),
    pa.field("expected", pa.float64()),
    pa.field("observed", pa.float64()),
    pa.field("sample_weight", pa.float64(), nullable=False),
    pa.field("config_hash", pa.string(), nullable=False),
    pa.field("feature", pa.string()),
    *(pa.field(feature, pa.float64()) for feature in MEASURED),
    *(pa.field(f"peak_{feature}", pa.float64()) for feature in MEASURED),
    pa.field("levels", LEVELS),
])  # fmt: skip
"""One row for each kept learning window of an entity. Null is not known, or not a feature of the dimension.

`feature` names what stood out most: `score`, `expected` and `observed` are of it. `levels` has, by the id of a
detection that counts, what `models.kernels.levels.Levels` says; it is null where none reached half its limit.
"""


def table(columns: Mapping[str, NDArray[Any] | Sequence[Any]]) -> pa.Table:
    """The columns as a table of `SCHEMA`.

    A feature that is not given is null throughout. NaN in a column of floats is null. `start` and `end` are
    microseconds UTC. `tenant`, `dimension`, `detector` and `config_hash` may be one string for all rows.

    Raises
    ------
    KeyError
        A column that may not be null is missing.
    ValueError
        The columns differ in length, or one is not in the schema.

    >>> rows = table({"tenant": "acme", "dimension": "ip", "entity": ["a", "b"], "detector": "ewma",
    ...               "start": [0, 60_000_000], "end": [60_000_000, 120_000_000], "quantile": [float("nan"), 0.5],
    ...               "guarded": [False, False], "sample_weight": [1.0, 100.0], "config_hash": "00"})
    >>> rows["quantile"].to_pylist(), rows["events_1m"].null_count
    ([None, 0.5], 2)
    """
    if unknown := set(columns) - set(SCHEMA.names):
        raise ValueError(f"not columns of a window: {', '.join(sorted(unknown))}")
    rows = len(columns["entity"])
    return pa.Table.from_arrays([_column(field, columns, rows) for field in SCHEMA], schema=SCHEMA)


def table_of(closed: Sequence[ClosedWindows], config_hash: str) -> pa.Table:
    """Closed windows of some shards as a table of `SCHEMA`."""

    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(c, name) for c in closed])

    lengths = [len(c) for c in closed]

    def repeated(values: Iterable[int]) -> NDArray[Any]:
        return np.repeat(np.array(list(values)), lengths)

    detectors = sorted({c.detector for c in closed})

    end = repeated(c.end for c in closed)
    columns: dict[str, Any] = {
        "tenant": _texts([c.tenant for c in closed]),
        "dimension": pa.array(DIMENSIONS).take(repeated(c.dimension for c in closed)),
        "entity": _texts([c.entity for c in closed]),
        "detector": pa.array(detectors).take(repeated(detectors.index(c.detector) for c in closed)),
        "start": end - MINUTE_US,
        "end": end,
        "sample_weight": joined("weight"),
        "config_hash": config_hash,
        "feature": pa.array(FEATURES).take(joined("feature")),
    }
    columns |= {name: joined(name) for name in ("score", "quantile", "guarded", "expected", "observed")}
    values, peaks = joined("values"), joined("peaks")
    for i, name in enumerate(MEASURED):
        columns[name], columns[f"peak_{name}"] = values[:, i], peaks[:, i]
    columns["levels"] = _levels(closed)
    return table(columns)


def _levels(closed: Sequence[ClosedWindows]) -> pa.Array:
    """The levels of all pieces, window by window."""
    ids = sorted({name for c in closed for name in c.rules})
    ends = np.cumsum([len(c) for c in closed])
    window = np.concatenate([c.levels.window + end - len(c) for c, end in zip(closed, ends, strict=True)])
    number = np.concatenate([np.array([ids.index(c.rules[rule]) for rule in c.levels.rule], np.int64) for c in closed])
    lists = np.concatenate([[0], np.cumsum(np.concatenate([c.levels.length for c in closed]))])
    values = pa.ListArray.from_arrays(
        pa.array(lists, pa.int32()), pa.array(np.concatenate([c.levels.value for c in closed]))
    )
    maps = np.searchsorted(window, np.arange(ends[-1] + 1)).astype(np.int32)
    nothing = np.append(maps[1:] == maps[:-1], False)
    offsets = pa.array(maps, pa.int32(), mask=nothing)
    return pa.MapArray.from_arrays(offsets, pa.array(ids, pa.string()).take(pa.array(number)), values)


def _texts(pieces: Sequence[Texts]) -> pa.Array:
    """The names of all pieces, without making a string of any."""
    sizes = np.array([len(piece.blob) for piece in pieces])
    before = np.repeat(np.cumsum(sizes) - sizes, [len(piece) for piece in pieces])
    ends = np.concatenate([piece.ends[1:] for piece in pieces]) + before
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    blob = np.concatenate([piece.blob for piece in pieces])
    return pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(blob))


def _column(field: pa.Field, columns: Mapping[str, Any], rows: int) -> pa.Array:
    if field.name not in columns:
        if not field.nullable:
            raise KeyError(field.name)
        return pa.nulls(rows, field.type)
    values = columns[field.name]
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, str):
        return pa.repeat(pa.scalar(values, field.type), rows)
    if field.type == pa.float64():
        return pa.array(np.asarray(values, np.float64), field.type, from_pandas=True)  # NaN becomes null
    if field.type == _TIME:
        return pa.array(np.asarray(values, np.int64), pa.int64()).cast(_TIME)
    return pa.array(values, field.type)
