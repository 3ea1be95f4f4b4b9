"""One file of results: it has its name when it is complete; stdout, pipes and devices are written as they are."""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def is_plain(path: str) -> bool:
    """A regular file, or one that will be."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return True


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """What is not plain, or `-` for stdout, as it is."""
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with open(path, "wb") as file:
        yield file


@contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A draft that takes the name when all has gone well; else nothing is left."""
    part = f"{path}.part"
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
