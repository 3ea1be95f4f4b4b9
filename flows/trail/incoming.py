"""Messages to what the trail keeps of them: events with what Lapwing added, records, dead letters."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np

from flows.formats import dead_letter
from flows.formats.dead_letter import Body, bury
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch
from flows.trail.members import Texts, Told
from flows.trail.members import told as members
from flows.trail.records import OF, Record
from flows.trail.rows import DAY, Scored
from models.base import NONE_TIME, TENANT
from models.event import DeadLetter
from models.kernels.distinct import numbered

_MEMBER: Final = b',"lapwing":{'
"""With this Lapwing's own member begins, the last of a scored event."""
_BEFORE: Final = len(b',"lapwing":')
_json = msgspec.json.Decoder().decode


class _Told(msgspec.Struct):
    risk: int | None = None
    late: bool = False


_told = msgspec.json.Decoder(_Told).decode


@dataclass(slots=True, frozen=True)
class Events:
    """Events on their way into the trail; `kept` are their messages, `scored` is empty where they were raw events.

    `told` are their members: those of a platform's event are of its canonical object, else of the message.
    """

    batch: Decoded
    kept: Texts
    told: Told
    scored: list[Scored]


def events(raw: RawBatch, reading: Callable[[RawBatch], Decoded], scored: bool) -> Events:
    """Raw or scored events as rows can be made of them. Of a scored one the message is what the source had sent.

    Of a platform's event the secrets are blanked in what is kept, as they are in what is scored.
    An event that says it was scored and was not is kept without scores. Those of a tenant are in the order in which
    they came.
    """
    added: list[Scored] = []
    if scored:
        pairs = [_parted(raw.message(row)) for row in range(len(raw))]
        messages, added = [message for message, _ in pairs], [told for _, told in pairs]
        length = np.array([len(message) for message in messages], np.int64)
        raw = replace(
            raw,
            buffer=np.frombuffer(b"".join(messages), np.uint8),
            start=np.cumsum(length) - length,
            length=length,
        )
    batch = _placed(reading(raw))
    if scored:
        added = [added[row] for row in batch.row.tolist()]
    noted = batch.note_length > 0
    if batch.shown_start is None or batch.shown_length is None:
        kept = Texts(raw.buffer, raw.start[batch.row], raw.length[batch.row])
        return Events(batch, kept, members(kept, noted), added)
    kept = Texts(batch.buffer, batch.start, batch.length.astype(np.int64))
    shown = Texts(batch.buffer, batch.shown_start, batch.shown_length.astype(np.int64))
    return Events(batch, kept, members(shown, noted), added)


def _placed(batch: Decoded) -> Decoded:
    """Rows of the same day and tenant one behind the other: they are written to the same file."""
    day, tenant = numbered(batch.time // DAY)[0], numbered(batch.entity[TENANT].view(np.int64))[0]
    if not day.any() and not tenant.any():
        return batch
    return batch.in_order(np.lexsort((tenant, day)))


def records(kind: str, raw: RawBatch) -> tuple[list[Record], list[DeadLetter]]:
    """The records of a kind, and the messages that are none."""
    found: list[Record] = []
    dead = list(raw.oversize)
    now = time.time_ns() // 1000
    for row, (offset, index, received) in enumerate(
        zip(raw.offset.tolist(), raw.index.tolist(), raw.timestamp.tolist(), strict=True)
    ):
        message = raw.message(row)
        try:
            record = _json(message)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            reason = "malformed_json" if message else "empty"
            dead.append(bury(reason, raw.source, offset, index, message, str(error)[:200], stage="archive"))
            continue
        if not isinstance(record, dict):
            dead.append(bury("not_an_object", raw.source, offset, index, message, stage="archive"))
            continue
        found.append(_record(kind, record, message, (offset, index), received, now))
    return found, dead


def letters(dead: Iterable[DeadLetter], body: Body) -> list[Record]:
    """Dead letters as records, as they are published."""
    now = time.time_ns() // 1000
    return [
        _record(
            "dead_letters", {}, dead_letter.encode(one, one.source, body), (one.offset, one.index),
            one.timestamp * 1000 if one.timestamp >= 0 else NONE_TIME, now,
        )
        for one in dead
    ]  # fmt: skip


def _record(
    kind: str, record: Mapping[str, Any], message: bytes, place: tuple[int, int], received: int, now: int
) -> Record:
    """A record; one without a time of its own has its record's, else that of being archived."""
    about = OF[kind](record)
    if about.time == NONE_TIME:
        about = about._replace(time=received if received != NONE_TIME else now)
    return Record(*place, received, about, message)


def _parted(message: bytes) -> tuple[bytes, Scored]:
    """A scored event's own message, and Lapwing's member."""
    at = message.rfind(_MEMBER)
    if at < 0:
        return message, _NOT
    text = message[at + _BEFORE : -1]
    try:
        told = _told(text)
        return message[:at] + b"}", Scored(told.risk, told.late, text.decode())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return message, _NOT


_NOT: Final = Scored(None, None, None)
