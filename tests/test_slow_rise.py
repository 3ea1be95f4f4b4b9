"""An attacker who raises his rate by 1 % a minute: no baseline sees that, absolute limits do."""

import random

from models.alert import CREATE
from models.base import DIMENSIONS
from models.kernels.layout import X_EVENTS, X_FAILURES
from models.rules import BruteForceIp, Threshold, TrafficSpike
from models.windows.shard import Shard
from tests.batches import assess, partition_batches, row
from tests.naive import Message, Params, Row
from tests.streams import SECOND, Setup
from tests.test_definitions import LATENESS, message_of, shard_of

BEGIN = 29_913_120 * 60 * SECOND
MINUTES = 480
"""From one event a minute to more than a hundred."""
PARAMS = Params(0.01, 0.001, 50, 10, 0.999, 180, 20, 5)


def rising(**what: object) -> list[Row]:
    draw = random.Random(5)
    rows = []
    for minute in range(MINUTES):
        rate = 1.01**minute
        for _ in range(int(rate) + (draw.random() < rate % 1)):
            time = BEGIN + minute * 60 * SECOND + draw.randrange(60 * SECOND)
            rows.append(row(time, user=f"u{draw.randrange(3)}", ip="203.0.113.9", endpoint="/login", **what))  # type: ignore[arg-type]
    return sorted(rows, key=lambda r: r.time)


def created(dimension: str, shard: Shard, rows: list[Row]) -> list[Message]:
    found = []
    for item in partition_batches("p", ("p",), rows, LATENESS, [500]):
        found += [message_of(f.alert) for f in assess(shard, item, DIMENSIONS.index(dimension)).findings]
    return [message for message in found if message.activity == CREATE]


def test_failed_logins_cross_the_absolute_limit_and_their_floor_keeps_them_out_of_the_baseline() -> None:
    shard = shard_of("ip", Setup((BruteForceIp(), TrafficSpike(dimension="ip")), (600 * SECOND,) * 2, PARAMS, 7 * 1440))
    rows = rising(failure=True)
    found = created("ip", shard, rows)
    assert [one.detection for one in found] == ["brute_force_ip"], "one incident, and no spike: it never is one"
    assert (found[0].time - BEGIN) // SECOND // 60 < 90, "two a minute"
    record = shard.s.records[shard.s.records["hash"] != 0][0]
    last = sum(1.01**minute for minute in range(MINUTES - 60, MINUTES)) / 60
    assert record["mean"][X_FAILURES] < PARAMS.floor_failures < last / 4


def test_requests_are_learned_as_they_rise_and_an_absolute_limit_of_your_own_sees_them() -> None:
    limit = Threshold(id="flood", by="endpoint", count=True, at_least=500, window="10m", title="Flood", severity="high")
    setup = Setup((TrafficSpike(dimension="endpoint", at_least=20), limit), (600 * SECOND,) * 2, PARAMS, 7 * 1440)
    shard = shard_of("endpoint", setup)
    found = created("endpoint", shard, rising())
    assert [one.detection for one in found] == ["flood"]
    assert shard.s.records[shard.s.records["hash"] != 0][0]["mean"][X_EVENTS] > 40
