"""Drift of scores: River's test, counted by minutes of event time, told and never acted upon; it survives a restart."""

import random
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift

from flows import detect
from flows.config import load
from flows.drift import Drift, DriftState, ScoreDrift, shares
from flows.observed import Observed
from models.base import DIMENSIONS
from models.event import EventBatch
from models.thresholds.page_hinkley import PageHinkley
from tests.batches import batch, row
from tests.command import command

MINUTE = 60_000_000


@given(
    st.lists(st.floats(-5, 5), max_size=60),
    st.integers(1, 20),
    st.floats(0, 0.5),
    st.floats(0.01, 5),
    st.integers(1, 5),
)
def test_as_river_has_it(values: list[float], fewest: int, slack: float, threshold: float, times: int) -> None:
    ours = PageHinkley(fewest, slack, threshold)
    theirs = drift.PageHinkley(fewest, slack, threshold, alpha=1.0)
    for value in values * times:
        theirs.update(value)
        moved = ours.update(value)
        assert moved == theirs.drift_detected
        if moved:
            ours = PageHinkley(fewest, slack, threshold)


def events(minutes: list[int], skipped: bool = False) -> EventBatch:
    """A batch whose rows are in these minutes."""
    rows = [row(minute * MINUTE) for minute in minutes]
    for one in rows:
        one.place, one.skip = one.time, skipped
    return batch("p", ("p",), 0, rows, 0, 0, 0)


def minutes(shared: list[float], n: int = 400) -> tuple[ScoreDrift, list[Drift]]:
    """Minutes of `n` events with a share of strange ones, of users nothing is known; each comes in two batches."""
    told: list[Drift] = []
    found = ScoreDrift(told.append)
    for minute, share in enumerate(shared):
        quantile = np.full((4, n), 0.5)
        quantile[:, : int(share * n)] = 0.95
        quantile[3] = np.nan
        for half in (slice(0, n // 2), slice(n // 2, n)):
            found.add(shares(events([minute] * (n // 2)), quantile[:, half]))
    found.settle(len(shared) * MINUTE)
    return found, told


def counts(found: ScoreDrift) -> dict[str, int]:
    return {name: course.drifts for name, course in zip(DIMENSIONS, found.state.courses, strict=True)}


@pytest.mark.parametrize(("share", "drifts"), [(0.10, 0), (0.14, 0), (0.5, 1), (1.0, 1)])
def test_a_share_that_stays_elsewhere_is_told_once(share: float, drifts: int) -> None:
    found, told = minutes([0.1] * 120 + [share] * 60)
    assert counts(found) == {"tenant": drifts, "ip": drifts, "endpoint": drifts, "user": 0}
    assert [one.dimension for one in told] == [name for name, count in counts(found).items() for _ in range(count)]
    assert [one.since for one in told] == [course.last for course in found.state.courses if course.drifts]
    assert [course.share for course in found.state.courses] == [share, share, share, -1.0]


def test_each_minute_has_its_own_events_and_those_that_count_nowhere_are_left_out() -> None:
    quantile = np.array([[0.95, np.nan, 0.5, 0.95, 0.9, 0.1]] * 4)
    found = shares(events([7, 7, 7, 5, 5, 9]), quantile)
    assert found.minute.tolist() == [5, 7, 9]
    assert found.strange.tolist() == [[2, 1, 0]] * 4
    assert found.known.tolist() == [[2, 2, 1]] * 4
    alone = shares(events([7, 7, 7]), quantile[:, :3])
    assert [column.tolist() for column in alone] == [[7], [[1]] * 4, [[2]] * 4]
    assert not len(shares(events([7, 7], skipped=True), quantile[:, :2]).minute)


@given(st.lists(st.floats(0, 1), min_size=70, max_size=140), st.integers(0, 2**32), st.integers(1, 5))
def test_neither_order_nor_batches_nor_restarts_change_what_drifts(shared: list[float], seed: int, ahead: int) -> None:
    """Several sources, up to so many minutes ahead of the slowest, each minute in pieces that come in any order."""
    usual, told_usually = minutes(shared, 200)
    rng = random.Random(seed)
    told: list[Drift] = []
    found = ScoreDrift(told.append)
    pieces = []
    for minute, share in enumerate(shared):
        strange = int(share * 200)
        cut = rng.randint(0, 200)
        for low, high in ((0, cut), (cut, 200)):
            quantile = np.full((4, high - low), 0.5)
            quantile[:, : max(0, strange - low)] = 0.95
            quantile[3] = np.nan
            pieces.append((minute, minute + rng.uniform(0, ahead), quantile))
    for minute, at, quantile in sorted(pieces, key=lambda piece: piece[1]):
        if rng.random() < 0.2:
            saved = msgspec.msgpack.encode(found.state)
            found = ScoreDrift(told.append, msgspec.msgpack.decode(saved, type=DriftState))
        found.settle(max(0, int((at - ahead) * MINUTE)))
        found.add(shares(events([minute] * quantile.shape[1]), quantile))
    found.settle(None)
    assert found.state == usual.state
    assert told == told_usually


def test_a_bad_quarter_of_an_hour_is_none() -> None:
    assert minutes([0.1] * 120 + [0.4] * 15 + [0.1] * 120)[1] == []


def test_few_events_are_one_step() -> None:
    few, many = minutes([0.1] * 600 + [1.0] * 600, n=20)[0], minutes([0.1] * 60 + [1.0] * 60, n=200)[0]
    assert counts(few) == counts(many)


def test_a_day_of_simulated_traffic_is_told_of_by_its_counts(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    assert command("simulate", "--events", 60_000, "--seed", 5, "--attacks", "none", "--output", path)[0] == 0
    observed, told = Observed(load(None)), list[str]()
    detect.run(
        load(None), str(path), str(tmp_path / "out"), None, False, "lapwing", threading.Event(),
        observed=observed, tell=lambda text, *_, **members: told.append(f"{members['dimension']} {text}"),
    )  # fmt: skip
    drifts = {labels[0]: count for name, labels, count in observed.reading().counts if name == "score_drifts"}
    assert set(drifts) == set(DIMENSIONS)
    assert sum(drifts.values()) == len(told)
    assert set(observed.reading().drifted) == {name for name, count in drifts.items() if count}
