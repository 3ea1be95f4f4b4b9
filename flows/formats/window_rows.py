"""Closed learning windows as JSON objects: the columns of `windows.parquet`, one message each."""

from collections.abc import Iterator
from itertools import repeat
from typing import Any, Final

import msgspec
import numpy as np

from flows.formats.windows import MEASURED, MINUTE_US, SCHEMA
from models.base import DIMENSIONS, FEATURES
from models.windows.slice import ClosedWindows

_NAMES: Final = tuple(SCHEMA.names)


def window_rows(closed: ClosedWindows, config_hash: str) -> Iterator[tuple[bytes, bytes]]:
    """The key and the JSON of each window, in the order of the columns.

    The key is tenant, dimension and entity; `start` and `end` are epoch microseconds. What is not known or not a
    feature of the dimension is null.
    """
    dimension = DIMENSIONS[closed.dimension]
    columns: dict[str, Any] = {
        "tenant": closed.tenant,
        "dimension": repeat(dimension),
        "entity": closed.entity,
        "detector": repeat(closed.detector),
        "start": repeat(closed.end - MINUTE_US),
        "end": repeat(closed.end),
        "sample_weight": closed.weight.tolist(),
        "config_hash": repeat(config_hash),
        "feature": [FEATURES[feature] for feature in closed.feature.tolist()],
    }
    for name in ("score", "quantile", "guarded", "expected", "observed"):
        columns[name] = getattr(closed, name).tolist()
    values, peaks = closed.values.T.tolist(), closed.peaks.T.tolist()
    for at, name in enumerate(MEASURED):
        columns[name], columns[f"peak_{name}"] = values[at], peaks[at]
    columns["levels"] = _levels(closed)
    encode = msgspec.json.Encoder().encode  # says null of what is not finite
    for row in zip(*(columns[name] for name in _NAMES), strict=False):
        tenant, _, entity = row[:3]
        key = f"{tenant}|{dimension}|{entity}"
        yield key.encode("utf-8", "replace"), encode(dict(zip(_NAMES, row, strict=True)))


def _levels(closed: ClosedWindows) -> list[dict[str, list[float]] | None]:
    """Of each window the levels by detection, None where there are none."""
    found: list[dict[str, list[float]] | None] = [None] * len(closed)
    levels = closed.levels
    pieces = np.split(levels.value, np.cumsum(levels.length)[:-1]) if len(levels.length) else []
    for window, rule, values in zip(levels.window.tolist(), levels.rule.tolist(), pieces, strict=True):
        found[window] = (found[window] or {}) | {closed.rules[rule]: values.tolist()}
    return found
