"""`python -m benchmarks.insights`: what counting costs as events are archived, and how soon a year of it is a page.

A simulated day of three tenants is counted as `lapwing archive` counts it. Its rows, each day with other users, become
a year's table; then the command is timed as a person would wait for it.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa

from benchmarks import bars
from benchmarks.page import Bench, Section
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import raw_batch
from flows.insights.aggregate import accumulate
from flows.insights.counted import DAY
from flows.insights.rows import DAILY, ROWS
from flows.insights.sketch import packed
from flows.kernels_cache import load_numba
from flows.trail.incoming import events
from flows.trail.insights import Aggregates
from flows.trail.keys import KeyStore
from flows.trail.rows import event_table
from flows.trail.schema import day_of
from flows.trail.store import Store
from flows.trail.trees import Trees

LAPWING = str(Path(sys.executable).parent / "lapwing")


def main() -> None:
    """Count a day, make a year of it, and time the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.insights", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="of the day that is counted")
    parser.add_argument("--days", type=int, default=365)
    bench = Bench(parser)
    given, out = bench.arguments, list[str]()
    waited: dict[str, float] = {}
    load_numba()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = KeyStore.open(folder / "keys", create=True)
        day = counted(folder, keys, given.events, out)
        store = Store.open(str(folder / "trail"), "insights", create=keys.identity)
        years(store, day, given.days)
        out.append(
            f"a year: {day.num_rows * given.days:,} rows in {given.days} days, {size(folder / 'trail') >> 20} MB"
        )
        where = ["--trail", str(folder / "trail"), "--keys", str(folder / "keys"), "--output", str(folder / "r.html")]
        begin = datetime.fromtimestamp(time_of(day) / 1e6, UTC).date().isoformat()
        for what, words in (("all tenants", []), ("one tenant", ["--tenant", "acme"])):
            began, before = perf_counter(), processor()
            subprocess.run([LAPWING, "insights", *where, "--from", begin, "--quiet", *words], check=True)
            took, used, kept = perf_counter() - began, processor() - before, size(folder / "r.html") >> 10
            out.append(f"{what}: {took:.1f} s, {used:.1f} s of processor time, to a page of {kept} KB")
            waited[what] = took
    print("\n".join(out))
    bench.write(
        Section(
            "insights",
            "A year of insights",
            "What counting costs as events are archived, and how soon a year of three tenants is a page.",
            "\n".join(out),
            {f"insights.{name.replace(' ', '_')}_s": value for name, value in waited.items()},
            bars.svg("A year's report", "s", [*waited.items()]),
        )
    )


def counted(folder: Path, keys: KeyStore, number: int, out: list[str]) -> pa.Table:
    """The aggregates of one simulated day; what counting them took is appended to `out`."""
    path = folder / "events.ndjson"
    command = [LAPWING, "simulate", "--events", str(number), "--hours", "24", "--seed", "1", "--output", str(path)]
    subprocess.run([*command, "--start", "2025-11-03"], check=True, capture_output=True)
    lines = path.read_bytes().splitlines()
    came = events(raw_batch("events.ndjson", lines), partial(decode, limits=Limits()), scored=False)
    trees = Trees(Store.open(str(folder / "of"), "events", create=keys.identity), 64)
    rows = event_table(came.batch, came.kept, came.told, came.scored, "events.ndjson", keys, trees)
    aggregates = Aggregates.open(str(folder / "day"), keys)
    began = process_time()
    aggregates.events("events.ndjson", rows, came.told)
    took = process_time() - began
    out.append(f"reading user agents and cities: {took / len(rows) * 1e6:.2f} us of processor time an event")
    table = aggregates.waiting()
    began = process_time()
    found = accumulate(table, aggregates.hide)
    out.append(f"counting {len(rows):,} events: {(process_time() - began) / len(rows) * 1e6:.2f} us an event")
    out.append(f"a day is {found.num_rows:,} rows")
    return found


def years(store: Store, day: pa.Table, days: int) -> None:
    """The day's rows once for each day of a year, a commit each."""
    luck = np.random.default_rng(1)
    measures = day["measure"].to_pylist()
    begin = time_of(day)
    for at in range(days):
        users = [
            packed(luck.integers(1, 2**63, DAILY * 2, np.uint64), DAILY) if measure == "active" else None
            for measure in measures
        ]
        columns = {
            "day": pa.repeat(pa.scalar(day_of(begin + at * DAY)), day.num_rows),
            "time": pa.array(day["time"].cast(pa.int64()).to_numpy() + at * DAY).cast(ROWS.field("time").type),
            "users": pa.array(users, pa.binary()),
        }
        rows = pa.table([columns.get(name, day[name]) for name in ROWS.names], schema=ROWS)
        store.append(rows, {"events.ndjson": (at, 0)}, {})


def time_of(day: pa.Table) -> int:
    """Where the day begins."""
    return int(day["time"].cast(pa.int64()).to_numpy().min()) // DAY * DAY


def processor() -> float:
    """Seconds of processor time of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def size(path: Path) -> int:
    """Bytes of a file or folder."""
    return sum(one.stat().st_size for one in [path, *path.rglob("*")] if one.is_file())


if __name__ == "__main__":
    main()
