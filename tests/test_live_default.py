"""What `lapwing score --detector default` does with a table or a series, the live flow does."""

import json
import signal
import threading
import time
from collections import Counter, defaultdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from flows import detect
from flows.config import load
from flows.score import scores_of
from models.features.minute import COUNTS
from models.kernels.close_behaviour import ClosedArrays
from models.windows.behaviour_scores import Ensemble
from models.windows.mix import Mix
from tests.command import begun, command, lapwing, said

EVENTS, CUT = 60_000, 45_000
LIMIT_S = 300
CONFIG = """
[input]
batch_rows = 50  # slow enough to be killed under way

[[detector]]
type = "ewma"
[[detector]]
type = "reservoir_ensemble"
[[detector]]
type = "return_levels"
[[detector]]
type = "reservoir_ensemble"
id = "mix"
over = "tenants"

[output]
window_quantile = 0.0
window_sample = 1.0  # every closed window is in windows.parquet

[state]
shards = 1
"""
Vectors = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated day and a half with strange behaviour, in one file and in two."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "config.toml").write_text(CONFIG)
    (folder / "trees.toml").write_text(CONFIG.replace("reservoir_ensemble", "half_space_trees", 1))
    words = ["--events", EVENTS, "--hours", "36", "--users", "900", "--seed", "11", "--attacks", "scraper,mix_turn"]
    assert lapwing("simulate", *map(str, words), "--output", folder / "events.ndjson").returncode == 0
    lines = (folder / "events.ndjson").read_bytes().splitlines(keepends=True)
    (folder / "in" / "p").mkdir(parents=True)
    (folder / "1.ndjson").write_bytes(b"".join(lines[:CUT]))
    (folder / "2.ndjson").write_bytes(b"".join(lines[CUT:]))
    return folder


def windows(out: Path, detector: str = "behaviour") -> Counter[tuple[Any, ...]]:
    """All closed windows of a detector: of whom, until when, the score, the quantile, guarded."""
    rows = pq.read_table(out / "windows.parquet").to_pylist()
    names = "dimension", "tenant", "entity", "end", "score", "quantile", "guarded", "feature"
    return Counter(tuple(row[name] for name in names) for row in rows if row["detector"] == detector)


@pytest.fixture(scope="module")
def whole(folder: Path) -> tuple[list[Vectors], Counter[tuple[Any, ...]]]:
    """The rows that each shard scored, in its order, with what it said; and all windows."""
    seen: dict[int, list[Vectors]] = defaultdict(list)
    assess = Ensemble.assess

    def noted(self: Ensemble, w: ClosedArrays) -> None:
        assess(self, w)
        if len(w.x):
            seen[id(self)].append((w.x[:, self.columns].copy(), w.score.copy(), w.quantile.copy()))

    config = load(str(folder / "config.toml"))
    judge = Mix.judge

    def counted(self: Mix, counts: list[float]) -> tuple[float, float]:
        told = judge(self, counts)
        row = (np.array(one)[np.newaxis] for one in (counts, told[0], told[1]))
        seen[id(self)].append(tuple(row))  # type: ignore[arg-type]
        return told

    with patch.object(Ensemble, "assess", noted), patch.object(Mix, "judge", counted):
        ran = str(folder / "events.ndjson"), str(folder / "whole")
        detect.run(config, *ran, None, False, "lapwing", threading.Event())
    shards = [tuple(np.concatenate(column) for column in zip(*rows, strict=True)) for rows in seen.values()]
    shards = [one for one in shards if len(one[0]) > 1_000]  # without those of the rehearsal
    return shards, windows(folder / "whole")  # type: ignore[return-value]


def test_a_table_of_the_same_rows_has_the_same_scores(
    folder: Path, whole: tuple[list[Vectors], Counter[tuple[Any, ...]]]
) -> None:
    shards, told = whole
    shards = [one for one in shards if one[0].shape[1] != len(COUNTS)]
    assert len(shards) == 3
    for rows, scores, quantiles in shards:
        assert len(rows) > 5_000
        np.savez(folder / "rows.npz", X=rows)
        found = scores_of(str(folder / "rows.npz"), "default")
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.quantiles, quantiles)
        assert np.isnan(quantiles).sum() == 110  # the first ten have no score, the next hundred no quantile
    # A score that is not known is null.
    assert Counter(None if np.isnan(x) else x for one in shards for x in one[1].tolist()) == Counter(
        row[4] for row in told.elements()
    )


def test_a_table_of_a_tenants_minutes_has_the_same_scores(
    folder: Path, whole: tuple[list[Vectors], Counter[tuple[Any, ...]]]
) -> None:
    tenants = [one for one in whole[0] if one[0].shape[1] == len(COUNTS)]
    assert tenants
    for rows, scores, quantiles in tenants:
        np.savez(folder / "minutes.npz", X=rows)
        found = scores_of(str(folder / "minutes.npz"), "default")
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.quantiles, quantiles)
        assert rows[:, 0].max() > 30


