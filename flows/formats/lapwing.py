"""The format `lapwing`: messages to columns, fast where they are ordinary, whole where they are not."""

import json
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.formats.dead_letter import bury
from flows.formats.geography import Geography
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from flows.formats.repair import Death, Reading, read
from models.event import DeadLetter
from models.kernels.columns import FUTURE_TIME, MAX_NAME, MAX_TENANT, MISSING_TIME, NO_ENTITY, Columns, codes, fill
from models.kernels.marks import Marks, Spans, mark
from models.kernels.scan import ABSENT, MEMBERS, OUTSIDE, PLAIN, SPANS, TIME, scan
from models.kernels.scan import wanted as wanted_spans
from models.kernels.text import words_of
from models.rules.program import Program

MOST_NOTED: Final = 5
"""Members named in a note; `"..."` stands for more."""

WORDS: Final = words_of(MEMBERS)
WANTED: Final = wanted_spans()
CODES: Final = codes()
_NAME_ROOM: Final = MAX_TENANT + 3 * MAX_NAME


@dataclass(slots=True)
class Decoded:
    """The m valid rows of a raw batch in input order, as the columns of `models.event.EventBatch`, and the dead.

    Every message of the batch is exactly one row or one dead letter. `flags` has only HAS_ID; lateness and place need
    the partition's clock. `buffer` is the raw buffer, followed by repaired messages and notes where there are any.
    """

    row: NDArray[np.int64]  # index of each valid row in the raw batch
    record_time: NDArray[np.int64]  # the record's timestamp, else the member `received`, else NONE_TIME
    buffer: NDArray[np.uint8]
    start: NDArray[np.int64]
    length: NDArray[np.int32]
    note_start: NDArray[np.int64]
    note_length: NDArray[np.int32]
    offset: NDArray[np.int64]
    index: NDArray[np.int32]
    time: NDArray[np.int64]
    flags: NDArray[np.uint8]
    counts: NDArray[np.uint8]
    action: NDArray[np.uint8]
    outcome: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    status: NDArray[np.int16]
    method: NDArray[np.uint8]
    entity: NDArray[np.uint64]  # (4, m)
    names: NDArray[np.uint8]
    name_start: NDArray[np.int64]  # (4, m)
    name_length: NDArray[np.int32]  # (4, m)
    target: NDArray[np.uint64]
    marks: NDArray[np.uint64]  # (v, m): v is 0 without a program, 1, or 2: as if no row was late, as if all were
    hashes: NDArray[np.uint64]  # (d, m)
    numbers: NDArray[np.float64]  # (s, m)
    dead: tuple[DeadLetter, ...]  # sorted by (offset, index), the reader's own included
    # Where the canonical object of each row stands, if that is another one.
    shown_start: NDArray[np.int64] | None = None
    shown_length: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.row)

    def in_order(self, rows: NDArray[np.int64]) -> "Decoded":
        """All rows in another order."""
        columns: dict[str, Any] = {name: getattr(self, name) for name in _OF_ROWS}
        for name, column in columns.items():
            columns[name] = None if column is None else np.ascontiguousarray(column[..., rows])
        return replace(self, **columns)


_OF_ROWS: Final = tuple(field.name for field in fields(Decoded) if field.name not in ("buffer", "names", "dead"))


class _Spans(NamedTuple):
    """Where the members of n rows stand."""

    at: NDArray[np.int64]  # (n, spans)
    size: NDArray[np.int64]  # (n, spans)
    tag: NDArray[np.uint8]  # (n, spans)
    begin: NDArray[np.int64]  # the objects' own
    extent: NDArray[np.int32]
    state: NDArray[np.uint8]


def spans_of(n: int, spans: int = SPANS) -> _Spans:
    """Room for the spans of n rows."""
    return _Spans(
        np.empty((n, spans), np.int64), np.empty((n, spans), np.int64), np.empty((n, spans), np.uint8),
        np.zeros(n, np.int64), np.zeros(n, np.int32), np.empty(n, np.uint8),
    )  # fmt: skip


def columns_of(n: int) -> Columns:
    """Room for the columns of n rows."""
    return Columns(
        time=np.empty(n, np.int64), record_time=np.empty(n, np.int64), flags=np.empty(n, np.uint8),
        counts=np.empty(n, np.uint8), action=np.empty(n, np.uint8), outcome=np.empty(n, np.uint8),
        reason=np.empty(n, np.uint8), status=np.empty(n, np.int16), method=np.empty(n, np.uint8),
        entity=np.empty((4, n), np.uint64),
        names=np.empty(_NAME_ROOM * (n + 1), np.uint8), name_start=np.empty((4, n), np.int64),
        name_length=np.empty((4, n), np.int32), target=np.empty(n, np.uint64), fault=np.zeros(n, np.int32),
    )  # fmt: skip


