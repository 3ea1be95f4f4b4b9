"""`make bench-timeline`: how long a person's timeline takes, and how little of the trail is opened for it, as it grows.

A million simulated events a day by 50,000 people, scored and archived as `detect` and `archive` do it; each day is
sorted when it is over. Then the timelines of people chosen at random are read whole, each from a trail opened anew.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks import bars
from benchmarks.page import Bench, Section
from flows.intervals import nearest_rank
from flows.trail.covered import proof_of
from flows.trail.reader import Trail
from flows.trail.store import Store
from flows.trail.timeline import timeline

A_DAY = 1_000_000
PEOPLE = 50_000
EVENTS = (1_000_000, 3_000_000, 10_000_000)


class _Names(msgspec.Struct):
    tenant: str = "default"
    user: str = ""
    username: str = ""
    ip: str = ""
    session: str = ""
    request_id: str = ""


class Measured(NamedTuple):
    """Seconds and rows of some timelines, and the share of the events' row groups that each opened."""

    seconds: list[float]
    rows: list[int]
    shares: list[float]


def made(events: int, folder: Path) -> list[_Names]:
    """A trail of so many events in a folder; a sample of the names in it."""
    source, out = folder / "events.ndjson", folder / "out"
    days = str(events / A_DAY)
    many = ("--events", str(events), "--days", days, "--users", str(PEOPLE), "--seed", "1")
    lapwing("simulate", *many, "--output", str(source))
    lapwing("detect", "--input", str(source), "--output", str(out))
    decode = msgspec.json.Decoder(_Names).decode
    found = []
    with source.open("rb") as lines:
        for number, line in enumerate(lines):
            if number % 499 == 0:
                try:
                    found.append(decode(line))
                except msgspec.DecodeError:
                    continue
    source.unlink()
    lapwing("archive", "--input", str(out), "--trail", str(folder / "trail"), "--keys", str(folder / "keys"))
    shutil.rmtree(out)
    return found


def lapwing(*words: str) -> None:
    """The command, in a process of its own."""
    path = str(Path(sys.executable).with_name("lapwing"))
    if code := subprocess.run([path, *words], check=False, capture_output=True).returncode:
        raise SystemExit(f"lapwing {words[0]} ended with {code}")


def groups(trail: str) -> int:
    """The row groups of the table of events."""
    store = Store.open(trail, "events")
    count = 0
    for file in store.files():
        with store.folder.open(file.path) as (parquet, _):
            count += parquet.metadata.num_row_groups
    return count


def measured(folder: Path, asked: list[tuple[str, dict[str, str]]], there: int) -> Measured:
    """Timelines of (tenant, subject), each from a trail opened anew, to its last row."""
    place, seconds, rows, shares = str(folder / "trail"), [], [], []
    for tenant, subject in asked:
        began = time.perf_counter()
        trail = Trail.open(place, folder / "keys")
        count = sum(1 for _ in timeline(trail, subject, proof_of(place), tenant=tenant))
        seconds.append(time.perf_counter() - began)
        rows.append(count)
        how: dict[str, Any] = dict(subject)
        for _ in trail.events(tenant=tenant, **how):
            pass
        shares.append(trail.opened[0] / there)
    return Measured(seconds, rows, shares)


def subjects(names: list[_Names], count: int) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """What is asked for, by kind: people drawn evenly, then addresses, sessions and requests."""
    luck = random.Random(7)
    ways: dict[str, Callable[[_Names], str]] = {
        "user": lambda one: one.username or one.user, "ip": lambda one: one.ip, "session": lambda one: one.session,
        "request": lambda one: one.request_id,
    }  # fmt: skip
    for kind, of in ways.items():
        known = sorted({(one.tenant, of(one)) for one in names if of(one)})
        drawn = luck.sample(known, min(len(known), count if kind == "user" else count // 4))
        yield kind, [(tenant, {kind: value}) for tenant, value in drawn]


def main(arguments: list[str] | None = None) -> None:
    """Print a line for each size and kind of subject."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timeline", description=__doc__)
    parser.add_argument("--events", type=int, nargs="+", default=list(EVENTS), help="sizes of the trail")
    parser.add_argument("--subjects", type=int, default=200, help="people whose timelines are read")
    bench = Bench(parser, arguments)
    chosen = bench.arguments
    heads = (
        "events", "row groups", "by", "timelines", "rows, median", "median s", "p95 s", "slowest s", "opened, p95",
        "opened, most",
    )  # fmt: skip
    out = ["  ".join(f"{head:>12}" for head in heads)]
    print(out[0], flush=True)
    slow: dict[str, float] = {}
    for events in chosen.events:
        with tempfile.TemporaryDirectory(prefix="lapwing-timeline-") as made_in:
            folder = Path(made_in)
            names = made(events, folder)
            there = groups(str(folder / "trail"))
            for kind, asked in subjects(names, chosen.subjects):
                found = measured(folder, asked, there)
                seconds = found.seconds
                slow[f"{events:,} events, by {kind}"] = nearest_rank(seconds, 0.95)
                figures = (
                    f"{events:,}", f"{there:,}", kind, f"{len(asked):,}", f"{nearest_rank(found.rows, 0.5):,.0f}",
                    *(f"{one:.3f}" for one in (nearest_rank(seconds, 0.5), nearest_rank(seconds, 0.95), max(seconds))),
                    *(f"{one:.2%}" for one in (nearest_rank(found.shares, 0.95), max(found.shares))),
                )  # fmt: skip
                out.append("  ".join(f"{figure:>12}" for figure in figures))
                print(out[-1], flush=True)
    bench.write(
        Section(
            "timeline",
            "A person's timeline",
            "Trails of a million simulated events a day by 50,000 people; each timeline is read whole "
            "from a trail opened anew.",
            "\n".join(out),
            {f"timeline.p95_s_{name.replace(',', '').replace(' ', '_')}": value for name, value in slow.items()},
            bars.svg("A timeline, 95th percentile", "s", [*slow.items()]),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
