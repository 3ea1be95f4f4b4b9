"""`make bench-memory`: ten million addresses and accounts seen once, against a real `lapwing detect` with its defaults.

The process is the command itself; after its last line, and after its peak of memory was read, it writes down what its
shards remember, so that the regulars' baselines can be looked for.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import bars
from benchmarks.flood import Flood, regular_lines, stream
from benchmarks.lasting import resident_peak
from benchmarks.page import Bench, Section
from flows.config import Config, load
from flows.formats.lapwing import decode
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from flows.state_shape import table_limits
from models.base import DIMENSIONS, IP, NONE_TIME, USER
from models.event import DeadLetter
from models.kernels.layout import ACTIVE, PAIR, RECORD, RECORDS, RING
from models.windows import shard

WARM = 10
"""Windows from which on a baseline is an entity's own (`entity_warm_up`)."""
_CHILD = "import sys; from benchmarks.memory import remembering; remembering(sys.argv.pop(1))"


def remembering(path: str) -> None:
    """Be the `lapwing` command, and leave behind what its shards remember."""
    from flows import cli, detect

    shards: list[shard.Shard] = []
    begin = shard.Shard.__init__

    def noted(self: shard.Shard, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        shards.append(self)

    rehearse = detect.rehearse

    def rehearsed(config: Config) -> None:
        rehearse(config)
        shards.clear()  # those were made to be tried on

    shard.Shard.__init__ = noted  # type: ignore[method-assign]
    detect.rehearse = rehearsed
    try:
        cli.main()
    finally:
        peak = resident_peak()
        known = {}
        for at in (IP, USER):
            mine = [each.s for each in shards if each.dimension == at]
            known[f"hash{at}"] = np.concatenate([s.records["hash"][s.records["hash"] != 0] for s in mine])
            known[f"count{at}"] = np.concatenate([s.records["count"][s.records["hash"] != 0] for s in mine])
        state = [sum(array.nbytes for array in each.s) for each in shards]
        held = [sum(int(each.s.head[place]) for each in shards) for place in (RECORDS, ACTIVE)]
        np.savez(path, peak=peak, state=sum(state), held=held, **known)


def run(flood: Flood, folder: Path, config: Path | None = None, *, kept: bool = False) -> dict[str, Any]:
    """Write the stream, score it, and look what became of whom; `kept` runs with `--state`."""
    path, out, left = folder / "events.ndjson", folder / "out", folder / "left.npz"
    began = perf_counter()
    with path.open("wb") as file:
        for block in stream(flood):
            file.write(block)
    print(f"wrote {path.stat().st_size >> 20:,} MiB in {perf_counter() - began:.0f} s", file=sys.stderr)
    command = [sys.executable, "-c", _CHILD, str(left), "detect", "--input", str(path), "--output", str(out)]
    command += ["--config", str(config)] if config else []
    command += ["--state", str(folder / "state"), "--close"] if kept else []
    done = json.loads(subprocess.run([*command, "--json", "--quiet"], check=True, stdout=subprocess.PIPE).stdout)
    alerts = [json.loads(line) for line in (out / "alerts.ndjson").read_bytes().splitlines()]
    with np.load(left) as known:
        kept_baselines = {DIMENSIONS[at]: _kept(known, at, flood) for at in (IP, USER)}
        peak, state = float(known["peak"]), int(known["state"])
        entities, active = known["held"].tolist()
    return {
        "events": done["events"],
        "one_shots": flood.one_shots,
        "regulars": flood.regulars,
        "hours": flood.hours,
        "seconds": done["seconds"],
        "peak_mib": peak,
        "state_bytes": state,
        "entities": entities,
        "active": active,
        "evictions": done["evictions"],
        "overflowed": done["overflowed"],
        "kept": kept_baselines,
        "victims": flood.victims,
        "incidents_kept": _incidents_kept(alerts, flood),
        "latecomers": flood.latecomers,
        "latecomers_found": _latecomers_found(alerts, flood),
        "incidents": done["incidents"],
    }


def _kept(known: Any, at: int, flood: Flood) -> float:
    """The share of regulars that still have a baseline of their own."""
    text = regular_lines(flood)
    size = len(text) // flood.regulars
    n = flood.regulars
    raw = RawBatch(
        source="-",
        buffer=np.frombuffer(text, np.uint8),
        start=np.arange(n, dtype=np.int64) * size,
        length=np.full(n, size - 1, np.int64),
        offset=np.arange(n, dtype=np.int64),
        index=np.zeros(n, np.int32),
        timestamp=np.full(n, NONE_TIME, np.int64),
        oversize=tuple[DeadLetter, ...](),
    )
    settings = load().input
    limits = Limits(
        max_message_bytes=settings.max_message_bytes,
        max_depth=settings.max_depth,
        max_future_us=load().time.max_future_us,
        timezone=None,
        ipv6_prefix=settings.ipv6_prefix,
    )
    regulars = decode(raw, limits).entity[at]
    warm = known[f"hash{at}"][known[f"count{at}"] >= WARM]
    return float(np.isin(regulars, warm).mean())


def _incidents_kept(alerts: list[dict[str, Any]], flood: Flood) -> int:
    """Victims whose incident was opened once, before the flood, and closed once, after it: never lost in between."""
    names = {f"u-{flood.regulars + k:08d}" for k in range(flood.victims)}
    steps: dict[str, list[tuple[int, int]]] = {}
    for alert in alerts:
        who = alert["unmapped"]["entity"]
        if alert["unmapped"]["detection"] == "brute_force_user" and who in names:
            steps.setdefault(who, []).append((alert["activity_id"], alert["end_time"] * 1000))
    return sum(
        [kind for kind, _ in each if kind != 2] == [1, 3] and each[-1][1] > flood.ends - 60_000_000
        for each in steps.values()
    )


def _latecomers_found(alerts: list[dict[str, Any]], flood: Flood) -> int:
    """Victims whose attack began within the flood and was seen."""
    first = flood.regulars + flood.victims
    names = {f"u-{first + k:08d}" for k in range(flood.latecomers)}
    found = [alert for alert in alerts if alert["unmapped"]["detection"] == "brute_force_user"]
    return len({alert["unmapped"]["entity"] for alert in found} & names)


def report(figures: dict[str, Any], path: Path | None = None) -> str:
    """The figures to be read; `path` is the configuration, if it was not the default one."""
    config = load(str(path) if path else None)
    limits = {name: table_limits(config, name) for name in DIMENSIONS}
    records = config.state.shards * sum(records for records, _ in limits.values())
    rings = config.state.shards * sum(rings for _, rings in limits.values())
    each = figures["state_bytes"] / max(figures["entities"], 1)
    rows = (
        ("resident peak (aim below 1,536)", f"{figures['peak_mib']:,.0f} MiB"),
        ("entities remembered at the end", f"{figures['entities']:,} (at most {records:,})"),
        ("entities evicted", f"{figures['evictions']:,}"),
        ("driven out of the pool, or refused", f"{figures['overflowed']:,} (at most {rings:,} entities active)"),
        *((f"{name}: regulars with their baseline", f"{share:.2%}") for name, share in figures["kept"].items()),
        ("incidents kept through the flood", f"{figures['incidents_kept']} of {figures['victims']}"),
        ("attacks begun in the flood and seen", f"{figures['latecomers_found']} of {figures['latecomers']}"),
        ("bytes a record, a ring, a pair", f"{RECORD.itemsize}, {RING.itemsize:,}, {PAIR.itemsize}"),
        ("bytes of state an entity, all in all", f"{each:,.0f}"),
        ("events/s", f"{figures['events'] / figures['seconds']:,.0f}"),
    )
    head = (
        f"{figures['one_shots']:,} one-shot addresses and accounts in {figures['hours']:g} hours,"
        f" after two days of {figures['regulars']:,} regulars; {figures['events']:,} events"
    )
    return "\n".join([head, "", *(f"{name:42}{value}" for name, value in rows)])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--one-shots", type=int, default=10_000_000)
    parser.add_argument("--regulars", type=int, default=50_000)
    parser.add_argument("--hours", type=float, default=24.0, help="of event time that the flood takes")
    parser.add_argument("--state", action="store_true", help="with a state directory, so with snapshots")
    parser.add_argument("--json", action="store_true")
    bench = Bench(parser)
    arguments = bench.arguments
    flood = Flood(arguments.one_shots, arguments.regulars, hours=arguments.hours)
    with tempfile.TemporaryDirectory(prefix="lapwing-memory-") as folder:
        figures = run(flood, Path(folder), kept=arguments.state)
    print(json.dumps(figures, indent=2) if arguments.json else report(figures))
    state = figures["state_bytes"] / (1 << 20)
    bench.write(
        Section(
            "memory",
            "Memory under a flood of entities",
            "`lapwing detect` with its defaults: two days of regulars, then addresses and accounts that "
            "are seen once.",
            report(figures),
            {
                "memory.one_shots": figures["one_shots"],
                "memory.peak_mib": figures["peak_mib"],
                "memory.entities": figures["entities"],
                "memory.bytes_an_entity": figures["state_bytes"] / max(figures["entities"], 1),
                "memory.other_mib": figures["peak_mib"] - state,
                "memory.events_a_second": figures["events"] / figures["seconds"],
            },
            bars.svg(
                "Resident memory", "MiB",
                [("tables of entities", state), ("all else", figures["peak_mib"] - state), ("aim for both", 1_536.0)],
            ),
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
