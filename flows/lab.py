"""The notebooks, where they lie, and the simulated day that they open on when nobody names results of his own."""

import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from flows import kernels_cache
from flows.errors import UsageError

NOTEBOOKS: Final = {
    "tune": "what would another threshold have done",
    "explore": "who stood out, and when",
    "investigate": "what happened in an incident",
    "compare": "what would another detector have found",
}
"""By name, the question that each answers."""
DAY: Final = (40_000, 7)
"""Events and seed of the simulated day."""
_HERE: Final = Path(__file__).parent
_NEEDED: Final = ("marimo", "altair")


def notebook(name: str) -> Path:
    """The file of a notebook.

    Raises
    ------
    UsageError
        There is no such notebook, or what it needs is not installed.

    >>> notebook("explore").name
    'explore.py'
    """
    if name not in NOTEBOOKS:
        raise UsageError(f"no notebook {name!r}; there are {', '.join(NOTEBOOKS)}")
    if missing := [one for one in _NEEDED if find_spec(one) is None]:
        raise UsageError(f"the notebooks need {' and '.join(missing)} beside Lapwing: `make lab` installs them")
    for folder in (_HERE.parent / "notebooks", _HERE / "notebooks"):  # of a checkout, of an installed package
        if (path := folder / f"{name}.py").is_file():
            return path
    raise UsageError(f"{name}.py is missing from this installation of Lapwing")


def day() -> Path:
    """The folder of the simulated day's results, whether it is there yet or not.

    It lies beside the compiled kernels, and another version makes it anew.
    """
    return kernels_cache.prepare() / f"day-{version('lapwing')}"


def command(
    path: Path, directory: str, more: dict[str, str], port: int | None, *, edit: bool, browser: bool
) -> list[str]:
    """The command line that serves a notebook on this machine alone.

    >>> " ".join(command(Path("explore.py"), "out", {"uid": "a1"}, 2718, edit=False, browser=False)[2:])
    'marimo run explore.py --host 127.0.0.1 --port 2718 --headless -- --dir out --uid a1'
    """
    line = [sys.executable, "-m", "marimo", "edit" if edit else "run", str(path), "--host", "127.0.0.1"]
    line += ["--port", str(port)] if port else []
    line += [] if browser else ["--headless"]
    line += ["--", "--dir", directory]
    for name, value in more.items():
        line += [f"--{name}", value]
    return line


def environment() -> dict[str, str]:
    """The environment of this process, in which a notebook finds the same Lapwing."""
    paths = str(_HERE.parent), os.environ.get("PYTHONPATH", "")
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
