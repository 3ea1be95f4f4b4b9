"""Half-Space Trees beside River's, on River's own trees: equal scores, nanoseconds an event. Rounds are interleaved."""

import argparse
import json
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from river import anomaly

from benchmarks import bars
from benchmarks.page import Bench, Section
from models.detectors.half_space_trees import HalfSpaceTrees, HalfSpaceTreesParams
from models.kernels.half_space_trees import TreeArrays

FEATURES = 8


def exported(river: anomaly.HalfSpaceTrees) -> TreeArrays:
    """The trees that River has drawn, as heaps. Their features are named 0, 1, 2 ..."""
    nodes = (1 << river.height) - 1
    feature = np.zeros((len(river.trees), nodes), np.uint8)
    threshold = np.zeros((len(river.trees), nodes))
    for t, root in enumerate(river.trees):
        heap = [root]
        for node in range(nodes):
            feature[t, node], threshold[t, node] = heap[node].feature, heap[node].threshold
            heap += heap[node].children
    return TreeArrays(feature, threshold)


def measure(rows: int = 200_000, river_rows: int = 3_000, rounds: int = 3, window: int = 250) -> dict[str, Any]:
    """Times of one event, scored and learned, and the greatest difference between the scores of both."""
    params = HalfSpaceTreesParams(window=window)
    x = np.random.default_rng(1).beta(2, 5, (rows, FEATURES))
    few = [dict(enumerate(row)) for row in x[:river_rows].tolist()]
    river_ns: list[float] = []
    ours_ns: list[float] = []
    difference = 0.0
    for seed in range(rounds):
        river = anomaly.HalfSpaceTrees(n_trees=params.trees, height=params.height, window_size=params.window, seed=seed)
        river.learn_one(few[0])  # draws the trees
        trees = exported(river)
        expected = [0.0] * len(few)
        HalfSpaceTrees(params, FEATURES, trees).score_learn(x[:10])  # compiles
        began = perf_counter()
        for i in range(1, len(few)):
            expected[i] = river.score_one(few[i])
            river.learn_one(few[i])
        river_ns.append((perf_counter() - began) / (len(few) - 1) * 1e9)
        ours = HalfSpaceTrees(params, FEATURES, trees)
        began = perf_counter()
        scores = ours.score_learn(x)
        ours_ns.append((perf_counter() - began) / len(x) * 1e9)
        known = slice(params.window, len(few))
        difference = max(difference, float(np.abs(scores[known] - np.array(expected)[known]).max()))
    return {
        "trees": params.trees,
        "height": params.height,
        "window": params.window,
        "features": FEATURES,
        "rounds": rounds,
        "river_ns": median(river_ns),
        "ns": median(ours_ns),
        "ratio": median(river_ns) / median(ours_ns),
        "difference": difference,
    }


def table(figures: dict[str, Any]) -> str:
    """The figures to be read."""
    return "\n".join(
        [
            f"Half-Space Trees, {figures['trees']} of height {figures['height']}, window {figures['window']}, "
            f"{figures['features']} features, medians of {figures['rounds']} rounds",
            f"{'River':42}{figures['river_ns']:>12,.0f} ns/event",
            f"{'ours':42}{figures['ns']:>12,.0f} ns/event",
            f"ratio {figures['ratio']:,.0f} (aim 100)   greatest difference of the scores {figures['difference']}",
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.half_space_trees", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--window", type=int, default=250)
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    bench = Bench(parser)
    arguments = bench.arguments
    figures = measure(rounds=arguments.rounds, window=arguments.window)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))
    bench.write(
        Section(
            "half-space-trees",
            "Half-Space Trees beside River's",
            "On River's own trees, scored and learned row by row; the scores are equal.",
            table(figures),
            {f"half_space_trees.{name}": figures[name] for name in ("river_ns", "ns", "ratio", "difference")},
            bars.svg("An event, scored and learned", "ns", [("River", figures["river_ns"]), ("ours", figures["ns"])]),
        )
    )


if __name__ == "__main__":
    main()
