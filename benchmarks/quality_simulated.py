"""How much of simulated attacks is found, after how long, and how much is false: the flow over seeds nobody tuned on.

Runs with attacks are days of their own; the clean run is one of several days. All detections are on, behaviour too.
An attack crosses with the pane of its first incident, which is told at most `lateness` and a pane later. Recall has
Wilson's interval, false incidents Poisson's exact one, both at 95 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from scipy.stats import chi2

from flows.compare import AttackResult, Incident, match, read_alerts, read_truth
from models.simulation.attacks.plan import KINDS
from tests.command import LAPWING

FIRST_SEED: Final = 9001
"""None of 9001 and after was looked at while detections were made."""
CONFIG: Final = '[[detector]]\ntype = "ewma"\n[[detector]]\ntype = "half_space_trees"\n'
THIRDS: Final = ("weakest", "middle", "strongest")
_Z: Final = 1.959964


@dataclass(slots=True)
class Kind:
    """All attacks of a kind: events of each, whether it was found, seconds from its first event to where it crossed."""

    events: list[int] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    as_expected: int = 0
    seconds: list[float] = field(default_factory=list)

    def take(self, attack: AttackResult) -> None:
        """One more."""
        self.events.append(attack.events)
        self.found.append(attack.detected)
        self.as_expected += attack.as_expected
        self.seconds += [attack.seconds] if attack.seconds is not None else []

    def thirds(self) -> list[list[int]]:
        """Found and all, of the attacks with the fewest events, those between, and those with the most."""
        order = np.argsort(self.events, kind="stable")
        return [[int(sum(self.found[at] for at in part)), len(part)] for part in np.array_split(order, 3)]


def wilson(found: int, of: int) -> tuple[float, float]:
    """The interval of a share (Wilson, 1927).

    >>> [round(edge, 3) for edge in wilson(60, 60)]
    [0.94, 1.0]
    """
    if not of:
        return 0.0, 1.0
    share, room = found / of, _Z * _Z / of
    middle, half = share + room / 2, _Z * sqrt((share * (1 - share) + room / 4) / of)
    return max(0.0, (middle - half) / (1 + room)), min(1.0, (middle + half) / (1 + room))


def poisson(count: int) -> tuple[float, float]:
    """The exact interval of a number of events (Garwood, 1936).

    >>> [round(edge, 2) for edge in poisson(3)]
    [0.62, 8.77]
    """
    low = float(chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(0.975, 2 * count + 2)) / 2


def flow(folder: Path, config: Path, *words: str) -> None:
    """Simulate into the flow; nothing but its results touches the disk."""
    truth = folder / "truth.ndjson"
    simulate = [LAPWING, "simulate", "--quiet", "--output", str(folder / "events.ndjson"), *words]
    subprocess.run(simulate, check=True)
    (folder / "events.ndjson.truth.ndjson").rename(truth)
    detect = [LAPWING, "detect", "--quiet", "--config", str(config), "--input", str(folder / "events.ndjson")]
    subprocess.run([*detect, "--output", str(folder / "out")], check=True)
    (folder / "events.ndjson").unlink()


def incidents_of(out: Path) -> list[Incident]:
    """All incidents, those that were kept out of the queue too."""
    return read_alerts(out / "alerts.ndjson") + read_alerts(out / "suppressed.ndjson")


def attacked(config: Path, seed: int, events: int, users: int, attacks: int) -> tuple[dict[str, Kind], dict[str, int]]:
    """One day with attacks: what became of them, by kind, and the false incidents by detection."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size = "--events", str(events), "--seed", str(seed), "--users", str(users), "--days", "1"
        flow(folder, config, *size, "--attack-every", str(attacks))
        compared = match(incidents_of(folder / "out"), read_truth(folder / "truth.ndjson"))
    kinds: dict[str, Kind] = defaultdict(Kind)
    for attack in compared.attacks:
        kinds[attack.kind].take(attack)
    return kinds, counted(compared.false)


