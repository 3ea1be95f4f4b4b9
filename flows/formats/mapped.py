"""Platforms' formats: their objects become canonical ones, which are read as those of format `lapwing` are."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.formats.blank import Blanking
from flows.formats.dead_letter import bury, hide
from flows.formats.geography import Geography
from flows.formats.lapwing import Decoded, decode, sealed, spans_of
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from flows.formats.repair import Death, opened
from flows.formats.source_format import SourceFormat
from flows.formats.templates import Templates
from models.event import DeadLetter
from models.kernels.scan import NO_SLOT, PLAIN, RESERVED_KIND, scan
from models.kernels.text import words_of
from models.rules.program import Program

_WORDS: Final = words_of(("lapwing",))
_KINDS: Final = np.array([RESERVED_KIND], np.uint8)
_SLOTS: Final = np.array([NO_SLOT])
_DEEPER: Final = 8
"""A canonical object may be nested so much deeper than the source's own: `changes` holds values of it."""
_LONGEST_INTEGER: Final = 64
_READ: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()
_LF: Final = 10
_ROOM: Final = 1 << 16


@dataclass(slots=True, frozen=True)
class Choice:
    """Which formats the messages of an input may have.

    A message has the first format that it matches, and is read as `lapwing` where it matches none; with `fixed` all
    have the one format there is, whatever they look like.
    """

    formats: tuple[SourceFormat, ...]
    fixed: bool = False

    def of(self, record: dict[str, Any]) -> SourceFormat | None:
        """The format of an object, None for `lapwing`."""
        if self.fixed:
            return self.formats[0]
        for one in self.formats:
            if one.matches(record):
                return one
        return None


class Mapped:
    """Reads unwrapped messages of platforms' formats: every one is one row or one dead letter.

    A row's columns come from its canonical object, its output is the source's own object with the secrets of its format
    blanked. What an alert shows of it comes from the canonical object too, and that is made from the blanked one: a
    secret reaches nothing. Dead letters have their secrets blanked by path where they can be read, and by name.

    Cost: some walks of kernels over each event; what has no template (`flows.formats.templates`) is also read into a
    dict and goes through the format's own mapping, which costs ten times that.
    """

    def __init__(
        self, choice: Choice, limits: Limits, program: Program | None = None, geography: Geography | None = None
    ) -> None:
        self._choice, self._limits, self._program, self._geography = choice, limits, program, geography
        self._blanking = [Blanking(one.secrets) for one in choice.formats]
        self._templates = [None if one.reads is None else Templates(one, one.reads) for one in choice.formats]
        self._hidden = tuple(sorted({name for one in self._blanking for name in one.names}))
        self._canonical = replace(
            limits, max_message_bytes=1 << 30, max_depth=min(200, limits.max_depth + _DEEPER)
        )  # fmt: skip

    def decode(self, raw: RawBatch) -> Decoded:
        """Make columns of a batch of single objects; see `flows.formats.lapwing.decode`."""
        formats = self._choice.formats
        batch = _Batch(raw, self._limits)
        batch.open()
        chosen = batch.chosen(self._choice)
        rows, canonical = batch.canonical(chosen, formats, self._templates, self._blanking)
        decoded = decode(canonical, self._canonical, self._program, self._geography)
        mapped = chosen[rows][decoded.row] >= 0
        decoded.row = rows[decoded.row]
        decoded.shown_start, decoded.shown_length = decoded.start, decoded.length
        decoded.start = np.where(mapped, batch.begin[decoded.row], decoded.start)
        decoded.length = np.where(mapped, batch.extent[decoded.row], decoded.length)
        batch.note_repairs(decoded)
        decoded.dead = self._buried(raw, batch, chosen, decoded.dead)
        return decoded

    def _buried(
        self, raw: RawBatch, batch: "_Batch", chosen: NDArray[np.int64], dead: tuple[DeadLetter, ...]
    ) -> tuple[DeadLetter, ...]:
        """The dead letters of all rows and the reader's own, of the source's bytes and without their secrets."""
        if not dead and not batch.deaths:
            return ()
        position = {key: row for row, key in enumerate(zip(raw.offset.tolist(), raw.index.tolist(), strict=True))}
        letters = []
        for letter in dead:
            row = position.get((letter.offset, letter.index))
            if row is not None:
                detail = _placed(raw, row, letter.detail)
                letter = bury(letter.reason, raw.source, letter.offset, letter.index, raw.message(row), detail)
                if chosen[row] >= 0:
                    letter = replace(letter, body=self._blanking[chosen[row]].of(letter.body))
            letters.append(replace(letter, body=hide(letter.body, self._hidden)))
        for row, death in batch.deaths.items():
            message = raw.message(row)
            place = int(raw.offset[row]), int(raw.index[row])
            letter = bury(death.reason, raw.source, *place, message, _placed(raw, row, death.detail))
            letters.append(replace(letter, body=hide(letter.body, self._hidden)))
        return tuple(sorted(letters, key=lambda letter: (letter.offset, letter.index)))


