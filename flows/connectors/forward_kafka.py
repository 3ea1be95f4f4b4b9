"""Topics as a Bytewax source of what is forwarded: committed records only, in the order of each partition."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from flows.connectors.forward_progress import ForwardProgress
from flows.connectors.kafka_client import (
    PASSING,
    Failures,
    Topic,
    common,
    logger,
    made,
    missing,
    patient,
    reason,
    topics,
)
from flows.connectors.kafka_offsets import offsets, watermarks
from flows.durations import microseconds
from flows.errors import InputError
from flows.formats.forwarded import Message, Read
from flows.kafka_block import EARLIEST, Kafka

PREFETCH_KIB: Final = 8192
"""What a destination fetches ahead, of all topics and partitions together."""
_ROWS: Final = 1000
_WAIT_S: Final = 0.02
"""How long all topics together are waited for at a time."""
_LOOK_S: Final = 1.0
Place = tuple[str, dict[int, int]]
"""A topic's id, and for each partition the next offset."""
State = Place | dict[str, Place]
"""Of each topic by its name, which for the first is empty; before there could be several it was that one's alone."""


class TopicRecords(FixedPartitionedSource[Read, State]):
    """All partitions of some topics, as one source partition of the flow: one destination takes them in one row.

    A run begins where its state says, without one where the consumer group `<application>.forward.<id>` has come to,
    without that at `start`. What is delivered is committed to the group. Partitions that come later are read from
    their beginning.

    Raises
    ------
    InputError
        No broker answers, a topic does not exist, it is not the one that was read before, or records are gone.
    """

    def __init__(
        self,
        block: Kafka,
        names: Sequence[str],
        id: str,
        until_end: bool,
        stop: threading.Event,
        progress: ForwardProgress,
        tell: Callable[[str], None],
    ) -> None:
        found = topics(block, names)
        if lacking := [name for name in names if name not in found]:
            raise InputError(missing(lacking))
        first, *more = names
        self._topics = {"": found[first]} | {name: found[name] for name in more}
        self._built: list[_Records] = []
        self._make = partial(_Records, block, group(block, id), 1 / len(names), until_end, stop, progress, tell)

    def list_parts(self) -> list[str]:
        """One, whatever the topics are called."""
        return ["topic"]

    def build_part(self, step_id: str, for_part: str, resume_state: State | None) -> "_Together":
        """Begin, or go on; what is known of topics that are not read any more is kept."""
        known = {"": resume_state} if isinstance(resume_state, tuple) else resume_state or {}
        together = _Together(known)
        for name, topic in self._topics.items():
            together.parts[name] = self._make(topic, known.get(name))
            self._built.append(together.parts[name])
        return together

    def measure(self) -> None:
        """Say how many records are not delivered. From any thread, also while the flow waits for its destination.

        Markers of transactions count too, so that up to a few remain after all is delivered.
        """
        for part in self._built:
            part.measure()

    def finish(self) -> None:
        """Tell the consumer group what was delivered last, once the flow is over, and leave the brokers."""
        for part in self._built:
            part.finish()


def group(block: Kafka, id: str) -> str:
    """The consumer group of a destination."""
    return f"{block.application}.forward.{id}"


class _Together(StatefulSourcePartition[Read, State]):
    """Topics, of which each is read in its turn until all have ended."""

    def __init__(self, known: dict[str, Place]) -> None:
        self._known = known
        self._ended: set[str] = set()
        self.parts: dict[str, _Records] = {}

    def next_batch(self) -> list[Read]:
        if len(self._ended) == len(self.parts):
            raise StopIteration
        found: list[Read] = []
        for name in [name for name in self.parts if name not in self._ended]:
            batch = self.parts[name].next_batch()
            found += batch or []
            self._ended |= {name} if batch is None else set()
        return found

    def snapshot(self) -> State:
        return self._known | {name: part.snapshot() for name, part in self.parts.items()}


