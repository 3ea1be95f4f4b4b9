"""docs/performance.md: a bench writes its own block of it, and what is calculated from its figures follows.

A measured block stands between `<!-- run: COMMAND -->` and `<!-- end -->` and is replaced only by that very command,
run to its end with `--page`: a quick try leaves the page alone, and what was never run is empty. Its figures stand in
it once more as JSON; all together fill the blocks `<!-- calculated: NAME -->` of the page and of what cites it.
"""

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from textwrap import fill
from time import monotonic
from typing import Final

import flows  # noqa: F401 - says where numba keeps compiled kernels, so before any of them
from benchmarks.capacity import BLOCKS, Figures

PAGE: Final = Path(__file__).parent.parent / "docs" / "performance.md"
QUIET: Final = 0.1
"""With more of the processors than this taken by other work a bench says that the machine was not quiet."""
CODE: Final = ("flows", "models", "benchmarks", "tests", "pyproject.toml", "uv.lock")
WIDTH: Final = 120
"""Characters of a line of prose."""
_MEASURED: Final = re.compile(r"(<!-- run: (python -m benchmarks\.[^\n]+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_CALCULATED: Final = re.compile(r"(<!-- calculated: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_FIGURES: Final = re.compile(r"^<!-- figures: (\{.*\}) -->$", re.MULTILINE)


@dataclass(slots=True, frozen=True)
class Section:
    """What a bench has to say.

    `name` is its picture's, `about` one paragraph, `table` what it prints, `figures` what others calculate with.
    """

    name: str
    title: str
    about: str
    table: str
    figures: Figures
    picture: str = ""


@dataclass(slots=True, frozen=True)
class Circumstances:
    """What figures hang on; `others` is the share of the processors that other work had meanwhile."""

    commit: str
    date: str
    machine: str
    seconds: float
    others: float

    def __str__(self) -> str:
        took = f"{self.seconds:.0f} s" if self.seconds < 90 else f"{self.seconds / 60:.0f} min"
        return (
            f"Commit {self.commit}, {self.date}; {self.machine}; took {took}, "
            f"other work had {self.others:.0%} of the processors meanwhile."
        )


class Bench:
    """One run of a bench, from its command line to its block."""

    def __init__(self, parser: argparse.ArgumentParser, words: Sequence[str] | None = None) -> None:
        """Read the command line; ends with exit code 2 if it names a page that does not ask for this command."""
        parser.add_argument("--page", type=Path, help="write the block of this page that asks for this very command")
        self.arguments = parser.parse_args(words)
        self.page: Path | None = self.arguments.page
        self.command = _command(parser.prog, sys.argv[1:] if words is None else words)
        self._commit, self._began = commit(), (monotonic(), *_busy())
        if self.page:
            asked = commands(self.page.read_text()) if self.page.is_file() else []
            if self.command not in asked:
                mine = [each for each in asked if each.startswith(parser.prog)]
                parser.error(f"{self.page} asks for {' or '.join(mine) or 'no such run'}, not for {self.command}")

    def write(self, section: Section) -> None:
        """Replace the block, its picture, and what is calculated; without `--page` nothing is done."""
        if not self.page:
            return
        began, busy, own = self._began
        seconds, (now_busy, now_own) = monotonic() - began, _busy()
        others = max(0.0, (now_busy - busy) - (now_own - own)) / ((os.cpu_count() or 1) * seconds)
        on = Circumstances(self._commit, f"{datetime.now(UTC):%Y-%m-%d}", machine(), seconds, others)
        if others > QUIET:
            print(f"the machine was not quiet: other work had {others:.0%} of its processors", file=sys.stderr)
        write(self.page, self.command, section, on)


def commands(page: str) -> list[str]:
    """The commands that a page asks for.

    >>> commands("a\\n<!-- run: python -m benchmarks.x --seeds 2 -->\\nold\\n<!-- end -->\\nb")
    ['python -m benchmarks.x --seeds 2']
    """
    return [found[2] for found in _MEASURED.finditer(page)]


def replaced(page: str, command: str, block: str) -> str:
    """The page with another block for a command; all else stays, byte for byte.

    >>> page = "<!-- run: python -m benchmarks.x -->\\nold\\n<!-- end -->\\n"
    >>> print(replaced(page, "python -m benchmarks.x", "new\\n"), end="")
    <!-- run: python -m benchmarks.x -->
    new
    <!-- end -->
    """
    return _MEASURED.sub(lambda found: found[1] + (block if found[2] == command else found[3]) + found[4], page)


def rendered(section: Section, command: str, on: Circumstances, picture: str = "") -> str:
    """A block's text; `picture` is the name of its file."""
    figures = {name: float(f"{value:.6g}") for name, value in sorted(section.figures.items()) if isfinite(value)}
    out = [f"## {section.title}", "", fill(section.about, WIDTH), "", str(on), "", "```text", f"$ {command}"]
    out += [section.table.rstrip(), "```", ""]
    out += [f"![{section.title}]({picture})", ""] if picture else []
    return "\n".join([*out, f"<!-- figures: {json.dumps(figures)} -->", ""])


def figures_of(page: str) -> dict[str, float]:
    """The figures of all blocks that were written.

    >>> figures_of('<!-- figures: {"a.x": 1.5} -->\\n<!-- figures: {"b.x": 2.0} -->')
    {'a.x': 1.5, 'b.x': 2.0}
    """
    return {name: value for found in _FIGURES.finditer(page) for name, value in json.loads(found[1]).items()}


def recalculated(page: str, figures: Figures) -> str:
    """The page with all that is calculated from figures; a block is empty where they do not suffice.

    >>> recalculated("<!-- calculated: summary -->\\nold\\n<!-- end -->\\n", {})
    '<!-- calculated: summary -->\\n<!-- end -->\\n'
    """
    return _CALCULATED.sub(lambda found: found[1] + BLOCKS[found[2]](figures) + found[4], page)


def citing(page: Path) -> list[Path]:
    """The files with calculated blocks: the page, what stands beside it, and the README above."""
    beside = [page, page.with_name("operations.md"), page.absolute().parent.parent / "README.md"]
    return [path for path in beside if path.is_file()]


def write(page: Path, command: str, section: Section, on: Circumstances) -> None:
    """Replace a command's block and its picture, and calculate anew."""
    picture = page.with_name(f"{page.stem}-{section.name}.svg") if section.picture else None
    if picture:
        picture.write_text(section.picture)
    page.write_text(
        replaced(page.read_text(), command, rendered(section, command, on, picture.name if picture else ""))
    )
    calculate(page)


def calculate(page: Path) -> None:
    """Fill what is calculated from the page's figures."""
    figures = figures_of(page.read_text())
    for path in citing(page):
        path.write_text(recalculated(path.read_text(), figures))


def commit() -> str:
    """The commit of the code; `-dirty` where code differs from it, whatever became of the documents."""
    here = Path(__file__).parent.parent
    head = subprocess.run(
        ["git", "rev-parse", "--short=7", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    )
    same = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", *CODE], cwd=here, capture_output=True, check=False)
    return (head.stdout.strip() or "unknown") + ("-dirty" if same.returncode == 1 else "")


def machine() -> str:
    """Cores, processor, memory and Python: what figures hang on, and nothing that names the machine."""
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    try:
        known = re.search(r"^model name\s*: *(.*\S)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        known = None
    processor = known[1] if known else platform.machine()
    return f"{os.cpu_count()} cores ({processor}), {gib:.1f} GiB, Python {platform.python_version()}"


def _command(prog: str, words: Sequence[str]) -> str:
    """The command without `--page`, which says where to write and not what to measure.

    >>> _command("python -m benchmarks.x", ["--page", "p.md", "--only", "a b"])
    "python -m benchmarks.x --only 'a b'"
    """
    kept, skip = [], False
    for word in words:
        if not skip and word != "--page" and not word.startswith("--page="):
            kept.append(word)
        skip = word == "--page"
    return shlex.join([*prog.split(), *kept])


def _busy() -> tuple[float, float]:
    """Processor seconds of the whole machine, what a hypervisor took included, and those of this bench; else zeros."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    except OSError:
        return 0.0, 0.0
    user, nice, system, _, _, irq, softirq, steal = (int(each) / os.sysconf("SC_CLK_TCK") for each in first)
    own = os.times()
    mine = own.user + own.system + own.children_user + own.children_system
    return user + nice + system + irq + softirq + steal, mine
