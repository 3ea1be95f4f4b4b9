"""Detectors over labelled tables, in file order, each row scored before it is learned, one configuration for all.

The tables are those of ADBench (Han et al., 2022), as .npz files with `X` and `y`, small ones of scikit-learn, tables
made here, and streams in which attacks come in runs of a thousand rows and more: `runs`, `weak`, which are nearer what
is normal, and `other`, of kinds that no choice of a parameter looked at. Rows that have no score yet count as 0, the
least strange.

`default` is what `lapwing score --detector default` uses; `open` is the same without its guard; `trees` are Half-Space
Trees over clipped z-scores; `forest` is scikit-learn's IsolationForest that was fitted to all rows, those to come
included; `river` are River's Half-Space Trees over values scaled by the least and greatest so far.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import anomaly, compose, preprocessing
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.made_tables import Rows, Table, bundled, made, other_runs, read, runs, weak_runs
from models.detectors.half_space_trees import HalfSpaceTreesParams, TableTrees
from models.detectors.reservoir_ensemble import ReservoirEnsemble, ReservoirEnsembleParams

TABLES = ("smtp", "shuttle", "cardio", "annthyroid")
_NEVER = 2**40
Scores = NDArray[np.float64]


def by_default(rows: Rows) -> Scores:
    return ReservoirEnsemble(ReservoirEnsembleParams(), rows.shape[1]).score_learn(rows)[0]


def without_guard(rows: Rows) -> Scores:
    """The guard begins after `warm_up` scores: here never."""
    return ReservoirEnsemble(ReservoirEnsembleParams(warm_up=_NEVER), rows.shape[1]).score_learn(rows)[0]


def by_trees(rows: Rows) -> Scores:
    return TableTrees(HalfSpaceTreesParams(), rows.shape[1]).score_learn(rows)[0]


def by_forest(rows: Rows) -> Scores:
    return -IsolationForest(random_state=0).fit(rows).score_samples(rows)


def by_river(rows: Rows) -> Scores:
    forest = anomaly.HalfSpaceTrees(n_trees=25, height=15, window_size=250, seed=42)
    model = compose.Pipeline(preprocessing.MinMaxScaler(), forest)
    scores = np.empty(len(rows))
    for i, row in enumerate(rows.tolist()):
        one = dict(enumerate(row))
        scores[i] = model.score_one(one)
        model.learn_one(one)
    return scores


DETECTORS: dict[str, Callable[[Rows], Scores]] = {
    "default": by_default,
    "open": without_guard,
    "trees": by_trees,
    "forest": by_forest,
    "river": by_river,
}


def measure(name: str, table: Table, detectors: tuple[str, ...]) -> dict[str, Any]:
    """AUC of each detector, and the default's average precision and seconds."""
    rows, label = table
    figures: dict[str, Any] = {
        "table": name,
        "rows": len(rows),
        "columns": rows.shape[1],
        "anomalies": int(label.sum()),
    }
    by_default(rows[:1])
    for detector in detectors:
        began = perf_counter()
        scores = np.nan_to_num(DETECTORS[detector](rows))
        seconds = perf_counter() - began
        figures[detector] = float(roc_auc_score(label, scores))
        if detector == "default":
            figures["precision"] = float(average_precision_score(label, scores))
            figures["seconds"] = seconds
    return figures


def line(figures: dict[str, Any], detectors: tuple[str, ...]) -> str:
    """The figures to be read."""
    told = "".join(f"{figures[name]:>9.3f}" for name in detectors)
    return (
        f"{figures['table']:46}{figures['rows']:>8,}{figures['columns']:>5}{figures['anomalies']:>7,}{told}"
        f"{figures['precision']:>7.3f}{figures['seconds']:>7.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_tables", description=__doc__)
    parser.add_argument("--tables", type=Path, default=Path("../shared/data/adbench"), help="folder of .npz files")
    parser.add_argument("--river", action="store_true", help="River's Half-Space Trees too: minutes")
    parser.add_argument("--json", action="store_true", help="figures as JSON, a line each")
    arguments = parser.parse_args()
    detectors = tuple(name for name in DETECTORS if name != "river" or arguments.river)
    if not arguments.json:
        head = "".join(f"{name:>9}" for name in detectors)
        print(f"{'AUC':46}{'rows':>8}{'cols':>5}{'odd':>7}{head}{'AP':>7}{'s':>7}")
    found = [(name, read(path)) for name in TABLES if (path := arguments.tables / f"{name}.npz").exists()]
    if not found:
        print(f"none of {', '.join(TABLES)} (.npz) is in {arguments.tables}: the others follow")
    streams = (("runs", runs(arguments.tables)), ("weak", weak_runs(arguments.tables, 2)))
    for kind, group in (("", found), ("", bundled()), ("", made()), *streams, ("other", other_runs(arguments.tables))):
        for name, table in group:
            figures = measure(f"{kind}: {name}" if kind else name, table, detectors)
            print(json.dumps(figures) if arguments.json else line(figures, detectors), flush=True)


if __name__ == "__main__":
    main()
