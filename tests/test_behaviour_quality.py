"""Attacks that no threshold sees, through the real flow: found by how strange they are, and little else with them."""

from typing import Any

import pytest

from benchmarks.behaviour import DIMENSIONS, KINDS, measure, table

EVENTS, HOURS, USERS = 240_000, 10.0, 8_000


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A small run with attacks and one without, of seeds that nothing was chosen on."""
    attacked = measure(tmp_path_factory.mktemp("attacked"), 3001, EVENTS, HOURS, USERS, KINDS, 40)
    return [attacked, measure(tmp_path_factory.mktemp("clean"), 3002, EVENTS, HOURS, USERS, (), 40)]


def test_four_of_five_are_found_at_one_false_incident_a_day(runs: list[dict[str, Any]]) -> None:
    attacked, clean = runs
    assert attacked["attacks"] >= 8
    assert set(attacked["default"]["kinds"]) == set(KINDS)
    assert attacked["default"]["recall"] >= 0.8
    # Half a day: one incident is two a day.
    assert sum(attacked["default"]["false_a_day"].values()) <= 3 * 24 / HOURS
    assert sum(clean["default"]["false_a_day"].values()) <= 24 / HOURS


def test_a_height_keeps_out_what_a_share_lets_in(runs: list[dict[str, Any]]) -> None:
    """The quantile alone is reached by somebody every day, whatever the traffic."""
    for run in runs:
        without, with_height = (sum(run[name]["false_a_day"].values()) for name in ("two_of_three", "default"))
        assert without > with_height


def test_the_table_says_both(runs: list[dict[str, Any]]) -> None:
    head, *rows = table(runs).splitlines()
    assert len(rows) == 4
    assert all(name in head for name in ("recall", *DIMENSIONS))
    assert "no attacks" in rows[2]
