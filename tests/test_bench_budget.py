"""The benchmarks of a budget and of a slider: what they measure is what they say."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import slider
from benchmarks.budget import held_back, one, text, together
from benchmarks.made_windows import levels
from flows.formats.windows import table

DAY = 29_895_840  # minutes since 1970, a midnight
CONFIG = """
[output]
window_sample = 1.0
[[detection]]
type = "threshold"
id = "failures"
by = "ip"
where = "failure"
count = true
at_least = 1000
"""


def test_seeds_go_together_in_the_order_of_time_each_in_its_own_tenants() -> None:
    alone = [list(one(seed, 1_000, 100, 1)) for seed in (1, 2)]
    hours = list(together([iter(lines) for lines in alone]))
    lines = [line for hour in hours for line in hour]
    assert sorted(lines) == sorted(alone[0] + alone[1])
    times = [json.loads(line)["time"] for line in lines]
    assert times == sorted(times)
    assert len(hours) >= 24
    assert {json.loads(line)["tenant"].split("-")[0] for line in alone[1]} == {"2"}


def steady(seed: int, last_week: float) -> Iterator[tuple[str, int, float]]:
    """Peaks of 1 and more over three weeks, in the last one so many times as often."""
    rng = np.random.default_rng(seed)
    for day in range(21):
        for _ in range(rng.poisson(40 * (last_week if day >= 14 else 1.0))):
            yield (
                f"{seed}-{rng.integers(1 << 40)}",
                DAY + 1_440 * day + int(rng.integers(1_440)),
                1 + rng.geometric(0.5),
            )
        yield f"{seed}-there", DAY + 1_440 * day, 0.0
        yield f"{seed}-there", DAY + 1_440 * day + 1_439, 0.0


@pytest.mark.parametrize(("last_week", "inside"), [(1.0, True), (4.0, False)])
def test_a_held_back_week_is_inside_only_if_it_is_like_those_before(
    tmp_path: Path, last_week: float, inside: bool
) -> None:
    rows = [row for seed in range(10, 20) for row in steady(seed, last_week)]
    entity, minute, peak = (np.array(column) for column in zip(*rows, strict=True))
    start = minute.astype(np.int64) * 60_000_000
    windows = table({
        "tenant": pa.array([name.split("-")[0] + "-acme" for name in entity]), "entity": pa.array(entity.tolist()),
        "dimension": pa.array(["ip"] * len(rows)), "detector": "ewma", "start": start, "end": start + 60_000_000,
        "guarded": pa.array([False] * len(rows)), "sample_weight": np.ones(len(rows)), "config_hash": "0",
        "levels": levels("failures", peak),
    })  # fmt: skip
    pq.write_table(windows, tmp_path / "windows.parquet")
    (tmp_path / "config.toml").write_text(CONFIG)
    found = held_back(tmp_path / "windows.parquet", tmp_path / "config.toml", range(10, 20), [10.0, 1_000.0], 2)
    held = sum(row["inside"] for row in found if row["budget"] == 10.0)
    assert (held >= 8) if inside else (held == 0)
    assert all("lowest limit" in row["refused"] for row in found if row["budget"] == 1_000.0)
    lines = list(text(found))
    assert f"{held} of 10" in lines[1]
    assert "lowest limit" in lines[2]


def test_a_slider_is_moved_over_the_windows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["slider", "--windows", "20000", "--moves", "0", "--json"])
    slider.main()
    found = json.loads(capsys.readouterr().out)
    incidents = [move["incidents"] for move in found["moves"]]
    assert 19_000 < found["windows"] <= 20_000
    assert incidents[0] > 10_000
    assert incidents == sorted(incidents, reverse=True)
