"""Whether the rate that a budget's limit achieves in a week to come lies in its stated interval (95 %).

Each seed is a simulated platform of its own, three weeks long, without attacks. They go through the real flow together,
each in tenants of its own, so that its windows are those it would have alone; `lapwing tune`'s calculation sees the
first two weeks, and the third, held back, says what rate the proposed limit achieves.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import bars
from benchmarks.page import Bench, Section
from flows.budget import propose
from flows.config import load
from flows.errors import Refused
from flows.formats.simulated import simulate
from flows.rethreshold import COLUMNS, DAY_MINUTES, DAY_US, Rethreshold
from models.rules import dimension
from tests.command import LAPWING

FIRST_SEED: Final = 30_001
"""Where the tail begins was chosen on 20001 to 20050; these had not been run before."""
_TIME: Final = slice(9, 33)  # of a line, its time; as text in the order of time
CONFIG: Final = """
[output]
window_sample = 1.0
[state]
shards = 1
[[detection]]
type = "threshold"
id = "failures_of_an_address"
by = "ip"
where = "failure"
count = true
at_least = 1000
[[detection]]
type = "threshold"
id = "events_of_an_address"
by = "ip"
count = true
at_least = 1000
[[detection]]
type = "threshold"
id = "accounts_at_an_address"
by = "ip"
distinct = "user"
window = "15m"
at_least = 1000
"""


def one(seed: int, events: int, users: int, days: int) -> Iterator[bytes]:
    """A seed's lines in tenants of its own."""
    for chunk in simulate(events * days, seed, hours=24.0 * days, users=users, attacks=()):
        yield from chunk.lines.replace(b'"tenant":"', b'"tenant":"%d-' % seed).splitlines(keepends=True)


def together(streams: list[Iterator[bytes]]) -> Iterator[list[bytes]]:
    """All seeds' lines in the order of time, hour by hour. A stream is at most 4 seconds out of order."""
    ahead = [next(stream, b"") for stream in streams]
    waiting: list[bytes] = []
    while any(ahead):
        hour = min(line[9:22] for line in ahead if line)
        for k, stream in enumerate(streams):
            while ahead[k] and ahead[k][9:22] <= hour:
                waiting.append(ahead[k])
                ahead[k] = next(stream, b"")
        waiting.sort(key=lambda line: line[_TIME])
        yield waiting
        waiting = []


def windows_of(folder: Path, seeds: range, events: int, users: int, days: int) -> Path:
    """The windows of all seeds, of one run of the flow."""
    config, source, out = folder / "config.toml", folder / "events.ndjson", folder / "out"
    config.write_text(CONFIG)
    with source.open("wb") as file:
        for lines in together([one(seed, events, users, days) for seed in seeds]):
            file.writelines(lines)
    words = ["detect", "--quiet", "--config", str(config), "--input", str(source), "--output", str(out)]
    subprocess.run([LAPWING, *words], check=True)
    source.unlink()
    return out / "windows.parquet"


def held_back(path: Path, config: Path, seeds: range, budgets: list[float], weeks: int) -> list[dict[str, Any]]:
    """What each seed and detection promised for each budget, and what its held-back week had."""
    found: list[dict[str, Any]] = []
    settings = load(str(config))
    for rule in settings.detection:
        table = pq.read_table(path, columns=list(COLUMNS), filters=[("dimension", "==", dimension(rule))])
        tenants = table["tenant"].combine_chunks().dictionary_encode()
        of = np.array([int(name.split("-")[0]) for name in tenants.dictionary.to_pylist()])[tenants.indices.to_numpy()]
        first = pc.min(table["start"].cast("int64")).as_py() // 60_000_000 // DAY_MINUTES + 7 * weeks
        until = first * DAY_MINUTES * 60_000_000
        for seed in seeds:
            rows = table.filter(pa.array(of == seed))
            kept = settings.output.window_sample
            past = Rethreshold(rows.filter(pc.less(rows["start"].cast("int64"), until)), rule, kept)
            whole = Rethreshold(rows, rule, kept)
            for budget in budgets:
                row: dict[str, Any] = {"detection": rule.id, "seed": seed, "budget": budget}
                try:
                    said = propose(past, budget)
                except Refused as reason:
                    found.append({**row, "refused": str(reason)})
                    continue
                fired = whole.at(said.limit)
                day = fired.start // DAY_US - first
                achieved = int(((day >= 0) & (day < 7)).sum()) / 7
                inside = said.low <= achieved <= said.high
                row |= {"limit": said.limit, "expected": said.a_day, "low": said.low, "high": said.high}
                found.append({**row, "counted": said.counted, "achieved": achieved, "inside": inside})
    return found


def text(found: list[dict[str, Any]]) -> Iterator[str]:
    """The figures to be read."""
    yield f"{'detection':24}{'budget':>8}{'inside':>10}{'refused':>9}{'achieved / expected':>21}{'interval':>20}"
    for name, budget in sorted({(row["detection"], row["budget"]) for row in found}):
        rows = [row for row in found if (row["detection"], row["budget"]) == (name, budget)]
        said = [row for row in rows if "limit" in row]
        head = (
            f"{name:24}{budget:>8g}{sum(row['inside'] for row in said):>5} of {len(said):<2}{len(rows) - len(said):>9}"
        )
        if not said:
            yield f"{head}  ({rows[0]['refused']})"
            continue
        ratio = sum(row["achieved"] for row in said) / max(sum(row["expected"] for row in said), 1e-9)
        low, high = (np.median([row[edge] for row in said]) for edge in ("low", "high"))
        yield f"{head}{ratio:>21.2f}{f'{low:.2f} to {high:.2f}':>20}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--together", type=int, default=50, help="seeds of one run of the flow, 8 GB on the disk")
    parser.add_argument("--events", type=int, default=5_000, help="a day, of each seed")
    parser.add_argument("--users", type=int, default=1_000, help="of each seed")
    parser.add_argument("--weeks", type=int, default=2, help="that the budget is made of; one more is held back")
    parser.add_argument("--budgets", type=float, nargs="+", default=[10.0, 5.0, 2.0, 1.0], metavar="A_DAY")
    parser.add_argument("--json", type=Path, help="write every seed's row here")
    bench = Bench(parser)
    arguments = bench.arguments
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    began = time.monotonic()
    found: list[dict[str, Any]] = []
    for at in range(0, len(seeds), arguments.together):
        some = seeds[at : at + arguments.together]
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            path = windows_of(folder, some, arguments.events, arguments.users, 7 * (arguments.weeks + 1))
            found += held_back(path, folder / "config.toml", some, arguments.budgets, arguments.weeks)
        print(f"{at + len(some)} seeds after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    out = [*text(found)]
    out.append(f"{arguments.seeds} seeds in {time.monotonic() - began:.0f} s; at least 43 of 50 are to lie inside")
    print("\n".join(out))
    inside: dict[str, float] = {}
    for row in found:
        name = f"{row['detection']}, {row['budget']:g} a day"
        inside[name] = inside.get(name, 0.0) + row.get("inside", False)
    bench.write(
        Section(
            "budget",
            "Whether a budget holds",
            "Simulated platforms of three weeks: the limit that two weeks propose, and whether the third "
            "lies in its interval.",
            "\n".join(out),
            {f"budget.inside {name}": value for name, value in inside.items()},
            bars.svg("Held-back weeks inside the interval", f"of {arguments.seeds}", [*inside.items()]),
        )
    )


if __name__ == "__main__":
    main()
