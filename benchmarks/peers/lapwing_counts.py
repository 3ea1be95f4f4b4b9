"""The job in Lapwing: those parts of `lapwing detect` that count and score minutes, on Bytewax, without all the others.

Read, decode, clock, split, assess: no tenants, no detections, no score of each event, no incidents, nothing recovered.
The score is Lapwing's own (docs/why.md), so only its counts compare. Runs in the project's environment.
"""

import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from bytewax.testing import run_main
from msgspec.structs import replace

from benchmarks.peers.job import MINUTE, row
from benchmarks.peers.measured import main
from flows.config import Config, load
from flows.detect import EPOCH_WITHOUT_STATE
from flows.errors import LapwingError
from flows.formats.canonical import canonical
from flows.formats.windows import MINUTE_US
from flows.kernels_cache import load_numba
from flows.parts import make_source, shard_settings, table_secret
from flows.steps.assess import Assess
from flows.steps.split import split
from flows.steps.strands import Strands
from models.base import DIMENSIONS, FEATURES, TENANT
from models.event import EventBatch
from models.rules import program
from models.windows.shard import Shard
from models.windows.slice import ClosedWindows, Slice, SliceScores

EVENTS = FEATURES.index("events_1m")


def counting() -> Config:
    """The defaults, with every closed minute kept, nothing to detect, and each IPv6 address by itself."""
    config = load(None)
    return replace(
        config,
        detection=(),
        input=replace(config.input, ipv6_prefix=128),
        output=replace(config.output, window_sample=1.0),
    )


def as_counted(name: str) -> str:
    """An entity's name as the other engines have it: an IPv6 address is no network of one."""
    return name.removesuffix("/128")


def rows(closed: ClosedWindows) -> Iterable[bytes]:
    """The rows of a shard's minute; an entity without a baseline yet has the score 0."""
    minute = datetime.fromtimestamp((closed.end - MINUTE_US) / 1e6, UTC).isoformat()[:MINUTE]
    counts, scores = closed.values[:, EVENTS].tolist(), closed.score.tolist()
    name = DIMENSIONS[closed.dimension]
    for tenant, entity, n, z in zip(closed.tenant, closed.entity, counts, scores, strict=True):
        yield row(name, tenant, as_counted(entity), minute, int(n), z if z == z else 0.0)


class _Rows(FixedPartitionedSink[SliceScores, None], StatefulSinkPartition[SliceScores, None]):
    def __init__(self, output: str) -> None:
        self._file = open(output, "wb")  # noqa: SIM115

    def list_parts(self) -> list[str]:
        return ["rows"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Rows":
        return self

    def write_batch(self, items: list[SliceScores]) -> None:
        for item in items:
            for closed in item.windows:
                self._file.writelines(rows(closed))

    def snapshot(self) -> None:
        return

    def close(self) -> None:
        self._file.close()


def job(events: str, output: str) -> None:
    """The flow over a file of events."""
    load_numba()
    config = counting()
    nothing = program(config.detection)
    settings = {at: shard_settings(config, name, nothing) for at, name in enumerate(DIMENSIONS)}
    secret, failures = table_secret(config), list[LapwingError]()

    def make_shard(at: int, state: bytes | None) -> Shard:
        return Shard(at, settings[at], secret, canonical, state)

    def slices(batch: EventBatch) -> list[tuple[str, Slice]]:
        return [item for item in split(batch, config.state.shards) if item[1].dimension != TENANT]

    flow = Dataflow("lapwing_counts")
    source = make_source(config, events, threading.Event(), close_at_end=True, on_failure=failures.append)
    batches = op.input("source", flow, source)
    assessed = op.stateful_batch(
        "assess", op.flat_map("split", batches, slices), lambda resume: Assess(make_shard, None, resume, Strands())
    )
    told = op.map("told", assessed, lambda item: ("rows", item[1][1].result()))
    op.output("rows", told, _Rows(output))
    run_main(flow, epoch_interval=EPOCH_WITHOUT_STATE)
    if failures:
        raise failures[0]


if __name__ == "__main__":
    sys.exit(main(job, packages=("bytewax", "flows")))
