"""A yardstick in a process of its own, which has loaded nothing but what it needs itself: its seconds, printed.

In the bench's own process all of Lapwing's modules would be in the way of its garbage collector, and what the rounds
before it have left in memory. Lines are read first; only the work on them is timed. Not for people: `benchmarks.run`
runs it.
"""

import argparse
import subprocess
import sys
from importlib import import_module
from itertools import islice
from pathlib import Path

YARDSTICKS = ("plain_loop", "reference_flow", "typed_decode")


def seconds(yardstick: str, path: Path, most: int, *, spared: bool = False) -> float:
    """What a yardstick takes for the first lines of a file, in a fresh process.

    With `spared` its garbage collector is set as `lapwing detect` sets its own.
    """
    command = [sys.executable, "-m", "benchmarks.alone", yardstick, str(path), str(most)]
    done = subprocess.run([*command, *(["--spared"] if spared else [])], stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def main() -> None:
    """Read, run, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone", description=__doc__)
    parser.add_argument("yardstick", choices=YARDSTICKS)
    parser.add_argument("path", type=Path)
    parser.add_argument("most", type=int)
    parser.add_argument("--spared", action="store_true", help="set the garbage collector as `lapwing detect` does")
    arguments = parser.parse_args()
    run = import_module(f"benchmarks.{arguments.yardstick}").run
    with arguments.path.open("rb") as file:
        lines = [*islice(file, arguments.most)]
    if arguments.spared:
        from flows.running import spare_collector

        spare_collector()
    print(run(lines))


if __name__ == "__main__":
    main()
