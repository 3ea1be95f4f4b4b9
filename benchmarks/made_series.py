"""Series with anomalies whose kinds are common in operations, made by a seed: another yardstick than real files.

Days of a square wave that go wrong, flat lines, noise, counts with bursts, demand with a week, machines that fail.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Made = tuple[str, int, Floats, list[int]]
"""Name, seconds between rows, values, rows at which anomalies begin."""
SEEDS = (100, 101, 102)


def made_series() -> Iterator[Made]:
    """Every series for every seed; category and file in the name, as the benchmark has them."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        for kind in (_days, _lines, _counts, _known):
            for category, name, seconds, values, anomalies in kind(rng):
                yield f"{category}/{name}_{seed}.csv", seconds, values, anomalies


def _wander(rng: np.random.Generator, n: int, keep: float, step: float) -> Floats:
    out = np.zeros(n)
    last = 0.0
    for at, push in enumerate(rng.normal(0, step, n).tolist()):
        last = keep * last + push
        out[at] = last
    return out


def _smooth(rng: np.random.Generator, n: int, every: int) -> Floats:
    knots = np.arange(0, n + every, every)
    return np.interp(np.arange(n), knots, rng.normal(0, 1, len(knots)))


def _days(rng: np.random.Generator) -> Iterator[tuple[str, str, int, Floats, list[int]]]:
    n = 4_032
    at = np.arange(n)
    busy = (at % 288 >= 108) & (at % 288 < 216)
    usual = np.where(busy, 80.0, 20.0) + rng.uniform(-2, 2, n) * np.where(busy, 2.5, 1)
    wrong = busy & (at // 288 == 11)
    for name, changed in (
        ("jumps_up", usual * 1.5 + rng.uniform(0, 40, n)),
        ("jumps_down", usual - 100),
        ("no_jump", usual - 60),
        ("half_a_jump", usual - 30),
    ):
        yield "days", name, 300, np.where(wrong, changed, usual), [int(np.flatnonzero(wrong)[0])]
    yield "nothing", "square", 300, usual, []
    yield "nothing", "sine", 300, 50 + 30 * np.sin(2 * np.pi * at / 288) + rng.normal(0, 2, n), []


def _lines(rng: np.random.Generator) -> Iterator[tuple[str, str, int, Floats, list[int]]]:
    n = 4_032
    values = np.where(rng.random(n) < 0.02, 20 + rng.uniform(0, 5, n), 0) + rng.uniform(0, 1, n)
    values[2_900:3_200] = np.where(rng.random(300) < 0.3, 20.0, 0.0) + 0.1 * values[2_900:3_200]
    yield "lines", "denser_spikes", 300, values, [2_900]
    values = rng.gamma(2, 0.3, n) * (rng.random(n) < 0.3)
    values[3_100:3_106] += 2.8
    yield "lines", "higher_spikes", 300, values, [3_100]
    values = 50 + rng.normal(0, 2, n)
    values[2_800:3_000] = 50 + rng.normal(0, 6, 200)
    yield "lines", "more_noise", 300, values, [2_800]
    values = 50 + rng.normal(0, 2, n)
    values[2_800:3_000] = 50
    yield "lines", "flat_line", 300, values, [2_800]
    values = np.abs(_wander(rng, 3_000, 1.0, 0.01)) + rng.exponential(0.1, 3_000)
    values[1_800:] += 1.2
    yield "lines", "level_shift", 300, values, [1_800]
    yield "nothing", "noise", 300, 50 + rng.normal(0, 1, n), []
    yield "nothing", "constant", 300, np.full(n, 45.0), []


def _counts(rng: np.random.Generator) -> Iterator[tuple[str, str, int, Floats, list[int]]]:
    n = 15_800
    rate = 12 * (1 + 0.6 * np.sin(2 * np.pi * np.arange(n) / 288)) * np.exp(0.3 * _smooth(rng, n, 12))
    values = rng.negative_binomial(4, 4 / (4 + rate)).astype(float)
    bursts = [4_500, 9_000, 13_500]
    for at, height in zip(bursts, (12, 6, 9), strict=True):
        values[at : at + 24] += np.round(np.exp(-np.arange(24) / 6) * height * 18)
    yield "counts", "mentions", 300, values, bursts
    values = rng.poisson(1.2 * np.exp(0.5 * rng.normal(0, 1, n))).astype(float) * (rng.random(n) < 0.5)
    bursts = [5_000, 8_000, 12_000]
    for at, height in zip(bursts, (25, 14, 18), strict=True):
        values[at : at + 10] += rng.poisson(height, 10)
    yield "counts", "sparse", 300, values, bursts


def _known(rng: np.random.Generator) -> Iterator[tuple[str, str, int, Floats, list[int]]]:
    n = 10_320
    at = np.arange(n)
    day = (at % 48) / 48
    working = 15_000 + 9_000 * np.sin(2 * np.pi * (day - 0.35)) + 3_000 * np.sin(4 * np.pi * day)
    weekend = 15_000 + 8_000 * np.sin(2 * np.pi * (day - 0.47)) + 2_000 * np.sin(4 * np.pi * (day - 0.1))
    values = np.where((at // 48) % 7 >= 5, weekend, working) * (1 + 0.05 * _smooth(rng, n, 24)) + rng.normal(0, 300, n)
    begins = [5_900, 7_100, 8_600, 10_000]
    for begin, length, factor in zip(begins, (24, 60, 40, 48), (1.35, 0.55, 0.5, 0.35), strict=True):
        values[begin : begin + length] *= factor
    yield "known", "demand", 1_800, values, begins

    values = 85 + _wander(rng, 22_000, 0.995, 0.6) + rng.normal(0, 0.7, 22_000)
    begins = [4_000, 11_000, 17_000, 19_500]
    for begin, length, depth in zip(begins, (300, 200, 100, 400), (30, 22, 28, 60), strict=True):
        values[begin : begin + length] -= depth * np.sin(np.linspace(0, np.pi, length))
    yield "known", "machine", 300, values, begins

    at = np.arange(7_267)
    values = 70 + 3 * np.sin(2 * np.pi * at / 24) + _wander(rng, len(at), 0.97, 0.5)
    values[3_700:3_730] += 9
    values[6_200:6_260] -= np.linspace(0, 11, 60)
    yield "known", "room", 3_600, values, [3_700, 6_200]

    values = 45 + rng.gamma(2, 1.5, 4_032) + 0.5 * rng.standard_t(3, 4_032)
    values[2_000] += 35
    values[2_800:2_840] += 9
    values[3_700:3_710] += 25
    yield "known", "latency", 300, values, [2_000, 2_800, 3_700]

    at = np.arange(18_050)
    values = 40 + 25.0 * (at % 288 < 30) + rng.normal(0, 3, len(at))
    values = np.where(rng.random(len(at)) < 0.004, values + rng.uniform(10, 40, len(at)), values)
    values[15_500:17_000] = 55 + 20 * np.sin(at[:1_500] / 20) + rng.normal(0, 6, 1_500)
    yield "known", "wrong_setting", 300, values, [15_500]

    values = np.where(rng.random(5_315) < 0.9, 0.0, rng.exponential(0.5, 5_315))
    values[2_500:2_520] = rng.exponential(1.5, 20)
    values[4_400:4_440] = rng.exponential(1.2, 40)
    yield "known", "keys", 300, values, [2_500, 4_400]
