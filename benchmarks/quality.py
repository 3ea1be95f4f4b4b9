"""`make quality`: runs every measurement of quality that docs/quality.md names, and writes what came out into it.

A block between `<!-- run: COMMAND -->` and `<!-- end -->` is replaced by the command's output, with the commit.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.page import commands, replaced

PAGE: Final = Path(__file__).parent.parent / "docs" / "quality.md"


def filled(page: str, outputs: dict[str, str], commit: str) -> str:
    """The page with new outputs; a block whose command was not run stays as it is.

    >>> page = "<!-- run: python -m benchmarks.x -->\\nold\\n<!-- end -->\\n"
    >>> print(filled(page, {"python -m benchmarks.x": "new\\n"}, "0f0f"), end="")
    <!-- run: python -m benchmarks.x -->
    ```text
    $ python -m benchmarks.x          (commit 0f0f)
    new
    ```
    <!-- end -->
    """
    for command, output in outputs.items():
        page = replaced(page, command, f"```text\n$ {command}          (commit {commit})\n{output.rstrip()}\n```\n")
    return page


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--only", default="", help="commands that contain this")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    for command in dict.fromkeys(commands(PAGE.read_text())):
        if arguments.only not in command:
            continue
        print(f"$ {command}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}; its block stays as it was")
        print(done.stdout, flush=True)
        # After each, because the next may take an hour.
        PAGE.write_text(filled(PAGE.read_text(), {command: done.stdout}, commit.stdout.strip()))


if __name__ == "__main__":
    main()
