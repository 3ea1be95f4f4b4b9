"""The straightforward flow, for comparison: what one writes first with the same engine and a well-known detector.

A dict for each event; Bytewax's own one-minute windows for each IP, endpoint and user; an exponentially weighted mean
of their counts for each key; River's Half-Space Trees over every event's features; what stands out is printed.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

import bytewax.operators as op
import bytewax.operators.windowing as win
import msgspec
from bytewax.dataflow import Dataflow, Stream
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import TestingSource, run_main
from river.anomaly import HalfSpaceTrees

_MINUTE = timedelta(minutes=1)
_ALIGNED = datetime(2026, 1, 1, tzinfo=UTC)
_STRANGE = 0.99
_POLLED = 1_000  # what a Kafka source takes at a time
Event = dict[str, Any]


class _Printed(StatelessSinkPartition[str]):
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write_batch(self, items: list[str]) -> None:
        for item in items:
            print(item, file=self._file)


class _Printing(DynamicSink[str]):
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def build(self, step_id: str, worker_index: int, worker_count: int) -> _Printed:
        return _Printed(self._file)


def _decode(line: bytes) -> Event:
    event: Event = msgspec.json.decode(line)
    event["at"] = datetime.fromisoformat(event["time"])
    return event


def _features(event: Event) -> dict[str, float]:
    hour = event["at"].hour + event["at"].minute / 60
    return {
        "status": event.get("status", 0) / 599,
        "failed": float(event.get("outcome") in ("failure", "blocked")),
        "latency": min(math.log1p(event.get("latency_ms", 0.0)) / 10, 1.0),
        "hour": hour / 24,
        "refresh": float(event.get("action") == "token_refresh"),
        "asn": event.get("asn", 0) % 1000 / 1000,
    }


def _counted(flow: str, events: Stream[Event], member: str) -> Stream[str]:
    """What stands out among one member's counts a minute."""
    having = op.filter(f"{flow}_with", events, lambda event: event.get(member) is not None)
    keyed = op.key_on(f"{flow}_key", having, lambda event: str(event[member]))
    clock: win.EventClock[Event] = win.EventClock(
        lambda event: event["at"], wait_for_system_duration=timedelta(seconds=5)
    )
    windower = win.TumblingWindower(length=_MINUTE, align_to=_ALIGNED)
    counts = win.fold_window(
        f"{flow}_count", keyed, clock, windower, lambda: 0, lambda count, _: count + 1, lambda a, b: a + b
    )

    def smooth(mean: float | None, window: tuple[int, int]) -> tuple[float, str | None]:
        count = window[1]
        known = count if mean is None else mean
        alert = (
            f"{member}: {count} events a minute, expected {known:.1f}" if count >= 200 and count > 4 * known else None
        )
        return known + 0.01 * (count - known), alert

    alerts = op.stateful_map(f"{flow}_mean", counts.down, smooth)
    return op.filter_map(f"{flow}_alert", alerts, lambda keyed_alert: keyed_alert[1])


def build(lines: Sequence[bytes], file: TextIO) -> Dataflow:
    """The flow over these lines, printing to `file`."""
    trees = HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=1)

    def judge(event: Event) -> str | None:
        features = _features(event)
        score = trees.score_one(features)  # type: ignore[no-untyped-call]
        trees.learn_one(features)  # type: ignore[no-untyped-call]
        return f"{event['id']}: score {score:.3f}" if score > _STRANGE else None

    flow = Dataflow("reference")
    events = op.map("decode", op.input("lines", flow, TestingSource(lines, batch_size=_POLLED)), _decode)
    alerts = [_counted(member, events, member) for member in ("ip", "endpoint", "user")]
    alerts.append(op.filter_map("trees", events, judge))
    op.output("print", op.merge("alerts", *alerts), _Printing(file))
    return flow


def run(lines: Sequence[bytes], file: TextIO | None = None) -> float:
    """Seconds that the flow takes over the lines; it prints to `file`, by default to nowhere."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        flow = build(lines, file or nowhere)
        began = time.perf_counter()
        run_main(flow)  # type: ignore[no-untyped-call]
        return time.perf_counter() - began


def main() -> None:
    """Print events a second of one run, and on stderr what the flow prints."""
    from flows.formats.simulated import simulate  # no part of the yardstick
    from models.simulation.attacks.plan import WELL_FORMED

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    lines = [
        line
        for chunk in simulate(arguments.events, arguments.seed, attacks=WELL_FORMED)
        for line in chunk.lines.splitlines()
    ]
    seconds = run(lines, sys.stderr)
    print(f"reference flow: {len(lines) / seconds:,.0f} events/s, {seconds / len(lines) * 1e9:,.0f} ns/event")


if __name__ == "__main__":
    main()
