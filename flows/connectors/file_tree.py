"""Which files an input path means, and to which source partition each belongs."""

import os
import stat
from dataclasses import dataclass
from typing import Final

from flows.connectors.streams import named
from flows.errors import InputError

SUFFIXES: Final = tuple(
    plain + packed for plain in (".ndjson", ".jsonl", ".json", ".log") for packed in ("", ".gz", ".zst")
)
STDIN: Final = "-"
_NAMED_AT_MOST: Final = 100


@dataclass(slots=True, frozen=True)
class FileTree:
    """An input's partitions: for each its directory and the names of its files, sorted.

    A file is one partition, named by its name. A directory's own files are one, named `.`, and each directory below
    with files another, named by its path from the input. Standard input is `-`. Names are made printable UTF-8.
    """

    root: str
    directory: dict[str, str]
    files: dict[str, tuple[str, ...]]
    ignored: tuple[str, ...] = ()  # what lies there without one of SUFFIXES, or hidden; the first 100

    @property
    def partitions(self) -> tuple[str, ...]:
        """All partitions' names, sorted."""
        return tuple(sorted(self.directory))

    def path(self, partition: str, file: str) -> str:
        """Where a partition's file is."""
        if partition == STDIN:
            return STDIN
        return os.path.join(self.directory.get(partition) or os.path.join(self.root, partition), file)

    def bytes_total(self) -> int | None:
        """The size of all files together; None where that cannot be known."""
        total = 0
        for partition, files in self.files.items():
            for file in files:
                path = self.path(partition, file)
                if partition == STDIN or not os.path.isfile(path):
                    return None
                total += os.path.getsize(path)
        return total


def find_files(path: str) -> FileTree:
    """Look up an input path; `InputError` if there is nothing to read or something unreadable among it."""
    if path == STDIN:
        return FileTree("", {STDIN: ""}, {STDIN: (STDIN,)})
    with named(path):
        mode = os.stat(path).st_mode
    if not stat.S_ISDIR(mode):
        _check_readable(path)
        where, name = os.path.split(os.path.abspath(path))
        partition = "./-" if name == STDIN else _printable(name)
        return FileTree(where, {partition: where}, {partition: (name,)})
    directory: dict[str, str] = {}
    files: dict[str, tuple[str, ...]] = {}
    ignored: list[str] = []
    for where, below, names in os.walk(path, onerror=_refuse):
        hidden = [name for name in below if name.startswith(".")]
        below[:] = sorted(set(below) - set(hidden))
        chosen = sorted(name for name in names if name.endswith(SUFFIXES) and not name.startswith("."))
        for name in [*(set(names) - set(chosen)), *(name + "/" for name in hidden)]:
            ignored.append(_printable(os.path.relpath(where, path) + "/" + name).removeprefix("./"))
        for name in chosen:
            _check_readable(os.path.join(where, name))
        if chosen:
            partition = _printable(os.path.relpath(where, path).replace(os.sep, "/"))
            directory[partition], files[partition] = where, tuple(chosen)
    if not files:
        raise InputError(f"{path}: holds no file that ends in {', '.join(SUFFIXES[::3])}, plain, .gz or .zst")
    return FileTree(path, directory, files, tuple(sorted(ignored)[:_NAMED_AT_MOST]))


def check_input(path: str) -> None:
    """Say beforehand, as `InputError`, that a path cannot be read at all. Opens nothing."""
    find_files(path)


def _check_readable(path: str) -> None:
    with named(path):
        os.stat(path)
        if not os.access(path, os.R_OK):
            raise PermissionError


def _refuse(error: OSError) -> None:
    with named(str(error.filename)):
        raise error


def _printable(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