def clean(config: Path, seed: int, events: int, users: int, days: int) -> dict[str, int]:
    """Days without an attack: the incidents that there were all the same, by detection."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size = "--events", str(events * days), "--seed", str(seed), "--users", str(users), "--days", str(days)
        flow(folder, config, *size, "--attacks", "none")
        return counted(incidents_of(folder / "out"))


def counted(incidents: Sequence[Incident]) -> dict[str, int]:
    """How many of each detection."""
    found: dict[str, int] = defaultdict(int)
    for incident in incidents:
        found[incident.detection] += 1
    return dict(found)


def figures(kinds: dict[str, Kind], false: dict[str, int], days_attacked: int, clean: dict[str, int], days: int) -> Any:
    """All of it as plain values."""
    rows = {}
    for name in KINDS:
        one = kinds.get(name, Kind())
        found, of = sum(one.found), len(one.found)
        rows[name] = {
            "attacks": of,
            "found": found,
            "as_expected": one.as_expected,
            "recall": found / of if of else None,
            "interval": wilson(found, of),
            "median_s": median(one.seconds) if one.seconds else None,
            "by_strength": dict(zip(THIRDS, one.thirds(), strict=True)),
        }
    most = sum(clean.values())
    low, high = poisson(most)
    return {
        "kinds": rows,
        "false_beside_attacks_a_day": {name: count / days_attacked for name, count in sorted(false.items())},
        "clean": {
            "days": days,
            "by_detection": dict(sorted(clean.items())),
            "a_day": most / days,
            "interval": (low / days, high / days),
        },
    }


def text(found: Any) -> Iterator[str]:
    """The figures to be read."""
    head = f"{'kind':26}{'found':>10}{'recall (95 %)':>22}{'as expected':>13}{'crosses after':>14}"
    yield f"{head}   {', '.join(THIRDS)} third"
    for name, row in found["kinds"].items():
        low, high = row["interval"]
        share = f"{row['recall']:.2f} ({low:.2f}-{high:.2f})" if row["attacks"] else "-"
        delay = f"{row['median_s']:.0f} s" if row["median_s"] is not None else "-"
        thirds = "  ".join(f"{a}/{b}" for a, b in row["by_strength"].values())
        yield f"{name:26}{row['found']:>5}/{row['attacks']:<4}{share:>22}{row['as_expected']:>13}{delay:>14}   {thirds}"
    beside = ", ".join(f"{name} {count:.2f}" for name, count in found["false_beside_attacks_a_day"].items()) or "none"
    yield f"false incidents a day beside attacks: {beside}"
    clean = found["clean"]
    by = ", ".join(f"{name} {count}" for name, count in clean["by_detection"].items()) or "none"
    low, high = clean["interval"]
    yield f"{clean['days']} clean days: {clean['a_day']:.2f} false incidents a day ({low:.2f}-{high:.2f}; aim 5): {by}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_simulated", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="days with attacks, each of a seed of its own")
    parser.add_argument("--attacks", type=int, default=48, help="in each of them, the kinds taking turns")
    parser.add_argument("--events", type=int, default=1_500_000, help="a day")
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=7, help="of the clean run")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    arguments = parser.parse_args()
    kinds: dict[str, Kind] = defaultdict(Kind)
    false: dict[str, int] = defaultdict(int)
    with tempfile.TemporaryDirectory() as place:
        config = Path(place) / "config.toml"
        config.write_text(CONFIG)
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
            more, wrong = attacked(config, seed, arguments.events, arguments.users, arguments.attacks)
            found, of = sum(sum(one.found) for one in more.values()), sum(len(one.found) for one in more.values())
            print(f"seed {seed}: {found} of {of} attacks found, false {wrong or 'none'}", file=sys.stderr, flush=True)
            for name, one in more.items():
                mine = kinds[name]
                mine.events += one.events
                mine.found += one.found
                mine.as_expected += one.as_expected
                mine.seconds += one.seconds
            for name, count in wrong.items():
                false[name] += count
        quiet = clean(config, FIRST_SEED - 1, arguments.events, arguments.users, arguments.days)
    all_of_it = figures(kinds, false, max(arguments.seeds, 1), quiet, arguments.days)
    print(json.dumps(all_of_it, indent=2) if arguments.json else "\n".join(text(all_of_it)))


if __name__ == "__main__":
    main()
