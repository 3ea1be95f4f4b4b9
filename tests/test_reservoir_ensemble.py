"""Each view of the ensemble is what its source defines, slowly; and what the guard keeps out, and for how long."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.made_tables import at_end, in_runs, mixed, read, runs, weak_runs
from benchmarks.quality_tables import line, measure
from models.detectors.reservoir_ensemble import (
    ReservoirEnsemble,
    ReservoirEnsembleParams,
    ensemble_tables,
    regrown,
)
from models.kernels.columns_of_rows import density_rarity, tail_rarity
from models.kernels.covariance import CovarianceArrays, distance, fit_covariance
from models.kernels.isolation import LEAF, IsolationArrays, grow, path
from models.kernels.reservoir_ensemble import (
    COVARIANCE,
    DENSITIES,
    FITTED,
    ISOLATION,
    NEIGHBOURS,
    RUN_SHARE,
    SAMPLE,
    TAILS,
    VIEWED,
    deviation,
    look,
    score_of,
)
from models.kernels.run_guard import LEVELS, REFUSED, TOKENS, GuardArrays, evidence, open_guard, refuses
from models.kernels.tail import tail_score

SHARED = Path(__file__).parents[2] / "shared/data/adbench"


def rows_of(n, features, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, features)) + 0.5 * rng.normal(size=(n, features))


def detector(features, **params):
    return ReservoirEnsemble(ReservoirEnsembleParams(**params), features)


def naive_path(n):
    return 0.0 if n < 2 else 1.0 if n == 2 else 2 * (math.log(n - 1) + np.euler_gamma) - 2 * (n - 1) / n


def test_rarity_in_a_column_is_counted():
    rng = np.random.default_rng(3)
    values = np.sort(rng.integers(0, 30, 200).astype(float))
    for x in [*range(-2, 33), 3.5]:
        low, high = np.mean(values <= x), np.mean(values >= x)
        expected = min(1.0, 2 * (min(low, high) * 200 + 0.5) / 201)
        assert tail_rarity(values, 200, float(x)) == pytest.approx(-math.log(expected))
        near = np.sum(np.abs(values - x) <= 1.5)
        assert density_rarity(values, 200, float(x), 1.5) == pytest.approx(-math.log((near + 0.5) / 201))


def test_a_tree_parts_its_sample_until_its_depth_and_a_path_ends_as_published():
    rows = rows_of(64, 3)
    rows[:, 1] = 5.0
    trees = IsolationArrays(np.full((7, 128), LEAF, np.int32), np.zeros((7, 128)), np.zeros((7, 128), np.int32))
    grow(trees, rows, 64, 64, np.array([9]))
    lengths = np.zeros(64)
    for t in range(7):
        leaf, depth = np.zeros(64, int), np.zeros(64, int)
        for i, row in enumerate(rows):
            while trees.feature[t, leaf[i]] != LEAF:
                assert trees.feature[t, leaf[i]] != 1, "a constant parts nothing"
                right = row[trees.feature[t, leaf[i]]] >= trees.value[t, leaf[i]]
                leaf[i] = trees.left[t, leaf[i]] + right
                depth[i] += 1
        assert depth.max() <= 6
        for i in range(64):
            rest = naive_path(int(np.sum(leaf == leaf[i])))
            assert trees.value[t, leaf[i]] == pytest.approx(depth[i] + rest)
            lengths[i] += trees.value[t, leaf[i]] / 7
    assert [path(trees, row) for row in rows] == pytest.approx(lengths.tolist())


def naive_fit(rows):
    n, features = rows.shape
    covariance = np.atleast_2d(np.cov(rows.T, bias=True)) * (1 - min(1, features / (n + 1)))
    variance = rows.var(axis=0)
    np.fill_diagonal(covariance, variance + 0.01 * variance.mean() + 1e-6)
    return rows.mean(axis=0), covariance


def naive_distance(rows, mean, covariance):
    away = rows - mean
    return np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away) / rows.shape[1]


@pytest.mark.parametrize("features", [1, 4, 60])
def test_a_covariance_is_trimmed_twice_and_shrunk(features):
    rows = rows_of(100, features)
    rows[:8] += 20.0
    arrays = CovarianceArrays(np.zeros(features), np.zeros((features, features)), np.zeros(features))
    fit_covariance(arrays, rows, 0.1)
    mean, covariance = naive_fit(rows)
    for _ in range(2):
        away = naive_distance(rows, mean, covariance)
        mean, covariance = naive_fit(rows[away <= np.sort(away)[89]])
    found = [distance(arrays, row) for row in rows]
    assert found == pytest.approx(naive_distance(rows, mean, covariance).tolist(), rel=1e-6)


def test_more_columns_than_a_covariance_has_are_judged_by_their_variances():
    rows = rows_of(100, 600)
    arrays = CovarianceArrays(np.zeros(600), np.zeros((1, 600)), np.zeros(600))
    fit_covariance(arrays, rows, 0.0)
    deviation = np.sqrt(rows.var(axis=0) + 0.01 * rows.var(axis=0).mean() + 1e-6)
    expected = np.mean(((rows[0] - rows.mean(axis=0)) / deviation) ** 2)
    assert distance(arrays, rows[0]) == pytest.approx(expected)


def test_a_score_is_its_four_views_by_the_rows_kept():
    judge = detector(4, kept=64, among=32, sample=32, trees=10)
    rows = rows_of(300, 4)
    judge.score_learn(rows[:299])
    e, row = judge.arrays, rows[299]
    look(e, judge.params.learned, row)
    fitted = e.head[FITTED]
    assert fitted == 64
    z = (row - e.centre) / e.spread
    z = np.sign(z) * np.log1p(np.abs(z))
    assert e.row_scaled == pytest.approx(z)
    away = np.sort(np.mean((e.scaled[:32] - z) ** 2, axis=1))[4]
    assert e.says[NEIGHBOURS] == pytest.approx(0.5 * math.log(away + 1e-4))
    assert e.says[ISOLATION] == pytest.approx(-path(e.trees, z) / naive_path(int(e.head[SAMPLE])))
    assert e.says[COVARIANCE] == pytest.approx(math.log(distance(e.covariance, z) + 0.01))
    columns = [e.columns[f, :fitted] for f in range(4)]
    tails = np.mean([tail_rarity(column, 64, x) for column, x in zip(columns, row, strict=True)])
    near = [density_rarity(column, 64, x, w) for column, x, w in zip(columns, row, e.width, strict=True)]
    assert e.says[TAILS] == pytest.approx(math.log(tails + 0.1))
    assert e.says[DENSITIES] == pytest.approx(np.mean(near))
    z = np.clip((e.says - e.mean) / np.sqrt(e.square + 1e-6), -3, 27) * e.head[VIEWED] / (e.head[VIEWED] + 10)
    assert [deviation(e, view) for view in range(5)] == pytest.approx(z.tolist())
    expected = np.average(np.exp(z / 2), weights=[2, 2, 2, 1, 1]) ** 2
    assert score_of(e) == pytest.approx(expected)
    assert judge.score_learn(row[None])[0][0] == pytest.approx(expected)


def flat(arrays):
    for one in arrays:
        if isinstance(one, tuple):
            yield from flat(one)
        else:
            yield one


def test_any_pieces_are_the_same_and_state_stays_as_large():
    rows = rows_of(6_000, 3)
    whole, pieces = detector(3), detector(3)
    size = sum(array.nbytes for array in flat(whole.arrays))
    expected = whole.score_learn(rows)
    got = [pieces.score_learn(part) for part in np.split(rows, [1, 2, 15, 16, 17, 900, 4_001])]
    for at in range(2):
        np.testing.assert_array_equal(np.concatenate([part[at] for part in got]), expected[at])
    for one, other in zip(flat(whole.arrays), flat(pieces.arrays), strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum(array.nbytes for array in flat(whole.arrays)) == size


@pytest.mark.parametrize("at", [0, 5, 40, 700, 1_999])
def test_what_is_saved_goes_on_as_if_nothing_had_been(at):
    rows = rows_of(2_500, 4)
    rows[600:620] += 9.0
    rows[1_200:1_700] += 6.0  # a run, refused, then accepted
    params = {"kept": 128, "among": 64, "trees": 20, "sample": 64, "accept_after": 300, "turnover": 0.5}
    whole, first, second = detector(4, **params), detector(4, **params), detector(4, **params)
    expected = np.array(whole.score_learn(rows))
    first.score_learn(rows[:at])
    saved = {name: array.copy() for name, array in ensemble_tables(first.arrays).items()}
    for name, array in ensemble_tables(second.arrays).items():
        array[...] = saved[name]
    regrown(second.arrays, second.params)
    np.testing.assert_array_equal(np.array(second.score_learn(rows[at:])), expected[:, at:])


def test_what_is_there_of_a_row_with_holes_is_scored_and_teaches_nothing():
    judge = detector(3)
    judge.score_learn(rows_of(500, 3))
    before = [array.copy() for array in flat(judge.arrays)]
    room = {id(array) for array in (judge.arrays.says, judge.arrays.row, judge.arrays.row_scaled, judge.arrays.near)}
    room.add(id(judge.arrays.away))
    room.add(id(judge.arrays.covariance.room))
    holes = np.array([[np.nan, 0.1, 0.1], [np.inf, 40.0, 0.1], [np.nan, np.nan, -np.inf]])
    scores, quantiles = judge.score_learn(holes)
    assert np.isfinite(scores[:2]).all()
    assert scores[1] > 3 * scores[0]
    assert quantiles[1] > 0.99
    assert math.isnan(scores[2])
    assert math.isnan(quantiles[2])
    for array, was in zip(flat(judge.arrays), before, strict=True):
        if id(array) not in room:
            np.testing.assert_array_equal(array, was)


def test_a_first_step_away_from_a_constant_is_strange():
    rows = np.column_stack([np.full(600, 0.1), np.random.default_rng(2).normal(size=600)])
    rows[500, 0] = 0.2
    scores, quantiles = detector(2).score_learn(rows)
    assert int(np.nanargmax(scores)) == 500
    assert np.isfinite(scores[10:]).all()
    assert quantiles[500] > 0.999


def test_a_run_of_attacks_stays_strange_until_it_is_the_new_normal():
    rng = np.random.default_rng(4)
    normal = rows_of(9_000, 5, 4)
    attack = rng.normal(size=(7_000, 5)) * 0.2 + normal.std(axis=0) * [3, -3, 0, 3, 0]
    judge = detector(5)
    usual = np.quantile(judge.score_learn(normal)[0][-1_000:], 0.9)
    scores = judge.score_learn(attack)[0]
    assert (scores[1_000:4_900] > usual).mean() > 0.99
    assert (scores[-1_000:] > usual).mean() < 0.5, "accept_after rows later it was accepted"


def empty_guard():
    n = len(LEVELS)
    return GuardArrays(np.zeros(1, np.int64), np.zeros(2), np.zeros(n), np.array(LEVELS), np.zeros(n, np.bool_))


def sure_after(guard, beyonds, accept_after=5_000):
    sure = []
    for beyond in beyonds:
        refuses(guard, beyond, 0.0003)
        sure.append(evidence(guard, accept_after))
    return np.array(sure)


def test_evidence_of_a_run_comes_within_rows_and_goes_and_usual_rows_are_none():
    guard, rng = empty_guard(), np.random.default_rng(8)
    assert sure_after(guard, rng.random(3_000)).max() == 0.0
    begun = sure_after(guard, rng.random(200) * 0.05)
    assert begun[3] == 0.0
    assert (begun[40:] == 1.0).all()
    assert guard.run.all()
    over = sure_after(guard, rng.random(200))
    assert over[10] == 1.0
    assert over[-1] == 0.0
    single = sure_after(guard, np.where(np.arange(1_000) % 20 == 0, 1e-6, rng.random(1_000)))
    assert single.max() < 0.2


def test_evidence_of_a_run_fades_until_it_is_accepted():
    guard = empty_guard()
    sure_after(guard, [0.01] * 200)
    for refused, expected in ((0.0, 1.0), (2_500.0, 0.75), (5_000.0, 0.0), (9_000.0, 0.0)):
        guard.level[REFUSED] = refused
        assert evidence(guard, 5_000) == pytest.approx(expected)
    open_guard(guard, 50)
    assert (sure_after(guard, [0.01] * 49) == 0.0).all()
    assert not guard.run.any()
    assert guard.level[TOKENS] == 0.0


def test_what_creeps_up_begins_no_run():
    guard, rng = empty_guard(), np.random.default_rng(9)
    for share in np.linspace(0.05, 0.9, 8_000):
        refuses(guard, 0.01 if rng.random() < share else 0.6, 0.0003)
        assert not guard.run.any()


def test_a_row_of_a_run_is_lifted_to_what_few_usual_rows_reach_and_one_strange_alone_hardly():
    judge, rng = detector(4), np.random.default_rng(10)
    normal = rows_of(6_000, 4)
    judge.score_learn(normal)
    judge.score_learn(normal.std(axis=0) * [2.5, -2.5, 0, 2.5] + 0.2 * rng.normal(size=(300, 4)))
    usual = tail_score(judge.arrays.usual, RUN_SHARE)
    rows = np.concatenate([normal[:1], np.full((1, 4), 50.0), [[np.nan, 0.0, 0.0, 0.0]]])
    for row in rows:
        known = copy.deepcopy(judge.arrays)
        look(known, judge.params.learned, row)
        alone = score_of(known)
        score = copy.deepcopy(judge).score_learn(row[None])[0][0]
        assert score == pytest.approx(math.hypot(alone, usual), rel=0.01)


def test_the_guard_counts_a_tenth_of_what_it_lets_through_against_what_it_refused():
    judge = detector(2)
    normal = rows_of(3_000, 2)
    judge.score_learn(normal)
    judge.score_learn(np.full((30, 2), 60.0))
    refused = judge.arrays.guard.level[REFUSED]
    assert refused > 25
    kept = copy.deepcopy(judge.arrays.rows)
    assert (kept < 60.0).all()
    judge.score_learn(normal[:100])
    assert judge.arrays.guard.level[REFUSED] == pytest.approx(refused - 10, abs=1.5)


def test_a_slow_drift_is_no_run():
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(20_000, 4)) + np.arange(20_000)[:, None] / 10_000
    judge = detector(4)
    judge.score_learn(rows)
    assert judge.arrays.guard.level[REFUSED] < 50


@pytest.mark.parametrize("seed", [1, 2])
def test_kinds_of_anomalies_are_found_in_a_small_table(seed):
    rng = np.random.default_rng(seed)
    normal = rows_of(2_000, 6, seed)
    for odd in (normal[:60] * 3, rng.uniform(-6, 6, (60, 6)), rng.permuted(normal[:60], axis=0)):
        for rows, label in (mixed(normal, odd, rng), at_end(normal, odd)):
            scores = np.nan_to_num(detector(6).score_learn(rows)[0])
            assert roc_auc_score(label, scores) > 0.8


def test_runs_are_told_apart_where_learning_each_row_collapses():
    rng = np.random.default_rng(6)
    normal = rows_of(9_000, 5, 6)
    attack = rng.normal(size=(2_500, 5)) * 0.2 + normal.std(axis=0) * [4, -4, 0, 4, 0]
    figures = measure("runs", in_runs(normal, attack, 2_000, (1_500, 1_000), rng), ("default", "open"))
    assert figures["default"] > 0.95
    assert figures["open"] < 0.8
    assert "runs" in line(figures, ("default", "open"))


@pytest.mark.parametrize("name", ["gaussian 4", "counts", "weak: wider 2", "weak: moved 1.0"])
def test_runs_that_overlap_with_what_is_normal(name, tmp_path):
    made = dict(runs(tmp_path)) | {f"weak: {name}": table for name, table in weak_runs(tmp_path, 3)}
    rows, label = next(table for key, table in made.items() if key.startswith(name))
    scores, quantiles = detector(rows.shape[1]).score_learn(rows)
    assert roc_auc_score(label, np.nan_to_num(scores)) > 0.95
    assert np.isfinite(scores[10:]).all()
    assert np.nanmax(quantiles) < 1.0


if SHARED.exists():  # a project without these tables beside it has no such test

    @pytest.mark.parametrize(
        ("name", "least"), [("smtp", 0.96), ("shuttle", 0.99), ("cardio", 0.87), ("annthyroid", 0.86)]
    )
    def test_tables_that_others_collected(name, least):
        rows, label = read(SHARED / f"{name}.npz")
        scores = np.nan_to_num(detector(rows.shape[1]).score_learn(rows)[0])
        assert roc_auc_score(label, scores) >= least
