"""Messages that carry several events, or one inside something else: arrays, records, envelopes, gzip."""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.formats.dead_letter import bury
from flows.formats.lapwing import sealed, spans_of
from flows.formats.limits import Limits
from flows.formats.raw import RawBatch
from flows.formats.repair import Death, repaired
from flows.formats.tree import Tree
from models.event import DeadLetter
from models.kernels.pick import ABSENT, OPENED
from models.kernels.scan import NO_SLOT, PLAIN, RESERVED_KIND, scan
from models.kernels.text import Words, words_of

MOST_EVENTS: Final = 10_000
"""Events in one message; a message with more is a dead letter, `too_large`."""
MOST_LAYERS: Final = 4
"""Wrappers in each other; what is in still more is read as it stands."""
MOST_GROWTH: Final = 16
"""A compressed message may grow to so many times `max_message_bytes`; one that grows more is `too_large`."""
_ROWS: Final = 16_384
_BYTES: Final = 8 << 20
"""A batch whose messages give more than this is cut there, between two messages."""

_GZIP: Final = b"\x1f\x8b"
_SPACE: Final = b" \t\r\n"
_READ: Final = msgspec.json.Decoder()
_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_SHAPES: Final[dict[int, Any]] = {0x7B: {}, 0x5B: [], 0x22: ""}
_LISTS: Final = ("Records", "records", "AuthEvents")
_SPLUNK: Final = frozenset(("time", "host", "source", "sourcetype", "index", "fields"))

Piece = bytes
"""One event, or what stands where one should."""

_MARKS: Final = ("Records", "records", "AuthEvents", "detail-type", "log_id", "@odata.context", "event", "lapwing")
"""A member of each kind of wrapper, and the one that no event may have."""
_WORDS: Final = words_of(_MARKS)
_NOT_STREAMED: Final = words_of(tuple(name for name in _MARKS if name != "log_id"))
_STREAM: Final = Tree([("log_id",), ("data", "data"), *(("data", name) for name in _MARKS if name != "log_id")])
_LOG_ID, _DATA = (_STREAM.nodes.index((name,)) for name in ("log_id", "data"))
_INSIDE: Final = [at for at, path in enumerate(_STREAM.nodes) if len(path) == 2]
_WRAPPED: Final = np.full(len(_MARKS), RESERVED_KIND, np.uint8)
_SLOTS: Final = np.full(len(_MARKS), NO_SLOT)


def wrapper(record: dict[str, Any]) -> str:
    """The member in which an object carries events, "" for an object that is an event itself.

    >>> wrapper({"Records": []}), wrapper({"log_id": "1", "data": {}}), wrapper({"event": {}, "sourcetype": "_json"})
    ('Records', 'data', 'event')
    >>> wrapper({"event": {"type": "user.login"}}), wrapper({"records": 5})
    ('', '')
    """
    for name in _LISTS:  # CloudTrail, Azure's diagnostic settings, Cognito's answers
        if name in record and type(record[name]) is list:
            return name
    if "detail" in record and "detail-type" in record and type(record["detail"]) is dict:  # EventBridge
        return "detail"
    if "data" in record and "log_id" in record and type(record["data"]) is dict:  # Auth0's log streams
        return "data"
    if "value" in record and "@odata.context" in record and type(record["value"]) is list:  # Microsoft Graph
        return "value"
    if "event" in record and not _SPLUNK.isdisjoint(record):  # Splunk's HTTP event collector
        inner = record["event"]
        of_splunk = all(name == "event" or name in _SPLUNK for name in record)
        if of_splunk and (type(inner) is dict or (type(inner) is str and inner.lstrip().startswith("{"))):
            return "event"
    return ""


def pieces(message: bytes, limits: Limits) -> list[Piece | Death]:
    """The events of one message, in order, and in their places what cannot be one; at least one of either.

    A message that is no wrapper is one piece as it stands, whatever its bytes. Where bytes of a wrapper are no UTF-8,
    its events have U+FFFD in their place.

    >>> pieces(b'{"Records":[{"a":1},5]}', Limits())
    [b'{"a":1}', b'5']
    >>> pieces(b'{"Records":[]}', Limits())
    [Death(reason='empty', detail='no event in Records')]
    """
    if message.startswith(_GZIP):
        inflated = _inflated(message, MOST_GROWTH * limits.max_message_bytes)
        if isinstance(inflated, Death):
            return [inflated]
        message = inflated
    found = [*islice(_unfolded(message, 0), MOST_EVENTS + 1)]
    return found if len(found) <= MOST_EVENTS else [Death("too_large", f"more than {MOST_EVENTS} events in a message")]


