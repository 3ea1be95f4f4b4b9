"""Half-Space Trees are River's, to the bit, on River's own trees; and what ours draw and refuse."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import anomaly

from benchmarks import half_space_trees as benchmark
from models.detectors.half_space_trees import HalfSpaceTrees, HalfSpaceTreesParams, TableTrees, build_trees
from models.kernels.half_space_trees import find_leaves, learn_leaves, score_leaves


def rivers(params, features, seed):
    """River's detector with its trees built, and ours over the same trees."""
    river = anomaly.HalfSpaceTrees(n_trees=params.trees, height=params.height, window_size=params.window, seed=seed)
    river.learn_one(dict.fromkeys(range(features), 0.5))
    trees = benchmark.exported(river)
    river = anomaly.HalfSpaceTrees(n_trees=params.trees, height=params.height, window_size=params.window, seed=seed)
    return river, HalfSpaceTrees(params, features, trees)


def score_then_learn(detector, x, i, learns=True):
    """One row by the kernels that walk once for both uses."""
    leaf = np.empty((1, detector.params.trees), np.uint16)
    find_leaves(detector.trees, detector.params.height, x, i, leaf, 0)
    score = score_leaves(detector.forest, detector.params.height, detector.params.window, leaf, 0)
    if learns:
        learn_leaves(detector.forest, detector.params.height, detector.params.window, leaf, 0)
    return score


def stream(features, rows, seed):
    """A drifting stream with rows that repeat, lie on thresholds' sides and far out."""
    rng = np.random.default_rng(seed)
    x = rng.beta(2, 5, (rows, features)) + 0.2 * np.sin(np.arange(rows) / 200)[:, None]
    x[::7] = x[0]
    odd = rng.random(rows) < 0.02
    x[odd] = rng.choice([-3.0, 0.0, 1.0, 4.5], (int(odd.sum()), features))
    return x


@pytest.mark.parametrize(
    ("trees", "height", "window", "features", "seed"),
    [
        (25, 8, 250, 8, 1),
        (25, 8, 1000, 12, 2),
        (10, 6, 250, 3, 3),
        (7, 1, 20, 2, 4),
        (3, 11, 64, 5, 5),
        (1, 4, 2, 1, 6),
    ],
)
def test_scores_are_rivers_to_the_bit(trees, height, window, features, seed):
    river, ours = rivers(HalfSpaceTreesParams(trees=trees, height=height, window=window), features, seed)
    x = stream(features, 2 * window + 700, seed)
    expected = []
    for row in x.tolist():
        row = dict(enumerate(row))
        expected.append(river.score_one(row))
        river.learn_one(row)
    got = ours.score_learn(x)
    assert np.isnan(got[:window]).all()
    assert got[window:].tolist() == expected[window:]
    assert len(set(expected[window:])) > 2


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0, -2.0, math.nan, math.inf]), min_size=2, max_size=2)
    ),
    st.lists(st.integers(1, 9), max_size=8),
    st.integers(1, 6),
    st.integers(2, 9),
)
def test_rows_one_by_one_or_in_any_pieces_are_the_same_and_only_finite_ones_teach(rows, cuts, trees, window):
    x = np.array(rows, np.float64).reshape(len(rows), 2)
    params = HalfSpaceTreesParams(trees=trees, height=3, window=window)
    whole, pieces, single, clean = (HalfSpaceTrees(params, 2) for _ in range(4))
    expected = whole.score_learn(x)
    got, start = [], 0
    for cut in [*cuts, len(x)]:
        got += pieces.score_learn(x[start : start + cut]).tolist()
        start += cut
    one_by_one = []
    for i in range(len(x)):
        one_by_one.append(score_then_learn(single, x, i))
    finite = np.isfinite(x).all(axis=1)
    only = np.full(len(x), np.nan)
    only[finite] = clean.score_learn(x[finite])
    for other in (got, one_by_one, only):
        np.testing.assert_array_equal(other, expected)
    for other in (pieces, single, clean):
        for a, b in zip(other.forest[:3], whole.forest[:3], strict=True):
            np.testing.assert_array_equal(a, b)
    assert ((expected >= 0) & (expected <= 1) | np.isnan(expected)).all()


LIMITS = (1.0, 1.0, 0.5, 1.0)


