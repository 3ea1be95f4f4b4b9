"""Small files that stand whole after any death, and directories whose entries do."""

import errno
import os
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
