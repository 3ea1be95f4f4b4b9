"""Sign-ins after failures, beside their slow definition: in the order of event time, however the stream arrives."""

import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.alert import CLOSE, CREATE
from models.base import DIMENSIONS, USER
from models.rules.success_after_attack import SuccessAfterAttack
from models.windows.evidence import ends, witness
from models.windows.incidents import incident_uid
from tests.batches import row
from tests.naive import Message, Params, Row
from tests.streams import SECOND, START, Setup, disturbed
from tests.test_definitions import ARRIVAL, LATENESS, items_of, play, shard_of

PANE, PANES = 30 * SECOND, 30
QUIET = 30


def setup_of(dimension: str, at_least: int) -> Setup:
    rule = SuccessAfterAttack(id="after", dimension=dimension, at_least=at_least)  # type: ignore[arg-type]
    return Setup((rule,), (QUIET * PANE,), Params(0.05, 0.005, 10, 3, 0.99, 20, 20, 5), 60)


def events(seed: int, count: int) -> list[Row]:
    """Failures and successes of few users at few addresses, many at the same moment, some only a refresh of a token."""
    rng = random.Random(seed)
    begins = [rng.choice((0, 60, 900, 1700, 6000)) for _ in range(3)]
    rows = []
    for number in range(count):
        second = rng.choice(begins) + rng.choice((rng.randrange(4), rng.randrange(120), rng.randrange(1200)))
        lost = rng.random() < 0.7
        rows.append(
            row(
                START + second * SECOND + rng.choice((0, 0, 500_000)),
                ip=f"192.0.2.{rng.randrange(3)}",
                user=f"u{rng.randrange(6)}" if rng.random() < 0.95 else "",
                endpoint=f"/{number}",  # tells messages apart
                failure=lost,
                success=not lost,
            )
        )
    return sorted(rows, key=lambda r: r.time)


def following(rows: list[Row], dimension: str, at_least: int) -> dict[tuple[str, str], list[Row]]:
    """The sign-ins that follow, by (tenant, entity): every one looks at all events before it."""
    d = DIMENSIONS.index(dimension)
    other = USER if dimension == "ip" else 1
    found = defaultdict(list)
    for won in rows:
        if not won.success or not won.keys[d] or won.skip:
            continue
        pane = won.place // PANE
        before = [
            r for r in rows
            if r.keys[d] == won.keys[d] and not r.skip and r.place <= won.place and pane - r.place // PANE < PANES
        ]  # fmt: skip
        if dimension == "user":
            holds = sum(r.failure for r in before) >= at_least
        else:
            failed = {r.keys[other] for r in before if r.failure and r.keys[other]}
            succeeded = {r.keys[other] for r in before if r.success and r.keys[other]}
            holds = len(failed) >= at_least and len(failed) > len(succeeded)
        if holds:
            found[won.names[0], won.names[d]].append(won)
    return found


def lives(found: dict[tuple[str, str], list[Row]]) -> list[tuple[Any, ...]]:
    """Uid, time of create, time of close, count and evidences of every incident."""
    out = []
    for (tenant, entity), rows in found.items():
        rows.sort(key=lambda r: r.place)
        while rows:
            first = last = rows[0].place // PANE
            mine = []
            while rows and rows[0].place // PANE <= last + PANES - 1 + QUIET:
                last = rows[0].place // PANE
                mine.append(rows.pop(0))
            shown = ends(sorted(witness(r.time, r.message) for r in mine))
            out.append((
                incident_uid(tenant, "after", entity, first * PANE), (first + 1) * PANE,
                (last + PANES + QUIET) * PANE, len(mine), tuple(w.message for w in shown),
            ))  # fmt: skip
    return sorted(out)


def told(messages: list[Message]) -> list[tuple[Any, ...]]:
    creates = {m.uid: m.time for m in messages if m.activity == CREATE}
    closes = {m.uid: (m.time, m.count, m.evidences) for m in messages if m.activity == CLOSE}
    assert creates.keys() == closes.keys()
    return sorted((uid, time, *closes[uid]) for uid, time in creates.items())


@pytest.mark.parametrize("dimension", ["user", "ip"])
@settings(max_examples=25, deadline=None)
@given(
    at_least=st.sampled_from([1, 2, 3, 5]),
    count=st.integers(2, 90),
    arrival=ARRIVAL,
    seed=st.integers(0, 2**32),
    cuts=st.sets(st.integers(1, 60), max_size=4),
)
def test_sign_ins_that_follow_failures(
    dimension: str, at_least: int, count: int, arrival: Any, seed: int, cuts: set[int]
) -> None:
    """In one go and with restarts from snapshots, with rows out of order, and late ones."""
    setup = setup_of(dimension, at_least)
    partitions, late_share, sizes, turns = arrival
    parts = disturbed(events(seed, count), partitions, LATENESS, late_share, seed)
    items = items_of(parts, sizes, turns)
    expected = lives(following([r for part in parts for r in part], dimension, at_least))

    def reopen(number: int, shard: Any) -> Any:
        return shard_of(dimension, setup, number + 2, shard.snapshot()) if number in cuts else shard

    assert told(play(shard_of(dimension, setup), items, dimension)[1]) == expected
    assert told(play(shard_of(dimension, setup), items, dimension, reopen)[1]) == expected


def test_the_definition_finds_something() -> None:
    """Lest the comparison above compares nothing: both sides find incidents of one sign-in and of many."""
    counts = [len(life) for d in ("user", "ip") for seed in range(20)
              for life in [lives(following(events_placed(seed), d, 3))]]  # fmt: skip
    assert sum(counts) > 20
    assert 0 in counts


def events_placed(seed: int) -> list[Row]:
    rows = events(seed, 60)
    for r in rows:
        r.place = r.time
    return rows
