"""What is tried before the first event: a stream then loads few kernels, those that read files."""

import json
import subprocess
import sys
from pathlib import Path

from tests.command import simulate

PROGRAM = """
import importlib, json, pkgutil, sys, threading
import models.kernels
from numba.core.registry import CPUDispatcher
from flows import detect
from flows.config import load

def loaded():
    names = [module.name for module in pkgutil.iter_modules(models.kernels.__path__)]
    modules = [importlib.import_module(f"models.kernels.{name}") for name in names]
    return {
        f"{module.__name__.rsplit('.', 1)[1]}.{name}"
        for module in modules
        for name, kernel in vars(module).items()
        if isinstance(kernel, CPUDispatcher) and kernel.py_func.__module__ == module.__name__ and kernel.overloads
    }

detect.rehearse(load())
before = loaded()
detect.run(load(), sys.argv[1], sys.argv[2], None, False, "lapwing", threading.Event())
print(json.dumps([sorted(before), sorted(loaded() - before)]))
"""
WHEN_NEEDED = {
    "baseline.count_z", "lines.split_lines", "lines.next_lf",
    "pairs.lives",  # a part of others, where they have yet to be compiled
}  # fmt: skip


def test_a_stream_loads_nothing_that_was_not_tried_before_it(tmp_path: Path) -> None:
    events = simulate(tmp_path / "events.ndjson", 20_000, 3)
    command = [sys.executable, "-c", PROGRAM, str(events), str(tmp_path / "out")]
    before, then = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert {"arrive.arrive", "learn.learn_minute", "scan.scan", "splice.splice"} <= set(before)
    assert set(then) <= WHEN_NEEDED
