"""How the default's parameters were chosen, and what that choice is worth on a table that had no say in it.

The rule: the setting with the highest mean AUC over all tables and streams of `quality_tables`, each over some seeds;
where none is clearly better, the one that was there. Then, for each table, the setting that all *other* tables would
have chosen, and what it reaches on the one left out.
"""

import argparse
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.made_tables import all_tables
from benchmarks.quality_tables import TABLES
from models.detectors.reservoir_ensemble import ReservoirEnsemble, ReservoirEnsembleParams

SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "kept 2048": {"kept": 2_048, "among": 1_024},
    "trees 50": {"trees": 50},
    "trim 0": {"trim": 0.0},
    "trim 0.25": {"trim": 0.25},
    "turn 0.05": {"turnover": 0.05},
    "turn 0.4": {"turnover": 0.4},
    "guard .999": {"guard": 0.999},
    "guard .9999": {"guard": 0.9999},
    "after 3500": {"accept_after": 3_500},
}


def measure(folder: Path, seeds: int) -> tuple[list[str], np.ndarray]:
    """The tables' names, and mean AUC of shape (tables, settings)."""
    names, found = [], []
    for name, (rows, label) in all_tables(folder, TABLES).items():
        aucs = []
        for setting in SETTINGS.values():
            params = [
                msgspec.structs.replace(ReservoirEnsembleParams(), seed=seed, **setting) for seed in range(1, seeds + 1)
            ]
            scores = [np.nan_to_num(ReservoirEnsemble(one, rows.shape[1]).score_learn(rows)[0]) for one in params]
            aucs.append(mean(float(roc_auc_score(label, one)) for one in scores))
        names.append(name)
        found.append(aucs)
    return names, np.array(found)


def table(names: list[str], found: np.ndarray) -> str:
    """The figures to be read."""
    settings = [*SETTINGS]
    out = ["mean AUC    " + "".join(f"{name:>12}" for name in settings)]
    out += [f"{'all':12}" + "".join(f"{auc:>12.4f}" for auc in found.mean(axis=0))]
    out += ["", f"{'left out':36}{'default':>9}{'the others choose':>20}{'which has':>11}{'best there':>12}"]
    losses = []
    for at, name in enumerate(names):
        chosen = int(np.argmax(np.delete(found, at, axis=0).mean(axis=0)))
        out.append(
            f"{name:36}{found[at, 0]:>9.3f}{settings[chosen]:>20}{found[at, chosen]:>11.3f}{found[at].max():>12.3f}"
        )
        losses.append(found[at].max() - found[at, chosen])
    out.append(f"mean loss against the best setting of each table: {mean(losses):.4f}")
    return "\n".join(out)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choose_tables", description=__doc__)
    parser.add_argument("--tables", type=Path, default=Path("../shared/data/adbench"), help="folder of .npz files")
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    print(table(*measure(arguments.tables, arguments.seeds)))


if __name__ == "__main__":
    main()
