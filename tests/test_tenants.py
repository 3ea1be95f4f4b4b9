"""Whole tenants: what their detections tell of at the limit and below it, and who has a series."""

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from models.detectors.return_levels import ReturnLevels, ReturnLevelsParams
from models.rules.level_anomaly import LevelAnomaly
from models.windows.tenants import DAY
from tests.command import lapwing

START = datetime(2026, 11, 2, tzinfo=UTC)
MINUTES = DAY + 30
AT = DAY + 10
"""The minute in which something happens, past the day for which a tenant must be known."""


def counts() -> list[int]:
    """How many sign-ins there are in each minute: about 40."""
    rng = random.Random(5)
    return [rng.randint(33, 47) for _ in range(MINUTES)]


def told(folder: Path, extra: Mapping[int, list[dict[str, Any]]], kind: str) -> list[dict[str, Any]]:
    """The alerts of a kind over a day of sign-ins, with more events in some minutes."""
    with (folder / "events.ndjson").open("w") as file:
        for minute, usual in enumerate(counts()):
            some = [{"action": "login", "outcome": "success"}] * usual
            for at, event in enumerate(some + extra.get(minute, [])):
                time = START + timedelta(minutes=minute, milliseconds=at * 50)
                who = {"tenant": "acme", "ip": f"203.0.113.{at % 200}", "user": f"u{minute % 7}-{at}"}
                file.write(json.dumps({"time": time.isoformat(), **who, **event}) + "\n")
    done = lapwing("detect", "--input", folder / "events.ndjson", "--output", folder / "out", "--quiet")
    assert done.returncode == 0, done.stderr
    alerts = [json.loads(line) for line in (folder / "out" / "alerts.ndjson").read_bytes().splitlines()]
    return [one for one in alerts if one["metadata"]["event_code"].startswith(kind)]


def test_hours_without_anybody_are_rows_of_zeros(tmp_path: Path) -> None:
    heard = [*range(200), *range(320, 420)]
    with (tmp_path / "events.ndjson").open("w") as file:
        for minute in heard:
            for at in range(counts()[minute]):
                time = START + timedelta(minutes=minute, milliseconds=at * 50)
                event = {"tenant": "acme", "ip": "203.0.113.1", "action": "login", "outcome": "success"}
                file.write(json.dumps({"time": time.isoformat(), **event}) + "\n")
    (tmp_path / "config.toml").write_text("[output]\nwindow_quantile = 0.0\nwindow_sample = 1.0\n")
    words = "--config", tmp_path / "config.toml", "--input", tmp_path / "events.ndjson", "--output", tmp_path / "out"
    done = lapwing("detect", *words, "--quiet")
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "out" / "windows.parquet").to_pylist()
    mine = {row["start"]: row for row in rows if (row["detector"], row["feature"]) == ("levels", "events_1m")}
    values = np.zeros((420, 1))
    values[heard, 0] = [counts()[minute] for minute in heard]
    times = (int(START.timestamp()) // 60 + np.arange(420)) * 60_000_000
    scores, quantiles = ReturnLevels(ReturnLevelsParams(), 1).score_learn(values, times)
    for minute in (*range(100, 200), *range(320, 420)):
        row = mine[START + timedelta(minutes=minute)]
        assert (row["observed"], row["score"], row["quantile"]) == (
            values[minute, 0],
            scores[minute],
            quantiles[minute],
        )
    assert START + timedelta(minutes=300) not in mine


def limit() -> float:
    """From how many events on a minute of the series crosses."""
    detector = ReturnLevels(ReturnLevelsParams(), 1)
    minutes = int(START.timestamp()) // 60 + np.arange(MINUTES)
    times = minutes * 60_000_000
    values = np.array(counts(), np.float64)[:, np.newaxis]
    detector.score_learn(values[:AT], times[:AT])
    return detector.level_at(1_000.0, LevelAnomaly().at_least, int(times[AT]))[1]


def test_a_minute_at_the_limit_is_told_of_and_one_event_less_is_not(tmp_path: Path) -> None:
    more = ceil(limit()) - counts()[AT]
    assert 5 < more < 60
    success = {"action": "token_refresh", "outcome": "success"}
    (create, close) = told(tmp_path, {AT: [success] * more}, "level_anomaly")
    assert create["metadata"]["event_code"] == "level_anomaly_events_tenant"
    assert (create["activity_id"], close["activity_id"], create["severity_id"]) == (1, 3, 2)
    message = create["message"]
    assert message.startswith(
        f"Unusual level of traffic: {counts()[AT] + more} events a minute in tenant acme (expected "
    )
    assert "since 2026-11-03 00:10:00 UTC; not within 3 times what its few strangest episodes" in message
    assert told(tmp_path, {AT: [success] * (more - 1)}, "level_anomaly") == []
    assert not (tmp_path / "out" / "actions.ndjson").read_bytes()  # it proposes no block


def test_failures_are_a_series_of_their_own(tmp_path: Path) -> None:
    failures = [{"action": "login", "outcome": "failure"}] * 60
    codes = {one["metadata"]["event_code"] for one in told(tmp_path, {AT: failures}, "level_anomaly")}
    assert codes == {"level_anomaly_events_tenant", "level_anomaly_failures_tenant"}


def test_before_a_day_is_known_nothing_is_told(tmp_path: Path) -> None:
    success = {"action": "token_refresh", "outcome": "success"}
    assert told(tmp_path, {DAY - 10: [success] * 500}, "level_anomaly") == []


def test_three_strange_minutes_are_told_of_and_two_are_not(tmp_path: Path) -> None:
    reset = [{"action": "password_reset_request", "outcome": "success"}] * 30
    found = told(tmp_path, {AT + k: reset for k in range(3)}, "mix_anomaly")
    assert [one["activity_id"] for one in found] == [1, 3]
    assert "because of minute_resets (password resets asked for: 30, typically 0" in found[0]["message"]
    assert "since 2026-11-03 00:10:00 UTC" in found[0]["message"]
    assert "not in fewer than 3 of 5 minutes" in found[0]["message"]
    assert found[0]["unmapped"]["reasons"][0]["feature"] == "minute_resets"
    assert told(tmp_path, {AT + k: reset for k in range(2)}, "mix_anomaly") == []