def test_a_series_of_a_tenants_minutes_has_the_same_scores(
    folder: Path, whole: tuple[list[Vectors], Counter[tuple[Any, ...]]]
) -> None:
    del whole  # it has run
    rows = [
        row for row in pq.read_table(folder / "whole" / "windows.parquet").to_pylist() if row["detector"] == "levels"
    ]
    series = {(row["tenant"], row["feature"]) for row in rows}
    assert len(series) == 6
    for tenant, feature in series:
        mine = sorted(
            (row for row in rows if (row["tenant"], row["feature"]) == (tenant, feature)), key=lambda row: row["end"]
        )
        assert len(mine) > 2_000
        begins = [row["end"] - timedelta(minutes=1) for row in mine]
        assert all(later - one == timedelta(minutes=1) for one, later in pairwise(begins))
        table = pa.table({"time": begins, "value": [row["observed"] for row in mine]})
        pq.write_table(table, folder / "series.parquet")
        found = scores_of(str(folder / "series.parquet"), "default", time_column="time")
        np.testing.assert_array_equal(found.scores, np.array([row["score"] for row in mine], np.float64))
        np.testing.assert_array_equal(found.quantiles, np.array([row["quantile"] for row in mine], np.float64))


@pytest.fixture(scope="module")
def again(folder: Path) -> Path:
    """The same events with a state: a run over the first part that is killed for good, then one to the end."""
    words = [
        "detect", "--config", folder / "config.toml", "--input", folder / "in", "--output", folder / "out",
        "--state", folder / "state", "--quiet",
    ]  # fmt: skip
    (folder / "1.ndjson").rename(folder / "in" / "p" / "1.ndjson")
    child = begun(*words)
    scored, until = folder / "out" / "scored.ndjson", time.monotonic() + LIMIT_S
    while child.poll() is None and time.monotonic() < until:
        if scored.exists() and scored.stat().st_size > 1_000_000:
            break
        time.sleep(0.02)
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL, "it ended before it was killed"
    (folder / "2.ndjson").rename(folder / "in" / "p" / "2.ndjson")
    done = lapwing(*words, "--close")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_goes_on_as_if_it_had_not_been_killed(
    again: Path, whole: tuple[list[Vectors], Counter[tuple[Any, ...]]]
) -> None:
    assert windows(again / "out") == whole[1]
    for detector in ("levels", "mix"):
        assert windows(again / "out", detector) == windows(again / "whole", detector)
    one, two = ((again / name / "alerts.ndjson").read_bytes().splitlines() for name in ("whole", "out"))
    strange = [
        [json.loads(line)["finding_info"]["uid"] for line in alerts if b"behaviour" in line] for alerts in (one, two)
    ]
    assert sorted(strange[0]) == sorted(strange[1])
    assert strange[0]


def test_what_it_learned_is_told_of(again: Path, whole: tuple[list[Vectors], Counter[tuple[Any, ...]]]) -> None:
    code, out, err = command("detectors", again / "state", "--json")
    assert (code, err) == (0, [])
    rows = {row["dimension"]: row for row in json.loads(out)["detectors"] if row["detector"] == "behaviour"}
    assert [*rows] == ["ip", "endpoint", "user"]
    for dimension, row in rows.items():
        mine = [one for one in whole[1].elements() if one[0] == dimension]
        assert (row["type"], row["warm_share"]) == ("reservoir_ensemble", 1.0)
        assert row["closed"] == len(mine)
        assert row["refused"] == sum(one[6] for one in mine)
        assert row["learned"] == len(mine) - row["refused"]
        assert row["unscored"] == sum(one[4] is None for one in mine) == 10


def test_what_another_detector_learned_is_not_gone_on_with(again: Path) -> None:
    trees = again / "trees.toml"
    words = "detect", "--input", again / "in", "--output", again / "out", "--state", again / "state", "--config", trees
    done = lapwing(*words)
    assert done.returncode == 3
    assert "detector behaviour was reservoir_ensemble kept=1024 among=512 trees=100" in said(done.stderr)[0]
    done = lapwing(*words, "--accept-rewarm")
    assert done.returncode == 0, done.stderr


def test_memory_is_said_before_it_is_taken(again: Path) -> None:
    megabytes = {}
    for name in ("config", "trees"):
        code, out, _ = command("check", again / f"{name}.toml", "--json")
        assert code == 0
        megabytes[name] = json.loads(out)["memory_bytes"]
    assert 900_000 < (megabytes["config"] - megabytes["trees"]) / 3 < 1_100_000
