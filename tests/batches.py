"""Event batches by hand: rows with a partition's clock, cut and interleaved at will."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from models.base import DELETION, DIMENSIONS, END_OF_TIME, ERROR, FAILURE, LATE, NONE_TIME, RESET, SKIP, SUCCESS
from models.event import EventBatch
from models.rules.program import Program
from models.windows.joint import joints, widened
from models.windows.shard import Shard
from models.windows.slice import Slice, SliceScores, unknown
from tests.naive import Row

BITS = (("failure", FAILURE), ("error", ERROR), ("deletion", DELETION), ("reset", RESET), ("success", SUCCESS))


def key_of(*parts: str) -> int:
    """A public hash of an entity; any will do, if it is never 0."""
    return int.from_bytes(hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest(), "little") or 1


def row(
    time: int, tenant: str = "acme", ip: str = "", endpoint: str = "", user: str = "", target: str = "", **counts: bool
) -> Row:
    """One event; entities that are not named are absent."""
    names = tenant, ip, endpoint, user
    keys = (
        key_of(tenant),
        *(key_of(d, tenant, n) if n else 0 for d, n in zip(("ip", "endpoint", "user"), names[1:], strict=True)),
    )
    message = "|".join((str(time), *names, target, *(n for n, on in counts.items() if on))).encode()
    return Row(time, names, keys, key_of("target", target) if target else 0, message=message, **counts)


def clocked(rows: list[Row], lateness: int, late_count_max: int = 600_000_000) -> list[int]:
    """Give each row its place, in the order of arrival; the partition's watermark after each row."""
    greatest = NONE_TIME
    out = []
    for r in rows:
        greatest = max(greatest, r.time)
        watermark = greatest - lateness
        r.late = r.time < watermark
        r.skip = watermark - r.time > late_count_max
        r.place = max(r.time, watermark)
        out.append(watermark)
    return out


def batch(
    source: str,
    sources: tuple[str, ...],
    number: int,
    rows: list[Row],
    offset: int,
    before: int,
    after: int,
    idle: bool = False,
) -> EventBatch:
    """Rows as columns; `offset` is that of the first one, `before` and `after` the partition's watermarks."""
    n = len(rows)
    names = bytearray()
    start = np.zeros((4, n), np.int64)
    length = np.zeros((4, n), np.int32)
    for i, r in enumerate(rows):
        for d, name in enumerate(r.names):
            start[d, i], length[d, i] = len(names), len(name.encode())
            names += name.encode()
    sizes = np.array([len(r.message) for r in rows], np.int32)
    return EventBatch(
        source=source,
        sources=sources,
        number=number,
        first=(offset - 1, 0),
        reached=(offset + n - 1, 0),
        watermark_before=before,
        watermark=after,
        idle=idle,
        buffer=np.frombuffer(bytearray(b"".join(r.message for r in rows)), np.uint8),
        start=np.cumsum(sizes, dtype=np.int64) - sizes,
        length=sizes,
        note_start=np.zeros(n, np.int64),
        note_length=np.zeros(n, np.int32),
        offset=np.arange(offset, offset + n),
        index=np.zeros(n, np.int32),
        time=np.array([r.time for r in rows], np.int64),
        place=np.array([r.place for r in rows], np.int64),
        flags=np.array([r.late * LATE | r.skip * SKIP for r in rows], np.uint8),
        counts=np.array([sum(getattr(r, name) * bit for name, bit in BITS) for r in rows], np.uint8),
        action=np.zeros(n, np.uint8),
        outcome=np.zeros(n, np.uint8),
        reason=np.zeros(n, np.uint8),
        status=np.zeros(n, np.int16),
        method=np.zeros(n, np.uint8),
        entity=np.array([r.keys for r in rows], np.uint64).reshape(n, 4).T.copy(),
        names=np.frombuffer(names, np.uint8),
        name_start=start,
        name_length=length,
        target=np.array([r.target for r in rows], np.uint64),
    )


def partition_batches(
    source: str, sources: tuple[str, ...], rows: list[Row], lateness: int, sizes: Sequence[int]
) -> Iterator[EventBatch]:
    """A partition as items of the given sizes (the last size goes on), and its end."""
    watermarks = clocked(rows, lateness)
    at = number = 0
    while at < len(rows):
        end = at + max(1, sizes[min(number, len(sizes) - 1)])
        piece = rows[at:end]
        yield batch(source, sources, number, piece, at, watermarks[at], watermarks[at + len(piece) - 1])
        at += len(piece)
        number += 1
    last = watermarks[-1] if watermarks else NONE_TIME
    yield batch(source, sources, number, [], at, last, END_OF_TIME, idle=True)


def interleaved(streams: list[Iterator[EventBatch]], turns: Sequence[int]) -> Iterator[EventBatch]:
    """The items of some partitions, taken in turns."""
    left = list(streams)
    turn = 0
    while left:
        at = turns[turn % len(turns)] % len(left)
        turn += 1
        item = next(left[at], None)
        if item is None:
            del left[at]
        else:
            yield item


TEXTS = {"failure": FAILURE, "error": ERROR, "deletion": DELETION, "reset": RESET, "success": SUCCESS}


def marked(item: EventBatch, program: Program) -> EventBatch:
    """The batch with the marks of a program whose expressions ask for what a row counts as, and nothing else."""
    marks = np.zeros(len(item), np.uint64)
    for bit, text in enumerate(program.marks):
        holds = (item.counts & np.uint8(TEXTS.get(text, 0))) != 0
        marks |= holds.astype(np.uint64) << np.uint64(bit)
    hashes = [item.target if name == "target" else np.zeros(len(item), np.uint64) for name in program.hashes]
    numbers = np.full((len(program.numbers), len(item)), np.nan)
    return dataclasses.replace(
        item, marks=marks, hashes=np.array(hashes, np.uint64).reshape(len(hashes), len(item)), numbers=numbers
    )


def assess(shard: Shard, item: EventBatch, dimension: int, number: int = 0, bits: int = 0) -> SliceScores:
    """What a shard says of its rows of a batch."""
    item = marked(item, shard.settings.program)
    if dimension >= len(DIMENSIONS):
        item = widened(item, joints(shard.settings.program))
    return shard.assess(piece(item, dimension, number, bits))


def piece(item: EventBatch, dimension: int, shard: int = 0, bits: int = 0) -> Slice:
    """One shard's slice: the rows whose entity has the shard's number in its highest bits."""
    keys = item.entity[dimension]
    mine = keys != 0
    if bits:
        mine &= (keys >> np.uint64(64 - bits)) == np.uint64(shard)
    return Slice(item, dimension, shard, np.flatnonzero(mine), unknown(len(item), len(item.entity)))
