"""`make performance`: runs the benches that docs/performance.md asks for, in its order; each writes its own block.

A bench that fails leaves its block as it was, and the others go on. It needs a quiet machine: a block says what share
of the processors other work had meanwhile.
"""

import argparse
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from benchmarks.page import PAGE, calculate, commands


def chosen(wanted: Sequence[str], only: Sequence[str]) -> list[str]:
    """The commands that contain one of these words, in the page's order; all without a word.

    >>> chosen(["python -m benchmarks.a --x", "python -m benchmarks.b"], ["b", "--x"])
    ['python -m benchmarks.a --x', 'python -m benchmarks.b']
    """
    return [each for each in wanted if not only or any(word in each.partition("benchmarks.")[2] for word in only)]


def main() -> int:
    """Run, and say what failed; 1 if anything did, 2 if no command has any of the words."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.performance", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], metavar="WORD", help="commands that contain one of these")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--list", action="store_true", help="print the commands and run nothing")
    parser.add_argument("--calculate", action="store_true", help="only calculate anew from the figures that are there")
    arguments = parser.parse_args()
    if not arguments.page.is_file():
        parser.error(f"there is no {arguments.page}")
    if arguments.calculate:
        calculate(arguments.page)
        return 0
    wanted = chosen(commands(arguments.page.read_text()), arguments.only)
    if not wanted:
        parser.error(f"no command of {arguments.page} contains {' or '.join(arguments.only)}")
    failed = []
    for command in wanted:
        print(f"$ {command}", file=sys.stderr if not arguments.list else sys.stdout, flush=True)
        if arguments.list:
            continue
        began = monotonic()
        done = subprocess.run([sys.executable, *shlex.split(command)[1:], "--page", str(arguments.page)], check=False)
        print(f"  ended with {done.returncode} after {monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        failed += [command] if done.returncode else []
    for command in failed:
        print(f"failed: {command}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
