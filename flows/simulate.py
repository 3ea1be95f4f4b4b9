"""The work of `lapwing simulate`: realistic traffic into a file, its labels beside it."""

import gzip
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, cast

import zstandard

from flows.errors import OutputError
from flows.formats.simulated import ALL, Chunk, simulate
from flows.formats.truth import encode_truth

__all__ = ["ALL", "Chunk", "Written", "simulate", "write"]


@dataclass(slots=True, frozen=True)
class Written:
    """What a simulation left behind. `size` is in bytes before compression."""

    path: str
    truth_path: str | None
    events: int
    size: int
    attacks: int


def write(
    path: str | Path,
    events: int,
    seed: int,
    *,
    hours: float | None = None,
    start: datetime | None = None,
    users: int | None = None,
    attacks: Sequence[str] = ALL,
    attack_count: int | None = None,
    attack_every: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Write a simulation to `path` (ndjson; `.gz`, `.zst` compress; `-` is stdout) and its labels to PATH.truth.ndjson.

    Both files appear under their names when they are complete; a failed or interrupted run leaves neither. Stdout,
    pipes and devices are written as they are and have no file of labels. `on_progress` hears the number of events so
    far.

    Raises
    ------
    UsageError
        An argument is out of its range.
    OutputError
        A file cannot be written, or the reader of a named pipe went away.
    BrokenPipeError
        The reader of stdout went away: the command that owns stdout says so.
    """
    chunks = simulate(
        events,
        seed,
        hours=hours,
        start=start,
        users=users,
        attacks=attacks,
        attack_count=attack_count,
        attack_every=attack_every,
    )
    path = str(path)
    labelled = path != "-" and _is_plain(path)
    truth_path = f"{path}.truth.ndjson" if labelled else None
    count = size = found = 0
    try:
        with ExitStack() as stack:
            # Left in reverse order: the events get their name first, then the labels
            labels = stack.enter_context(_replacing(truth_path)) if truth_path else io.BytesIO()
            raw = stack.enter_context(_replacing(path)) if labelled else stack.enter_context(_opened(path))
            out = stack.enter_context(_compressing(raw, path))
            for chunk in chunks:
                out.write(chunk.lines)
                labels.write(encode_truth(chunk.truth))
                count, size, found = count + chunk.count, size + len(chunk.lines), found + len(chunk.truth)
                if on_progress is not None:
                    on_progress(count)
    except BrokenPipeError as error:
        if path == "-":
            raise
        raise OutputError(f"{path}: the reader went away") from error
    except OSError as error:
        raise OutputError(f"{error.filename or path}: {error.strerror or error}") from error
    return Written(path, truth_path, count, size, found)


def _is_plain(path: str) -> bool:
    """A regular file, or one that will be."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with open(path, "wb") as file:
        yield file


@contextmanager
def _replacing(path: str) -> Iterator[IO[bytes]]:
    part = f"{path}.part"
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


@contextmanager
def _compressing(raw: IO[bytes], path: str) -> Iterator[IO[bytes]]:
    if path.endswith(".gz"):
        # A fixed time and no name in the header: the same run gives the same file
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=3, mtime=0) as packed:
            yield cast(IO[bytes], packed)
    elif path.endswith(".zst"):
        with zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False) as packed_zst:
            yield cast(IO[bytes], packed_zst)
    else:
        yield raw