def _inflated(message: bytes, most: int) -> bytes | Death:
    """What a gzip stream, of one or several members, holds."""
    out: list[bytes] = []
    room = most + 1
    try:
        while message:
            stream = zlib.decompressobj(wbits=31)
            piece = stream.decompress(message, room)
            out.append(piece)
            room -= len(piece)
            if not room:
                return Death("too_large", f"more than {most} bytes when decompressed")
            if not stream.eof:
                return Death("bad_gzip", "the compressed data end too early")
            message = stream.unused_data
    except zlib.error as error:
        return Death("bad_gzip", str(error)[:200])
    return b"".join(out)


def _read(message: bytes) -> Any:
    try:
        return _READ.decode(message)
    except (ValueError, RecursionError):
        return None


def _unfolded(message: bytes, layer: int) -> Iterator[Piece | Death]:
    text = message.strip(_SPACE)
    value = _read(text) if text[:1] == b"{" else None
    if value is None and layer == 0 and text[:1] != b"[" and not text.startswith((b"{", b"\xef\xbb\xbf")):
        yield message
        return
    name = ""
    try:
        if value is None:  # an array, or something that has to be looked at piece by piece
            text, name, value, inner = _torn(text)
        elif layer < MOST_LAYERS and (name := wrapper(value)):
            inner = _MEMBERS.decode(text)[name]
        if layer >= MOST_LAYERS or (type(value) is dict and not name):
            yield message
        elif type(value) is dict and type(value[name]) is str:
            yield from _unfolded(msgspec.json.decode(inner).encode(), layer + 1)
        elif type(value) is dict and type(value[name]) is dict:
            if value[name] and not wrapper(value[name]):
                yield bytes(inner)  # has been read already, with what it is in
            else:
                yield from _unfolded(bytes(inner), layer + 1)
        else:
            elements = _ELEMENTS.decode(inner)
            if not elements:
                yield Death("empty", f"no event in {name}" if name else "an array without an event")
            for element in elements:
                yield from _unfolded(bytes(element), layer + 1)
    except (ValueError, RecursionError):
        yield message


def _torn(text: bytes) -> tuple[bytes, str, Any, msgspec.Raw | bytes]:
    """A text that was not read at once: repaired if need be; the wrapping member, the shape, and what is in it.

    Raises ValueError where it is no wrapper.
    """
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip(_SPACE)
    whole, broken = repaired(text)
    if broken is not None:
        text = whole.encode()
    if text[:1] == b"[":
        return text, "", [], text
    members = _MEMBERS.decode(text)
    name = wrapper({key: _shape(raw) for key, raw in members.items()})
    if not name:
        raise ValueError("no wrapper")
    return text, name, {name: _shape(members[name])}, members[name]


def _shape(raw: msgspec.Raw) -> Any:
    """An empty value of the same kind; of a string what it says."""
    kind = bytes(raw)[0]
    return msgspec.json.decode(raw) if kind == 0x22 else _SHAPES.get(kind)


def unwrap(raw: RawBatch, first: int, limits: Limits) -> tuple[RawBatch, int]:
    """The events of a batch's messages from `first` on, and the message to go on with.

    Every event is a row with its message's offset and its own number as index; what cannot be one is among `oversize`.
    A batch of plain objects is itself again. The events of one message are never in two batches.

    Cost: about 0.3 us a plain object of 1 KB, which is looked at by a kernel; three times reading it for a wrapper.
    """
    opened: dict[int, list[Piece | Death]] = {}
    rows = size = 0
    stop = len(raw)
    raw, unusual = _found(raw, first, limits.max_depth)
    for row in unusual.tolist():
        found = pieces(raw.message(row), limits)
        if len(found) == 1 and not isinstance(found[0], Death) and len(found[0]) == raw.length[row]:
            continue
        opened[row] = found
        rows += len(found)
        size += sum(len(piece) for piece in found if not isinstance(piece, Death))
        if rows > _ROWS or size > _BYTES:
            stop = row + 1
            break
    if not opened:
        return (raw if first == 0 else raw.take(np.arange(first, stop), _refused(raw, first, stop))), stop
    return _expanded(raw, first, stop, opened), stop


