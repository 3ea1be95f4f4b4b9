"""What the tests of the sinks share: items, epochs that crash, a disk that is full."""

import pickle
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from flows.formats.windows import table


@dataclass
class Item:
    payload: Any


def lines(first: int, end: int) -> Item:
    """Lines `first` to `end`, each of another length; as an array or as bytes."""
    text = b"".join(b"%d:%s\n" % (i, b"x" * (i % 7)) for i in range(first, end))
    return Item(np.frombuffer(text, np.uint8) if first % 2 else text)


def windows(first: int, end: int) -> Any:
    """One row for each number, which is the row's start."""
    rows = end - first
    return table({
        "tenant": "acme", "dimension": "ip", "entity": [f"e{i}" for i in range(first, end)], "detector": "ewma",
        "start": np.arange(first, end), "end": np.arange(first, end) + 60, "guarded": [False] * rows,
        "sample_weight": np.ones(rows), "config_hash": "00", "events_1m": np.full(rows, 3.0),
    })  # fmt: skip


def part_of(sink: Any, state: Any) -> Any:
    [name] = sink.list_parts()
    return sink.build_part("step", name, pickle.loads(pickle.dumps(state)))


CRASHES = st.sampled_from(
    ["none", "none", "open", "open-closed", "sealed", "sealed-closed", "durable", "durable-closed", "torn"]
)
EPOCHS = st.lists(st.tuples(st.lists(st.integers(0, 4), max_size=3), CRASHES, st.floats(0, 1)), max_size=12)


@contextmanager
def file_size_limit(most: int) -> Iterator[None]:
    """The kernel refuses to let a file grow above `most` bytes, in the middle of a write where it must."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
