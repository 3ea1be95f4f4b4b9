"""Half-Space Trees over labelled tables: each row scored before it is learned, in file order, one configuration.

The tables are those of ADBench (Han et al., 2022), as .npz files with `X` and `y`. Beside ours, the same scores
without a guard.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from models.detectors.half_space_trees import HalfSpaceTreesParams, TableTrees

TABLES = ("smtp", "shuttle", "cardio", "annthyroid")


def measure(folder: Path) -> list[dict[str, Any]]:
    """A row for each table that is in the folder. Rows that have no score yet count as 0."""
    out = []
    for name in TABLES:
        path = folder / f"{name}.npz"
        if not path.exists():
            continue
        with np.load(path) as table:
            rows, label = np.ascontiguousarray(table["X"], np.float64), table["y"].astype(int).ravel()
        guarded, open_ = (
            TableTrees(params, rows.shape[1]).score_learn(rows)
            for params in (HalfSpaceTreesParams(), HalfSpaceTreesParams(guard=1.0 - 1e-9))
        )
        scores = np.nan_to_num(guarded[0])
        out.append(
            {
                "table": name,
                "rows": len(rows),
                "anomalies": int(label.sum()),
                "auc": float(roc_auc_score(label, scores)),
                "average_precision": float(average_precision_score(label, scores)),
                "auc_without_guard": float(roc_auc_score(label, np.nan_to_num(open_[0]))),
                "guarded": int(guarded[2].sum()),
            }
        )
    return out


def table(figures: list[dict[str, Any]]) -> str:
    """The figures to be read."""
    head = f"{'':12}{'rows':>8}{'anomalies':>11}{'AUC':>8}{'AP':>8}{'AUC, no guard':>15}{'guarded':>9}"
    return "\n".join(
        [head]
        + [
            f"{f['table']:12}{f['rows']:>8,}{f['anomalies']:>11,}{f['auc']:>8.3f}{f['average_precision']:>8.3f}"
            f"{f['auc_without_guard']:>15.3f}{f['guarded']:>9,}"
            for f in figures
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_trees", description=__doc__)
    parser.add_argument("--tables", type=Path, default=Path("../shared/data/adbench"), help="folder of .npz files")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.tables)
    if not figures:
        raise SystemExit(f"none of {', '.join(TABLES)} (.npz) is in {arguments.tables}")
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