def test_trees_are_drawn_the_same_for_a_seed_and_halve_what_is_left_of_a_cell():
    trees = build_trees(30, 6, LIMITS, seed=9)
    again, other = build_trees(30, 6, LIMITS, seed=9), build_trees(30, 6, LIMITS, seed=10)
    assert (trees.feature == again.feature).all()
    assert (trees.threshold == again.threshold).all()
    assert (trees.threshold != other.threshold).any()
    for feature, threshold in zip(trees.feature.tolist(), trees.threshold.tolist(), strict=True):
        cells = [[(0.0, limit) for limit in LIMITS]]
        for node, (on, at) in enumerate(zip(feature, threshold, strict=True)):
            a, b = cells[node][on]
            assert a + 0.15 * (b - a) <= at <= b - 0.15 * (b - a)
            for half in ((a, at), (at, b)):
                cells.append([half if k == on else side for k, side in enumerate(cells[node])])
    counts = np.bincount(trees.feature[:, 0], minlength=4)
    assert counts.min() >= 2, "every feature is drawn"


def test_sums_of_masses_fit_their_places():
    greatest = HalfSpaceTreesParams(trees=1, height=15, window=10_000)
    forest = HalfSpaceTrees(greatest, 1)
    x = np.full((10_001, 1), 0.3)
    scores = forest.score_learn(x)
    assert scores[-1] == 0.0, "all rows in one cell is the least strange that there is"
    assert forest.forest.table.max() == 10_000 * (2**16 - 1)


def test_the_benchmark_compares_equal_scores():
    figures = benchmark.measure(rows=1_200, river_rows=600, rounds=1)
    assert figures["difference"] == 0.0
    assert figures["river_ns"] > 0
    assert figures["ratio"] == pytest.approx(figures["river_ns"] / figures["ns"])
    assert f"{figures['ratio']:,.0f}" in benchmark.table(figures)


def table_of(rows, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)) * [1, 10, 1e-3, 1e6] + [0, 5, 1, -1e6]
    x[rows // 2 : rows // 2 + 60] = [6, 70, 1.006, 6e6]  # an attack that comes packed together
    return x


def naive_scale(rows, taught, clip, i):
    """The z-scores of row i beside the rows before it that taught; while 1/n is above the least weight a plain mean."""
    before = rows[:i][taught[:i]]
    if not len(before):
        return np.full(rows.shape[1], 0.5)
    deviation = before.std(axis=0)
    z = np.where(deviation > 0, (rows[i] - before.mean(axis=0)) / np.where(deviation > 0, deviation, 1), 0)
    return 0.5 + 0.5 * np.clip(z, -clip, clip) / clip


def test_a_table_is_scored_beside_what_taught_before_each_row():
    rows = table_of(900, 5)
    params = HalfSpaceTreesParams(window=100, warm_up=200, guard=0.97)
    scores, quantiles, guarded = TableTrees(params, 4).score_learn(rows)
    assert np.isnan(quantiles[:200]).all()
    assert not np.isnan(quantiles[210:]).any()
    assert (guarded == (quantiles >= 0.97)).all()
    forest = HalfSpaceTrees(params, 4)
    seen = []
    for i in range(900):
        z = naive_scale(rows, ~guarded, 3.0, i)[None]
        expected = score_then_learn(forest, z, 0, not guarded[i])
        assert scores[i] == pytest.approx(expected, abs=0.02, nan_ok=True)
        if i >= 200 and seen:
            below = np.mean(np.array(seen) < scores[i])
            assert quantiles[i] <= 1 - 1 / len(seen)
            assert quantiles[i] == pytest.approx(below, abs=0.25)
        if not math.isnan(scores[i]):
            seen.append(float(scores[i]))
    assert guarded[450:510].sum() > 15
    assert np.nanmean(scores[450:510]) > np.nanquantile(scores[:450], 0.99)


def test_the_guard_keeps_a_packed_attack_strange():
    rows = table_of(4_000, 6)
    guarded, taught = (
        TableTrees(HalfSpaceTreesParams(window=50, guard=guard, warm_up=100), 4).score_learn(rows)[0]
        for guard in (0.99, 1 - 1e-9)
    )
    end = slice(2_051, 2_060)
    assert guarded[end].mean() > taught[end].mean() + 0.1


def test_a_row_of_a_table_that_is_not_finite_has_no_score_and_teaches_nothing():
    rows = table_of(700, 7)
    odd = rows.copy()
    holes = np.arange(3, 700, 13)
    odd[holes, holes % 4] = np.resize([math.nan, math.inf, -math.inf], len(holes))
    params = HalfSpaceTreesParams(window=60, warm_up=90)
    clean = np.delete(rows, holes, axis=0)
    got, expected = TableTrees(params, 4).score_learn(odd), TableTrees(params, 4).score_learn(clean)
    assert np.isnan(got[0][holes]).all()
    assert not got[2][holes].any()
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(np.delete(a, holes), b)
    one, two = TableTrees(params, 4), TableTrees(params, 4)
    np.testing.assert_array_equal(
        np.concatenate([one.score_learn(part)[0] for part in np.split(odd, [1, 2, 300])]), two.score_learn(odd)[0]
    )