class _Batch:
    """A batch on its way: where its objects stand in the buffer to come, and which messages are dead."""

    def __init__(self, raw: RawBatch, limits: Limits) -> None:
        self.raw, self.limits = raw, limits
        self.deaths: dict[int, Death] = {}
        self.repaired: list[int] = []
        self.buffer = raw.buffer
        self.begin = np.empty(0, np.int64)
        self.extent = np.empty(0, np.int32)

    def open(self) -> None:
        """Find every message's object; what is unusual in any way is looked at, and repaired, in Python."""
        raw = self.raw
        n = len(raw)
        begin, extent = raw.objects or (np.zeros(n, np.int64), np.zeros(n, np.int32))
        self.begin, self.extent = begin.copy(), extent.copy()
        rows = np.flatnonzero(self.extent == 0)
        plain = raw.length <= self.limits.max_message_bytes
        if len(rows):
            spans = spans_of(len(rows), 0)
            buffer = sealed(raw.buffer, np.uint8)
            start, length = (sealed(column[rows], np.int64) for column in (raw.start, raw.length))
            scan(
                buffer, start, length, _WORDS, _KINDS, _SLOTS, self.limits.max_depth,
                spans.at, spans.size, spans.tag, spans.begin, spans.extent, spans.state,
            )  # fmt: skip
            self.begin[rows], self.extent[rows] = spans.begin, spans.extent
            plain[rows] &= spans.state == PLAIN
        more = bytearray()
        for row in np.flatnonzero(~plain).tolist():
            self._open_slowly(row, more)
        # One buffer takes all that comes: first touching memory costs more than what is done with it.
        self._room = np.empty(2 * (len(raw.buffer) + len(more)) + _ROOM, np.uint8)
        self.buffer = self._room[: len(raw.buffer)]
        self.buffer[:] = raw.buffer
        self._append(np.frombuffer(more, np.uint8))

    def chosen(self, choice: Choice) -> NDArray[np.int64]:
        """The index of each row's format; -1 for `lapwing`, -2 for a row that is dead."""
        if choice.fixed:
            chosen = np.zeros(len(self.raw), np.int64)
        else:
            number = {id(one): at for at, one in enumerate(choice.formats)} | {id(None): -1}
            alive = [row for row in range(len(self.raw)) if row not in self.deaths]
            chosen = np.full(len(self.raw), -2)
            chosen[alive] = [number[id(choice.of(value))] for value in self._read(alive)]
        chosen[[*self.deaths]] = -2
        return chosen

    def canonical(
        self,
        chosen: NDArray[np.int64],
        formats: Sequence[SourceFormat],
        templates: Sequence[Templates | None],
        blankings: Sequence[Blanking],
    ) -> tuple[NDArray[np.int64], RawBatch]:
        """The canonical objects of the rows that are not dead, behind the source's own, now blanked, in one buffer."""
        raw = self.raw
        start, length = raw.start.astype(np.int64), raw.length.astype(np.int64)

        def put(rows: NDArray[np.int64], lines: NDArray[np.uint8], ends: NDArray[np.int64], gap: int) -> None:
            begins = np.concatenate((np.zeros(1, np.int64), ends + gap))[: len(ends)]
            start[rows], length[rows] = len(self.buffer) + begins, ends - begins
            self._append(lines)

        for number, (one, known, blanking) in enumerate(zip(formats, templates, blankings, strict=True)):
            rows = np.flatnonzero(chosen == number)
            if not len(rows):
                continue
            signatures: list[bytes] = []
            if known is not None:
                written = known.write(self.buffer, self.begin, self.extent, rows, blanking)
                put(rows[written.done], written.lines, written.ends[written.done], 0)
                rows, signatures = rows[~written.done], [*compress(written.signatures, (~written.done).tolist())]
            else:
                blanking.rows(self.buffer, self.begin, self.extent, rows)
            # One object after another: many that are held at once keep the collector of garbage busy.
            lines = np.frombuffer(b"".join(_events(one, self._read(rows.tolist()), known, signatures)), np.uint8)
            put(rows, lines, np.flatnonzero(lines == _LF), 1)
        rows = np.flatnonzero(chosen > -2)
        return rows, RawBatch(
            source=raw.source,
            buffer=self.buffer,
            start=start[rows],
            length=length[rows],
            offset=raw.offset[rows],
            index=raw.index[rows],
            timestamp=raw.timestamp[rows],
            oversize=raw.oversize,
        )

    def _append(self, more: NDArray[np.uint8]) -> None:
        used = len(self.buffer)
        if used + len(more) > len(self._room):
            self._room = np.concatenate((self.buffer, np.empty(used + len(more), np.uint8)))
        self.buffer = self._room[: used + len(more)]
        self.buffer[used:] = more

    def note_repairs(self, decoded: Decoded) -> None:
        """Say of rows whose source was repaired that something in it was ignored."""
        if not self.repaired:
            return
        at = {row: place for place, row in enumerate(decoded.row.tolist())}
        more = bytearray()
        for row in self.repaired:
            place = at.get(row)
            if place is None:
                continue
            begin, size = int(decoded.note_start[place]), int(decoded.note_length[place])
            names = json.loads(decoded.buffer[begin : begin + size].tobytes() or b"[]")
            note = json.dumps([*(name for name in names if name != "..."), "..."], separators=(",", ":")).encode()
            decoded.note_start[place] = len(decoded.buffer) + len(more)
            decoded.note_length[place] = len(note)
            more += note
        decoded.buffer = sealed(np.concatenate((decoded.buffer, np.frombuffer(more, np.uint8))), np.uint8)

    def _read(self, rows: list[int]) -> Iterator[dict[str, Any]]:
        """What the objects of some rows say, one at a time."""
        view = self.buffer.data
        begin, extent = self.begin.tolist(), self.extent.tolist()
        return (_value(view[begin[row] : begin[row] + extent[row]]) for row in rows)

    def _open_slowly(self, row: int, more: bytearray) -> None:
        raw = self.raw
        length = int(raw.length[row])
        if length > self.limits.max_message_bytes:
            self.deaths[row] = Death("too_large", f"{length} bytes, at most {self.limits.max_message_bytes}")
            return
        found = opened(raw.message(row), self.limits.max_depth)
        if isinstance(found, Death):
            self.deaths[row] = found
        elif not found.value:
            self.deaths[row] = Death("missing_time")
        elif found.broken is None:
            self.begin[row], self.extent[row] = int(raw.start[row]) + found.begin, found.stop - found.begin
        else:
            text = found.whole.encode()
            self.begin[row], self.extent[row] = len(raw.buffer) + len(more), len(text)
            more += text
            self.repaired.append(row)


