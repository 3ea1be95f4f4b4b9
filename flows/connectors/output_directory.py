"""The output directory: which files are results, and what the system says when one cannot be written."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flows.durable import cannot_write
from flows.errors import OutputError

SCORED, ALERTS, DEAD_LETTERS = "scored.ndjson", "alerts.ndjson", "dead-letters.ndjson"
SUPPRESSED, ACTIONS = "suppressed.ndjson", "actions.ndjson"
TEXTS = (SCORED, ALERTS, DEAD_LETTERS, SUPPRESSED, ACTIONS)
WINDOWS = "windows.parquet"
PARTS = ".parts"

Payload = bytes | NDArray[np.uint8]
"""Whole lines, each with its LF; none in a heartbeat."""


def existing_results(directory: str) -> list[str]:
    """The names of the result files that stand in the directory; a run without state replaces them."""
    return [name for name in (*TEXTS, WINDOWS) if (Path(directory) / name).exists()]


def open_directory(directory: str) -> Path:
    """The output directory, made where it was missing, with its `.parts`.

    Raises
    ------
    OutputError
        It is not a directory, or nothing can be written there.
    """
    path = Path(directory)
    try:
        (path / PARTS).mkdir(parents=True, exist_ok=True)
        probe = path / PARTS / "probe"
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError):
        raise OutputError(f"{directory}: not a directory, so no results can be written there") from None
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def remove(path: Path) -> None:
    """Removes a file that may be gone already."""
    with suppress(FileNotFoundError):
        path.unlink()


def opened(path: Path, flags: int = 0, mode: int = 0o644) -> int:
    """A descriptor to write the file with, made where it was missing."""
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, mode)
    except OSError as error:
        raise cannot_write(path, error) from error


def replaced(path: Path) -> int:
    """A descriptor to an empty file in the place of one that may be there, with its permissions and owner.

    A regular file is removed, not cut: on ext4 the close of a file that was cut waits until all its bytes are on their
    way to the disk, and who still reads the old one reads it to its end. What cannot be removed, a device or a pipe is
    written to as it is.
    """
    try:
        old = path.lstat()
        if not stat.S_ISREG(old.st_mode):
            return opened(path, os.O_TRUNC)
        path.unlink()
    except OSError:
        return opened(path, os.O_TRUNC)
    file = opened(path, os.O_TRUNC, 0o600)
    with suppress(OSError):  # only root gives files away
        os.fchown(file, old.st_uid, old.st_gid)
    os.fchmod(file, stat.S_IMODE(old.st_mode))
    return file


def view_of(payload: Payload) -> memoryview:
    """The payload's bytes, not copied."""
    return memoryview(payload) if isinstance(payload, bytes) else payload.data


def append(path: Path, file: int, size: int, payload: Payload) -> int:
    """Writes whole lines at the end of a file of `size` bytes; on a failure what stays ends with a whole line."""
    view = view_of(payload)
    done = 0
    try:
        while done < len(view):
            done += os.write(file, view[done:])
    except OSError as error:
        whole = bytes(view[:done]).rfind(b"\n") + 1
        with suppress(OSError):  # a device or a pipe cannot be cut
            os.ftruncate(file, size + whole)
        raise cannot_write(path, error) from error
    return done
