"""Shard keys spread evenly over workers, by Bytewax's own routing."""

import threading
from collections import Counter

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import TestingSink, TestingSource, cluster_main

from flows.steps.routing import key_at, worker_of
from flows.steps.split import shard_keys
from models.base import DIMENSIONS, WATCHED
from tests.naive_siphash import rust_hash, siphash


def routed(keys: list[str], workers: int) -> dict[str, int]:
    """The worker to which Bytewax sends each key's state."""
    threads: dict[str, int] = {}

    class Where(StatefulBatchLogic[str, str, int]):
        def on_batch(self, values: list[str]) -> tuple[list[str], bool]:
            threads.update(dict.fromkeys(values, threading.get_ident()))
            return [], StatefulBatchLogic.RETAIN

        def snapshot(self) -> int:
            return 0

    flow = Dataflow("routing")
    keyed = op.input("keys", flow, TestingSource([(key, key) for key in keys]))
    op.output("out", op.stateful_batch("where", keyed, lambda resume: Where()), TestingSink([]))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    numbers = {thread: number for number, thread in enumerate(sorted(set(threads.values())))}
    return {key: numbers[threads[key]] for key in keys}


@pytest.mark.parametrize(("shards", "workers"), [(4, 1), (4, 2), (4, 4), (8, 1), (8, 2), (8, 4), (8, 8)])
def test_shards_of_each_dimension_split_evenly(shards, workers):
    keys = [key for dimension in shard_keys(shards) for key in dimension]
    assert len(set(keys)) == shards * len(WATCHED)
    where = routed(keys, workers)
    assert sorted(Counter(where.values()).values()) == [len(keys) // workers] * workers
    for dimension in shard_keys(shards):
        assert sorted(Counter(where[key] for key in dimension).values()) == [shards // workers] * workers


def test_four_shards_of_the_four_dimensions_fill_eight_workers():
    keys = [key for dimension in shard_keys(4)[: len(DIMENSIONS)] for key in dimension]
    assert sorted(Counter(routed(keys, 8).values()).values()) == [2] * 8


@pytest.mark.parametrize("shards", [4, 8])
def test_salts_are_found_again_by_the_hash_that_bytewax_uses(shards):
    assert siphash(bytes(range(15)), 0x0706050403020100, 0x0F0E0D0C0B0A0908) == 0xA129CA6149BE45E5
    for at, (name, keys) in enumerate(zip(WATCHED, shard_keys(shards), strict=True)):
        for shard, key in enumerate(keys):
            place = shard + 4 * (at % 2) if shards == 4 else shard
            salt = next(n for n in range(1000) if rust_hash(f"{name}/{shard}.{n}") % 8 == place)
            assert key == f"{name}/{shard}.{salt}"


def test_a_process_knows_where_bytewax_sends_a_key_and_finds_one_for_each_place():
    keys = [key for dimension in shard_keys(8) for key in dimension] + [
        "",
        "carry.0",
        "audit.events/11.3",
        "\u00e9" * 9,
    ]
    for workers in range(1, 9):
        assert [worker_of(key, workers) for key in keys] == [rust_hash(key) % workers for key in keys]
        assert [worker_of(key_at("audit.events/5", n, workers), workers) for n in range(workers)] == [*range(workers)]
    where = routed(keys, 3)
    assert len({(worker_of(key, 3), where[key]) for key in keys}) == 3


def test_other_numbers_of_shards_have_keys_of_their_own():
    for shards in (1, 2, 4, 8, 16, 64):
        keys = [key for dimension in shard_keys(shards) for key in dimension]
        assert len(set(keys)) == shards * len(WATCHED)