def _found(raw: RawBatch, first: int, max_depth: int) -> tuple[RawBatch, NDArray[np.int64]]:
    """The batch with its `objects`, and the rows from `first` on that may be wrappers or no objects.

    The events of Auth0's log streams stand in the place of their envelopes: what `pieces` does, for the one envelope
    that a platform puts around every event, without reading it in Python.
    """
    rows = np.arange(first, len(raw))
    spans = _scanned(raw, rows, _WORDS, max_depth)
    begin, extent = np.zeros(len(raw), np.int64), np.zeros(len(raw), np.int32)
    plain = spans.state == PLAIN
    begin[rows[plain]], extent[rows[plain]] = spans.begin[plain], spans.extent[plain]
    rows = rows[~plain]
    if not len(rows):
        return replace(raw, objects=(begin, extent)), rows
    spans = _scanned(raw, rows, _NOT_STREAMED, max_depth)
    plain = np.flatnonzero(spans.state == PLAIN)
    found = _STREAM.pick(sealed(raw.buffer, np.uint8), spans.begin, spans.extent, plain)
    there = found.tag != ABSENT
    streamed = found.plain & there[:, _LOG_ID] & (found.tag[:, _DATA] == OPENED) & ~there[:, _INSIDE].any(axis=1)
    alone = found.plain & ~there[:, _DATA]  # an event that has a member as the envelope has, and no other
    begin[rows[plain[alone]]], extent[rows[plain[alone]]] = spans.begin[plain[alone]], spans.extent[plain[alone]]
    where = rows[plain[streamed]]
    begin[where] = spans.begin[plain[streamed]] + found.at[streamed, _DATA]
    extent[where] = found.size[streamed, _DATA]
    start, length = raw.start.astype(np.int64), raw.length.astype(np.int64)
    start[where], length[where] = begin[where], extent[where]
    return replace(raw, start=start, length=length, objects=(begin, extent)), rows[extent[rows] == 0]


def _scanned(raw: RawBatch, rows: NDArray[np.int64], words: Words, max_depth: int) -> Any:
    """Which rows are plain objects without some members, and where they stand."""
    spans = spans_of(len(rows), 0)
    buffer = sealed(raw.buffer, np.uint8)
    start, length = (sealed(column[rows], np.int64) for column in (raw.start, raw.length))
    scan(
        buffer, start, length, words, _WRAPPED, _SLOTS, max_depth,
        spans.at, spans.size, spans.tag, spans.begin, spans.extent, spans.state,
    )  # fmt: skip
    return spans


def _refused(raw: RawBatch, first: int, stop: int) -> tuple[DeadLetter, ...]:
    """The reader's own dead letters in front of a message, from the one before it on."""
    low = int(raw.offset[first]) if first else -1
    high = int(raw.offset[stop]) if stop < len(raw) else None
    return tuple(one for one in raw.oversize if one.offset > low and (high is None or one.offset < high))


def _expanded(raw: RawBatch, first: int, stop: int, opened: dict[int, list[Piece | Death]]) -> RawBatch:
    """The batch with the events of each message in its place."""
    texts: list[bytes] = []
    source: list[int] = []
    number: list[int] = []
    dead: list[DeadLetter] = [*_refused(raw, first, stop)]
    for row in range(first, stop):
        for at, piece in enumerate(opened.get(row) or [raw.message(row)]):
            if isinstance(piece, Death):
                dead.append(_letter(raw, row, at, piece))
                continue
            texts.append(piece)
            source.append(row)
            number.append(at)
    rows = np.array(source, np.int64)
    length = np.array([len(text) for text in texts], np.int64)
    return RawBatch(
        source=raw.source,
        buffer=np.frombuffer(b"".join(texts), np.uint8),
        start=np.cumsum(length) - length,
        length=length,
        offset=raw.offset[rows],
        index=np.array(number, np.int32),
        timestamp=raw.timestamp[rows],
        oversize=tuple(sorted(dead, key=lambda letter: (letter.offset, letter.index))),
        envelopes=raw.envelopes and raw.envelopes.take(rows),
    )


def _letter(raw: RawBatch, row: int, at: int, death: Death) -> DeadLetter:
    letter = bury(death.reason, raw.source, int(raw.offset[row]), at, raw.message(row), death.detail)
    carried = raw.envelopes
    if carried is None:
        return letter
    headers = carried.headers[row] if carried.headers is not None else ()
    return replace(letter, key=carried.keys[row], headers=headers, timestamp=int(carried.timestamp[row]))
