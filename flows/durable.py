"""Small files that stand whole after any death, and directories whose entries do."""

import os
from pathlib import Path


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
