"""What a transaction says of itself: how far it has come, so that what comes again after a crash is known."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition

from flows.connectors.kafka_client import PASSING, Failures, common, logger, made, patient, startup_s, unreachable
from flows.errors import OutputError
from flows.kafka_block import Kafka

VERSION: Final = 1
_CHUNK: Final = 20_000
"""Ids in one record: it stays far below what any topic takes."""
_LOOK_BACK: Final = 256

Position = tuple[int, int]
"""How far a lane is: two numbers that never fall."""


class Marker(msgspec.Struct, frozen=True, array_like=True):
    """What the last committed transaction of a sink partition carried.

    `lineage` names the state that it belongs to, `number` counts its transactions. `lanes` say how far each ordered
    stream is: what lies at or below is written. Of what has a name and no order, `wrote` are the names in this
    transaction, `dropped` those that came again in its epoch and were not written twice, `awaited` those still to come
    again.
    """

    version: int
    lineage: str
    number: int
    lanes: dict[str, Position]
    wrote: tuple[bytes, ...] = ()
    dropped: tuple[bytes, ...] = ()
    awaited: tuple[bytes, ...] = ()

    @property
    def names(self) -> set[bytes]:
        """All that must not be written again while the epoch of this transaction is not durable."""
        return {*self.wrote, *self.dropped, *self.awaited}


class _Piece(msgspec.Struct, frozen=True, array_like=True):
    at: int
    of: int
    marker: Marker


def pieces(marker: Marker) -> list[bytes]:
    """The records of a marker, the last one with the highest offset.

    >>> whole = Marker(1, "a", 7, {"events/0": (9, 0)}, tuple(bytes([n % 256, n // 256]) for n in range(50_000)))
    >>> len(pieces(whole)), joined(pieces(whole)) == whole
    (3, True)
    >>> joined(pieces(whole)[1:]) is None
    True
    """
    chunks: list[tuple[str, tuple[bytes, ...]]] = []
    for field in ("wrote", "dropped", "awaited"):
        names = getattr(marker, field)
        chunks += [(field, names[at : at + _CHUNK]) for at in range(0, len(names), _CHUNK)]
    bare = msgspec.structs.replace(marker, wrote=(), dropped=(), awaited=())
    parts = [msgspec.structs.replace(bare, **{field: names}) for field, names in chunks] or [bare]
    return [msgspec.msgpack.encode(_Piece(at, len(parts), part)) for at, part in enumerate(parts)]


def joined(records: Sequence[bytes]) -> Marker | None:
    """The last whole marker in some records, None if there is none.

    Raises
    ------
    ValueError
        A record is not one of these.
    """
    try:
        found = [msgspec.msgpack.decode(record, type=_Piece) for record in records]
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a marker ({error})") from None
    if not found or found[-1].at + 1 != found[-1].of or len(found) < found[-1].of:
        return None
    parts = [piece.marker for piece in found[-found[-1].of :]]

    def all_of(field: str) -> tuple[bytes, ...]:
        return tuple(name for part in parts for name in getattr(part, field))

    return msgspec.structs.replace(
        parts[-1], wrote=all_of("wrote"), dropped=all_of("dropped"), awaited=all_of("awaited")
    )


def last_marker(block: Kafka, partition: int) -> Marker | None:
    """The marker of a sink partition's last committed transaction; None where there has been none.

    Call it when `init_transactions` has returned: only then no older transaction can still be committed.

    Raises
    ------
    OutputError
        The topic holds something else.
    InputError
        The brokers do not answer within `startup_timeout`.
    """
    failures = Failures()
    options: dict[str, Any] = common(block) | dict(block.consumer)
    options |= {
        "group.id": block.application, "auto.offset.reset": "earliest", "enable.auto.commit": False,
        "enable.partition.eof": True, "isolation.level": "read_committed", "error_cb": failures,
        "fetch.wait.max.ms": 10,
    }  # fmt: skip
    client = made(lambda: Consumer(options, logger=logger()))
    topic = block.topics.markers
    try:
        low, high = patient(
            block,
            failures,
            lambda timeout: client.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout),
        )
        back, marker = _LOOK_BACK, None
        while low < high:
            begin = max(low, high - back)
            records = _records(client, TopicPartition(topic, partition, begin), block, failures)
            marker = joined(records)
            if marker is not None or begin == low:
                break
            back *= 16
    except KafkaException as error:
        raise unreachable(block, failures, error) from None
    except ValueError as error:
        raise OutputError(f"topic {topic}, partition {partition}: {error}; it needs a topic of its own") from None
    finally:
        client.close()
    if marker is not None and marker.version != VERSION:
        raise OutputError(
            f"topic {topic}: written by another version of Lapwing (markers of version {marker.version}, "
            f"this one reads {VERSION})"
        )
    return marker


def _records(client: Consumer, place: TopicPartition, block: Kafka, failures: Failures) -> list[bytes]:
    """The values from an offset to the end."""
    client.assign([place])
    values: list[bytes] = []
    deadline = time.monotonic() + startup_s(block)
    while time.monotonic() < deadline:
        for message in client.consume(1000, 0.02):
            if (error := message.error()) is None:
                values.append(message.value() or b"")
                deadline = time.monotonic() + startup_s(block)
            elif error.code() == error._PARTITION_EOF:
                return values
            elif error.code() not in PASSING:
                raise KafkaException(error)
    raise unreachable(block, failures, TimeoutError("reading the markers"))


def begun(lineage: str) -> Marker:
    """The marker before the first transaction."""
    return Marker(VERSION, lineage, 0, {})


def reached(lanes: Mapping[str, Position], lane: str) -> Position:
    """How far a lane is.

    >>> reached({}, "events/0")
    (-1, 0)
    """
    return tuple(lanes.get(lane, (-1, 0)))  # type: ignore[return-value]


def advanced(lanes: Mapping[str, Position], steps: Iterable[tuple[str, Position]]) -> dict[str, Position]:
    """Lanes that have gone on; none goes back.

    >>> advanced({"a": (5, 0)}, [("a", (3, 1)), ("b", (1, 0))])
    {'a': (5, 0), 'b': (1, 0)}
    """
    out = dict(lanes)
    for lane, position in steps:
        out[lane] = max(position, reached(out, lane))
    return out
