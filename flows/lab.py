"""The notebooks, where they lie, and the simulated day that they open on when nobody names results of his own."""

import os
import subprocess
import sys
import tarfile
import threading
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from flows import kernels_cache, query
from flows.config import config_hash, load
from flows.errors import UsageError
from flows.formats.windows import SCHEMA

NOTEBOOKS: Final = {
    "tune": "what would another threshold have done",
    "explore": "who stood out, and when",
    "investigate": "what happened in an incident",
    "compare": "what would another detector have found",
}
"""By name, the question that each answers."""
DAY: Final[dict[str, Any]] = {"events": 12_000, "seed": 7, "hours": 24.0, "users": 1_000, "attack_count": 10}
"""What `simulate` makes the day of."""
_HERE: Final = Path(__file__).parent
DETECTORS: Final = ("default", "half_space_trees", "sklearn:IsolationForest")
"""Those that the notebook `compare` opens with."""
COLUMNS: Final = ("events_1m", "failures_1m", "error_share_1m", "events_10m", "failures_10m")
"""What it lets them look at in a table of closed minutes."""
READ_EVENTS: Final = ("explore", "investigate")
"""The notebooks that read scored events."""
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


def fingerprint() -> str:
    """What a simulated day's results hang on: this version, its defaults, the columns of windows, and what is in it."""
    digest = blake2b(digest_size=8)
    for part in (version("lapwing"), config_hash(load(None)), str(SCHEMA), repr((DAY, DETECTORS, COLUMNS))):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()


def bundled() -> Path:
    """The packed day that comes with the notebooks, whether it is of this version or not."""
    return notebook("explore").parent / f"day-{fingerprint()}.tar.xz"


def day() -> Path:
    """The folder of the simulated day's results, whether it is there yet or not.

    It lies beside the compiled kernels; another version or other defaults make it anew.
    """
    return kernels_cache.prepare() / f"day-{fingerprint()}"


def unpack(draft: Path) -> None:
    """The bundled day's results into a folder."""
    with tarfile.open(bundled()) as packed:
        packed.extractall(draft, filter="data")


def uncompiled(name: str) -> bool:
    """Whether a notebook reads events and nobody has compiled the kernels for it, which takes longer than a page may.

    On the simulated day they then run as the Python that they are: it reads few events, the tests hold that both say
    the same, and meanwhile `compiling` compiles them for the next start.
    """
    return name in READ_EVENTS and not (_mark().exists() or kernels_cache.compiled())


def compiling() -> "subprocess.Popen[bytes]":
    """A process that compiles the kernels that read events, giving way to all others."""
    line = [sys.executable, "-c", "from flows import lab; lab.compile_reading()"]
    process = subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)
    return process


def compile_reading() -> None:
    """Read the day's events once: what that calls is compiled then."""
    query.events(str(day()), "", "tenant", "", 0, 1 << 62)
    with suppress(OSError):
        _mark().touch()


def _mark() -> Path:
    return kernels_cache.prepare() / "reading-complete"


def simulate_day(draft: Path) -> None:
    """Simulate the day and detect in it."""
    from flows.detect import run
    from flows.formats.simulated import simulate
    from flows.simulate import write

    events = draft / "events.ndjson"
    write(events, simulate(**DAY))
    run(load(None), str(events), str(draft), None, True, "lapwing", threading.Event())
    events.unlink()  # all of it is in scored.ndjson, too


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


def environment(*, interpreted: bool = False) -> dict[str, str]:
    """The environment of this process, in which a notebook finds the same Lapwing; its kernels may run uncompiled."""
    paths = str(_HERE.parent), os.environ.get("PYTHONPATH", "")
    # Kernels count on integers that wrap around, of which Python would warn.
    plain = {"NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore::RuntimeWarning"} if interpreted else {}
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | plain
