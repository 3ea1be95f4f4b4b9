"""A backlog, or a producer that is faster than the flow, does not end up in memory."""

import json
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.lasting import resident_peak
from flows.connectors.kafka_reader import BATCH_BYTES, PREFETCH_KIB
from flows.connectors.kafka_sink import BUFFERED_KIB, WAITING_BYTES
from models.windows.evidence import SHARD_LIMIT
from tests.command import LAPWING
from tests.kafka.records import Record
from tests.kafka_runs import Site

LONG = "x" * 20_000
EVENTS = 60_000


def peak_mib(site: Site, events: int) -> float:
    """The most memory that a run over so many long events takes."""
    lines = (
        json.dumps({"time": 1_795_410_000_000 + 10 * k, "user": f"u{k % 100}", "note": LONG}).encode()
        for k in range(events)
    )
    site.produce(Record(line, partition=k % site.partitions) for k, line in enumerate(lines))
    peak = 0.0
    words = [LAPWING, *map(str, site.words("--start", "earliest", "--until", "end"))]
    # As a user starts it: one that is forked has memory before it begins.
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, resident_peak(process.pid))
            time.sleep(0.05)
        assert process.returncode == 0, process.stderr.read() if process.stderr else ""
    return peak


def test_a_backlog_stays_with_the_broker(kafka: Any, tmp_path: Path) -> None:
    settings = {key: {"compression.type": "lz4"} for key in ("events", "scored")}
    few, many = (Site(kafka, tmp_path / name, settings=settings) for name in ("few", "many"))
    base, peak, events = peak_mib(few, 500), peak_mib(many, EVENTS), len(many.read("scored"))
    assert events == EVENTS
    # What is fetched, not delivered, and waits to be written, and half again for what the allocator does not give back;
    # batches read ahead, under way and first in the row, as they came and as lines; what evidence may be shown of.
    bound = 1.5 * (PREFETCH_KIB + BUFFERED_KIB + WAITING_BYTES / 1024) / 1024
    bound += (2 * 5 * 2 * BATCH_BYTES + 16 * SHARD_LIMIT) / (1 << 20)
    assert bound < 0.7 * EVENTS * len(LONG) / (1 << 20), "the backlog is larger by far"
    print(f"{peak - base:.0f} of {bound:.0f} MiB")
    assert peak - base < bound, f"{peak:.0f} MiB at most, {base:.0f} of them with few events"
