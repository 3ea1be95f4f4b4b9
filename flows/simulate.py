"""The work of `lapwing simulate`: realistic traffic into a file or a topic, its labels beside it."""

import gzip
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import zstandard

from flows.connectors.kafka_lines import LineSender
from flows.errors import OutputError
from flows.formats.simulated import ALL, Chunk, simulate
from flows.formats.truth import encode_truth
from flows.kafka_block import Kafka
from flows.output_file import is_plain, opened, replacing

__all__ = ["ALL", "Chunk", "Written", "send", "simulate", "write"]


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
    chunks: Iterable[Chunk],
    *,
    truth_path: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Write a simulation to `path` (ndjson; `.gz`, `.zst` compress; `-` is stdout) and its labels to `truth_path`.

    Labels of a regular file lie in PATH.truth.ndjson where nothing else is said.
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
    path = str(path)
    labelled = path != "-" and is_plain(path)
    if labelled and truth_path is None:
        truth_path = f"{path}.truth.ndjson"
    try:
        with ExitStack() as stack:
            # Left in reverse order: the events get their name first, then the labels
            labels = stack.enter_context(replacing(truth_path)) if truth_path else io.BytesIO()
            raw = stack.enter_context(replacing(path)) if labelled else stack.enter_context(opened(path))
            out = stack.enter_context(_compressing(raw, path))
            done = _passed_on(chunks, out.write, labels.write, on_progress)
    except BrokenPipeError as error:
        if path == "-":
            raise
        raise OutputError(f"{path}: the reader went away") from error
    except OSError as error:
        raise OutputError(f"{error.filename or path}: {error.strerror or error}") from error
    return Written(path, truth_path, *done)


def send(
    block: Kafka,
    chunks: Iterable[Chunk],
    *,
    rate: float | None = None,
    truth_path: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Send a simulation to the topic of events, `rate` events a second, and write its labels to `truth_path`.

    Raises
    ------
    UsageError
        An argument is out of its range.
    InputError
        No broker answers.
    OutputError
        There is no such topic, an event was not delivered, or the labels cannot be written.
    """
    try:
        with ExitStack() as stack:
            labels = stack.enter_context(replacing(truth_path)) if truth_path else io.BytesIO()
            out = stack.enter_context(LineSender(block, rate))
            done = _passed_on(chunks, out.send, labels.write, on_progress)
    except OSError as error:
        raise OutputError(f"{error.filename or truth_path}: {error.strerror or error}") from error
    return Written(f"topic {block.topics.events}", truth_path, *done)


def _passed_on(
    chunks: Iterable[Chunk],
    write: Callable[[bytes], object],
    label: Callable[[bytes], object],
    on_progress: Callable[[int], None] | None,
) -> tuple[int, int, int]:
    """How many events, bytes and attacks there were."""
    count = size = found = 0
    for chunk in chunks:
        write(chunk.lines)
        label(encode_truth(chunk.truth))
        count, size, found = count + chunk.count, size + len(chunk.lines), found + len(chunk.truth)
        if on_progress is not None:
            on_progress(count)
    return count, size, found


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
