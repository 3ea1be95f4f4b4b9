"""`lapwing score`: any detector over any table, and what holds of every detector."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from flows.output_file import is_plain
from flows.score import score
from models.detectors.tables import PARAMS, default_params, detector_of
from models.thresholds.any_scale import AnyScale
from tests.command import begun, command, lapwing

ROWS = 3_000
ODD = 2_500
Params = Any


def rows_of(features: int, seed: int = 1) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(ROWS, features))
    rows[ODD] = 12.0
    return rows


def results(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


def numbers(path: Path, name: str) -> np.ndarray:
    return np.array([float(row[name]) if row[name] else np.nan for row in results(path)])


def written(path: Path, rows: np.ndarray, **columns: list[Any]) -> Path:
    names = [f"f{at}" for at in range(rows.shape[1])]
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*columns, *names])
        out.writerows(
            [*more, *row] for more, row in zip(zip(*columns.values(), strict=True), rows.tolist(), strict=True)
        ) if columns else out.writerows(rows.tolist())
    return path


EVERY = [*(kind() for kind in PARAMS.values())]
BOTH = pytest.mark.parametrize("features", [1, 4])
ALL = pytest.mark.parametrize("params", EVERY, ids=[*PARAMS])


def scored(params: Params, rows: np.ndarray, cuts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    detector = detector_of(params, rows.shape[1])
    times = np.arange(len(rows), dtype=np.int64) * 300_000_000
    pieces = [detector.score_learn(a, b) for a, b in zip(np.split(rows, cuts), np.split(times, cuts), strict=True)]
    scores, quantiles = (np.concatenate(each) for each in zip(*pieces, strict=True))
    return scores, quantiles


@ALL
@BOTH
def test_any_chunking_gives_the_same_and_inputs_stay(params: Params, features: int) -> None:
    rows = rows_of(features)
    before = rows.copy()
    whole = scored(params, rows, [])
    for cuts in ([1, 2, 3], [250, 251, 1_999], [*range(0, ROWS, 97)]):
        for one, other in zip(whole, scored(params, rows, cuts), strict=True):
            np.testing.assert_array_equal(one, other)
    assert (rows == before).all()


@ALL
@BOTH
def test_scores_are_finite_quantiles_below_one_and_the_odd_row_stands_out(params: Params, features: int) -> None:
    scores, quantiles = scored(params, rows_of(features), [])
    known = ~np.isnan(scores)
    assert known[-1_000:].all()
    assert np.isfinite(scores[known]).all()
    assert not (np.isnan(scores) & ~np.isnan(quantiles)).any()
    told = quantiles[~np.isnan(quantiles)]
    assert (told >= 0.0).all()
    assert (told < 1.0).all()
    assert quantiles[ODD] > 0.99
    assert ODD in np.argsort(-np.nan_to_num(quantiles))[: ROWS // 500]


@ALL
def test_greater_still_is_rarer_still(params: Params) -> None:
    found = []
    for size in (12.0, 1e3, 1e6, 1e12, 1e200):
        rows = rows_of(1)
        rows[ODD] = size
        found.append(scored(params, rows[: ODD + 1], [])[1][-1])
    assert found == sorted(found)
    assert found[-1] < 1.0


@ALL
@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_teaches_nothing(params: Params, features: int, value: float) -> None:
    rows = rows_of(features)
    odd = rows.copy()
    odd[[700, 1_500]] = value
    whole, holed = scored(params, np.delete(rows, [700, 1_500], axis=0), []), scored(params, odd, [])
    for one, other in zip(whole, holed, strict=True):
        np.testing.assert_array_equal(one, np.delete(other, [700, 1_500]))


@ALL
def test_constant_and_huge_values_break_nothing(params: Params) -> None:
    rows = np.zeros((ROWS, 3))
    rows[:, 1], rows[:, 2] = 7.0, np.where(np.arange(ROWS) % 2, 1e300, -1e300)
    scores, quantiles = scored(params, rows, [])
    assert np.isfinite(scores[~np.isnan(scores)]).all()
    assert (quantiles[~np.isnan(quantiles)] < 1.0).all()


def test_default_is_one_configuration_for_a_series_and_one_for_features() -> None:
    assert default_params(2) == default_params(40)
    assert type(default_params(1)) in PARAMS.values()


def test_one_table_in_every_form(tmp_path: Path) -> None:
    rows = rows_of(3)
    plain = written(tmp_path / "t.csv", rows)
    np.savez(tmp_path / "t.npz", X=rows, y=np.zeros(ROWS))
    pa.parquet.write_table(pa.table({f"f{at}": rows[:, at] for at in range(3)}), tmp_path / "t.parquet")
    found = []
    for path in (plain, tmp_path / "t.npz", tmp_path / "t.parquet"):
        out = tmp_path / f"{path.name}.scores"
        done = lapwing("score", "--input", path, "--output", out)
        assert done.returncode == 0, done.stderr
        found.append(out.read_text())
    assert found[0] == found[1] == found[2]
    assert found[0].splitlines()[0] == "score,quantile"
    assert len(found[0].splitlines()) == ROWS + 1
    assert results(tmp_path / "t.csv.scores")[0] == {"score": "", "quantile": ""}
    assert np.nanargmax(numbers(tmp_path / "t.csv.scores", "quantile")) == ODD


def test_columns_times_and_what_is_no_number(tmp_path: Path) -> None:
    rows = rows_of(2)
    rows[7, 1] = np.nan
    moments = [f"2026-11-02 00:{at // 60:02}:{at % 60:02}" for at in range(ROWS)]
    path = written(tmp_path / "t.csv", rows, at=moments, who=["sam"] * ROWS, n=[*range(ROWS)])
    text = path.read_text().replace("nan", "")
    path.write_text(text)
    code, out, said = command("score", "--input", path, "--output", tmp_path / "o.csv", "--time", "at", "--json")
    assert code == 0, said
    assert json.loads(out)["columns"] == ["n", "f0", "f1"]
    assert json.loads(out)["left_out"] == ["who"]
    assert "(not of numbers: who)" in said[0]
    got = results(tmp_path / "o.csv")
    assert [row["at"] for row in got[:2]] == ["2026-11-02 00:00:00.000000", "2026-11-02 00:00:01.000000"]
    assert len(got) == ROWS
    code, out, _ = command(
        "score", "--input", path, "--output", tmp_path / "p.csv", "--columns", "f1, f0", "--json", "--quiet"
    )
    assert json.loads(out)["columns"] == ["f1", "f0"]
    assert np.isnan(numbers(tmp_path / "p.csv", "score")[7])


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000])
def test_numbers_are_seconds_milliseconds_or_microseconds(tmp_path: Path, unit: int) -> None:
    stamps = [1_793_577_600 * unit + at * unit for at in range(ROWS)]
    path = written(tmp_path / "t.csv", rows_of(1), at=stamps)
    score(str(path), "ewma", str(tmp_path / "o.csv"), time_column="at")
    assert results(tmp_path / "o.csv")[1]["at"] == "2026-11-02 00:00:01.000000"


@pytest.mark.parametrize(
    "detector",
    [
        "ewma:alpha=0.05,warm_up=20",
        "half_space_trees:trees=10",
        "river:anomaly.LODA",
        "river:anomaly.GaussianScorer",
        "river:preprocessing.MinMaxScaler|anomaly.HalfSpaceTrees,seed=3",
        "sklearn:IsolationForest,n_estimators=20",
    ],
)
def test_a_detector_by_name_with_parameters(tmp_path: Path, detector: str) -> None:
    rows = rows_of(2)
    path = written(tmp_path / "t.csv", rows)
    out = []
    for name in ("a.csv", "b.csv"):
        done = score(str(path), detector, str(tmp_path / name))
        assert done.rows == ROWS
        out.append((tmp_path / name).read_bytes())
    assert out[0] == out[1]
    quantiles = numbers(tmp_path / "a.csv", "quantile")
    assert quantiles[ODD] > 0.95
    assert np.nanmax(quantiles) < 1.0
    assert np.isnan(quantiles[:20]).all()


def test_the_batch_reference_knows_the_rows_before_only() -> None:
    from flows.references import reference

    rows = rows_of(2)
    whole = reference("sklearn", "IsolationForest", {"n_estimators": "10"}, ("a", "b"))().score_learn(rows)
    detector = reference("sklearn", "IsolationForest", {"n_estimators": "10"}, ("a", "b"))()
    cut = np.concatenate([detector.score_learn(piece) for piece in np.split(rows, [100, 256, 300, 1_000])])
    np.testing.assert_array_equal(whole, cut)
    assert np.isnan(whole[:256]).all()
    assert not np.isnan(whole[256:]).any()


def test_any_scale_goes_on_over_chunks() -> None:
    scores = -np.random.default_rng(2).exponential(size=2_000) * 1e-9
    scores[[5, 900]] = np.nan
    whole, pieces = AnyScale(), AnyScale()
    np.testing.assert_array_equal(
        whole(scores), np.concatenate([pieces(part) for part in np.split(scores, [3, 200, 258, 259, 1_000])])
    )


MISTAKES = [
    (["--detector", "nope"], "--detector nope: there is no such detector; there are default, ewma,"),
    (["--detector", "ewma:alpha=2"], "Expected `float` < 1.0 - at `$.alpha`"),
    (["--detector", "ewma:depth=2"], "does not know depth; it knows alpha, warm_up"),
    (["--detector", "ewma:alpha"], "'alpha': expected key=value, each key once"),
    (["--detector", "ewma:alpha=0.1,alpha=0.2"], "each key once"),
    (["--detector", "default:alpha=0.1"], "takes no parameters"),
    (
        ["--detector", "river:anomaly.Nothing"],
        "there is no such thing in River; its detectors are anomaly.GaussianScorer",
    ),
    (["--detector", "river:preprocessing.MinMaxScaler"], "is no detector"),
    (["--detector", "river:anomaly.LocalOutlierFactor,k=3"], "does not know k; it knows n_neighbors"),
    (["--detector", "sklearn:IsolationForest,n_estimators=-4"], "must be an int in the range"),
    (["--detector", "sklearn:KNeighborsClassifier"], "IsolationForest is one"),
    (["--columns", "f0,f9"], "of the name f9; its columns are f0, f1"),
    (["--time", "f9"], "of the name f9"),
    (["--json", "--output", "-"], "both want stdout"),
]


@pytest.mark.parametrize(("words", "line"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_no_file(tmp_path: Path, words: list[str], line: str) -> None:
    path = written(tmp_path / "t.csv", rows_of(2)[:300])
    code, _, said = command("score", "--input", path, "--output", tmp_path / "o.csv", *words)
    assert code == 2
    assert len(said) == 1
    assert line in said[0]
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_inputs_that_cannot_be_read(tmp_path: Path) -> None:
    for name, content, code, line in (
        ("gone.csv", None, 1, "gone.csv: no such file or directory"),
        ("none.csv", b"", 1, "none.csv: cannot be read"),
        ("head.csv", b"a,b\n", 1, "head.csv: has no rows"),
        ("junk.npz", b"junk", 1, "junk.npz: is no .npz archive"),
        ("junk.parquet", b"junk", 1, "junk.parquet: cannot be read"),
        ("text.csv", b"a\nx\n", 2, "text.csv: has no column of numbers; its columns are a"),
        ("table.txt", b"a\n1\n", 2, "table.txt: is none of .csv, .csv.gz, .parquet, .npz"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        found, _, said = command("score", "--input", path, "--output", tmp_path / "o.csv")
        assert (found, len(said)) == (code, 1), said
        assert line in said[0]
    np.savez(tmp_path / "y.npz", y=np.zeros(3))
    assert "has no array X; it has y" in command("score", "--input", tmp_path / "y.npz", "--output", "o")[2][0]
    np.savez(tmp_path / "o.npz", X=np.array([{}], object))
    assert command("score", "--input", tmp_path / "o.npz", "--output", "o")[0] == 1
    done = lapwing("score", "--input", written(tmp_path / "t.csv", rows_of(1)), "--output", tmp_path / "no" / "o.csv")
    assert done.returncode == 1
    assert b"cannot be written (No such file or directory)" in done.stderr


def test_stdout(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", rows_of(2))
    done = lapwing("score", "--input", path, "--output", "-", "--quiet")
    lapwing("score", "--input", path, "--output", tmp_path / "o.csv")
    assert done.stdout == (tmp_path / "o.csv").read_bytes()
    assert done.stderr == b""


def test_a_pipe_stays_a_pipe_and_a_device_a_device(tmp_path: Path) -> None:
    table, pipe = written(tmp_path / "t.csv", rows_of(2)), tmp_path / "pipe"
    os.mkfifo(pipe)
    with begun("score", "--input", table, "--output", pipe) as process:
        text = pipe.read_bytes()
        said = process.communicate()  # its last line too: what closes its stderr earlier ends it with 1
    assert process.returncode == 0, said
    assert pipe.is_fifo()
    assert len(text.splitlines()) == ROWS + 1
    assert not is_plain("/dev/null")  # not tried: what fails here would take its name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe", "t.csv"]


def test_the_windows_of_a_run(tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    lapwing("simulate", "--events", 20_000, "--seed", 3, "--output", events)
    assert lapwing("detect", "--input", events, "--output", tmp_path / "out").returncode == 0
    windows = tmp_path / "out" / "windows.parquet"
    done = lapwing(
        "score",
        "--input",
        windows,
        "--columns",
        "events_1m,failures_1m",
        "--time",
        "end",
        "--output",
        tmp_path / "o.csv",
    )
    assert done.returncode == 0, done.stderr
    assert len(results(tmp_path / "o.csv")) == pa.parquet.read_metadata(windows).num_rows
