"""The canonical members of many events, as spans of one buffer: what columns, sealed parts and counts are made from."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta
from msgspec.structs import astuple
from numpy.typing import NDArray

from flows.formats.canonical import members
from flows.formats.lapwing import WORDS, sealed, spans_of
from flows.trail.many import Pieces
from flows.trail.schema import OF_ACTOR, OF_TARGET, OF_USER, STRINGS
from models.kernels import distinct as kernels
from models.kernels.pack import MOST_HEAD, PACKED, pack_heads, pack_members
from models.kernels.scan import ABSENT, DOUBLE, MEMBERS, PLAIN, SPANS, TEXT, scan, wanted

_Text = str | None
_Number = float | None


class Members(msgspec.Struct, gc=False):
    """The canonical members of one event that columns of the flow do not have: the personal ones as they are sealed."""

    user: _Text = None
    username: _Text = None
    changes: list[Any] | None = None
    actor: _Text = None
    api_key: _Text = None
    ip: _Text = None
    city: _Text = None
    lat: _Number = None
    lon: _Number = None
    device: _Text = None
    user_agent: _Text = None
    session: _Text = None
    request_id: _Text = None
    error: _Text = None
    endpoint: _Text = None
    target: _Text = None
    id: _Text = None
    error_code: _Text = None
    factor: _Text = None
    actor_type: _Text = None
    ip_type: _Text = None
    asn: Annotated[int, Meta(ge=0, le=(1 << 32) - 1)] | None = None
    country: _Text = None
    app: _Text = None
    app_version: _Text = None
    latency_ms: _Number = None


_NAMES: Final = Members.__struct_fields__
assert {*OF_USER, *OF_ACTOR, *OF_TARGET, *STRINGS} < {*_NAMES}
_MORE: Final = tuple(at for name in _NAMES if (at := MEMBERS.index(name)) >= SPANS)
_WANTED: Final = wanted(_MORE)
_WANTED.kinds[MEMBERS.index("changes")] = 0  # a list is not taken by its span: such an event is read by itself
SLOT: Final = {name: int(_WANTED.slots[MEMBERS.index(name)]) for name in _NAMES}
"""Where each member's spans stand."""
_SLOTS: Final = tuple(SLOT[name] for name in _NAMES)
_HEADS: Final = 5 * len(_NAMES) + 2 * MOST_HEAD
"""Bytes that all members of an event take at most beside their texts, and a few before them."""
_DEPTH: Final = 64
_BACKSLASH: Final = 0x5C
_SEED: Final = np.uint64(int.from_bytes(os.urandom(8), "little"))
"""Of hashes that only say where to look: what is found does not depend on it."""
_decode = msgspec.json.Decoder(Members).decode
_pack = msgspec.msgpack.Encoder().encode


class Texts(NamedTuple):
    """Texts by where they stand."""

    buffer: NDArray[np.uint8]
    start: NDArray[np.int64]
    length: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def some(self, rows: slice) -> "Texts":
        """Some of them."""
        return Texts(self.buffer, self.start[rows], self.length[rows])

    def text(self, row: int) -> bytes:
        """One of them."""
        at = int(self.start[row])
        return self.buffer[at : at + int(self.length[row])].tobytes()

    def pieces(self) -> Pieces:
        """All of them."""
        return Pieces(self.buffer, self.start, self.start + self.length)


