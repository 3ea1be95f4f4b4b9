"""Memory and what is remembered under a flood, at small limits; and collisions aimed at one table miss another."""

import json
from collections import Counter

import numpy as np
import pytest

from benchmarks import flood, memory
from benchmarks.flood import Flood, regular_lines, stream
from flows.config import load
from flows.parts import table_secret
from flows.state_shape import most_hours, table_limits
from models.base import DIMENSIONS
from models.kernels.layout import HOUR_ROW, PAIR, RECORD, RING
from models.kernels.table import spot
from models.windows.arrays import places
from tests.batches import piece
from tests.test_bounds import IP, SECOND, SETUP, START, repeated
from tests.test_definitions import shard_of

FLOOD = Flood(one_shots=20_000, regulars=500, victims=3, latecomers=4, hours=12)
START_OF_DAY_3 = flood.START + 48 * flood.HOUR
PLACES = 1 << 12
AIMED = 2_000
MASK = (1 << 64) - 1


def secret_of(monkeypatch, seed):
    monkeypatch.setenv("LAPWING_HASH_SEED", seed)
    return table_secret(load())


def aimed_at(secret, size, at, n):
    """Keys that all begin their search at one place of a table of this secret: the multiplication run backwards."""
    factor = int(secret[1]) | 1
    inverse = pow(factor, -1, 1 << 64)
    step = (1 << 64) // size
    products = at * step + np.random.default_rng(1).integers(0, step, n, dtype=np.uint64)
    return np.array([(int(p) * inverse & MASK) ^ int(secret[0]) for p in products], np.uint64)


def probes(secret, keys, size):
    """Places looked at to enter the keys one after another, by the table's rule: on to the next until one is free."""
    taken, looked = set(), 0
    for key in keys:
        at = int(spot(secret, key, size))
        looked += 1
        while at in taken:
            at = (at + 1) % size
            looked += 1
        taken.add(at)
    return looked


def test_collisions_aimed_at_one_seed_miss_with_another(monkeypatch):
    known, other = secret_of(monkeypatch, "known"), secret_of(monkeypatch, "another")
    keys = aimed_at(known, PLACES, 1234, AIMED)
    assert len(set(keys.tolist())) == AIMED
    honest = np.random.default_rng(2).integers(1, 2**63, AIMED).astype(np.uint64)
    usual = probes(other, honest, PLACES)
    assert probes(known, keys, PLACES) == AIMED * (AIMED + 1) // 2, (
        "the keys are not aimed well: the test proves nothing"
    )
    assert probes(other, keys, PLACES) < 2 * usual
    assert usual < 2 * AIMED


def test_without_a_seed_each_process_draws_its_own(monkeypatch):
    monkeypatch.delenv("LAPWING_HASH_SEED", raising=False)
    assert not np.array_equal(table_secret(load()), table_secret(load()))
    assert np.array_equal(secret_of(monkeypatch, "a"), secret_of(monkeypatch, "a"))
    assert not np.array_equal(secret_of(monkeypatch, "a"), secret_of(monkeypatch, "b"))


def longest_run(secret, keys):
    """The longest run of taken places in a shard's own table that the keys' entities have entered."""
    shard = shard_of("ip", SETUP, max_records=PLACES, max_rings=PLACES)
    shard.s = shard.s._replace(secret=secret)
    item = repeated(len(keys), START, 0, SECOND)
    item.entity[IP] = keys
    shard.assess(piece(item, IP))
    taken = shard.s.records["hash"] != 0
    assert taken.sum() == len(keys)
    assert set(shard.s.records["hash"][taken].tolist()) == set(keys.tolist())
    edges = np.flatnonzero(np.diff(np.concatenate([[False], taken, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max())


def test_aimed_entities_lie_apart_in_a_shard_with_another_seed(monkeypatch):
    known, other = secret_of(monkeypatch, "known"), secret_of(monkeypatch, "another")
    keys = aimed_at(known, PLACES, 1234, AIMED)
    assert longest_run(known, keys) == AIMED
    assert longest_run(other, keys) < 100


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    config = folder / "small.toml"
    config.write_text("[state]\nshards = 1\nmax_entities = 4000\nmax_active = 400\n")
    return memory.run(FLOOD, folder, config), config


def test_a_flood_pushes_out_neither_regulars_nor_incidents(figures):
    found, _ = figures
    attacks = 3 * (FLOOD.ends - START_OF_DAY_3) // (20 * SECOND) + 4 * 30
    assert found["events"] == FLOOD.regulars * 12 + FLOOD.one_shots + attacks
    assert found["evictions"] > FLOOD.one_shots // 4
    assert found["overflowed"] > 0
    assert set(found["kept"]) == {"ip", "user"}
    assert min(found["kept"].values()) >= 0.99
    assert found["incidents_kept"] == FLOOD.victims
    assert found["latecomers_found"] == FLOOD.latecomers, "a flood must not hide what begins in it"


def test_state_stays_within_small_limits_and_is_told(figures):
    found, config = figures
    limits = [table_limits(load(str(config)), name) for name in DIMENSIONS]
    assert found["entities"] <= sum(records for records, _ in limits)
    rings = sum(rings for _, rings in limits)
    room = sum(places(records) for records, _ in limits) * RECORD.itemsize + places(16 * rings) * 4 * PAIR.itemsize
    room += sum(most_hours(load(str(config)), name) for name in DIMENSIONS) * HOUR_ROW.itemsize
    assert found["state_bytes"] <= room + rings * (RING.itemsize + 200) + 4 * 20_000
    assert found["peak_mib"] > 50
    text = memory.report(found, config)
    for each in (f"{found['evictions']:,}", f"{found['peak_mib']:,.0f} MiB", "3 of 3", f"{RECORD.itemsize}, "):
        assert each in text


def test_the_stream_is_in_order_and_every_line_an_event():
    small = Flood(one_shots=1_000, regulars=50, victims=2, latecomers=1, hours=2.0)
    events = [json.loads(line) for block in stream(small) for line in block.splitlines()]
    times = [event["time"] for event in events]
    assert times == sorted(times)
    seen = Counter(event["username"] for event in events)
    assert sorted(Counter(seen.values()).items())[:2] == [(1, 1_000), (12, 50)]
    assert len(seen) == 1_053
    failed = {event["username"] for event in events if event["outcome"] == "failure"}
    assert failed == {"u-00000050", "u-00000051", "u-00000052"}
    first = [json.loads(line) for line in regular_lines(small).splitlines()]
    assert {e["username"] for e in first} == {name for name, n in seen.items() if n == 12}
    assert len({event["ip"] for event in events}) == 1_053
