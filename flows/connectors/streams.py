"""Bytes in order: a plain file, a compressed one, a pipe. Every fault becomes one line that names the file."""

import contextlib
import fcntl
import io
import os
import select
import stat
import time
from collections.abc import Iterator
from typing import Any, Final, Protocol

from flows.errors import InputError

COMPRESSED: Final = {".gz": "gzip", ".zst": "zstd"}
_PIPE_SIZE: Final = 1 << 20
_SKIP: Final = 1 << 20


class Stream(Protocol):
    """A source of bytes."""

    def readinto(self, view: memoryview) -> int:
        """Fill the view from its begin; how many bytes came, 0 at the end, -1 if there is nothing for now."""

    path: str

    @property
    def taken(self) -> int:
        """Bytes taken from the disk or the pipe so far (compressed ones, if it is compressed)."""

    def close(self) -> None:
        """Let go."""


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """Turn what the system says about a file into one line for the user."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file or directory") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: is a directory") from error
    except PermissionError as error:
        raise InputError(f"{path}: permission denied") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


class PlainFile:
    """A file as it stands, from a byte position on."""

    def __init__(self, path: str, position: int = 0) -> None:
        self.path = path
        self._position = position
        with named(path):
            self._file = io.FileIO(path)
            size = os.fstat(self._file.fileno()).st_size
            if size < position:
                self._file.close()
                raise InputError(f"{path}: has {size} bytes, but {position} were read before: truncated or replaced")
            self._file.seek(position)

    @property
    def taken(self) -> int:
        """As `Stream`."""
        return self._position

    def readinto(self, view: memoryview) -> int:
        """As `Stream`."""
        with named(self.path):
            count = self._file.readinto(view) or 0
            self._position += count
            if not count and os.fstat(self._file.fileno()).st_size < self._position:
                raise InputError(f"{self.path}: became shorter while it was read")
        return count

    def close(self) -> None:
        """As `Stream`."""
        self._file.close()


class CompressedFile:
    """A .gz or .zst file, decompressed, from a position in the decompressed bytes on. Skipping there costs reading.

    Several members one after another are one stream. A cut or damaged file is an error when the reading gets there,
    never a silent end.
    """

    def __init__(self, path: str, position: int = 0) -> None:
        import pyarrow as pa

        self.path = path
        with named(path):
            if os.path.isdir(path):
                raise IsADirectoryError
            self._file: Any = pa.OSFile(path)
            self._stream: Any = pa.CompressedInputStream(self._file, COMPRESSED[os.path.splitext(path)[1]])
        self._to_skip = position

    @property
    def taken(self) -> int:
        """As `Stream`."""
        return 0 if self._file.closed else int(self._file.tell())

    def readinto(self, view: memoryview) -> int:
        """As Stream; -1 while it still skips."""
        with named(self.path):
            if not self._to_skip:
                return int(self._stream.readinto(view))
            skipped = len(self._stream.read(min(_SKIP, self._to_skip)))
        self._to_skip -= skipped
        if not skipped:
            raise InputError(f"{self.path}: ends before the position read before: truncated or replaced")
        return -1

    def close(self) -> None:
        """As `Stream`."""
        self._stream.close()
        self._file.close()


class Pipe:
    """Standard input or a named pipe: what is there now, waiting 2 ms at most for more."""

    def __init__(self, path: str, descriptor: int | None = None) -> None:
        self.path = path
        self._owned = descriptor is None
        with named(path):
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if descriptor is None else descriptor
            if stat.S_ISDIR(os.fstat(self._descriptor).st_mode):
                raise IsADirectoryError
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        self._taken = 0

    @property
    def taken(self) -> int:
        """As `Stream`."""
        return self._taken

    def readinto(self, view: memoryview) -> int:
        """As Stream. Gathers while bytes keep coming, for 20 ms at most."""
        count = 0
        enough = time.monotonic() + 0.02
        with named(self.path):
            while count < len(view) and select.select([self._descriptor], [], [], 0.002)[0]:
                try:
                    got = os.readv(self._descriptor, [view[count:]])
                except BlockingIOError:
                    break
                count += got
                if not got:
                    self._taken += count
                    return count
                if time.monotonic() > enough:
                    break
        self._taken += count
        return count or -1

    def close(self) -> None:
        """As `Stream`; standard input stays open."""
        if self._owned:
            os.close(self._descriptor)


def open_stream(path: str, position: int = 0) -> Stream:
    """Open a path by its kind: `-` is standard input, a pipe or device is read as it comes, a suffix says compressed.

    Pipes begin where they are, whatever the position.
    """
    if path == "-":
        return Pipe("standard input", 0)
    with named(path):
        mode = os.stat(path).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode):
        return Pipe(path)
    if os.path.splitext(path)[1] in COMPRESSED:
        return CompressedFile(path, position)
    return PlainFile(path, position)
