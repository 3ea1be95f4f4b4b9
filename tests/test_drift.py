"""Drift of scores: River's test, counted by minutes of event time, told and never acted upon."""

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift

from flows import detect
from flows.config import load
from flows.drift import ScoreDrift
from flows.observed import Observed
from models.base import DIMENSIONS
from models.thresholds.page_hinkley import PageHinkley
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


def minutes(shares: list[float], n: int = 400) -> ScoreDrift:
    told: list[str] = []
    found = ScoreDrift(told.append)
    for minute, share in enumerate(shares):
        quantile = np.full((4, n), 0.5)
        quantile[:, : int(share * n)] = 0.95
        quantile[3] = np.nan
        for half in (slice(0, n // 2), slice(n // 2, n)):
            found.see(np.arange(n)[half] + minute * MINUTE, quantile[:, half])
    assert len(told) == sum(found.counts.values())
    return found


@pytest.mark.parametrize(("share", "drifts"), [(0.10, 0), (0.14, 0), (0.5, 1), (1.0, 1)])
def test_a_share_that_stays_elsewhere_is_told_once(share: float, drifts: int) -> None:
    found = minutes([0.1] * 120 + [share] * 60)
    assert found.counts == {"tenant": drifts, "ip": drifts, "endpoint": drifts, "user": 0}
    assert set(found.moments) == ({"tenant", "ip", "endpoint"} if drifts else set())


def test_a_bad_quarter_of_an_hour_is_none() -> None:
    assert not any(minutes([0.1] * 120 + [0.4] * 15 + [0.1] * 120).counts.values())


def test_few_events_are_one_step() -> None:
    few, many = minutes([0.1] * 600 + [1.0] * 600, n=20), minutes([0.1] * 60 + [1.0] * 60, n=200)
    assert few.counts == many.counts


def test_a_day_of_simulated_traffic_is_told_of_by_its_counts(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    assert command("simulate", "--events", 60_000, "--seed", 5, "--attacks", "none", "--output", path)[0] == 0
    observed, told = Observed(load(None)), list[str]()
    detect.run(
        load(None), str(path), str(tmp_path / "out"), None, False, "lapwing", threading.Event(),
        observed=observed, tell=told.append,
    )  # fmt: skip
    counts = {labels[0]: count for name, labels, count in observed.reading().counts if name == "score_drifts"}
    assert set(counts) == set(DIMENSIONS)
    assert sum(counts.values()) == len(told)
    assert set(observed.reading().drifted) == {name for name, count in counts.items() if count}
