"""The tail of peaks: its formula, its fit on samples of known tails, and whether intervals hold what they say."""

import itertools
import math

import numpy as np
import pytest

from models.thresholds.peaks_over_threshold import ParetoTail, Peaks, binned, fit, future


def drawn(tail: ParetoTail, count: int, rng: np.random.Generator) -> np.ndarray:
    return np.array([tail.level(share) for share in (1.0 - rng.random(count)).tolist()])


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.3, 1.0])
def test_level_is_the_formula_of_the_paper_and_undoes_exceeds(shape: float) -> None:
    """z_q = t + sigma/gamma ((q n / N_t)^-gamma - 1): Siffer et al. (2017), equation 1."""
    t, sigma, q, n, n_t = 10.0, 2.0, 1e-4, 50_000, 100
    tail = ParetoTail(t, sigma, shape)
    z = t + (sigma / shape * ((q * n / n_t) ** -shape - 1) if shape else -sigma * math.log(q * n / n_t))
    assert tail.level(q * n / n_t) == pytest.approx(z)
    assert tail.exceeds(z) == pytest.approx(q * n / n_t)
    assert tail.exceeds(t) == tail.exceeds(t - 1) == 1.0


def test_a_tail_with_an_end_is_not_exceeded_beyond_it() -> None:
    tail = ParetoTail(10.0, 2.0, -0.5)  # ends at 10 + 2 / 0.5
    assert tail.exceeds(13.9) > 0.0
    assert tail.exceeds(14.0) == tail.exceeds(100.0) == 0.0


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.25, 0.6])
@pytest.mark.parametrize("whole", [False, True])
def test_a_known_tail_is_found_again(shape: float, whole: bool) -> None:
    rng = np.random.default_rng(5)
    tail = ParetoTail(20.0, 3.0, shape)
    values = drawn(tail, 5_000, rng)
    found = fit(binned(np.floor(values) if whole else values, np.zeros(5_000, np.int64), 1, whole))
    assert found.begin == pytest.approx(20.0, abs=0.01)
    assert found.shape == pytest.approx(shape, abs=0.06)
    assert found.scale == pytest.approx(3.0, rel=0.06)
    for share in (0.5, 0.1, 0.01):
        assert found.exceeds(tail.level(share)) == pytest.approx(share, rel=0.3)


def test_counts_that_fall_tenfold_at_each_step_need_no_jitter() -> None:
    """Values of a geometric law: a tail fitted to values spread over [k, k + 1) would double the share at the next."""
    values = np.repeat([2.0, 3.0, 4.0], [900, 90, 10])
    found = fit(binned(values, np.zeros(1_000, np.int64), 1, True))
    assert found.exceeds(3.0) == pytest.approx(0.1, rel=0.02)
    assert found.exceeds(4.0) == pytest.approx(0.01, rel=0.2)


def test_no_tail_is_likelier_than_the_one_that_is_found() -> None:
    rng = np.random.default_rng(3)
    peaks = binned(np.floor(drawn(ParetoTail(5.0, 2.0, 0.2), 300, rng)), np.zeros(300, np.int64), 1, True)

    def likelihood(tail: ParetoTail) -> float:
        above = [tail.exceeds(edge) for edge in peaks.edges.tolist()] + [0.0]
        inside = [max(a - b, 1e-300) for a, b in itertools.pairwise(above)]
        return float(peaks.reached.sum(axis=0) @ np.log(inside))

    found = fit(peaks)
    best = likelihood(found)
    for scale in np.linspace(0.5, 5.0, 40).tolist():
        for shape in np.linspace(-0.6, 1.2, 40).tolist():
            assert likelihood(ParetoTail(5.0, scale, shape)) <= best + 1e-3


@pytest.mark.parametrize(("a_day", "shape"), [(20.0, 0.3), (3.0, 0.0), (0.5, 0.3)])
def test_intervals_hold_what_they_say(a_day: float, shape: float) -> None:
    """Two weeks whose days differ (a gamma law around their rate), then the one week that nobody has seen."""
    tail = ParetoTail(10.0, 3.0, shape)
    inside = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rates = 2.5 * max(a_day, 4.0) * rng.gamma(20.0, 1 / 20.0, 21)
        counts = rng.poisson(rates)
        days = np.repeat(np.arange(21), counts)
        values = np.floor(drawn(tail, len(days), rng))
        past = days < 14
        peaks = binned(values[past], days[past], 14, True)
        found = fit(peaks)
        level = float(np.ceil(found.level(min(a_day * 14 / past.sum(), 1.0))))
        said = future(peaks, level, 7, rng, 500)
        inside += said.low <= (values[~past] >= level).sum() / 7 <= said.high
    assert inside >= 90


def test_what_was_never_reached_is_not_ruled_out() -> None:
    peaks = Peaks(np.array([2.0, 3.0]), np.tile([10, 0], (14, 1)))
    said = future(peaks, 4.0, 7, np.random.default_rng(1))
    assert said.low == 0.0
    assert 0.0 < said.high < 1.0


def test_days_that_differ_widen_the_interval() -> None:
    even = Peaks(np.array([2.0, 3.0]), np.tile([5, 5], (14, 1)))
    uneven = Peaks(np.array([2.0, 3.0]), np.array([[0, 0], [10, 10]] * 7))
    one, other = (future(peaks, 3.0, 7, np.random.default_rng(1)) for peaks in (even, uneven))
    assert other.high - other.low > 1.3 * (one.high - one.low)


def test_many_kinds_of_values_are_at_most_64_edges() -> None:
    values = np.sort(np.random.default_rng(1).lognormal(3, 1, 5_000))
    peaks = binned(values, np.zeros(5_000, np.int64), 1, False)
    assert len(peaks.edges) == 64
    assert peaks.edges[0] == values[0]
    assert peaks.reached.sum() == 5_000
