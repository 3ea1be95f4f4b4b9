"""How long `lapwing lab NAME` takes from the command to the drawn page, on the simulated day that comes with it.

Cold is the first start of an installation: no kernel is compiled, and the day is packed. Warm is any later one. The
browser runs already, as a person's does; it asks for the page as soon as the server listens.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from selenium import webdriver

from benchmarks import bars
from benchmarks.page import Bench, Section
from flows import kernels_cache
from flows.lab import NOTEBOOKS, READ_EVENTS
from tests.system.browsing import chromium, pictures, text_of

DRAWN = {
    "tune": "This is the limit in force", "explore": "The minute's events", "investigate": "Where from",
    "compare": "sklearn:IsolationForest",
}  # fmt: skip
"""What the last part of a page says. It is drawn when this and a picture are there."""
COMPILE = "from flows import lab; lab.compile_reading()"
_LONGEST = 120.0


def opened(chrome: webdriver.Chrome, name: str, kernels: Path) -> float:
    """Seconds from the command to the drawn page, with compiled kernels and the unpacked day in this folder."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chrome.get("about:blank")
    line = [str(Path(sys.executable).with_name("lapwing")), "lab", name, "--no-browser", "--port", str(port)]
    with (kernels.parent / "log").open("wb") as log:
        began = time.monotonic()
        server = subprocess.Popen(line, stdout=log, stderr=log, start_new_session=True, env=_environment(kernels))
    try:
        while not _listens(port):
            if server.poll() is not None or time.monotonic() - began > _LONGEST:
                raise RuntimeError((kernels.parent / "log").read_text())
            time.sleep(0.02)
        chrome.get(f"http://127.0.0.1:{port}/")
        while not (pictures(chrome) and DRAWN[name] in text_of(chrome)):
            if time.monotonic() - began > _LONGEST:
                raise RuntimeError(text_of(chrome))
            time.sleep(0.1)
        return time.monotonic() - began
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def _environment(kernels: Path) -> dict[str, str]:
    return os.environ | {"NUMBA_CACHE_DIR": str(kernels)}


def _listens(port: int) -> bool:
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
        return True
    return False


def measured(names: Sequence[str], runs: int) -> dict[str, dict[str, list[float]]]:
    """Of each notebook the seconds of each cold start, and of the warm one after each."""
    found = {name: {"cold": [], "warm": []} for name in names}  # type: dict[str, dict[str, list[float]]]
    with tempfile.TemporaryDirectory() as place, chromium(Path(place) / "profile") as chrome:
        for run in range(runs):
            for name in names:
                kernels = Path(place) / f"{name}-{run}" / "kernels"
                # A folder that is there is not begun as a copy of what is compiled already.
                (kernels / kernels_cache.prepare().name).mkdir(parents=True)
                found[name]["cold"].append(opened(chrome, name, kernels))
                if name in READ_EVENTS:  # what the first start began in the background
                    subprocess.run([sys.executable, "-c", COMPILE], env=_environment(kernels), check=True)
                found[name]["warm"].append(opened(chrome, name, kernels))
    return found


def report(found: dict[str, dict[str, list[float]]]) -> str:
    """The figures to be read."""
    out = [f"{'':<12}{'cold, median':>14}{'at most':>10}{'warm, median':>14}{'at most':>10}   (s)"]
    for name, seconds in found.items():
        cold, warm = seconds["cold"], seconds["warm"]
        out.append(f"{name:<12}{np.median(cold):>14.1f}{max(cold):>10.1f}{np.median(warm):>14.1f}{max(warm):>10.1f}")
    return "\n".join(out)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.opening", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=[*NOTEBOOKS], default=[*NOTEBOOKS], metavar="NAME")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    bench = Bench(parser)
    found = measured(bench.arguments.only, bench.arguments.runs)
    print(json.dumps(found, indent=2) if bench.arguments.json else report(found))
    kept = {f"opening.{name}_{kind}_s": max(taken) for name, each in found.items() for kind, taken in each.items()}
    shown = [
        (f"{name}, {kind}", float(np.median(taken))) for name, each in found.items() for kind, taken in each.items()
    ]
    bench.write(
        Section(
            "opening",
            "Opening a notebook",
            "From `lapwing lab NAME` to the drawn page in Chromium, on the simulated day that comes with the "
            "notebooks: cold without one compiled kernel, warm as at any later time.",
            report(found),
            kept,
            bars.svg("Opening, median", "s", shown),
        )
    )


if __name__ == "__main__":
    main()
