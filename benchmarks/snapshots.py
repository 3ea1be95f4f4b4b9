"""`python -m benchmarks.snapshots`: what an epoch writes, and how long it stands still for that, at a million entities.

The shards are the flow's own; half of the entities are addresses, half are accounts. They come over hours; then
one epoch sees some of them again, and every shard saves itself as it does in a flow with `--state`.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from benchmarks import bars
from benchmarks.page import Bench, Section
from flows.config import load
from flows.connectors.partition import Partition
from flows.detect import MOST_BESIDE
from flows.formats.canonical import canonical
from flows.formats.raw import RawBatch
from flows.kernels_cache import load_numba
from flows.parts import clock_params, reading_of, rehearse, shard_settings, table_secret
from flows.shard_log import ShardLog, frames
from flows.steps.split import split
from models.base import DIMENSIONS, NONE_TIME, WATCHED
from models.kernels.layout import ACTIVE, RECORDS
from models.rules import program as program_of
from models.windows.delta import Changes
from models.windows.joint import joints
from models.windows.saved import changes, replayed
from models.windows.shard import Shard

Pointer = bytes
_BEGIN = datetime(2026, 11, 23, 5, tzinfo=UTC)
_BATCH = 4096
_BESIDE = ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_BESIDE))


@dataclass(slots=True)
class Pass:
    """One epoch's snapshots. Bytes and seconds of work are of all shards together; they save themselves beside each
    other, as in the flow, and the epoch stands still until the last one has.
    """

    plain_bytes: int = 0
    bytes: int = 0
    looking_s: float = 0.0
    writing_s: float = 0.0
    cpu_s: float = 0.0
    longest_s: float = 0.0
    stall_s: float = 0.0

    def take(self, saved: Sequence[tuple[Shard, ShardLog, Changes]], folder: Path) -> list[Pointer]:
        """Save shards as the flow does; where each is."""

        def save(shard: Shard, log: ShardLog, seen: Changes) -> tuple[Pointer, int, float, float]:
            began = perf_counter()
            taken = changes(shard, seen)
            looked = perf_counter()
            pointer = log.append(taken)
            return pointer, len(taken), looked - began, perf_counter() - looked

        before = _size(folder)
        cpu, began = process_time(), perf_counter()
        done = [one.result() for one in [_BESIDE.submit(save, *one) for one in saved]]
        self.stall_s, self.cpu_s = perf_counter() - began, process_time() - cpu
        self.bytes = _size(folder) - before
        for _, size, looking, writing in done:
            self.plain_bytes += size
            self.looking_s += looking
            self.writing_s += writing
            self.longest_s = max(self.longest_s, looking + writing)
        return [pointer for pointer, *_ in done]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run's first epoch saves, and what one after it; and how long reading both takes."""

    entities: int
    active: int
    touched: int
    first: Pass
    later: Pass
    reading_s: float


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def raw(people: np.ndarray, first: datetime, seconds: float, offset: int) -> Iterator[RawBatch]:
    """A sign-in of each, evenly spread over some seconds."""
    step = timedelta(seconds=seconds / len(people))
    for at in range(0, len(people), _BATCH):
        lines = [
            b'{"time":"%b","user":"u%d","ip":"10.%d.%d.%d","action":"login","outcome":"success","endpoint":"/login"}'
            % ((first + step * (at + k)).isoformat().encode(), who, who >> 16 & 255, who >> 8 & 255, who & 255)
            for k, who in enumerate(people[at : at + _BATCH].tolist())
        ]
        ends = np.cumsum([0, *map(len, lines)])
        n = len(lines)
        yield RawBatch(
            source="-",
            buffer=np.frombuffer(b"".join(lines), np.uint8),
            start=ends[:-1].astype(np.int64),
            length=np.array([b - a for a, b in pairwise(ends.tolist())], np.int64),
            offset=np.arange(offset + at, offset + at + n, dtype=np.int64),
            index=np.zeros(n, np.int32),
            timestamp=np.full(n, NONE_TIME, np.int64),
            oversize=(),
        )


