"""`make bench-peers`: one counting job in csp, Flink SQL and Pathway, beside a plain loop and the same part of Lapwing.

The job is `benchmarks/peers/job.py`; every engine does it in a process of its own, on the same file, and their counts
have to be equal. Figures are those of `benchmarks/peers/measured.py`; starting is not in them. The whole of Lapwing,
with detections, a score of every event and incidents, is measured on that file too.

Engines count names as they stand, Lapwing normalises them (an id in a path, an account by its username). So the events
carry Lapwing's names from the first; it normalises them once more all the same.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks import bars
from benchmarks.page import Bench, Section
from benchmarks.peers.job import DIMENSIONS
from benchmarks.peers.lapwing_counts import as_counted, counting
from benchmarks.peers.measured import MISSING
from benchmarks.run import detect, machine, write_events
from flows.formats.raw import raw_batch
from flows.parts import reading_of
from models.base import DIMENSIONS as NAMED

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PLAIN, COUNTING, WHOLE = "plain loop", "lapwing, counting only", "lapwing, all it does"
PEERS = {"csp": "csp_counts", "flink sql": "flink_counts", "pathway, static": "pathway_counts"}
NEAR = 1e-6
"""So far the sums of z-scores may lie apart, as a share: Flink adds in another order."""
_BATCH = 8_192


def named(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Valid events with the entities that Lapwing sees in them as their `tenant`, `ip`, `endpoint` and `user`."""
    read = reading_of(counting())(raw_batch("peers", lines))
    names = read.names.tobytes()
    for k, row in enumerate(read.row.tolist()):
        event = orjson.loads(lines[row])
        for member in (*NAMED, "username", "actor"):
            event.pop(member, None)
        for at, dimension in enumerate(NAMED):
            begin, size = int(read.name_start[at, k]), int(read.name_length[at, k])
            if size:
                event[dimension] = as_counted(names[begin : begin + size].decode())
        yield orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def write(short: Path, long: Path, events: int, seed: int) -> None:
    """Simulated events with Lapwing's names, and the first tenth of them."""
    write_events(long, events, seed)
    with long.open("rb") as file:
        lines = file.readlines()
    lines = [line for at in range(0, len(lines), _BATCH) for line in named(lines[at : at + _BATCH])]
    long.write_bytes(b"".join(lines))
    short.write_bytes(b"".join(lines[: max(1, len(lines) // 10)]))


def counted(python: Path, module: str, short: Path, long: Path, output: Path) -> dict[str, Any]:
    """A peer's figures and what its rows say, or why it is missing.

    Raises
    ------
    SystemExit
        It is there and failed.
    """
    if not python.exists():
        return {"missing": "not installed: `make bench-peers` makes its environment"}
    command = [str(python), "-m", f"benchmarks.peers.{module}", str(short), str(long), str(output)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    last = done.stdout.splitlines()[-1:] or [""]
    if done.returncode == MISSING:
        return {"missing": last[0]}
    if done.returncode:
        raise SystemExit(f"{done.stderr[-4_000:]}\nbenchmarks.peers.{module} ended with {done.returncode}")
    figures: dict[str, Any] = json.loads(last[0])
    return figures


def whole(short: Path, long: Path, output: Path) -> dict[str, Any]:
    """The figures of `lapwing detect` as it is configured by default."""
    runs, used = [], []
    for path in (short, long):
        before = os.times()
        runs.append(detect(path, output))
        after = os.times()
        used.append(after.children_user + after.children_system - before.children_user - before.children_system)
    with short.open("rb") as few, long.open("rb") as all_of_them:
        events = sum(1 for _ in all_of_them) - sum(1 for _ in few)
    return {
        "ns": (runs[1].seconds - runs[0].seconds) / events * 1e9,
        "processor_ns": (used[1] - used[0]) / events * 1e9,
        "start_s": runs[0].wall,
        "peak_mib": runs[1].peak_mib,
    }


def measure(folder: Path, events: int, seed: int, python: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Every engine's figures, one engine after another."""
    short, long, output = folder / "short.ndjson", folder / "events.ndjson", folder / "rows.ndjson"
    say(f"simulating {events:,} events")
    write(short, long, events, seed)
    say("compiling kernels, if no run before has")
    own = Path(sys.executable)
    counted(own, "lapwing_counts", short, long, output)  # all of it: some kernels run only where there are attacks
    detect(long, folder / "out")
    jobs = {PLAIN: (own, "plain_counts"), COUNTING: (own, "lapwing_counts")}
    jobs |= {name: (python, module) for name, module in PEERS.items()}
    engines = {}
    for name, (interpreter, module) in jobs.items():
        say(name)
        engines[name] = counted(interpreter, module, short, long, output)
    say(WHOLE)
    engines[WHOLE] = whole(short, long, folder / "out")
    return {"machine": machine(), "events": events, "engines": engines}


def faults(engines: dict[str, Any]) -> list[str]:
    """Where an engine's rows are not those of the plain loop; Lapwing's scores are its own."""
    wanted, out = engines[PLAIN]["told"], []
    for name, figures in engines.items():
        told = figures.get("told")
        if not told:
            continue
        names = ("windows", "events", "checksum")
        if any(told[each] != wanted[each] for each in names):
            seen, expected = (" ".join(f"{each} {of[each]}" for each in names) for of in (told, wanted))
            out.append(f"{name}: {seen}, but {PLAIN}: {expected}")
        elif name != COUNTING and abs(told["z"] - wanted["z"]) > NEAR * abs(wanted["z"]):
            out.append(f"{name}: z-scores add up to {told['z']}, but {PLAIN}: {wanted['z']}")
    return out


def table(figures: dict[str, Any]) -> str:
    """The figures to be read, who is missing, and whether all have counted the same."""
    on, engines = figures["machine"], figures["engines"]
    out = [
        f"{figures['events']:,} events, counts and z-scores of minutes by {', '.join(DIMENSIONS)}; "
        f"{on['cores']} cores, {on['architecture']}, Python {on['python']}",
        "",
        f"{'':24}{'events/s':>10}{'ns/event':>10}{'processor ns':>14}{'start s':>9}{'peak MiB':>10}",
    ]
    for name, each in engines.items():
        if "missing" in each:
            out.append(f"{name:24}  {each['missing']}")
        else:
            speed = f"{1e9 / each['ns']:,.0f}" if each["ns"] > 0 else "-"  # too few events to tell from noise
            out.append(
                f"{name:24}{speed:>10}{each['ns']:>10,.0f}{each['processor_ns']:>14,.0f}"
                f"{each['start_s']:>9.1f}{each['peak_mib']:>10,.0f}"
            )
    wrong, told = faults(engines), engines[PLAIN]["told"]
    differ = {fault.partition(":")[0] for fault in wrong}
    same = [name for name, each in engines.items() if "told" in each and name not in differ]
    counts = f"{told['windows']:,} windows of {told['events']:,} counted, checksum {told['checksum']}"
    out += ["", f"the same counts, {counts}: {'; '.join(same)}"]
    return "\n".join([*out, *(f"DIFFERENT {fault}" for fault in wrong)])


def main() -> int:
    """Measure and print; 1 if some engine has counted something else."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--python", type=Path, default=PEERS_PYTHON, help="where the group `peers` is installed")
    parser.add_argument("--json", action="store_true", help="figures as JSON, times in nanoseconds an event")
    bench = Bench(parser)
    arguments = bench.arguments
    with tempfile.TemporaryDirectory(prefix="lapwing-peers-") as folder:
        figures = measure(
            Path(folder),
            arguments.events,
            arguments.seed,
            arguments.python.absolute(),
            lambda text: print(text, file=sys.stderr),
        )
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))
    there = {name: each for name, each in figures["engines"].items() if "missing" not in each}
    if bench.page and len(there) < len(figures["engines"]):
        raise SystemExit(f"{bench.page} stays as it was: not all engines are installed")
    speed = {name: 1e9 / each["ns"] for name, each in there.items() if each["ns"] > 0}
    bench.write(
        Section(
            "engines",
            "Beside other engines",
            "One counting job in each of them, on the same events, with equal counts; starting is left out.",
            table(figures),
            {f"engines.{name}": value for name, value in speed.items()},
            bars.svg("The same counting job", "events/s", [*speed.items()]),
        )
    )
    return int(bool(faults(figures["engines"])))


if __name__ == "__main__":
    sys.exit(main())