def _marks(n: int, program: Program | None) -> Marks:
    variants, hashes, numbers = (1 + program.late, len(program.hashes), len(program.numbers)) if program else (0, 0, 0)
    return Marks(
        np.zeros((variants, n), np.uint64), np.zeros((hashes, n), np.uint64), np.full((numbers, n), np.nan)
    )  # fmt: skip


def sealed(column: NDArray[Any], kind: type[np.generic]) -> NDArray[Any]:
    """A read-only view: one type, so that the kernels are compiled once, whoever owns the column."""
    view = np.ascontiguousarray(column, kind).view()
    view.flags.writeable = False
    return view


def _bad(fault: int) -> list[int]:
    """The members whose values the kernel refused."""
    return [member for member in range(SPANS) if fault >> member & 1]


def _death(fault: int, reading: Reading, columns: Columns, row: int) -> Death | None:
    """Why a row is dead by the kernel's faults, None if only optional members are bad."""
    if fault & MISSING_TIME:
        return Death("missing_time")
    if fault & 1 << TIME:
        return Death("bad_time", f"time is {str(reading.values['time'])[:64]!a}")
    if fault & FUTURE_TIME:
        ahead = (int(columns.time[row]) - int(columns.record_time[row])) / 1e6
        return Death("future_time", f"{ahead:.0f} s after the record's own time")
    if fault == NO_ENTITY:
        return Death("no_entity", "none of ip, user, username, actor and endpoint can be used")
    return None


def _note(reading: Reading) -> bytes:
    """The JSON list of a reading's ignored and repaired members."""
    names = [MEMBERS[member] for member in sorted(reading.noted)]
    if reading.elsewhere or len(names) > MOST_NOTED:
        names[MOST_NOTED:] = ["..."]
    return json.dumps(names, separators=(",", ":")).encode() if names else b""


class SlowPath:
    """The rows of one batch that the scanner or the columns' kernel sent back: read one by one, filled together."""

    def __init__(
        self, raw: RawBatch, limits: Limits, spans: _Spans, columns: Columns, program: Program | None = None
    ) -> None:
        self.raw, self.limits, self.spans, self.columns = raw, limits, spans, columns
        self.slots = (program.wanted if program else WANTED).slots.tolist()
        self.compared = {member for member, slot in enumerate(self.slots) if slot >= SPANS}
        self.buffer = sealed(np.empty(0, np.uint8), np.uint8)  # the values of all rows
        self.recorded = sealed(raw.timestamp, np.int64)
        self.readings: dict[int, Reading] = {}
        self.deaths: dict[int, Death] = {}
        self.more = bytearray()  # what the batch's buffer gets at its end

    def run(self, rows: NDArray[np.int64], used: int) -> int:
        """Make columns or deaths of the rows; how much of the names is used after."""
        side = bytearray()
        cells: list[tuple[int, int, int, int, int]] = []  # row, member, at, size, tag
        for row in rows.tolist():
            length = int(self.raw.length[row])
            if length > self.limits.max_message_bytes:
                self.deaths[row] = Death("too_large", f"{length} bytes, at most {self.limits.max_message_bytes}")
                continue
            reading = read(self.raw.message(row), self.limits, self.compared)
            if isinstance(reading, Death):
                self.deaths[row] = reading
                continue
            self.readings[row] = reading
            for member, (tag, value) in reading.spans.items():
                cells.append((row, self.slots[member], len(side), len(value), tag))
                side += value
        self.spans.tag[rows] = ABSENT
        where, which, at, size, kind = np.array(cells, np.int64).reshape(-1, 5).T
        self.spans.at[where, which], self.spans.size[where, which], self.spans.tag[where, which] = at, size, kind
        self.buffer = sealed(np.frombuffer(side, np.uint8), np.uint8)
        todo = list(self.readings)
        while todo:
            used = self._fill(todo, used)
            todo = [row for row in todo if self._again(row)]
        return used

    def _fill(self, rows: list[int], used: int) -> int:
        spans = self.spans
        return fill(
            self.buffer, np.array(rows, np.int64), spans.at, spans.size, spans.tag, self.recorded,
            self.limits.max_future_us, self.limits.ipv6_prefix, CODES, used, self.columns,
        )  # fmt: skip

    def _again(self, row: int) -> bool:
        """Whether the row must be filled once more, now without its bad members."""
        fault = int(self.columns.fault[row])
        if not fault:
            return False
        reading = self.readings[row]
        death = _death(fault, reading, self.columns, row)
        if death is not None:
            self.deaths[row] = death
            del self.readings[row]
            return False
        for member in _bad(fault):
            self.spans.tag[row, member] = ABSENT
            reading.noted.add(member)
            reading.values.pop(MEMBERS[member], None)
        return True

    def place(self, note_start: NDArray[np.int64], note_length: NDArray[np.int32]) -> None:
        """Give each row its object's span and its note's, in the buffer as it will be."""
        base = len(self.raw.buffer)
        for row, reading in self.readings.items():
            if reading.output is None:
                self.spans.begin[row] = int(self.raw.start[row]) + reading.begin
                self.spans.extent[row] = reading.extent
            else:
                self.spans.begin[row] = base + len(self.more)
                self.spans.extent[row] = len(reading.output)
                self.more += reading.output
            note = _note(reading)
            note_start[row] = base + len(self.more)
            note_length[row] = len(note)
            self.more += note