def _events(
    form: SourceFormat, records: Iterator[dict[str, Any]], known: Templates | None, signatures: list[bytes]
) -> Iterator[bytes]:
    """The canonical objects of some records, each a line, and what is to be learned of them."""
    event = form.event
    if known is None:
        yield _ENCODER.encode_lines([*map(event, records)])
        return
    for record, signature in zip(records, signatures, strict=True):
        found = event(record)
        known.learn(signature, record, found)
        yield _ENCODER.encode(found) + b"\n"


def _value(text: memoryview) -> dict[str, Any]:
    """What a JSON object says; a number that is too long to be one is lost."""
    try:
        value: dict[str, Any] = _READ.decode(text)
    except (ValueError, RecursionError):
        value = json.loads(bytes(text), parse_int=_integer)
    return value


def _integer(text: str) -> int | None:
    return int(text) if len(text) <= _LONGEST_INTEGER else None


def _placed(raw: RawBatch, row: int, detail: str) -> str:
    """A detail that also says which of its message's events is meant, where there are several."""
    beside = [k for k in (row - 1, row + 1) if 0 <= k < len(raw)]
    if raw.index[row] == 0 and not any(raw.offset[k] == raw.offset[row] for k in beside):
        return detail
    return f"event {int(raw.index[row])} of the message{': ' if detail else ''}{detail}"