@dataclass(slots=True, frozen=True)
class Told:
    """Members of n events: `at`, `size` and `tag` have a column for each of `SLOT`, as the scanner fills them."""

    buffer: NDArray[np.uint8]
    at: NDArray[np.int64]
    size: NDArray[np.int64]
    tag: NDArray[np.uint8]
    total: NDArray[np.int64]
    """Bytes of all members of each event."""

    def __len__(self) -> int:
        return len(self.at)

    @property
    def spans(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
        """As kernels take them."""
        return self.buffer, self.at, self.size, self.tag

    def some(self, rows: slice) -> "Told":
        """Some events' members."""
        return Told(self.buffer, self.at[rows], self.size[rows], self.tag[rows], self.total[rows])

    def has(self, name: str) -> NDArray[np.bool_]:
        """Which events have a member."""
        there: NDArray[np.bool_] = self.tag[:, SLOT[name]] != ABSENT
        return there

    def values(self, name: str, rows: NDArray[np.int64]) -> list[bytes]:
        """A member of some events that is a string, in UTF-8; empty where it is absent."""
        slot = SLOT[name]
        there = self.tag[rows, slot] != ABSENT
        begin = np.where(there, self.at[rows, slot], 0)
        end = begin + np.where(there, self.size[rows, slot], 0)
        whole = self.buffer.data
        return [whole[at:to].tobytes() for at, to in zip(begin.tolist(), end.tolist(), strict=True)]

    def pieces(self, name: str, rows: NDArray[np.int64]) -> Pieces:
        """A member of some events that all have it, as it stands there."""
        begin = self.at[rows, SLOT[name]]
        return Pieces(self.buffer, begin, begin + self.size[rows, SLOT[name]])

    def holding(self, name: str, byte: int) -> NDArray[np.bool_]:
        """Which events have a byte in a member."""
        found = np.empty(len(self), np.bool_)
        kernels.holding(*self.spans, SLOT[name], byte, found)
        return found

    def strings(self, name: str, rows: NDArray[np.int64]) -> list[str]:
        """As `values`, in Python's strings."""
        return [value.decode() for value in self.values(name, rows)]

    def texts(self, name: str) -> pa.Array:
        """A member of strings as a column."""
        slot, n = SLOT[name], len(self)
        offsets = np.empty(n + 1, np.int32)
        kernels.lengths(self.size, self.tag, slot, offsets)
        out = np.empty(int(offsets[n]), np.uint8)
        kernels.texts(*self.spans, slot, offsets, out)
        there = _bitmap(self.has(name))
        return pa.Array.from_buffers(pa.string(), n, [there, pa.py_buffer(offsets), pa.py_buffer(out)])

    def numbers(self, name: str, rows: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """A member of numbers, of all events or some; NaN where it is absent."""
        rows = np.arange(len(self)) if rows is None else rows
        out = np.full(len(rows), np.nan)
        kernels.numbers(*self.spans, SLOT[name], rows, out)
        return out

    def distinct(
        self, names: Sequence[str], rows: NDArray[np.int64], code: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of some rows have the same members and code: the number of each, and where each comes first."""
        which, first = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        slots = np.array([SLOT[name] for name in names])
        code = np.zeros(len(self), np.int64) if code is None else code
        return which, first[: kernels.distinct(*self.spans, slots, code, rows, _SEED, which, first)]

    def packed(self, heads: Sequence[int], names: Sequence[str], rows: NDArray[np.int64], to: "Packed") -> None:
        """Append members of some rows to what is packed of them, behind some bytes."""
        pack_heads(sealed(np.array(heads, np.uint8), np.uint8), rows, to.out, to.cursor)
        pack_members(*self.spans, np.array([SLOT[name] for name in names]), rows, to.out, to.cursor)

    def room(self) -> "Packed":
        """Room for any members of every event, and a few bytes before them."""
        return Packed.of(self.total + _HEADS)

    def packed_of(self, heads: Sequence[int], names: Sequence[str], rows: NDArray[np.int64]) -> Pieces:
        """Members of some rows behind some bytes, each row's one behind the other."""
        most = np.zeros(len(self), np.int64)
        most[rows] = self.size[rows[:, None], [SLOT[name] for name in names]].sum(axis=1) + _HEADS
        room = Packed.of(most)
        self.packed(heads, names, rows, room)
        return Pieces(room.out, room.begin[rows], room.cursor[rows])


@dataclass(slots=True, frozen=True)
class Packed:
    """A place in one buffer for each row: row k is `out[begin[k] : cursor[k]]` when it is whole."""

    out: NDArray[np.uint8]
    begin: NDArray[np.int64]
    cursor: NDArray[np.int64]

    @classmethod
    def of(cls, most: NDArray[np.int64]) -> "Packed":
        """Room for so many bytes at most of each row."""
        ends = np.cumsum(most)
        begin = ends - most
        return cls(np.empty(int(ends[-1]) if len(ends) else 0, np.uint8), begin, begin.copy())

    def pieces(self) -> Pieces:
        """What every row has."""
        return Pieces(self.out, self.begin, self.cursor)


def told(canonical: Texts, noted: NDArray[np.bool_]) -> Told:
    """The members of events by their canonical texts, which have become rows; `noted` where some of one was ignored
    or repaired.

    What is ordinary never leaves compiled code. An event that is not (something noted, an escape, changes) is read by
    itself, and its members then stand behind the others' texts. Half a microsecond an ordinary event.
    """
    n = len(canonical)
    found = spans_of(n, _WANTED.spans)
    buffer = sealed(canonical.buffer, np.uint8)
    start, length = sealed(canonical.start, np.int64), sealed(canonical.length, np.int64)
    scan(
        buffer, start, length, WORDS, _WANTED.kinds, _WANTED.slots, _DEPTH,
        found.at, found.size, found.tag, found.begin, found.extent, found.state,
    )  # fmt: skip
    escaped = np.empty(n, np.bool_)
    kernels.holding(buffer, found.at, found.size, found.tag, SLOT["id"], _BACKSLASH, escaped)
    slow = np.flatnonzero(noted | escaped | (found.state != PLAIN))
    if len(slow):
        side = bytearray()
        cells: list[tuple[int, int, int, int, int]] = []
        for row in slow.tolist():
            for slot, value in zip(_SLOTS, astuple(read(canonical.text(row), bool(noted[row]))), strict=True):
                if value is None or value == "":
                    continue
                before = len(side)
                if type(value) is str:
                    tag = TEXT
                    side += value.encode("utf-8", "replace")
                elif type(value) is list:
                    tag = PACKED
                    side += _pack(value)
                else:
                    tag = DOUBLE
                    side += np.float64(value).tobytes()
                cells.append((row, slot, before, len(side) - before, tag))
        found.tag[slow] = ABSENT
        rows, slots, at, size, tags = np.array(cells, np.int64).reshape(-1, 5).T
        where = (rows, slots)
        found.at[where], found.size[where], found.tag[where] = at + len(buffer), size, tags
        buffer = sealed(np.concatenate((buffer, np.frombuffer(side, np.uint8))), np.uint8)
    total = np.empty(n, np.int64)
    kernels.extents(found.size, found.tag, total)
    return Told(buffer, found.at, found.size, found.tag, total)


def read(message: bytes, noted: bool) -> Members:
    """The canonical members of a message that has become a row; `noted` if some of it was ignored or repaired."""
    if not noted:
        try:
            return _decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    found = members(message)
    asn, latency = found.get("asn"), found.get("latency_ms")
    found["asn"] = int(asn) if isinstance(asn, int | float) and 0 <= asn < 1 << 32 and asn == int(asn) else None
    found["latency_ms"] = None if latency is None else float(latency)
    return Members(**{name: value for name, value in found.items() if name in _NAMES})


def arrow(kind: pa.DataType, valid: NDArray[np.bool_], values: NDArray[np.uint8]) -> pa.Array:
    """A column of bytes of a fixed size, a row of `values` each; null where it is not valid."""
    return pa.Array.from_buffers(kind, len(valid), [_bitmap(valid), pa.py_buffer(np.ascontiguousarray(values))])


def _bitmap(valid: NDArray[np.bool_]) -> pa.Buffer | None:
    """What Arrow says of which values are there; nothing where all are."""
    return None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little"))
