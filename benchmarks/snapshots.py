"""`python -m benchmarks.snapshots`: what an epoch writes, and how long it stands still for that, at a million entities.

The shards are the flow's own; half of the entities are addresses, half are accounts. They come over hours; then
one epoch sees some of them again, and every shard saves itself as it does in a flow with `--state`.
"""

import argparse
import json
import pickle
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import perf_counter, process_time

import numpy as np
import zstandard

from flows.config import load
from flows.connectors.partition import Partition
from flows.formats.canonical import canonical
from flows.formats.raw import RawBatch
from flows.kernels_cache import load_numba
from flows.parts import clock_params, reading_of, rehearse, shard_settings, table_secret
from flows.steps.split import split
from models.base import DIMENSIONS, NONE_TIME, WATCHED
from models.kernels.layout import ACTIVE, RECORD, RECORDS, RING
from models.rules import program as program_of
from models.windows.joint import joints
from models.windows.shard import Shard

_BEGIN = datetime(2026, 11, 23, 5, tzinfo=UTC)
_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Measured:
    """One epoch's snapshots. Bytes are of all shards together, seconds too, as they follow each other."""

    entities: int
    active: int
    touched: int
    plain_bytes: int
    bytes: int
    seconds: float
    compressing_s: float
    cpu_s: float
    changed_bytes: int


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
    before = {key: (shard.s.records.copy(), shard.s.newest.copy()) for key, shard in shards.items()}
    again = np.random.default_rng(1).choice(people, int(share * len(people)), replace=False)
    touched = feed(raw(again, _BEGIN + timedelta(hours=hours), 1.0, len(people)))
    plain = packed = 0
    cpu = process_time()
    seconds = compressing = 0.0
    for shard in shards.values():
        began = perf_counter()
        state = shard.snapshot()
        saved = perf_counter()
        compressed = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(state)
        packed += len(pickle.dumps(compressed))
        seconds += perf_counter() - began
        compressing += perf_counter() - saved
        plain += len(state)
    cpu = process_time() - cpu
    held = {place: sum(int(shard.s.head[place]) for shard in shards.values()) for place in (RECORDS, ACTIVE)}
    changed = sum(_changed(before[key], shard) for key, shard in shards.items() if key in before)
    return Measured(held[RECORDS], held[ACTIVE], len(touched), plain, packed, seconds, compressing, cpu, changed)


def _changed(before: tuple[np.ndarray, np.ndarray], shard: Shard) -> int:
    """Bytes of records and rings that the epoch changed: what a log of changed rows would take, uncompressed."""
    (records, newest), s = before, shard.s
    rows = len(s.records) if len(records) != len(s.records) else np.count_nonzero(records != s.records)
    return int(rows * RECORD.itemsize + np.count_nonzero(newest != s.newest) * RING.itemsize)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.snapshots", description=__doc__)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--share", type=float, default=0.02, help="of the entities that the epoch sees")
    parser.add_argument("--hours", type=float, default=20.0, help="of event time over which they came")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    load_numba()
    found = measure(arguments.entities, arguments.share, arguments.hours)
    if arguments.json:
        print(json.dumps(asdict(found), indent=2))
        return
    rows = (
        ("entities known", f"{found.entities:,} in {', '.join(DIMENSIONS)}"),
        ("entities active", f"{found.active:,}"),
        ("shards touched in the epoch", f"{found.touched}"),
        ("snapshots, plain", f"{found.plain_bytes / 2**20:,.1f} MiB"),
        ("snapshots, as they are written", f"{found.bytes / 2**20:,.1f} MiB"),
        (
            "stall of the epoch (aim below 0.2 s)",
            f"{found.seconds:.2f} s, of which compressing {found.compressing_s:.2f}",
        ),
        ("of a processor's time", f"{found.cpu_s:.2f} s"),
        ("rows that changed, plain", f"{found.changed_bytes / 2**20:,.1f} MiB"),
    )
    print("\n".join(f"{name:40}{value}" for name, value in rows))


if __name__ == "__main__":
    main()
