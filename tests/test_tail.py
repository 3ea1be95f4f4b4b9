"""The running quantile of scores: its definition, slowly; strict, continuous, calibrated where nothing was seen yet."""

import math

import numpy as np
import pytest

from models.kernels.tail import OCTAVES, STEPS, tail_beyond, tail_bucket, tail_edge, tail_score
from models.thresholds.tail import Tail


def naive_beyond(counted, score):
    """The share expected above a score, from the list of those counted."""
    edges = [2.0**k * (1 + s / 32) for k in range(-24, 40) for s in range(32)] + [2.0**40]
    edges[0] = 0.0

    def bucket(x):
        return max(k for k in range(len(edges) - 1) if edges[k] <= x) if x >= 0 else 0

    def reached(x):
        k = bucket(x)
        part = max(edges[k + 1] - x, 0.0) / (edges[k + 1] - edges[k])
        return sum(part if b == k else b > k for b in places)

    def floored(share, fitted):
        whole = share + (math.exp(fitted) if fitted else 0)
        return whole if whole >= 1e-9 else 1e-9 / (1 + math.log(1e-9) - (fitted or math.log(share)))

    places = [bucket(x) for x in counted]
    n, score = len(places), max(score, 0.0)
    wanted = max(20, 0.5 * n ** (2 / 3))
    begin = 0.0
    if n >= wanted:
        begin = edges[max(k for k in range(len(edges)) if sum(b >= k for b in places) >= wanted)]
    if score < begin or begin == 0.0:
        return floored((reached(score) + 1 / (1 + score)) / (n + 1), 0)
    excesses = [math.log((edges[b] + edges[b + 1]) / 2 / begin) for b in places if edges[b] >= begin]
    exponent = min((len(excesses) + 4) / (sum(excesses) + 1), 32)
    start = 0.5 * (len(excesses) + 2 / (1 + begin)) / (n + 1)
    return floored(0.5 * reached(score) / (n + 1), math.log(start) - exponent * math.log(score / begin))


@pytest.mark.parametrize("size", [0, 1, 19, 20, 21, 300, 1_000])
def test_a_share_is_its_definition(size):
    counted = np.random.default_rng(size).lognormal(0, 1.5, size)
    tail = Tail()
    tail.count(counted)
    asked = [0.0, 1e-9, 0.3, 1.0, 2.0, 7.7, 40.0, 1e4, *counted[:20].tolist()]
    expected = [1 - naive_beyond(counted.tolist(), score) for score in asked]
    np.testing.assert_allclose(tail.quantiles(np.array(asked)), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.99, 1.0])
def test_the_score_that_a_share_reached_is_one_of_the_sorted_to_a_bucket(share):
    counted = np.random.default_rng(7).lognormal(0, 1.5, 1_000)
    tail = Tail()
    tail.count(counted)
    found = tail_score(tail.arrays, share)
    expected = np.sort(counted)[::-1][round(share * 1_000) - 1]
    assert found <= expected <= found * (1 + 1 / 32)
    assert tail_score(Tail().arrays, share) >= 0.0


def test_buckets_hold_what_lies_between_their_edges():
    for bucket in (0, 1, 31, 32, 700, OCTAVES * STEPS - 1):
        assert tail_bucket(tail_edge(bucket)) == bucket
        assert tail_bucket(math.nextafter(tail_edge(bucket + 1), 0.0)) == bucket
    assert [tail_bucket(x) for x in (-5.0, 0.0, 1e300, math.inf)] == [0, 0, OCTAVES * STEPS - 1, OCTAVES * STEPS - 1]


@pytest.mark.parametrize("counted", [[], [3.0] * 500, [0.0] * 500, list(range(1, 400)), [1.0] * 300 + [1e9] * 3])
def test_a_stranger_score_never_has_a_lower_quantile_nor_the_same_but_between_lumps(counted):
    tail = Tail()
    tail.count(np.array(counted, np.float64))
    asked = np.geomspace(1e-3, 1e12, 4_000)
    steps = np.diff([tail_beyond(tail.arrays, score) for score in asked.tolist()])
    assert (steps <= 0).all()
    assert (steps[asked[1:] < 1e3] < 0).all()
    quantiles = tail.quantiles(np.array([0.0, *asked.tolist(), 1e300, math.inf]))
    assert (np.diff(quantiles) >= 0).all()
    assert quantiles[0] >= 0
    assert quantiles[-1] < 1


@pytest.mark.parametrize("kind", ["normal", "exponential", "pareto"])
def test_the_share_beyond_what_was_seen_is_right_or_too_large(kind):
    rng = np.random.default_rng(3)
    draw = {
        "normal": lambda n: np.abs(rng.normal(size=n)),
        "exponential": lambda n: rng.exponential(size=n),
        "pareto": lambda n: 1 + rng.pareto(2, n),
    }[kind]
    tail = Tail()
    tail.count(draw(3_000))
    many = np.sort(draw(1_000_000))
    for share, most in ((0.1, 1.3), (0.01, 1.5), (1e-3, 2.5), (1e-4, 10.0)):
        asked = many[int(len(many) * (1 - share))]
        assert 0.3 < (1 - tail.quantiles(np.array([asked]))[0]) / share < most


def test_halving_halves_and_what_is_not_a_number_does_not_count():
    tail = Tail()
    tail.count(np.array([1.0, np.nan, 2.0, 2.0, math.inf]))
    assert tail.arrays.total[0] == 4.0
    tail.halve()
    assert tail.arrays.total[0] == 2.0
    assert tail.arrays.octave.sum() == tail.arrays.count.sum() == 2.0
    assert np.isnan(tail.quantiles(np.array([np.nan]))).all()
