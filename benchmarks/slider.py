"""How long moving a slider takes: a limit's incidents a day, who burns them and the list, over a million windows."""

import argparse
import json
import time

import numpy as np
import pyarrow as pa

from benchmarks.made_windows import levels
from flows.formats.windows import table
from flows.rethreshold import COLUMNS, Rethreshold
from models.rules import BruteForceUser

_START = 1_793_577_600_000_000


def windows(rows: int, seed: int) -> pa.Table:
    """So many kept windows of accounts over four weeks: few entities are busy, values have a long tail."""
    rng = np.random.default_rng(seed)
    entities = max(rows // 50, 1)
    number = (entities * rng.random(rows) ** 3).astype(np.int64)
    minute = rng.integers(28 * 1_440, size=rows)
    _, first = np.unique(number * 100_000 + minute, return_index=True)
    number, minute = number[first], minute[first]
    peak = np.floor(5 + 3 * rng.pareto(2.0, len(first)))
    start = _START + minute * 60_000_000
    names = pa.array([f"user{n}@example.com" for n in range(entities)])
    found = table({
        "tenant": "acme", "dimension": pa.array(["user"] * len(first)), "entity": names.take(pa.array(number)),
        "detector": "ewma", "start": start, "end": start + 60_000_000, "guarded": pa.array([False] * len(first)),
        "sample_weight": np.ones(len(first)), "config_hash": "0", "levels": levels("brute_force_user", peak, held=6),
    })  # fmt: skip
    return found.select(list(COLUMNS))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slider", description=__doc__)
    parser.add_argument("--windows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    arguments = parser.parse_args()
    rows = windows(arguments.windows, arguments.seed)
    began = time.perf_counter()
    index = Rethreshold(rows, BruteForceUser())
    figures: dict[str, object] = {"windows": rows.num_rows, "index_ms": 1e3 * (time.perf_counter() - began)}
    moves = []
    for limit in (5, 6, 8, 10, 15, 20, 40, 80, 200):
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            fired = index.at(float(limit))
            fired.burners()
            fired.incidents(1_000)
            taken.append(1e3 * (time.perf_counter() - began))
        moves.append(
            {"limit": limit, "incidents": fired.total, "median_ms": float(np.median(taken)), "most_ms": max(taken)}
        )
    figures["moves"] = moves
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{rows.num_rows:,} windows, index once {figures['index_ms']:.0f} ms")
    for move in moves:
        print(
            "limit {limit:>4}: {incidents:>9,} incidents, {median_ms:7.1f} ms, at most {most_ms:7.1f} ms".format(**move)
        )
    print("(a move: incidents a day, five burners, the list's first 1,000; aim 200 ms)")


if __name__ == "__main__":
    main()