def decode(
    raw: RawBatch, limits: Limits, program: Program | None = None, geography: Geography | None = None
) -> Decoded:
    """Make columns of a raw batch: every message is one row or one dead letter, whatever its bytes.

    An ordinary message never leaves compiled code. One that is unusual in any way (an escape in a member that becomes
    a column, a duplicate, a wrong type, a bad value, a name outside ASCII) is read again in Python, and its values go
    through the same kernel, so there is one meaning. A program's expressions are then evaluated on the same spans, and
    on what `geography` knows of an address where the event does not say it.

    Cost: below a microsecond an ordinary event of 430 bytes, 20 or more an unusual one; memory as the batch's. With a
    program more members can make an event unusual: those it compares, if they hold an escape or a number with an
    exponent or above 19 digits, and a username outside ASCII.

    Raises
    ------
    ValueError
        If a row does not lie in the buffer, or the batch's columns differ in length: the reader's mistake.
    """
    return _decode(raw, limits, program, every_row_slow=False, geography=geography)


def _decode(
    raw: RawBatch, limits: Limits, program: Program | None, every_row_slow: bool, geography: Geography | None = None
) -> Decoded:
    n = len(raw.start)
    if not len(raw.length) == len(raw.offset) == len(raw.index) == len(raw.timestamp) == n:
        raise ValueError("the columns of a raw batch differ in length")
    buffer = sealed(raw.buffer, np.uint8)
    start, length, recorded = (sealed(column, np.int64) for column in (raw.start, raw.length, raw.timestamp))
    wanted = program.wanted if program else WANTED
    spans, columns, marks = spans_of(n, wanted.spans), columns_of(n), _marks(n, program)
    scan(
        buffer, start, length, WORDS, wanted.kinds, wanted.slots, limits.max_depth,
        spans.at, spans.size, spans.tag, spans.begin, spans.extent, spans.state,
    )  # fmt: skip
    if (spans.state == OUTSIDE).any():
        raise ValueError("a row of a raw batch does not lie in its buffer")
    plain = (spans.state == PLAIN) & (length <= limits.max_message_bytes) & (not every_row_slow)
    fast = np.flatnonzero(plain)
    used = fill(
        buffer, fast, spans.at, spans.size, spans.tag, recorded,
        limits.max_future_us, limits.ipv6_prefix, CODES, 0, columns,
    )  # fmt: skip

    def evaluate(text: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        if program:
            found = Spans(spans.at, spans.size, spans.tag)
            text = geography.add(text, rows, found, wanted.slots, columns) if geography else text
            mark(program.code, text, rows, found, columns, marks)

    evaluate(buffer, fast)
    note_start, note_length = np.zeros(n, np.int64), np.zeros(n, np.int32)
    dead = raw.oversize
    kept: slice | NDArray[np.int64] = slice(None)
    slow = np.flatnonzero(~plain | (columns.fault != 0))
    if len(slow):
        columns.fault[slow] = 0
        path = SlowPath(raw, limits, spans, columns, program)
        used = path.run(slow, used)
        evaluate(path.buffer, np.array([*path.readings], np.int64))
        path.place(note_start, note_length)
        if path.more:
            buffer = sealed(np.concatenate((buffer, np.frombuffer(path.more, np.uint8))), np.uint8)
        if path.deaths:
            alive = np.ones(n, bool)
            alive[list(path.deaths)] = False
            kept = np.flatnonzero(alive)
            letters = [
                bury(
                    death.reason, raw.source, int(raw.offset[row]), int(raw.index[row]), raw.message(row), death.detail
                )
                for row, death in path.deaths.items()
            ]
            dead = tuple(sorted((*dead, *letters), key=lambda letter: (letter.offset, letter.index)))
    return Decoded(
        row=np.arange(n)[kept],
        record_time=columns.record_time[kept],
        buffer=buffer,
        start=spans.begin[kept],
        length=spans.extent[kept],
        note_start=note_start[kept],
        note_length=note_length[kept],
        offset=np.array(raw.offset[kept], np.int64),
        index=np.array(raw.index[kept], np.int32),
        time=columns.time[kept],
        flags=columns.flags[kept],
        counts=columns.counts[kept],
        action=columns.action[kept],
        outcome=columns.outcome[kept],
        reason=columns.reason[kept],
        status=columns.status[kept],
        method=columns.method[kept],
        entity=columns.entity[:, kept],
        names=columns.names[:used].copy(),
        name_start=columns.name_start[:, kept],
        name_length=columns.name_length[:, kept],
        target=columns.target[kept],
        marks=marks.marks[:, kept],
        hashes=marks.hashes[:, kept],
        numbers=marks.numbers[:, kept],
        dead=dead,
    )
