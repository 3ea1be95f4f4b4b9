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


def change(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """The mean difference of pairs, and half its 95 % interval (normal errors, 1.96 of them).

    With fewer than four pairs there is no interval: it is infinite.

    >>> change([1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 6.0])
    (2.0, 0.0)
    """
    found = np.asarray(after, float) - np.asarray(before, float)
    if len(found) < 4:
        return 0.0, float("inf")
    return round(float(found.mean()), 12), round(1.96 * float(found.std(ddof=1)) / len(found) ** 0.5, 12)
