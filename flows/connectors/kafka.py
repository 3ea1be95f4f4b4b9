"""A topic as a Bytewax source."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Final

from bytewax.inputs import FixedPartitionedSource
from confluent_kafka import Consumer, KafkaException

from flows.connectors.board import Board
from flows.connectors.kafka_client import (
    logger,
    made,
    missing,
    topics,
)
from flows.connectors.kafka_offsets import group_options, offsets
from flows.connectors.kafka_reader import KafkaReader, Place
from flows.connectors.partition import ClockParams, Partition
from flows.connectors.polled import PolledPartition, Snapshot, resumed, turn
from flows.connectors.read_ahead import AHEAD, ReadAhead
from flows.connectors.unwrapping import Unwrap, Unwrapping
from flows.durations import microseconds
from flows.errors import InputError, Refused, UsageError
from flows.formats.lapwing import Decoded
from flows.formats.raw import RawBatch
from flows.kafka_block import EARLIEST, END, LATEST, Kafka
from models.base import NONE_TIME
from models.event import EventBatch

Starts = Mapping[str, tuple[str, int]]
"""Where each source partition began: (the topic's id, the first offset)."""


_SURE_S: Final = 2.0
_SHOWN_S: Final = 3.0
"""How long to wait at most until the group knows."""


class KafkaSource(FixedPartitionedSource[EventBatch, Snapshot]):
    """Reads every partition of the topic of events, and of others whose events are in a format of their own.

    A source partition is named `topic/partition`, its offsets are the topic's. Partitions that are added later are
    read from their beginning by the next run: Bytewax takes on none while it runs. A topic that is added later begins
    as the first one did, where the configuration says. Make a new source for each run.

    Parameters
    ----------
    known : source partitions of earlier runs with the same state.
    starts : where earlier runs with the same state began; what is new in `self.starts` must be kept before the flow
        begins, because a start at the latest offset is another one after a crash.
    only : all source partitions there are, where several processes must agree on them.
    until : "end" reads to where the partitions end now, a time to the first record of that time or later, and ends
        there; "" never ends. Record timestamps are what brokers say: with those of producers it is their clocks' time.
    renewed : whether another run follows when the topic has grown, so that this one is to end then in good order.
    on_grown : told instead, in one line, where another process ends all.
    on_note : told, in one line, what was passed over.
    unwrap : what takes events out of messages that carry several, None where none do.
    more : topics that are read beside that of events.

    Raises
    ------
    InputError
        No broker answers, there is no such topic, or it is not the one that was read before.
    UsageError
        The first start needs to know where to begin, or options are wrong.

    Notes
    -----
    `grown` says whether the topic was found to have new partitions. `rows`, `bytes_read`, `bytes_total` (None),
    `event_time`, `lag`, `board.pulse` and `answered` may be read from another thread.
    """

    bytes_total = None

    def __init__(
        self,
        block: Kafka,
        decode: Callable[[RawBatch], Decoded],
        clock: ClockParams,
        stop: Event,
        close_at_end: bool,
        batch_rows: int = 4096,
        max_message_bytes: int = 1 << 20,
        *,
        known: tuple[str, ...] = (),
        starts: Starts | None = None,
        only: tuple[str, ...] | None = None,
        until: str = "",
        renewed: bool = False,
        on_grown: Callable[[str], None] | None = None,
        alone: bool = True,
        on_note: Callable[[str], None] = lambda text: None,
        on_failure: Callable[[InputError], None] | None = None,
        unwrap: Unwrap | None = None,
        more: tuple[str, ...] = (),
    ) -> None:
        names = [*dict.fromkeys((block.topics.events, *more))]
        found = topics(block, names)
        if lacking := [name for name in names if name not in found]:
            raise InputError(missing(lacking))
        self._block, self._topics = block, found
        self.partitions = tuple(
            sorted(Place(one.name, one.id, at).name for one in found.values() for at in range(one.partitions))
        )
        if foreign := sorted({*known} - {*self.partitions}):
            raise Refused(
                f"the state has read {', '.join(foreign)}, which {_listed(names)} "
                f"{'does' if len(names) == 1 else 'do'} not have: "
                "it was made anew or is another one; --fresh starts anew"
            )
        if only is not None:
            self.partitions = only
        self._decode, self._clock, self._stop = decode, clock, Either(stop)
        self._unwrap = unwrap
        self._renewed, self._on_grown = renewed, on_grown
        self._watching = not until and microseconds(block.new_partitions) > 0
        self._counts = Counter(map(_topic_of, self.partitions))
        self._first_heard: dict[str, float] = {}
        self.grown = False
        self._close_at_end, self._batch_rows, self._max_message = close_at_end, batch_rows, max_message_bytes
        self._on_note, self._on_failure = on_note, on_failure
        self._alone = alone
        self.board = Board(clock.max_skew, self.partitions)
        self._built: dict[str, tuple[Partition, KafkaReader]] = {}
        self._threads = ThreadPoolExecutor(AHEAD, "read-ahead")
        starts = dict(starts or {})
        for name, (topic_id, _) in starts.items():
            self._check_same(name, topic_id)
        fresh = [name for name in self.partitions if name not in starts and name not in known]
        begun = {*map(_topic_of, known)}
        self.starts = starts | self._begin([name for name in fresh if _topic_of(name) in begun], first=False)
        self.starts |= self._begin([name for name in fresh if _topic_of(name) not in begun], first=True)
        self._ends: dict[str, int] = {}
        if until:
            self._ends = self._offsets(LATEST if until == END else until)

    def list_parts(self) -> list[str]:
        """Every partition: all processes see the same topic."""
        return list(self.partitions)

    def build_part(self, step_id: str, for_part: str, resume_state: Snapshot | None) -> PolledPartition:
        """Begin a partition, or go on where a snapshot says. Connects when it is first read."""
        position, reached = resumed(resume_state, for_part)
        topic = self._topics[_topic_of(for_part)]
        topic_id, start = position or self.starts.get(for_part, (topic.id, 0))
        self._check_same(for_part, topic_id)
        reader = KafkaReader(
            self._block, Place(topic.name, topic.id, int(for_part.rpartition("/")[2])), start,
            self._batch_rows, self._max_message,
            until=self._ends.get(for_part, -1), share=1 / len(self.partitions), on_gap=self._on_note,
            on_count=partial(self._hear_count, topic.name),
        )  # fmt: skip
        whole = reader if self._unwrap is None else Unwrapping(reader, self._unwrap)
        most = turn(len(self.partitions), self._alone)
        ahead = ReadAhead(whole, self._decode, self._threads, most)
        partition = Partition(for_part, self.partitions, ahead.decode, self._clock, self._batch_rows, reached)
        self._built[for_part] = (partition, reader)
        self.board.join(for_part)
        return PolledPartition(
            partition, ahead, self.board, self._stop, self._close_at_end, self._on_failure, self._alone,
            most, ahead.ready,
        )  # fmt: skip

    @property
    def answered(self) -> float:
        """When a leader of the partitions last answered (monotonic seconds), minus infinity before."""
        return max((reader.confirmed for _, reader in list(self._built.values())), default=float("-inf"))

    @property
    def rows(self) -> int:
        """Messages returned since the start, dead ones too."""
        return sum(partition.messages for partition, _ in list(self._built.values()))

    @property
    def bytes_read(self) -> int:
        """Bytes of the values taken from the brokers."""
        return sum(reader.bytes_read for _, reader in list(self._built.values()))

    @property
    def event_time(self) -> int:
        """The greatest event time of all partitions."""
        return max((partition.reached.greatest for partition, _ in list(self._built.values())), default=NONE_TIME)

    @property
    def lag(self) -> dict[str, int]:
        """Messages that wait, by source partition; -1 where the brokers have not said yet."""
        return {name: reader.lag for name, (_, reader) in list(self._built.items())}

    def show_progress(self) -> None:
        """Commit to the consumer group where a run has ended, now that all is durable: readers are an epoch behind.

        Nothing is read from there, so a commit that fails is no matter.
        """
        ends = [reader.durable for _, reader in self._built.values() if reader.durable is not None]
        if not ends:
            return
        told = Event()
        options = group_options(self._block) | {"on_commit": lambda *_: told.set()}
        client = made(lambda: Consumer(options, logger=logger()))
        give_up = time.monotonic() + _SHOWN_S
        with suppress(KafkaException):
            client.commit(offsets=ends, asynchronous=True)
            while not told.is_set() and time.monotonic() < give_up:
                client.poll(0.05)
        client.close()

    def _hear_count(self, topic: str, count: int) -> None:
        """How many partitions a topic has, as brokers say. It must be said for a while: they learn it one by one."""
        if count <= self._counts[topic]:
            self._first_heard.pop(topic, None)
            return
        first = self._first_heard.setdefault(topic, time.monotonic())
        if self.grown or not self._watching or time.monotonic() - first < _SURE_S:
            return
        self.grown = True
        new = f"topic {topic} has {count} partitions now, {count - self._counts[topic]} of them new"
        again = f"{new}: beginning again with all of them, state and place kept"
        if self._on_grown is not None:
            self._on_grown(again)
        elif self._renewed:
            self._on_note(again)
            self._stop.set()
        else:
            self._on_note(f"{new}: they are read after a restart")

    def _check_same(self, name: str, topic_id: str) -> None:
        topic = self._topics.get(_topic_of(name))
        if topic is not None and topic_id != topic.id:
            raise InputError(
                f"topic {topic.name} was made anew (its id was {topic_id}, now {topic.id}): the offsets "
                "read before say nothing of it; --fresh starts anew"
            )

    def _begin(self, names: list[str], first: bool) -> dict[str, tuple[str, int]]:
        """The first offset of partitions that no run has read: as configured, or all of those that came later."""
        if not names:
            return {}
        start = self._block.start if first else EARLIEST
        if not start:
            raise UsageError(
                f"the first run over {_listed(sorted({*map(_topic_of, names)}))} needs to know where to begin: "
                "--start earliest, latest or a time such as 2026-11-23T05:00:00Z (or start under [kafka])"
            )
        offsets = self._offsets(start)
        return {name: (self._topics[_topic_of(name)].id, offsets[name]) for name in names}

    def _offsets(self, moment: str) -> dict[str, int]:
        """Of each partition the offset of a moment: `earliest`, `latest`, or a time."""
        return self._by_topic(lambda topic, own: offsets(self._block, topic, own, moment))

    def _by_topic(self, ask: Callable[[str, list[int]], Mapping[int, int]]) -> dict[str, int]:
        """What is asked of the partitions of one topic after the other, by their names."""
        numbers: dict[str, list[int]] = {}
        for name in self.partitions:
            numbers.setdefault(_topic_of(name), []).append(int(name.rpartition("/")[2]))
        return {f"{topic}/{at}": offset for topic, own in numbers.items() for at, offset in ask(topic, own).items()}


def _topic_of(name: str) -> str:
    """The topic of a source partition."""
    return name.rpartition("/")[0]


def _listed(names: Sequence[str]) -> str:
    return f"topic{'s' * (len(names) > 1)} {', '.join(names)}"


class Either(Event):
    """Set by itself, or when another one is."""

    def __init__(self, *others: Event) -> None:
        super().__init__()
        self._others = others

    def is_set(self) -> bool:
        """As `threading.Event`."""
        return super().is_set() or any(other.is_set() for other in self._others)
