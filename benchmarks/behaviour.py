"""How well strange behaviour is found: the real flow over simulated days, with attacks no threshold sees, and without.

Attacks are a program that takes over an account's session, a key that reads at night, a scraper and calls an endpoint
does not know. Two rules judge the same windows: the detector's default one, and two of three minutes at 0.9999 whatever
the score.
"""

import argparse
import json
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks import bars
from benchmarks.page import Bench, Section
from flows import detect
from flows.compare import match, read_alerts
from flows.config import Config, load
from flows.detector_block import default_detections, scaled
from flows.formats.simulated import simulate
from flows.formats.truth import Truth
from models.detectors.ewma import EwmaParams
from models.detectors.half_space_trees import HalfSpaceTreesParams
from models.detectors.reservoir_ensemble import ReservoirEnsembleParams
from models.rules.behaviour_anomaly import BehaviourAnomaly

KINDS: Final = ("mix_turn", "night_reads", "scraper", "endpoint_pattern")
DIMENSIONS: Final = ("ip", "user", "endpoint")
DETECTORS: Final = {"half_space_trees": HalfSpaceTreesParams(), "reservoir_ensemble": ReservoirEnsembleParams()}
OTHER: Final = {"hits": 2, "windows": 3, "quantile": 0.9999, "score": 1e-9, "at_least": 5}
RULES: Final = ("default", "two_of_three")


def configured(detector: str) -> Config:
    """The default configuration with no other detections than the two rules in each dimension."""
    detectors = EwmaParams(), DETECTORS[detector]
    read = [rule for rule in scaled(detectors, default_detections(detectors)) if isinstance(rule, BehaviourAnomaly)]
    rules = [msgspec.structs.replace(rule, id=f"default_{rule.dimension}") for rule in read]
    rules += [msgspec.structs.replace(rule, id=f"two_of_three_{rule.dimension}", **OTHER) for rule in read]
    return msgspec.structs.replace(load(), detector=detectors, detection=tuple(rules))


def measure(
    folder: Path,
    seed: int,
    events: int,
    hours: float,
    users: int,
    kinds: Sequence[str],
    every_minutes: int,
    detector: str = "half_space_trees",
) -> dict[str, Any]:
    """One simulated run: by rule the attacks found by kind, and the incidents a day that belong to none."""
    path = folder / "events.ndjson"
    truth: list[Truth] = []
    every = every_minutes * 60_000_000 if kinds else None
    with path.open("wb") as file:
        for chunk in simulate(events, seed, hours=hours, users=users, attacks=kinds, attack_every=every):
            file.write(chunk.lines)
            truth += chunk.truth
    detect.run(configured(detector), str(path), str(folder / "out"), None, False, "lapwing", threading.Event())
    incidents = read_alerts(folder / "out" / "alerts.ndjson") + read_alerts(folder / "out" / "suppressed.ndjson")
    found: dict[str, Any] = {"seed": seed, "attacks": len(truth)}
    for name in RULES:
        compared = match([one for one in incidents if one.detection.startswith(name)], truth)
        found[name] = {
            "kinds": {kind.kind: [kind.detected, kind.attacks] for kind in compared.kinds},
            "seconds": {kind.kind: kind.seconds for kind in compared.kinds},
            "recall": compared.totals.detected / max(len(truth), 1),
            "false_a_day": {
                dimension: sum(one.dimension == dimension for one in compared.false) * 24.0 / hours
                for dimension in DIMENSIONS
            },
        }
    return found


def table(runs: list[dict[str, Any]]) -> str:
    """The figures to be read."""
    false = f"{'false a day: ip':>16}{'user':>6}{'endpoint':>10}"
    lines = [f"{'':6}{'rule':14}{'recall':>8}  {'found of all, by kind':66}{false}"]
    for run in runs:
        for name in RULES:
            one = run[name]
            kinds = ", ".join(f"{kind} {found}/{all_}" for kind, (found, all_) in sorted(one["kinds"].items()))
            recall = f"{one['recall']:8.2f}" if run["attacks"] else f"{'-':>8}"
            number = one["false_a_day"]
            lines.append(
                f"{run['seed']:<6}{name:14}{recall}  {kinds or 'no attacks':66}"
                f"{number['ip']:>16.1f}{number['user']:>6.1f}{number['endpoint']:>10.1f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.behaviour", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[2041, 2042], help="of runs with attacks")
    parser.add_argument("--clean", type=int, nargs="*", default=[2043], help="seeds of runs without")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--every", type=int, default=25, help="minutes between attacks")
    parser.add_argument("--detector", choices=DETECTORS, default="half_space_trees")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    bench = Bench(parser)
    arguments = bench.arguments
    runs = []
    for seed in (*arguments.seeds, *arguments.clean):
        kinds = KINDS if seed in arguments.seeds else ()
        with tempfile.TemporaryDirectory() as folder:
            size = arguments.events, arguments.hours, arguments.users
            runs.append(measure(Path(folder), seed, *size, kinds, arguments.every, arguments.detector))
    print(json.dumps(runs, indent=2) if arguments.json else table(runs))
    recall = {f"{run['seed']}, {name}": run[name]["recall"] for run in runs if run["attacks"] for name in RULES}
    bench.write(
        Section(
            "behaviour",
            "Strange behaviour",
            "Attacks that no threshold sees, in simulated days, and days without any, by two rules over "
            "the same windows.",
            table(runs),
            {f"behaviour.recall {name}": value for name, value in recall.items()},
            bars.svg("Recall by seed and rule", "share", [*recall.items()]),
        )
    )


if __name__ == "__main__":
    main()
