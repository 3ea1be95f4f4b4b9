"""What a process holds of the machine's memory, and whether a series is flat."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def resident(pid: int | None = None, line: str = "VmRSS:") -> float:
    """The memory a process holds now, in MiB; 0 where the system does not say."""
    try:
        status = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    except OSError:
        return 0.0
    found = [row for row in status.splitlines() if row.startswith(line)]
    return int(found[0].split()[1]) / 1024 if found else 0.0


def resident_peak(pid: int | None = None) -> float:
    """The most it has held so far.

    Not `ru_maxrss`, which begins with what the process was forked from.
    """
    return resident(pid, "VmHWM:")


def slope(y: Sequence[float]) -> tuple[float, float]:
    """Least-squares slope of a series against its number, and half its 95 % interval (normal errors, 1.96 of them).

    With fewer than four values there is no interval: it is infinite.

    >>> slope([1.0, 3.0, 5.0, 7.0])
    (2.0, 0.0)
    """
    n = len(y)
    if n < 4:
        return 0.0, float("inf")
    x = np.arange(n) - (n - 1) / 2
    values = np.asarray(y, float)
    found = float(x @ values / (x @ x))
    left = values - values.mean() - found * x
    error = float(np.sqrt(left @ left / (n - 2) / (x @ x)))
    return round(found, 12), round(1.96 * error, 12)
