"""What spares a look: counts below which no rule can hold, one walk for many windows, a bucket without a logarithm."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import WATCHED
from models.kernels.baseline import bucket_of
from models.kernels.cells import distinct_of_many, distinct_walk, forget_walks
from models.kernels.layout import ACTIVE, CELL_DISTINCT, METERED
from models.kernels.meters import may_reach, stirs
from models.rules import program
from models.thresholds.edges import score_edges
from models.windows.joint import joints, widened
from tests.batches import partition_batches, piece
from tests.streams import Setup
from tests.test_definitions import LATENESS, shard_of
from tests.test_meters import PARAMS, marked, parts_of, stream, thresholds


def shards(dimension: str, rules: Any, seed: int) -> Any:
    """A shard after each batch of a stream."""
    told = program(rules)
    shard = shard_of(dimension, Setup(rules, tuple(rule.quiet_us for rule in rules), PARAMS, 60))
    for item in partition_batches("p", ("p",), stream(seed, 300, 1500), LATENESS, [5]):
        shard.assess(piece(widened(marked(item, told, seed), joints(told)), WATCHED.index(dimension)))
        yield shard


@pytest.mark.parametrize("dimension", WATCHED)
@given(data=st.data(), seed=st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_no_rule_can_hold_where_nothing_stirs(dimension: str, data: Any, seed: int) -> None:
    rules = tuple(data.draw(thresholds(number, parts_of(dimension))) for number in range(2))
    for shard in shards(dimension, rules, seed):
        s, r = shard.s, shard.arrays
        for slot in s.active[: s.head[ACTIVE]].tolist():
            assert bool(s.stirred[slot]) == stirs(s, r, slot, 1)
            for rule in np.flatnonzero(r.kind == METERED).tolist():
                assert stirs(s, r, slot, 1) or not may_reach(s, r, rule, slot, 1.0)
                assert stirs(s, r, slot, 2) or not may_reach(s, r, rule, slot, 0.5)


@given(data=st.data(), seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_one_walk_knows_all_windows(data: Any, seed: int) -> None:
    rules = tuple(data.draw(thresholds(number, ("tenant",))) for number in range(3))
    rng = random.Random(seed)
    for shard in shards("tenant", rules, seed):
        s, r = shard.s, shard.arrays
        forget_walks(s)
        for slot in s.active[: s.head[ACTIVE]].tolist():
            for column in np.flatnonzero(r.store[r.in_cells] == CELL_DISTINCT).tolist():
                at = int(s.cell[slot, column])
                newest = int(s.newest[slot]) // int(r.meter_grid[r.in_cells[column]])
                for pane in (newest + 2, newest, newest - rng.randrange(5)):
                    for window in range(1, 31):
                        if at >= 0:
                            found = distinct_of_many(s, column, at, pane, window)
                            assert found == distinct_walk(s, at, pane, window)


def test_a_bucket_is_where_the_edges_say() -> None:
    edges = score_edges()
    rng = np.random.default_rng(1)
    near = np.concatenate([edges, np.nextafter(edges, 0.0), np.nextafter(edges, np.inf)])
    scores = np.concatenate([near, rng.exponential(3.0, 5000), 10.0 ** rng.uniform(-300, 300, 5000), [0.0, np.inf]])
    expected = np.searchsorted(edges, scores, "left").tolist()
    assert [bucket_of(edges, score) for score in scores.tolist()] == expected
    assert bucket_of(edges, float("nan")) == 0
