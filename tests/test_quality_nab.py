"""How good the detector of a single series is, on files nobody here wrote, and on series of our own."""

import json
from pathlib import Path

import numpy as np

from benchmarks import quality_nab
from benchmarks.made_series import made_series
from models.detectors.tables import default_params, detector_of

DATA = Path(__file__).parents[2] / "shared/data/nab"


if DATA.exists():  # a project without the benchmark beside it has no such test

    def test_the_benchmarks_files_are_scored_beyond_what_was_published():
        windows = json.loads((DATA / "windows.json").read_text())
        series = list(quality_nab.read(DATA, windows))
        figures = quality_nab.measure(series, windows, quality_nab.scorer_of(DATA))
        assert [figure["standard"] > 76.5 for figure in figures] == [True, True, False, False]
        assert min(figures[0]["by_others_threshold"].values()) > 60
        assert "realTraffic" in quality_nab.table(figures, made=False)


def test_most_anomalies_of_our_own_series_are_found_with_few_others():
    found = wanted = others = rows = 0
    for _, seconds, values, anomalies in made_series():
        times = np.arange(len(values), dtype=np.int64) * seconds * 1_000_000
        quantiles = detector_of(default_params(1), 1).score_learn(values[:, np.newaxis], times)[1]
        told = np.flatnonzero(quantiles > 0.9983)
        told = told[told >= 600]
        near = len(values) // (20 * max(len(anomalies), 1))
        hits = [np.abs(told - at) <= near for at in anomalies]
        found += sum(hit.any() for hit in hits)
        wanted += len(anomalies)
        others += len(told) - np.sum(hits, dtype=int)
        rows += len(values)
    assert found / wanted > 0.85
    assert others / rows < 1 / 1_000


def test_windows_of_our_own_series_are_within_them():
    series, windows = quality_nab.made()
    for one in series:
        assert len(one.stamps) == len(one.values) == len(one.times)
        for begin, end in windows[one.name]:
            assert one.stamps.index(begin) < one.stamps.index(end)
