"""Small files that stand whole after any death, and directories whose entries do."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.errors import OutputError


def write(path: Path, content: bytes) -> None:
    """Replace a file: whoever reads it afterwards, even after a power cut, sees the old content or all of the new.

    Raises
    ------
    OSError
        It cannot be written; the old content stands.
    """
    draft = path.with_name(f"{path.name}.tmp")
    with open(draft, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's bytes, or a directory's entries, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def place(folder: Path, fill: Callable[[Path], None]) -> None:
    """A folder that `fill` writes, which appears when all of it is there, for all to read.

    Of several that do so at once one is taken, and the others are removed.

    Raises
    ------
    OSError
        It cannot be written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        fill(draft)
        draft.chmod(0o755)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another has just done the same
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """A directory, held against all others who ask for it like this; they wait. Their deaths let go of it.

    Raises
    ------
    OSError
        It cannot be opened.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def cannot_write(path: Path, error: OSError) -> OutputError:
    """The one line for a failed write.

    >>> print(cannot_write(Path("out/scored.ndjson"), OSError(errno.ENOSPC, "No space left on device")))
    out/scored.ndjson: no space is left on the device; free some and start again
    """
    if error.errno == errno.ENOSPC:
        return OutputError(f"{path}: no space is left on the device; free some and start again")
    if error.errno in (errno.EDQUOT, errno.EFBIG):
        return OutputError(f"{path}: the quota or the greatest file size is reached; raise it and start again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{path}: may not be written ({os.strerror(error.errno)})")
    return OutputError(f"{path}: cannot be written ({error.strerror or error})")
