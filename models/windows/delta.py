"""Tables as what has changed in them since they were last looked at, and tables from such changes.

What was seen of a table is a hash of every part of it (8 bytes for 64), not a second copy. A row that is no longer in
use is not written again: that it counts no more is said by a bit, and it is 0 where the tables are made anew.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.kernels.changes import PART, find_changed, put_parts, take_parts

_IN_USE: Final = "in use: "
_WORD: Final = 8


class Rows(NamedTuple):
    """A table of which only the rows at some places count. Of an array alone all counts."""

    array: NDArray[Any]
    places: NDArray[np.int64]


Tables = Mapping[str, NDArray[Any] | Rows]
Piece = Sequence[NDArray[Any]]
"""Arrays that nobody ever writes to again."""


class _Entry(msgspec.Struct, array_like=True):
    """What is said of one table; if it is `whole`, nothing that was said of it before holds."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    rows: int
    whole: bool
    numbers: int
    words: int


class _Head(msgspec.Struct, array_like=True):
    entries: list[_Entry]
    pieces: list[int]
    fresh: dict[int, list[bytes]]
    rest: bytes


class Changes:
    """What changes in tables from one look to the next."""

    def __init__(self) -> None:
        self._key = np.frombuffer(secrets.token_bytes(2 * _WORD), np.uint64).copy()
        self._seen: dict[str, tuple[Any, NDArray[np.uint64]]] = {}
        self._pieces: dict[int, tuple[int, NDArray[Any]]] = {}
        self._numbers = count()

    def take(self, tables: Tables, pieces: Iterable[Piece], rest: bytes) -> bytes:
        """All that differs from the last look (at the first, all that counts), and `rest` as it is.

        A piece is the same as long as its first array is the same object.
        """
        # Holding the array keeps its identity from becoming another's.
        known, self._pieces = self._pieces, {}
        fresh: dict[int, list[bytes]] = {}
        for first, *others in pieces:
            if id(first) in known:
                self._pieces[id(first)] = known[id(first)]
                continue
            number = next(self._numbers)
            self._pieces[id(first)] = number, first
            fresh[number] = [column.tobytes() for column in (first, *others)]
        flat: dict[str, tuple[NDArray[Any], NDArray[np.int64] | None]] = {}
        for name, table in tables.items():
            if not isinstance(table, Rows):
                flat[name] = table, None
                continue
            flat[name] = table
            used = np.zeros(len(table.array), np.uint8)
            used[table.places] = 1
            flat[_IN_USE + name] = np.packbits(used), None
        entries: list[_Entry] = []
        bodies: list[NDArray[Any]] = []
        for name, (array, places) in flat.items():
            entry, steps, content = self._look(name, array, places)
            if entry.whole or entry.numbers:
                entries.append(entry)
                bodies += steps, content
        order = [number for number, _ in self._pieces.values()]
        head = msgspec.msgpack.encode(_Head(entries, order, fresh, rest))
        return b"".join([len(head).to_bytes(_WORD, "little"), head, *(body.data for body in bodies)])

    def _look(
        self, name: str, array: NDArray[Any], places: NDArray[np.int64] | None
    ) -> tuple[_Entry, NDArray[np.uint32], NDArray[np.uint64]]:
        words = _words(array, by_row=places is not None)
        where = np.zeros(1, np.int64) if places is None else places
        parts = _parts(words)
        kind = array.dtype.str, array.shape, len(words)
        known, seen = self._seen.get(name, (None, where))
        if known != kind:
            seen = np.zeros(len(words) * parts, np.uint64)
            self._seen[name] = kind, seen
        numbers = np.empty(len(where) * parts, np.int64)
        numbers = numbers[: find_changed(words, where, seen, self._key, numbers)]
        content = np.empty(len(numbers) * PART, np.uint64)
        content = content[: take_parts(words, numbers, content)]
        steps = np.diff(numbers, prepend=0).astype(np.uint32)
        return _Entry(name, *kind, known != kind, len(numbers), len(content)), steps, content