class _Records:
    def __init__(
        self,
        block: Kafka,
        group: str,
        share: float,
        until_end: bool,
        stop: threading.Event,
        progress: ForwardProgress,
        tell: Callable[[str], None],
        topic: Topic,
        state: Place | None,
    ) -> None:
        self._block, self._topic, self._stop, self._progress = block, topic, stop, progress
        self._tell, self._group, self._wait_s = tell, group, _WAIT_S * share
        self._every, self._looked = microseconds(block.new_partitions) / 1e6, time.monotonic()
        self._failures = Failures()
        options = common(block) | dict(block.consumer)
        options.setdefault("queued.max.messages.kbytes", int(PREFETCH_KIB * share))
        options |= {
            "group.id": group, "auto.offset.reset": "error", "enable.auto.commit": False,
            "enable.auto.offset.store": False, "enable.partition.eof": True, "isolation.level": "read_committed",
            "error_cb": self._failures,
        }  # fmt: skip
        self._consumer = made(lambda: Consumer(options, logger=logger()))
        self._shown: dict[int, int] = {}
        try:
            self._next = self._begin(state)
            progress.deliver({self._source(at): offset for at, offset in self._next.items()})
            self._ends = watermarks(block, topic.name, range(topic.partitions), 1) if until_end else {}
            self._assign()
        except (InputError, KafkaException) as error:
            raise self._failed(error) from error

    def next_batch(self) -> list[Read] | None:
        """What has come; None at the end."""
        if self._stop.is_set() or (self._ends and all(self._next[at] >= end for at, end in self._ends.items())):
            return None
        self._commit()
        try:
            self._look_for_new()
            return self._read()
        except (InputError, KafkaException) as error:
            raise self._failed(error) from error

    def snapshot(self) -> Place:
        """Where it is."""
        return (self._topic.id, dict(self._next))

    def finish(self) -> None:
        """As `TopicRecords`. The engine's `close` comes before the last batch is delivered."""
        self._commit(wait=True)
        self.measure()
        self._consumer.close()

    def _read(self) -> list[Read]:
        messages: list[Message] = []
        reached: dict[str, int] = {}
        for found in self._consumer.consume(_ROWS, self._wait_s):
            error = found.error()
            if error is not None:
                self._take(error, found.partition())
                continue
            at, offset = int(found.partition()), int(found.offset())  # type: ignore[arg-type]
            if at in self._ends and offset >= self._ends[at]:
                self._next[at] = max(self._next[at], self._ends[at])
                continue
            messages.append(Message(self._source(at), offset, found.value() or b"", found.key()))
            self._next[at] = reached[self._source(at)] = offset + 1
        if self._failures.fatal is not None:
            raise InputError(f"topic {self._topic.name}: {self._failures.fatal.str()}")
        return [Read(messages, reached)] if messages else []

    def _source(self, at: int) -> str:
        return f"{self._topic.name}/{at}"

    def measure(self) -> None:
        """As `TopicRecords`."""
        with suppress(KafkaException, RuntimeError):  # brokers are away, or the run is over
            for at, offset in self._delivered().items():
                place = TopicPartition(self._topic.name, at)
                _, high = self._consumer.get_watermark_offsets(place, timeout=_LOOK_S)
                self._progress.waiting[self._source(at)] = max(0, high - offset)

    def _delivered(self) -> dict[int, int]:
        """For each partition the offset behind what is delivered."""
        known = [(source.rpartition("/"), offset) for source, offset in self._progress.delivered.items()]
        return {int(at): offset for (topic, _, at), offset in known if topic == self._topic.name}

    def _take(self, error: KafkaError, partition: int | None) -> None:
        code, at = error.code(), partition or 0
        if code == KafkaError._PARTITION_EOF:
            # Markers of transactions have offsets too: the end is reached though the last record lies before it.
            if at in self._ends:
                self._next[at] = max(self._next[at], self._ends[at])
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            self._pass_gap(at)
        elif code not in PASSING and not error.retriable():
            raise InputError(f"{self._source(at)}: {error.str()}")

    def _pass_gap(self, at: int) -> None:
        name, following = self._source(at), self._next[at]
        low, high = (watermarks(self._block, self._topic.name, [at], side)[at] for side in (0, 1))
        if high < following:
            raise InputError(
                f"{name}: ends at offset {high}, but {following} was to be read next: it was cut or made anew"
            )
        gone = f"{name}: offsets {following} to {low - 1} were removed by retention"
        if self._block.on_gap == "fail":
            raise InputError(f"{gone} before they were forwarded; --on-gap earliest goes on behind them")
        self._tell(f"{gone}; going on at {low}")
        self._next[at] = low
        self._assign()

    def _assign(self) -> None:
        """Read on from where each partition is; what was fetched ahead is fetched again."""
        self._consumer.assign([TopicPartition(self._topic.name, at, offset) for at, offset in self._next.items()])

    def _look_for_new(self) -> None:
        """Take partitions on that the topic has got, from their beginning."""
        if not self._every or self._ends or time.monotonic() < self._looked + self._every:
            return
        self._looked = time.monotonic()
        try:
            known = self._consumer.list_topics(self._topic.name, timeout=_LOOK_S).topics[self._topic.name].partitions
        except KafkaException:
            return  # brokers are away, which is no news
        if new := sorted(known.keys() - self._next.keys()):
            self._next |= dict.fromkeys(new, 0)
            self._assign()
            self._tell(f"{self._group}: topic {self._topic.name} has {len(new)} new partitions, read from their begin")

    def _begin(self, state: Place | None) -> dict[int, int]:
        """For each partition the first offset."""
        partitions = range(self._topic.partitions)
        known: dict[int, int] = {}
        if state is not None:
            id, known = state
            if id != self._topic.id:
                raise InputError(
                    f"topic {self._topic.name} was made anew (its id was {id}, now {self._topic.id}): the offsets "
                    "read before say nothing of it; give another --state directory"
                )
        places = [TopicPartition(self._topic.name, at) for at in partitions]
        found = patient(self._block, self._failures, lambda s: self._consumer.committed(places, timeout=s))
        known = {at.partition: int(at.offset) for at in found if at.offset >= 0} | known
        fresh = [at for at in partitions if at not in known]
        if not fresh:
            return known
        # Partitions that came later are read from their beginning.
        moment = EARLIEST if known else self._block.start or EARLIEST
        first = offsets(self._block, self._topic.name, fresh, moment)
        begun = [TopicPartition(self._topic.name, at, first[at]) for at in fresh]
        self._consumer.commit(offsets=begun, asynchronous=False)  # else "latest" is another offset after a crash
        return {at: known[at] if at in known else first[at] for at in partitions}

    def _commit(self, wait: bool = False) -> None:
        """Show in the consumer group what is delivered. It is where a run without state begins."""
        new = {at: offset for at, offset in self._delivered().items() if self._shown.get(at) != offset}
        if not new:
            return
        places = [TopicPartition(self._topic.name, at, offset) for at, offset in new.items()]
        try:
            if wait:
                self._consumer.commit(offsets=places, asynchronous=False)
            else:
                self._consumer.commit(offsets=places)
        except KafkaException as error:
            if not wait:
                raise InputError(f"topic {self._topic.name}: {reason(error)}") from None
        self._shown |= new

    def _failed(self, error: BaseException) -> InputError:
        return error if isinstance(error, InputError) else InputError(f"topic {self._topic.name}: {reason(error)}")
