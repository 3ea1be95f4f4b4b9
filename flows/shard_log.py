"""What shards have saved, in files of our own beside the recovery store: whole once, then what changes in each epoch.

The recovery store gets a pointer: a file, how much of it, and the checksum of that. A file begins with all that its
shard knew and grows by a frame an epoch. Nothing in it is ever written over: the engine may come back to any pointer,
also of an epoch that has failed (docs/why.md). A new one begins with every run, and when reading the old one has come
to cost more than a whole one would; the old one stays until no run can come back to it.
"""

import os
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from flows import durable
from flows.errors import OutputError, Refused
from flows.generations import WAY_OUT

MOST_FRAMES: Final = 512
"""In one file: what a start has to read is limited by bytes, and by this."""
LEAST_BYTES: Final = 1 << 20
"""A file may grow by this however little it began with."""
SAFE_AFTER: Final = 3
"""Snapshots after which a pointer of before is of no epoch that can be gone back to: a shard is fed an epoch's items
only when the epoch before is durable."""
_MAGIC: Final = b"\x00lapwing-log"
_VERSION: Final = 1
_SIZE: Final = 8
_NAME: Final = re.compile(r"[0-9]+-[0-9]+\.[0-9]+")
_GOLDEN: Final = 0.618034


class _Pointer(msgspec.Struct, array_like=True):
    version: int
    file: str
    length: int
    checksum: int


def is_pointer(saved: bytes) -> bool:
    """Whether this points into a log; else it is a snapshot itself."""
    return saved.startswith(_MAGIC)


class ShardLog:
    """Where one shard of a dimension writes; nobody else does."""

    def __init__(self, folder: Path, dimension: int, shard: int) -> None:
        self._folder = folder
        self._name = f"{dimension}-{shard}"
        earlier = sorted(folder.glob(f"{self._name}.*"), key=_generation)
        self._generation = _generation(earlier[-1]) if earlier else 0
        self._old = [(0, path) for path in earlier]
        self._count = 0
        # Shards that begin together must not all write whole together ever after.
        self._ease = 0.5 + (dimension * 64 + shard) * _GOLDEN % 1.0 / 2
        self._path: Path | None = None
        self._length = self._whole = self._frames = self._checksum = 0

    @property
    def due(self) -> bool:
        """Whether the next frame has to begin a file."""
        if self._path is None or self._frames >= MOST_FRAMES * self._ease:
            return True
        return self._length - self._whole > max(self._whole, LEAST_BYTES) * self._ease

    def append(self, taken: bytes) -> bytes:
        """Write a frame, in a new file if it is `due`, and make it durable; the pointer to it and all before it.

        Raises
        ------
        OutputError
            It cannot be written. The log is of no more use.
        """
        self._count += 1
        frame = zstandard.ZstdCompressor(level=1, write_checksum=True).compress(taken)
        frame = len(frame).to_bytes(_SIZE, "little") + frame
        path = self._path
        try:
            if path is None or self.due:
                path = self._begin(len(frame))
            with path.open("ab", buffering=0) as file:
                if file.tell() != self._length:
                    raise OutputError(f"{path}: somebody else has written to it; start again")
                view = memoryview(frame)
                while view:
                    view = view[file.write(view) :]
                os.fdatasync(file.fileno())
            if self._frames == 0:
                durable.sync(self._folder)
            self._sweep()
        except OSError as error:
            raise durable.cannot_write(self._path or self._folder, error) from None
        self._frames += 1
        self._length += len(frame)
        self._checksum = zlib.crc32(frame, self._checksum)
        return _MAGIC + msgspec.msgpack.encode(_Pointer(_VERSION, path.name, self._length, self._checksum))

    def _begin(self, size: int) -> Path:
        if self._path is not None:
            self._old.append((self._count, self._path))
            self._ease = 1.0
        self._generation += 1
        self._path = self._folder / f"{self._name}.{self._generation}"
        self._path.open("xb").close()
        self._length = self._frames = self._checksum = 0
        self._whole = size
        return self._path

    def _sweep(self) -> None:
        """Remove files that no pointer can lead to: those that were left before so many snapshots."""
        while self._old and self._old[0][0] + SAFE_AFTER <= self._count:
            self._old.pop(0)[1].unlink(missing_ok=True)


def frames(folder: Path, saved: bytes) -> Iterator[bytes]:
    """What a pointer leads to, in the order in which it was written.

    Raises
    ------
    Refused
        The file is not what it was then.
    """
    try:
        pointer = msgspec.msgpack.decode(saved[len(_MAGIC) :], type=_Pointer)
    except msgspec.MsgspecError:
        raise Refused(f"{folder}: a pointer into it is damaged: {WAY_OUT}") from None
    if pointer.version != _VERSION or not _NAME.fullmatch(pointer.file):
        raise Refused(f"{folder}: a pointer into it is of another version: {WAY_OUT}")
    path = folder / pointer.file
    content = _read(path, pointer.length)
    if len(content) < pointer.length or zlib.crc32(content) != pointer.checksum:
        raise Refused(f"{path}: is damaged: {WAY_OUT}")
    unpack = zstandard.ZstdDecompressor().decompress
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + _SIZE], "little")
        at += _SIZE
        try:
            yield unpack(content[at : at + size])
        except zstandard.ZstdError as error:
            raise Refused(f"{path}: is damaged ({error}): {WAY_OUT}") from None
        at += size


def check(folder: Path, saved: Iterable[bytes]) -> None:
    """Look for damage before a shard meets it, at the speed of the disk.

    Raises
    ------
    Refused
        With the first file that is missing or damaged.
    """
    for one in saved:
        if is_pointer(one):
            for _ in frames(folder, one):
                break


def _read(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except FileNotFoundError:
        raise Refused(f"{path}: is missing: {WAY_OUT}") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror})") from None


def _generation(path: Path) -> int:
    number = path.name.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0