def measure(entities: int, share: float, hours: float) -> Measured:
    """Fill shards with so many entities over so many hours, touch a share of them in an epoch, save."""
    config = load(flags={"state.max_entities": 4 * entities, "state.max_active": entities // 4})
    rehearse(config)
    program = program_of(config.detection)
    joint = joints(program)
    secret = table_secret(config)
    shards: dict[str, Shard] = {}
    partition = Partition("-", ("-",), reading_of(config), clock_params(config))

    def feed(batches: Iterator[RawBatch]) -> set[str]:
        touched: set[str] = set()
        for batch in batches:
            partition.feed(batch, ended=False)
            while partition.pending:
                for key, piece in split(partition.take(), config.state.shards, joint):
                    if key not in shards:
                        settings = shard_settings(config, WATCHED[piece.dimension], program)
                        shards[key] = Shard(piece.dimension, settings, secret, canonical)
                    shards[key].assess(piece)
                    touched |= {key} if len(piece.rows) else set()
        return touched

    people = np.arange(entities // 2)
    feed(raw(people, _BEGIN, hours * 3600, 0))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        first, later = Pass(), Pass()
        saved = [(shard, ShardLog(folder, shard.dimension, n), Changes()) for n, shard in enumerate(shards.values())]
        first.take(saved, folder)
        again = np.random.default_rng(1).choice(people, int(share * len(people)), replace=False)
        touched = feed(raw(again, _BEGIN + timedelta(hours=hours), 1.0, len(people)))
        pointers = later.take(saved, folder)
        began = perf_counter()
        for pointer in pointers:
            replayed(frames(folder, pointer))
        reading = perf_counter() - began
    held = {place: sum(int(shard.s.head[place]) for shard in shards.values()) for place in (RECORDS, ACTIVE)}
    return Measured(held[RECORDS], held[ACTIVE], len(touched), first, later, reading)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshots", description=__doc__)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--share", type=float, default=0.02, help="of the entities that the epoch sees")
    parser.add_argument("--hours", type=float, default=20.0, help="of event time over which they came")
    parser.add_argument("--json", action="store_true")
    bench = Bench(parser)
    arguments = bench.arguments
    load_numba()
    found = measure(arguments.entities, arguments.share, arguments.hours)
    print(json.dumps(asdict(found), indent=2) if arguments.json else table(found))
    mib = {
        "first, plain": found.first.plain_bytes / 2**20,
        "first, as written": found.first.bytes / 2**20,
        "later, plain": found.later.plain_bytes / 2**20,
        "later, as written": found.later.bytes / 2**20,
    }
    bench.write(
        Section(
            "snapshots",
            "What an epoch saves",
            "Half of the entities are addresses, half accounts; they come over hours, then one epoch sees "
            "some of them again.",
            table(found),
            {
                "snapshots.entities": found.entities,
                "snapshots.bytes_an_entity": found.first.bytes / found.entities,
                "snapshots.later_mib": found.later.bytes / 2**20,
                "snapshots.stall_s": found.later.stall_s,
            },
            bars.svg("An epoch's snapshots", "MiB", [*mib.items()]),
        )
    )


def table(found: Measured) -> str:
    """The figures to be read."""

    def stall(found: Pass) -> str:
        looking = found.looking_s / (found.looking_s + found.writing_s)
        return f"{found.stall_s:.2f} s, {looking:.0%} of it looking; one shard {found.longest_s:.2f} at most"

    rows = (
        ("entities known", f"{found.entities:,} in {', '.join(DIMENSIONS)}"),
        ("entities active", f"{found.active:,}"),
        ("shards touched in the epoch", f"{found.touched}"),
        ("a run's first snapshots, plain", f"{found.first.plain_bytes / 2**20:,.1f} MiB"),
        ("  as they are written", f"{found.first.bytes / 2**20:,.1f} MiB"),
        ("  stall", stall(found.first)),
        ("an epoch's snapshots, plain", f"{found.later.plain_bytes / 2**20:,.1f} MiB"),
        ("  as they are written", f"{found.later.bytes / 2**20:,.1f} MiB"),
        ("  stall (aim below 0.2 s)", stall(found.later)),
        ("  of a processor's time", f"{found.later.cpu_s:.2f} s"),
        ("reading both", f"{found.reading_s:.2f} s"),
    )
    return "\n".join(f"{name:40}{value}" for name, value in rows)


if __name__ == "__main__":
    main()