class Replay:
    """Tables from what `Changes.take` gave since its first look, one after another."""

    def __init__(self) -> None:
        self.rest = b""
        self._pieces: dict[int, list[bytes]] = {}
        self._known: dict[str, tuple[_Entry, NDArray[np.uint64], NDArray[np.bool_]]] = {}

    def add(self, taken: bytes) -> None:
        """Take the next changes.

        Raises
        ------
        ValueError
            They do not follow on what came before.
        """
        at = _WORD + int.from_bytes(taken[:_WORD], "little")
        head = msgspec.msgpack.decode(taken[_WORD:at], type=_Head)
        for entry in head.entries:
            steps = np.frombuffer(taken, np.uint32, entry.numbers, at)
            at += steps.nbytes
            content = np.frombuffer(taken, np.uint8, entry.words * _WORD, at).copy().view(np.uint64)
            at += content.nbytes
            if entry.whole:
                size = -(-int(np.prod(entry.shape)) * np.dtype(entry.dtype).itemsize // _WORD)
                fresh = np.zeros(size, np.uint64).reshape(entry.rows, size // max(entry.rows, 1))
                self._known[entry.name] = entry, fresh, np.zeros(entry.rows, np.bool_)
            if entry.name not in self._known:
                raise ValueError(f"changes of {entry.name} without a beginning")
            _, words, written = self._known[entry.name]
            numbers = np.cumsum(steps, dtype=np.int64)
            _put(words, numbers, content)
            written[numbers // max(_parts(words), 1)] = True
        both = self._pieces | head.fresh
        if not both.keys() >= set(head.pieces):
            raise ValueError("pieces without a beginning")
        self._pieces = {number: both[number] for number in head.pieces}
        self.rest = head.rest

    def pieces(self) -> list[list[bytes]]:
        """The pieces in their order, each as the bytes of its arrays."""
        return list(self._pieces.values())

    def tables(self) -> dict[str, NDArray[Any]]:
        """The tables by name, with 0 in rows that do not count. Rows of several fields are bytes without names."""
        found = {}
        for name, (entry, words, _) in self._known.items():
            size = int(np.prod(entry.shape)) * np.dtype(entry.dtype).itemsize
            found[name] = words.reshape(-1).view(np.uint8)[:size].view(entry.dtype).reshape(entry.shape)
        for name in [name for name in found if name.startswith(_IN_USE)]:
            of = name.removeprefix(_IN_USE)
            used = np.unpackbits(found.pop(name), count=len(found[of])).astype(np.bool_)
            found[of][self._known[of][2] & ~used] = np.zeros((), found[of].dtype)
        return found


def _put(words: NDArray[np.uint64], numbers: NDArray[np.int64], content: NDArray[np.uint64]) -> None:
    """Put parts in their places. What does not fit is refused here: the kernel writes wherever it is told to."""
    parts, width = _parts(words), words.shape[1]
    if len(numbers) and numbers[-1] >= len(words) * parts:
        raise ValueError("changes of a place that there is not")
    short = int(np.count_nonzero(numbers % parts == parts - 1)) if len(numbers) else 0
    if len(numbers) * PART - short * (parts * PART - width) != len(content):
        raise ValueError("changes of another size than is said")
    put_parts(words, numbers, content)


def _parts(words: NDArray[np.uint64]) -> int:
    parts: int = -(-words.shape[1] // PART)
    return parts


def _words(array: NDArray[Any], *, by_row: bool) -> NDArray[np.uint64]:
    """An array in words of 8 bytes, a row for each of its own or one for all; copied only where it does not fit."""
    raw = np.ascontiguousarray(array).view(np.ndarray).reshape(-1).view(np.uint8)
    excess = -raw.size % _WORD
    # Kernels are compiled for writable arrays at even addresses.
    if excess or not raw.flags.writeable or raw.ctypes.data % _WORD:
        raw = np.concatenate([raw, np.zeros(excess, np.uint8)])
    words = raw.view(np.uint64)
    rows = len(array) if by_row else 1
    return words.reshape(rows, words.size // max(rows, 1))
