"""A shard's memory is bounded whatever comes, and what does not fit is counted."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from models.alert import CLOSE
from models.base import DIMENSIONS, END_OF_TIME, FAILURE, NO_FEATURE
from models.event import EventBatch
from models.kernels.layout import COUNTERPARTS, EVICTED, OVERFLOWED, PAIRS_REFUSED, RECORDS
from models.rules import PasswordSprayIp, program
from models.rules.threshold import Condition, Threshold
from models.windows import arrays
from models.windows.arrays import LOAD, pair_limit, places
from models.windows.evidence import SHARD_LIMIT
from models.windows.shard import Shard
from tests.batches import assess, batch, key_of, partition_batches, piece, row
from tests.naive import Params, Row
from tests.streams import SECOND, START, Setup
from tests.test_definitions import LATENESS, counter, shard_of
from tests.test_meters import marked

IP = 1
RECORD_LIMIT, RING_LIMIT = 2048, 512
SETUP = Setup((), (), Params(0.1, 0.01, 5, 2, 0.9, 20, 20, 5), 60)


def repeated(n: int, start: int, offset: int, spread: int, counts: int = 0, users: int = 0) -> EventBatch:
    """A batch of n events, from n addresses that nobody saw before, or for n users from one address."""
    one = batch("p", ("p",), offset, [row(start, ip="192.0.2.1", user="u")], offset, start, start)
    time = start + np.arange(n) * spread // n
    entity = np.repeat(one.entity, n, axis=1)
    entity[3 if users else IP] = np.random.default_rng(offset).integers(1, 2**63, n).astype(np.uint64)
    same = {
        field.name: np.repeat(getattr(one, field.name), n, axis=-1)
        for field in dataclasses.fields(one)
        if isinstance(getattr(one, field.name), np.ndarray) and field.name not in ("buffer", "names")
    }
    same |= {"time": time, "place": time, "entity": entity, "counts": np.full(n, counts, np.uint8)}
    same |= {"offset": np.arange(offset, offset + n)}
    return dataclasses.replace(
        one, **same, reached=(offset + n - 1, 0), watermark_before=start - LATENESS, watermark=int(time[-1]) - LATENESS
    )


def check_sizes(shard: Shard) -> None:
    s = shard.s
    assert len(s.rings) <= RING_LIMIT
    assert s.head[RECORDS] <= RECORD_LIMIT
    assert len(s.records) <= places(RECORD_LIMIT)
    assert len(s.pairs) <= pair_limit(RING_LIMIT)
    assert shard.evidence.size <= SHARD_LIMIT


def test_300_000_one_shot_entities_neither_grow_the_state_nor_push_out_regulars():
    shard = shard_of("ip", SETUP, max_records=RECORD_LIMIT, max_rings=RING_LIMIT)
    regulars = [f"10.0.0.{i}" for i in range(20)]
    rows = [row(START + m * 60 * SECOND + i, ip=ip) for m in range(5) for i, ip in enumerate(regulars)]
    *items, _ = partition_batches("p", ("p",), rows, LATENESS, [len(rows)])
    for item in items:
        assess(shard, item, IP)
    offset, time, size = len(rows), rows[-1].time, 3000
    for _ in range(100):
        time += 90 * SECOND
        item = repeated(size, time, offset, 60 * SECOND, FAILURE)
        out = assess(shard, item, IP)
        assert np.count_nonzero(out.scores.feature[IP] != NO_FEATURE) == size
        check_sizes(shard)
        offset += size
    assert len(shard.snapshot()) < 5 << 20
    head = shard.s.head
    # overflowed counts who was refused, and who was driven out of the pool but remembered: no entity is in neither
    assert head[RECORDS] + head[EVICTED] <= 300_000 + len(regulars) <= head[RECORDS] + head[EVICTED] + head[OVERFLOWED]
    assert head[OVERFLOWED] > 0
    assert head[EVICTED] > 0
    known = dict(zip(shard.s.records["hash"].tolist(), shard.s.records["count"].tolist(), strict=True))
    assert all(known[key_of("ip", "acme", ip)] >= 4 for ip in regulars)
    last = dataclasses.replace(repeated(1, time, offset, 1), watermark=END_OF_TIME)
    assert counter(assess(shard, last, IP).head, "active") == 0


def test_who_is_kept_for_a_long_window_alone_makes_room_for_who_comes():
    long = Threshold(id="x", by="ip", where="failure", distinct="user", window="2h", at_least=20.0)
    shard = shard_of("ip", Setup((long,), (long.quiet_us,), SETUP.params, 60), max_rings=64)
    full = [row(START + i * SECOND, ip=f"10.0.0.{i % 64}", user=f"u{i}", failure=True) for i in range(128)]
    soon = [row(START + (600 + i) * SECOND, ip="192.0.2.1", user=f"u{i}", failure=True) for i in range(30)]
    late = [row(START + (1800 + i) * SECOND, ip="192.0.2.2", user=f"u{i}", failure=True) for i in range(30)]
    found = []
    for item in partition_batches("p", ("p",), full + soon + late, LATENESS, [16]):
        out = shard.assess(piece(marked(item, program((long,)), 0), IP))
        found += [finding.alert.entity for finding in out.findings if finding.alert.activity == CLOSE]
    # those counted twice keep their rings while short windows reach them, and no longer
    assert found == ["192.0.2.2"]
    assert shard.s.head[OVERFLOWED] == len(soon) + 1


def test_one_entity_keeps_so_many_counterparts_and_counts_the_others():
    shard = shard_of("ip", SETUP, max_records=RECORD_LIMIT, max_rings=RING_LIMIT)
    calm, failed = (repeated(5000, START + i * SECOND, 5000 * i, SECOND, i * FAILURE, users=5000) for i in (0, 1))
    assess(shard, calm, IP)
    assess(shard, failed, IP)
    check_sizes(shard)
    # failed ones have places of their own, so that harmless ones cannot hide a spray
    assert shard.s.head[PAIRS_REFUSED] == 10_000 - 2 * COUNTERPARTS
    assert counter(shard.s.head, "overflowed") == 10_000 - 2 * COUNTERPARTS


def crowd(seconds: int, per_second: Callable[[int], Iterator[Row]]) -> list[Row]:
    return [r for second in range(seconds) for r in per_second(START + second * SECOND)]


def test_a_busy_entity_does_not_fill_its_places_with_counterparts_of_long_ago():
    """Of the users of a tenant, of an address and of an endpoint that fail, more than 2,000 an hour before."""

    def failing(time: int) -> Iterator[Row]:
        attack = time >= START + 5000 * SECOND
        if attack or time % (2 * SECOND) == 0:
            yield row(time, ip="192.0.2.1", endpoint="/a", user=f"u{time}", failure=True)

    for dimension in ("tenant", "ip", "endpoint"):
        rule = Threshold(id="x", by=dimension, where="failure", distinct="user", window="15m", at_least=500.0)
        shard = shard_of(dimension, Setup((rule,), (rule.quiet_us,), SETUP.params, 60))
        found = []
        for item in partition_batches("p", ("p",), crowd(5700, failing), LATENESS, [200]):
            out = shard.assess(piece(marked(item, program((rule,)), 0), DIMENSIONS.index(dimension)))
            found += [finding.alert for finding in out.findings]
        assert max((alert.value for alert in found if alert.activity == CLOSE), default=0.0) == 800.0
        assert shard.s.head[PAIRS_REFUSED] == 0


def test_eight_busy_tenants_are_all_counted_where_there_are_few_tenants():
    def failing(time: int) -> Iterator[Row]:
        for tenant in range(8):
            for k in range(3):
                yield row(time, tenant=f"t{tenant}", ip="192.0.2.1", user=f"{tenant}-{time}-{k}", failure=True)

    rule = Threshold(id="x", by="tenant", where="failure", distinct="user", window="15m", at_least=1000.0)
    shard = shard_of("tenant", Setup((rule,), (rule.quiet_us,), SETUP.params, 60), max_rings=390)
    found = []
    for item in partition_batches("p", ("p",), crowd(500, failing), LATENESS, [1000]):
        found += [finding.alert for finding in shard.assess(piece(marked(item, program((rule,)), 0), 0)).findings]
    assert {alert.value for alert in found if alert.activity == CLOSE} == {1500.0}
    assert shard.s.head[PAIRS_REFUSED] == 0


def test_a_tenants_counterparts_of_long_ago_leave_room_for_those_of_now(monkeypatch):
    """A tenant is never silent: what its cells hold is let go of though they are not full, and never given back."""
    monkeypatch.setattr(arrays, "LEAST_PAIRS", 0)  # a table that one tenant alone can fill
    spray = Threshold(id="x", by="tenant", where="failure", distinct="user", window="15m", at_least=400.0)
    shard = shard_of("tenant", Setup((spray,), (spray.quiet_us,), SETUP.params, 60), max_rings=64)
    most = int(pair_limit(64) * LOAD)

    def failing(time: int) -> Iterator[Row]:
        if time >= START + 9000 * SECOND or time % (5 * SECOND) == 0:
            yield row(time, ip="192.0.2.1", user=f"u{time}", failure=True)

    assert 84 + 480 < most < 9000 // 5 < COUNTERPARTS
    found = []
    for item in partition_batches("p", ("p",), crowd(9480, failing), LATENESS, [100]):
        out = shard.assess(piece(marked(item, program((spray,)), 0), 0))
        found += [finding.alert for finding in out.findings]
    assert max(alert.value for alert in found if alert.activity == CLOSE) == 480.0 + 84.0
    assert shard.s.head[PAIRS_REFUSED] == 0


def test_who_succeeds_at_a_carriers_address_is_not_pushed_out_by_those_of_long_ago():
    def ordinary(time: int) -> Iterator[Row]:
        yield from (row(time, ip=f"10.0.{time}.{k}", user="u") for k in range(8))  # a shard with a large table
        yield row(time, ip="192.0.2.1", user=f"u{time}", success=True)
        if time % (2 * SECOND) == 0:
            yield row(time, ip="192.0.2.1", user=f"f{time}", failure=True)

    spray = PasswordSprayIp()
    setup = Setup((spray,), (900 * SECOND,), SETUP.params, 60)
    shard = shard_of("ip", setup, max_records=200_000, max_rings=20_000)
    for item in partition_batches("p", ("p",), crowd(4000, ordinary), LATENESS, [500]):
        assert not shard.assess(piece(marked(item, program((spray,)), 0), IP)).findings
    assert shard.s.head[PAIRS_REFUSED] == 0


def test_hundreds_of_meters_keep_their_counterparts_over_a_restart():
    others = tuple(Condition(distinct=name, at_least=1.0) for name in ("ip", "endpoint", "session", "device"))
    rules = tuple(
        Threshold(id=f"d{i}", by="tenant", where=f"status >= {100 + i}", distinct="user", at_least=40.0, also=others)
        for i in range(60)
    )
    setup = Setup(rules, tuple(rule.quiet_us for rule in rules), SETUP.params, 60)
    rows = [
        row(START + i * SECOND, ip=f"192.0.2.{i % 50}", endpoint=f"/{i % 50}", user=f"u{i % 300}") for i in range(600)
    ]
    told = []
    for restart in (-1, 4):
        shard = shard_of("tenant", setup)
        assert len(shard.arrays.in_cells) > 256
        found = []
        for number, item in enumerate(partition_batches("p", ("p",), rows, LATENESS, [100])):
            if number == restart:
                shard = shard_of("tenant", setup, 2, shard.snapshot())
            out = shard.assess(piece(marked(item, program(rules), 1), 0))
            found += [(finding.alert.uid, finding.alert.seq, finding.alert.value) for finding in out.findings]
        told.append(found)
    assert len({uid for uid, _, _ in told[0]}) == len(rules)
    assert told[0] == told[1]
