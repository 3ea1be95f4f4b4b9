"""`make bench-kafka`: from topic to topic, beside only decoding the topic; and how long an event and an alert take.

Everything is on this machine: the broker, who sends, the flow, and who reads `read_committed`. Rounds are interleaved,
medians are printed, CPU seconds are those of the flow's processes.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from math import isfinite, nan
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import bars
from benchmarks.kafka_runs import LATENESS_PANE_EPOCHS_S, PARTITIONS, Bench, Run, spread
from benchmarks.page import Bench as Command
from benchmarks.page import Section
from benchmarks.run import machine
from tests.kafka.cluster import Broker
from tests.kafka.outcome import make_topics, topics_of

PARTS = ("speed", "latency", "burst", "flood", "restart")
SHOWN = {
    "events/s": {
        "kafka_speed.decoded_a_second": "consume and decode only",
        "kafka_speed.events_a_second": "exactly once",
        "kafka_speed.loose_events_a_second": "at least once",
        "kafka_speed.processes_events_a_second": "exactly once, several processes",
    },
    "s": {
        "kafka_latency.event_p50_s": "event visible, median",
        "kafka_latency.event_p99_s": "event visible, p99",
        "kafka_latency.alert_p50_s": "alert visible, median",
        "kafka_latency.alert_p99_s": "alert visible, p99",
        "kafka_loose_latency.event_p50_s": "at least once: event, median",
        "kafka_loose_latency.event_p99_s": "at least once: event, p99",
        "kafka_loose_latency.alert_p50_s": "at least once: alert, median",
        "kafka_loose_latency.alert_p99_s": "at least once: alert, p99",
        "kafka_burst.event_p50_s": "tenfold burst: event, median",
        "kafka_burst.event_p99_s": "tenfold burst: event, p99",
        "kafka_burst.alert_p50_s": "tenfold burst: alert, median",
        "kafka_burst.alert_p99_s": "tenfold burst: alert, p99",
        "kafka_restart.seconds": "restart to the first scored event",
    },
    "MiB": {"kafka_flood.before_mib": "before the flood", "kafka_flood.peak_mib": "at most in it"},
}
"""What the picture of a section shows, by unit: figures, and what they are called."""


def speed(bench: Bench, events: int, rounds: int, processes: int) -> tuple[list[str], dict[str, float]]:
    """Throughput: lines, and figures. What a start costs is measured over an empty topic, and told beside."""
    bench.say(f"producing {events:,} events")
    topics, empty = bench.fill("speed", events, 1), topics_of("empty")
    make_topics(bench.kafka, empty, PARTITIONS)
    counts = [1, processes] if processes > 1 else [1]
    for count in counts:  # kernels, page cache
        bench.flow(topics, count)
    decoded: list[Run] = []
    loose: list[Run] = []
    starts: dict[int, list[Run]] = {count: [] for count in counts}
    flows: dict[int, list[Run]] = {count: [] for count in counts}
    for number in range(1, rounds + 1):
        bench.say(f"round {number} of {rounds}")
        decoded.append(bench.decode(topics.events))
        loose.append(bench.flow(topics, delivery="at-least-once"))
        for count in counts:
            starts[count].append(bench.flow(empty, count))
            flows[count].append(bench.flow(topics, count))

    def row(name: str, wall: float, cpu: float) -> str:
        return f"{name:48}{events / wall:>12,.0f}{wall / events * 1e9:>12,.0f}{events / cpu:>16,.0f}"

    def walls(runs: list[Run]) -> float:
        return median(run.seconds for run in runs)

    def cpus(count: int) -> float:
        return median(run.cpu_seconds for run in flows[count]) - median(run.cpu_seconds for run in starts[count])

    alone = median(run.cpu_seconds for run in starts[1])
    out = [
        f"{'':48}{'events/s':>12}{'ns/event':>12}{'events/CPU s':>16}",
        row("consume and decode into typed structs", walls(decoded), median(run.cpu_seconds for run in decoded)),
        row("lapwing detect, topic to topics", walls(flows[1]), cpus(1)),
        row("  at least once", walls(loose), median(run.cpu_seconds for run in loose) - alone),
    ]
    if processes > 1:
        out.append(row(f"  in {processes} processes", walls(flows[processes]), cpus(processes)))
    out.append(f"(CPU seconds without those of a start, {alone:.1f} s in one process)")
    out.append(f"speed beside only decoding: {walls(decoded) / walls(flows[1]):.2f} (aim 0.40)")
    kept = {
        "decoded_a_second": events / walls(decoded),
        "events_a_second": events / walls(flows[1]),
        "loose_events_a_second": events / walls(loose),
        "events_a_cpu_second": events / cpus(1),
        "decode_share": walls(decoded) / walls(flows[1]),
        "start_cpu_s": alone,
    }
    if processes > 1:
        kept |= {
            "processes": processes,
            "processes_events_a_second": events / walls(flows[processes]),
            "cpu_share": cpus(1) / cpus(processes),
        }
        out.append(
            f"{processes} processes: {cpus(1) / cpus(processes):.2f} of the events per CPU second (aim 0.75), "
            f"{walls(flows[1]) / walls(flows[processes]):.2f} times as fast, on {os.cpu_count()} cores"
        )
    return out, {f"kafka_speed.{name}": value for name, value in kept.items()}


def delays(figures: dict[str, Any], skip_s: float, name: str) -> tuple[list[str], dict[str, float]]:
    """What a steady rate's delays were: lines, and figures with that name."""
    rows = figures["by_second"]
    rows = rows[rows[:, 0] >= rows[0, 0] + skip_s]
    event, alert = spread(rows[:, 1]), figures["alert_s"]
    kept = {
        "event_p50_s": event["p50"],
        "event_p99_s": event["p99"],
        "alert_p50_s": alert["p50"],
        "alert_p99_s": alert["p99"],
    }
    return [
        f"{figures['phases']}: {figures['read']:,} of {figures['events']:,} events and {figures['alerts']} of "
        f"{figures['attacks']} attacks seen",
        f"  sent to scored event visible: p50 {event['p50']:.2f} s, p99 {event['p99']:.2f} s (aim 3 s)",
        f"  crossing event sent to alert visible: p50 {alert['p50']:.2f} s, p99 {alert['p99']:.2f} s "
        f"(aim {LATENESS_PANE_EPOCHS_S} s)",
    ], {f"{name}.{each}": value for each, value in kept.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kafka", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", choices=PARTS, action="append")
    command = Command(parser)
    arguments = command.arguments
    wanted = arguments.only or PARTS
    on = machine()
    head = f"{on['cores']} cores, {on['architecture']}, Python {on['python']}; the broker is on the same machine"
    print(head, flush=True)
    with tempfile.TemporaryDirectory(prefix="lapwing-bench-") as folder, Broker(heap="1g", lasting=True) as kafka:
        bench = Bench(kafka, Path(folder), lambda text: print(text, file=sys.stderr, flush=True))
        out: list[str] = []
        kept: dict[str, float] = {}

        def take(said: tuple[list[str], dict[str, float]]) -> None:
            out.extend(said[0])
            kept.update(said[1])

        if "speed" in wanted:
            take(speed(bench, arguments.events, arguments.rounds, arguments.processes))
        if "latency" in wanted:
            kept["kafka_latency.rate"] = arguments.rate
            for delivery, name in (("exactly-once", "kafka_latency"), ("at-least-once", "kafka_loose_latency")):
                out.append(f"{delivery}:")
                figures = bench.latency(f"{arguments.rate}:{arguments.seconds}", delivery=delivery)
                take(delays(figures, min(10, arguments.seconds / 2), name))
        if "burst" in wanted:
            low = arguments.rate // 10
            figures = bench.latency(f"{low}:15,{arguments.rate}:{arguments.seconds},{low}:30")
            take(delays(figures, 5, "kafka_burst"))
            kept["kafka_burst.caught_up_s"] = _caught_up(figures)
            out.append(f"  caught up {_caught_up(figures):.1f} s after the burst's end")
        if "flood" in wanted:
            line, memory = bench.flood(arguments.seconds)
            take(([line], memory))
        if "restart" in wanted:
            seconds = bench.restart(arguments.entities)
            kept |= {"kafka_restart.entities": arguments.entities, "kafka_restart.seconds": seconds}
            out.append(
                f"restart with {arguments.entities:,} entities: {seconds:.1f} s to the first scored event (aim 10 s)"
            )
        print("\n".join(out))
    command.write(section(wanted, "\n".join([head, *out]), kept))


def section(parts: Sequence[str], table: str, figures: dict[str, float]) -> Section:
    """What the page says of some parts."""
    picture = ""
    for unit, shown in SHOWN.items():
        rows = [(text, figures[name]) for name, text in shown.items() if isfinite(figures.get(name, nan))]
        picture = picture or (bars.svg("Topic to topics", unit, rows) if rows else "")
    return Section(
        f"kafka-{'-'.join(parts)}",
        f"Over Kafka: {', '.join(parts)}",
        "From topic to topics, exactly once; the broker, who sends and who reads `read_committed` are on "
        "this machine too.",
        table,
        figures,
        picture,
    )


def _caught_up(figures: dict[str, Any]) -> float:
    """Seconds from the burst's end until events again come within three seconds for good."""
    rows = figures["by_second"]
    behind = rows[rows[:, 1] > 3.0]
    if not len(behind):
        return 0.0
    return max(0.0, float((behind[:, 0] + behind[:, 1]).max()) - figures["ends"][1])


if __name__ == "__main__":
    main()
