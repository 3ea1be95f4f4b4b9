"""One partition of a topic, read as raw micro-batches."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, Message, TopicPartition

from flows.connectors.kafka_client import PASSING, Failures, common, logger, made, patient
from flows.durations import microseconds
from flows.errors import InputError
from flows.formats.dead_letter import bury
from flows.formats.raw import RawBatch
from flows.kafka_block import Kafka
from models.base import NONE_TIME
from models.event import DeadLetter, Envelopes, Headers

PREFETCH_KIB: Final = 65_536
"""What all partitions of a process fetch ahead, at most, each at least an eighth of a MiB."""
_FIRST_ROWS: Final = 256
BATCH_BYTES: Final = 8 << 20
"""A batch has fewer rows where messages are long: as many as those before it had room for in so many bytes."""
_CONFIRMED_S: Final = 3.0
"""A partition's end counts as confirmed for so long after the leader's last answer: it answers twice a second, and
statistics tell so once a second."""
UNREADABLE: Final[Headers] = (("lapwing-headers", b"unreadable"),)
"""Stands for headers whose names are not UTF-8, which the client cannot hand over."""
_LATEST: Final = 1 << 52
"""Milliseconds that still are microseconds in 64 bits: nothing later is a time."""


class _Partition(msgspec.Struct):
    leader: int = -1
    ls_offset: int = -1


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition] = {}


class _Broker(msgspec.Struct):
    nodeid: int = -1
    state: str = ""
    rxidle: int = -1


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = {}
    topics: dict[str, _Topic] = {}


@dataclass(slots=True, frozen=True)
class Place:
    """A partition of a topic, by the topic's id too: one made anew under the same name is another one."""

    topic: str
    id: str
    partition: int

    @property
    def name(self) -> str:
        """The name of the source partition."""
        return f"{self.topic}/{self.partition}"


