"""Between the engine and the terminal: an error of ours is wrapped and preceded by native noise; here it comes out."""

import io
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from flows import log
from flows.errors import LapwingError

_MOST_SHOWN = 1 << 16


def mistake(error: BaseException | None) -> LapwingError | None:
    """The error for the user inside what the engine raised; None if there is none, so that it is a bug.

    >>> from flows.errors import InputError
    >>> wrapped = RuntimeError("error calling next_batch")
    >>> wrapped.__cause__ = InputError("events.ndjson: has vanished")
    >>> mistake(wrapped), mistake(RuntimeError("a bug"))
    (InputError('events.ndjson: has vanished'), None)
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, LapwingError):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def noise_held_back() -> Iterator[None]:
    """Hold back what native code writes to file descriptor 2; show it only if a bug ends this.

    The engine reports every exception of a step as a panic, with a backtrace, before it raises it: a full disk would
    be forty lines. Python's own stderr stays open all the while.
    """
    if not _is_native(sys.stderr):
        yield
        return
    sys.stderr.flush()
    ours, python = os.dup(2), sys.stderr
    with _unnamed() as noise, open(ours, "w", buffering=1, encoding="utf-8", errors="backslashreplace") as stderr:
        os.dup2(noise.fileno(), 2)
        sys.stderr = stderr
        try:
            yield
        except BaseException as error:
            # A native trace quotes what was raised, and that may quote an event: a log for machines has no part of it.
            if mistake(error) is None and not isinstance(error, SystemExit) and not log.as_json():
                noise.seek(0)
                stderr.write(noise.read(_MOST_SHOWN).decode(errors="replace"))
            raise
        finally:
            stderr.flush()
            os.dup2(ours, 2)
            sys.stderr = python


def _is_native(stream: IO[str]) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, io.UnsupportedOperation):
        return False


def _unnamed() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        # In memory, because a disk may be what is full.
        return open(os.memfd_create("noise"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
