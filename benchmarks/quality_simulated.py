"""How much of simulated attacks is found, after how long, and how much is false: the flow over seeds nobody tuned on.

Runs with attacks are days of their own; the clean run is one of several days. All detections are on, behaviour too.
Recall and precision have Wilson's interval, false incidents Poisson's exact one, both at 95 %. When an incident is told
is read from its create, in event time, in a run of its own whose batches span about a second, as live ones do.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from scipy.stats import chi2

from benchmarks.run import EVERYTHING
from flows.bars import Bar, svg
from flows.compare import AttackResult, Comparison, Incident, match, read_alerts, read_truth
from flows.intervals import wilson
from models.simulation.attacks.plan import KINDS
from tests.command import LAPWING

FIRST_SEED: Final = 9001
"""No detection or threshold was chosen on 9001 and after; docs/quality.md says which had been run before."""
AS_LIVE: Final = "[input]\nbatch_rows = 8\n"
THIRDS: Final = ("weakest", "middle", "strongest")


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


@dataclass(slots=True)
class Detection:
    """The incidents of a detection, of attacks and false, and how long after the end of its pane each was told."""

    true: int = 0
    false: int = 0
    after: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Found:
    """What days with attacks have shown, by kind of attack and by detection."""

    kinds: dict[str, Kind] = field(default_factory=lambda: defaultdict(Kind))
    detections: dict[str, Detection] = field(default_factory=lambda: defaultdict(Detection))

    def take(self, compared: Comparison, incidents: Sequence[Incident]) -> tuple[int, int, int]:
        """One more day; how many attacks were found, how many there were, and how many incidents were false."""
        false = {incident.uid for incident in compared.false}
        for attack in compared.attacks:
            self.kinds[attack.kind].take(attack)
        for incident in incidents:
            self.detections[incident.detection].true += incident.uid not in false
            self.detections[incident.detection].false += incident.uid in false
        return compared.totals.detected, compared.totals.attacks, len(false)


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


def attacked(config: Path, seed: int, events: int, users: int, attacks: int) -> tuple[Comparison, list[Incident], Any]:
    """One day with attacks: what became of them, all incidents, and seconds from a pane's end to its create."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        size = "--events", str(events), "--seed", str(seed), "--users", str(users), "--days", "1"
        flow(folder, config, *size, "--attack-every", str(attacks))
        incidents = incidents_of(folder / "out")
        return match(incidents, read_truth(folder / "truth.ndjson")), incidents, told_after(folder / "out")


def told_after(out: Path) -> dict[str, list[float]]:
    """By detection, seconds of event time from the end of the pane that crossed until its create was told."""
    found: dict[str, list[float]] = defaultdict(list)
    for line in (out / "alerts.ndjson").read_text().splitlines():
        alert = json.loads(line)
        if alert["activity_id"] == 1 and "digest" not in alert["unmapped"]:
            seconds = (alert["finding_info"]["created_time"] - alert["time"]) / 1000
            found[alert["unmapped"]["detection"]].append(seconds)
    return found


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


def figures(found_in: Found, days_attacked: int, clean: dict[str, int], days: int) -> Any:
    """All of it as plain values."""
    kinds = found_in.kinds
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
    detections = {}
    for name, seen in sorted(found_in.detections.items()):
        of = seen.true + seen.false
        detections[name] = {
            "incidents": of,
            "false_a_day": seen.false / days_attacked,
            "precision": seen.true / of if of else None,
            "interval": wilson(seen.true, of),
            "told_after_median_s": median(seen.after) if seen.after else None,
            "told_after_most_s": max(seen.after, default=None),
        }
    return {
        "kinds": rows,
        "detections": detections,
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
    head = f"{'detection':30}{'incidents':>10}{'precision (95 %)':>20}{'false a day':>13}{'told after, median':>20}"
    yield f"{head}{'most':>9}"
    for name, row in found["detections"].items():
        low, high = row["interval"]
        share = f"{row['precision']:.2f} ({low:.2f}-{high:.2f})" if row["incidents"] else "-"
        told = [row["told_after_median_s"], row["told_after_most_s"]]
        middle, most = (f"{seconds:.1f} s" if seconds is not None else "-" for seconds in told)
        yield f"{name:30}{row['incidents']:>10}{share:>20}{row['false_a_day']:>13.2f}{middle:>20}{most:>9}"
    yield "(told after: event time from the end of the pane that crossed; below 0: opened early; aim 5 s, the lateness)"
    clean = found["clean"]
    by = ", ".join(f"{name} {count}" for name, count in clean["by_detection"].items()) or "none"
    low, high = clean["interval"]
    yield f"{clean['days']} clean days: {clean['a_day']:.2f} false incidents a day ({low:.2f}-{high:.2f}; aim 5): {by}"


def picture(found: Any) -> str:
    """Recall by kind and strength."""
    bars = [
        Bar(
            name.replace("_", " "),
            row["recall"],
            row["interval"],
            [a / b for a, b in row["by_strength"].values() if b],
            f"{row['found']}/{row['attacks']}",
        )
        for name, row in found["kinds"].items()
        if row["attacks"]
    ]
    return svg("Attacks found, by kind (95 % interval)", [f"{third} third" for third in THIRDS], bars)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_simulated", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="days with attacks, each of a seed of its own")
    parser.add_argument("--attacks", type=int, default=48, help="in each of them, the kinds taking turns")
    parser.add_argument("--events", type=int, default=1_500_000, help="a day")
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=7, help="of the clean run")
    parser.add_argument("--detector", choices=("half_space_trees", "reservoir_ensemble"), default="half_space_trees")
    parser.add_argument("--picture", type=Path, help="recall by kind and strength as SVG")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    arguments = parser.parse_args()
    found = Found()
    with tempfile.TemporaryDirectory() as place:
        config, live = Path(place) / "config.toml", Path(place) / "live.toml"
        config.write_text(EVERYTHING.format(behaviour=arguments.detector))
        live.write_text(AS_LIVE + EVERYTHING.format(behaviour=arguments.detector))
        size = arguments.events, arguments.users, arguments.attacks
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.seeds):
            compared, incidents, _ = attacked(config, seed, *size)
            seen, of, false = found.take(compared, incidents)
            print(f"seed {seed}: {seen} of {of} attacks found, {false} false", file=sys.stderr, flush=True)
        for name, after in attacked(live, FIRST_SEED, *size)[2].items():
            found.detections[name].after += after
        quiet = clean(config, FIRST_SEED - 1, arguments.events, arguments.users, arguments.days)
    all_of_it = figures(found, max(arguments.seeds, 1), quiet, arguments.days)
    if arguments.picture:
        arguments.picture.write_text(picture(all_of_it))
    print(json.dumps(all_of_it, indent=2) if arguments.json else "\n".join(text(all_of_it)))


if __name__ == "__main__":
    main()