class KafkaReader:
    """Reads one partition from `start` on, never waiting for a broker.

    It is `silent` when the partition's leader has confirmed in the last seconds that there is nothing more: a broker
    that cannot be reached makes nobody silent. What lies at the position is (topic's id, next offset). At each
    snapshot the offset of the one before, which is durable by then, is committed to the consumer group, so that lag
    tools show how far the flow is; nothing is ever read from there.

    Parameters
    ----------
    until : read up to this offset, which is not read, and end; -1 for never.
    share : one over the number of partitions that this process reads, for the memory to fetch ahead into.
    on_gap : told of messages that were gone before they were read, where the configuration lets them go.
    on_count : told how many partitions the topic has, every second.

    Raises
    ------
    InputError
        In `read`: offsets that retention has removed or that the topic does not have, or a topic that may not be read.
    """

    def __init__(
        self,
        block: Kafka,
        place: Place,
        start: int,
        batch_rows: int,
        max_message_bytes: int,
        *,
        until: int = -1,
        share: float = 1.0,
        on_gap: Callable[[str], None] = lambda text: None,
        on_count: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._block, self._place, self._until, self._on_gap, self._on_count = block, place, until, on_gap, on_count
        self._batch_rows, self._rows = batch_rows, min(batch_rows, _FIRST_ROWS)
        self._max_message = max_message_bytes
        self._next = self._start = start
        self._durable: int | None = None
        self._shown: int | None = None
        self._failures = Failures()
        self._at_end = False
        self._confirmed = float("-inf")
        self._stable = -1
        self._consumer: Consumer | None = None
        self.bytes_read = 0
        self.ended = 0 <= until <= start
        options = common(block) | dict(block.consumer)
        options.setdefault("queued.max.messages.kbytes", max(128, int(PREFETCH_KIB * share)))
        self._options = options | {
            "group.id": block.application,
            "auto.offset.reset": "error",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "statistics.interval.ms": 1000,
            "error_cb": self._failures,
            "stats_cb": self._hear,
        }
        if every := microseconds(block.new_partitions) // 1000:
            self._options["topic.metadata.refresh.interval.ms"] = max(10, every)

    @property
    def silent(self) -> bool:
        """Whether the leader says that there is nothing more for now.

        The client says nothing of an end while messages come faster than one for each wait of a fetch: then it is the
        statistics that tell that all has been read.
        """
        return (self._at_end or self.lag == 0) and time.monotonic() - self._confirmed < _CONFIRMED_S

    @property
    def confirmed(self) -> float:
        """When the leader last answered, as far as statistics have told (monotonic seconds)."""
        return self._confirmed

    @property
    def durable(self) -> TopicPartition | None:
        """Where the next run goes on, once the flow has ended in good order; None before the first snapshot."""
        if self._durable is None:
            return None
        return TopicPartition(self._place.topic, self._place.partition, self._durable)

    @property
    def lag(self) -> int:
        """Messages that wait in the partition, as the brokers last said; -1 while they have said nothing."""
        return max(0, self._stable - self._next) if self._stable >= 0 else -1

    def read(self) -> RawBatch | None:
        """What has come since the last call; None for nothing."""
        if self.ended:
            return None
        if self._consumer is None:
            self._consumer = made(lambda: Consumer(self._options, logger=logger()))
            self._assign()
        messages = self._consumer.consume(self._rows, 0)
        if self._failures.fatal is not None:
            raise InputError(f"{self._place.name}: {self._failures.fatal.str()}")
        if not messages:
            return None
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            self._take_errors([error for message in messages if (error := message.error()) is not None])
        if good:
            self._at_end = self._at_end and messages[-1].error() is not None
        if self._until >= 0:
            good = [message for message in good if _offset(message) < self._until]
            if good and _offset(good[-1]) + 1 >= self._until:
                self.ended = True
        return self._batch(good) if good else None

    def position(self, offset: int) -> Any:
        """As `Reader`; commits what the last call gave."""
        following = max(offset + 1, self._start)
        if self._consumer is not None and (durable := self.durable) is not None and self._durable != self._shown:
            self._consumer.commit(offsets=[durable], asynchronous=True)
            self._shown = self._durable
        self._durable = following
        return (self._place.id, following)

    def close(self) -> None:
        """Leave the brokers."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _assign(self) -> None:
        assert self._consumer is not None
        self._consumer.assign([TopicPartition(self._place.topic, self._place.partition, self._next)])

    def _take_errors(self, errors: Sequence[KafkaError]) -> None:
        for error in errors:
            code = error.code()
            if code == KafkaError._PARTITION_EOF:
                self._at_end = True
                self.ended |= self._until >= 0
            elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                self._pass_gap()
            elif code not in PASSING and not error.retriable():
                raise InputError(f"{self._place.name}: {error.str()}")

    def _pass_gap(self) -> None:
        """Messages are gone that were to be read next: go on behind them if the configuration says so."""
        assert self._consumer is not None
        name, ask = self._place.name, self._consumer.get_watermark_offsets
        place = TopicPartition(self._place.topic, self._place.partition)
        low, high = patient(self._block, self._failures, lambda timeout: ask(place, timeout=timeout))
        if high < self._next:
            raise InputError(
                f"{name}: ends at offset {high}, but {self._next} was to be read next: it was cut or made anew"
            )
        gone = f"{name}: offsets {self._next} to {low - 1} ({low - self._next:,} messages) were removed by retention"
        if self._block.on_gap == "fail":
            raise InputError(f"{gone} before they were read; --on-gap earliest goes on behind them")
        self._on_gap(f"{gone}; going on at {low}")
        self._next = low
        self._assign()

    def _batch(self, messages: Sequence[Message]) -> RawBatch:
        # Each of these calls is one per message: together they are most of what reading costs.
        offsets = np.array([_offset(message) for message in messages], np.int64)
        values = [message.value() or b"" for message in messages]
        keys = [message.key() for message in messages]
        stamps = [message.timestamp() for message in messages]
        times = np.array([-1 if kind == TIMESTAMP_NOT_AVAILABLE else at for kind, at in stamps], np.int64)
        envelopes = Envelopes(keys, _headers(messages), times)
        length = np.array([len(value) for value in values], np.int64)
        self._next = int(offsets[-1]) + 1
        self.bytes_read += (taken := int(length.sum()))
        self._rows = max(1, min(self._batch_rows, BATCH_BYTES * len(values) // max(1, taken)))
        refused: tuple[DeadLetter, ...] = ()
        if int(length.max()) > self._max_message:
            kept = np.flatnonzero(length <= self._max_message)
            giants = np.flatnonzero(length > self._max_message).tolist()
            refused = tuple(self._giant(values[at], envelopes, at, int(offsets[at])) for at in giants)
            values = [values[at] for at in kept.tolist()]
            envelopes, offsets, length, times = envelopes.take(kept), offsets[kept], length[kept], times[kept]
        return RawBatch(
            source=self._place.name,
            buffer=np.frombuffer(b"".join(values), np.uint8),
            start=np.cumsum(length) - length,
            length=length,
            offset=offsets,
            index=np.zeros(len(offsets), np.int32),
            timestamp=np.where(times < 0, NONE_TIME, np.minimum(times, _LATEST) * 1000),
            oversize=refused,
            envelopes=envelopes,
        )

    def _giant(self, value: bytes, envelopes: Envelopes, at: int, offset: int) -> DeadLetter:
        letter = bury("too_large", self._place.name, offset, 0, value, stage="source")
        headers = envelopes.headers[at] if envelopes.headers is not None else ()
        return replace(letter, key=envelopes.keys[at], headers=headers, timestamp=int(envelopes.timestamp[at]))

    def _hear(self, text: str) -> None:
        """Statistics: the leader's last answer, and how far the partition reaches."""
        heard = msgspec.json.decode(text, type=_Statistics)
        topic = heard.topics.get(self._place.topic)
        partition = topic.partitions.get(str(self._place.partition)) if topic else None
        if topic is None or partition is None:
            return
        self._on_count(sum(name.isdecimal() for name in topic.partitions))
        self._stable = partition.ls_offset
        leaders = (broker for broker in heard.brokers.values() if broker.nodeid == partition.leader >= 0)
        for broker in leaders:
            if broker.state == "UP" and broker.rxidle >= 0:
                self._confirmed = max(self._confirmed, time.monotonic() - broker.rxidle / 1e6)


def _offset(message: Message) -> int:
    return message.offset()  # type: ignore[return-value]  # None stands for a message that was never sent


def _headers(messages: Sequence[Message]) -> list[Headers] | None:
    """The headers of each; None where nobody has any.

    Of a name that is not UTF-8 the client sets an error and gives a list with a hole all the same. The interpreter's
    short way to call a method does not look at such an error, `map` does; and who asks the message again, or touches
    its list, ends the process.
    """
    found: list[Any] = []
    asked = map(Message.headers, messages)
    while len(found) < len(messages):
        try:
            for headers in asked:
                found.append(headers)
        except (UnicodeDecodeError, SystemError):
            found.append(UNREADABLE)
    return [tuple(each or ()) for each in found] if any(found) else None
