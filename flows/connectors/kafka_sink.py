"""Results to topics: a transaction for each sink partition and epoch, with the marker that makes it exactly once."""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import get_ident
from typing import Any, Final, Protocol

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from confluent_kafka import KafkaError, KafkaException, Producer

from flows.connectors.kafka_client import (
    Failures,
    common,
    failed_output,
    heard,
    logger,
    made,
    startup_s,
)
from flows.connectors.kafka_limits import Counts, Limits, Record, limits_of, record
from flows.connectors.marker import Marker, Position, advanced, begun, last_marker, pieces, reached
from flows.connectors.write_behind import WriteBehind
from flows.durations import microseconds
from flows.errors import LapwingError, OutputError, Refused
from flows.kafka_block import Kafka

_ABORT_S: Final = 5.0
WAITING_BYTES: Final = 32 << 20
"""What waits to be made into records, in all sink partitions together, beside two items of each."""
_POLL_S: Final = 0.05
"""A producer is asked so often what it has found out."""
BUFFERED_KIB: Final = 131_072
"""What all producers hold, at most, of records that the brokers have not taken yet."""
_PATIENCE: Final = 4096
"""Transactions after which a name is awaited no longer: all that comes again has come within the first few. Where an
hour's limit is reached within one pane, another incident may be told after a replay than before."""


class Ordered(Protocol):
    """Records of a lane, in its order: some that lie behind a position may be asked for."""

    @property
    def lane(self) -> str:
        """Whose order it is."""

    @property
    def size(self) -> int:
        """About how many bytes they hold while they wait."""

    @property
    def position(self) -> Position:
        """How far the lane is with these."""

    def records(self, after: Position, limits: Limits) -> Iterable[Record]:
        """Those behind `after`, each of which fits its topic."""


class Named(Protocol):
    """Records without an order, by the names that they have after every replay."""

    @property
    def size(self) -> int:
        """As of `Ordered`."""

    def named(self, limits: Limits) -> Iterable[tuple[bytes, Sequence[Record]]]:
        """All of them, each of which fits its topic."""


Item = Ordered | Named
State = tuple[int, str, int, tuple[bytes, ...]] | None
"""(version, lineage, number of the last transaction, names still to come again)."""
_STATE_VERSION: Final = 1


class KafkaSink(FixedPartitionedSink[Item, State]):
    """All topics that are written, by `sinks` partitions of its own: how many is part of the state's identity.

    Keys of items are those of `sink_key`. With `lineage`, the name of the state that this run belongs to, an epoch's
    records are one transaction for each partition, committed before the epoch is durable, and the marker in it says
    what they were; what comes again after a crash is dropped. Without, records may come twice after a crash (and are
    seen at once).

    Raises
    ------
    InputError
        No broker answers within `startup_timeout`.
    OutputError
        A topic is missing, or records cannot be delivered: nothing is marked done that was not.
    """

    def __init__(self, block: Kafka, lineage: str | None) -> None:
        self._block = block
        self._lineage = lineage if block.delivery == "exactly-once" else None
        self.limits = limits_of(block, marked=self._lineage is not None)
        self.counts = self.limits.counts
        self._parts: dict[int, list[_Part]] = {}
        self._committing = ThreadPoolExecutor(block.sinks, "commit")

    def list_parts(self) -> list[str]:
        """As many as configured."""
        return [_name(at) for at in range(self._block.sinks)]

    def part_fn(self, item_key: str) -> int:
        """The number that `sink_key` has put into the key."""
        return int(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: State) -> "StatefulSinkPartition[Item, State]":
        """Fence off whoever wrote before, and learn what was written last."""
        at = int(for_part.rpartition("-")[2])
        part = _Part(self._block, at, self._lineage, self.limits, self.counts, resume_state, self._commit_all)
        self._parts.setdefault(get_ident(), []).append(part)
        return part

    def _commit_all(self) -> None:
        """Begin the commits of all partitions of this worker: each waits for the brokers, so they wait together.

        Another worker's may be in the middle of their epoch.
        """
        for part in self._parts[get_ident()]:
            part.begin_commit(self._committing)


def sink_key(lane: str, sinks: int) -> str:
    """The key of a lane's items: the lanes of neighbouring partitions and shards lie on different sink partitions.

    >>> sink_key("audit.events/5", 4), sink_key("ip/2.13", 4), sink_key("alerts", 4)
    ('1', '2', '0')
    """
    digits = lane.rpartition("/")[2].partition(".")[0]
    return str(int(digits) % sinks if digits.isdecimal() else 0)


def _name(at: int) -> str:
    return f"sink-{at:02}"


class _Part(StatefulSinkPartition[Item, State]):
    """One producer, and the transaction of the running epoch, filled behind the flow's back."""

    def __init__(
        self,
        block: Kafka,
        at: int,
        lineage: str | None,
        limits: Limits,
        counts: Counts,
        resume: State,
        commit_all: Callable[[], None],
    ) -> None:
        self._block, self._at, self._limits, self._counts, self._commit_all = block, at, limits, counts, commit_all
        self._what = f"Kafka at {block.bootstrap}"
        self._failures = Failures()
        self._marked = lineage is not None
        self._producer = self._made(lineage)
        self._behind = WriteBehind(WAITING_BYTES // block.sinks)
        self._open = self._touched = False
        self._polled = 0.0
        self._commit: Future[None] | None = None
        self._wrote: list[bytes] = []
        self._dropped: list[bytes] = []
        self._undelivered = ""
        if resume is not None and resume[0] != _STATE_VERSION:
            raise Refused("the state of the Kafka sink is of another version of Lapwing")
        if resume is not None and resume[1] != lineage:
            resume = None  # a copy of a state goes on under its own name, among transactions of its own
        self._last = self._read_marker(lineage or "", resume)
        self._lanes = dict(self._last.lanes)
        self._awaited = self._to_come(resume)
        self._until = self._last.number + _PATIENCE

    def _made(self, lineage: str | None) -> Producer:
        block = self._block
        options: dict[str, Any] = {"linger.ms": 5, "compression.type": "lz4", "partitioner": "murmur2_random"}
        options["message.max.bytes"] = max(1_000_000, *self._limits.most_bytes.values())
        options["batch.size"] = min(1_000_000, *self._limits.most_bytes.values())
        options["queue.buffering.max.kbytes"] = max(4096, BUFFERED_KIB // block.sinks)
        options |= common(block) | dict(block.producer) | {"enable.idempotence": True, "error_cb": self._failures}
        options |= {"delivery.report.only.error": True, "on_delivery": self._report}
        if lineage is not None:
            options["transactional.id"] = f"{block.application}-{_name(self._at)}"
            options["transaction.timeout.ms"] = microseconds(block.transaction_timeout) // 1000
        return made(lambda: Producer(options, logger=logger()))

    def _read_marker(self, lineage: str, resume: State) -> Marker:
        """The last transaction's marker, when no other can follow it but ours."""
        if not self._marked:
            return begun("")
        try:
            self._producer.init_transactions(startup_s(self._block))
        except KafkaException as error:
            raise OutputError(f"{self._what}: {self._failures.last or failed_output(error, '').args[0]}") from None
        found = last_marker(self._block, self._at)
        number = resume[2] if resume else 0
        if found is None or found.lineage != lineage:
            if number:
                raise Refused(
                    f"topic {self._block.topics.markers}: the last transaction of this state is not there: the topic "
                    "was made anew, or another state has written since; --fresh starts anew"
                )
            return begun(lineage)
        if number > found.number:
            raise Refused(
                f"topic {self._block.topics.markers}: ends at transaction {found.number}, but the state knows of "
                f"{number}: it was cut, or the state directory is another one"
            )
        return found

    def _to_come(self, resume: State) -> set[bytes]:
        """The names that will come again, because the state is from before they were written."""
        if self._last.number > (resume[2] if resume else 0):
            return self._last.names
        return {*resume[3]} if resume else set()

    def write_batch(self, items: list[Item]) -> None:
        """Hand over the records of the items; a failure is raised here, at a later call, or by `snapshot`."""
        self._touched = True
        self._behind.look()
        self._check()
        for item in items:
            self._behind.write(partial(self._write, item), item.size)

    def _write(self, item: Item) -> None:
        if hasattr(item, "named"):
            for name, records in item.named(self._limits):
                if name in self._awaited:
                    self._awaited.discard(name)
                    self._dropped.append(name)
                    continue
                self._wrote.append(name)
                self._produce(records)
        else:
            after = reached(self._last.lanes, item.lane)
            self._produce(item.records(after, self._limits))
            self._lanes = advanced(self._lanes, [(item.lane, item.position)])
        # Whoever polls has to wait for the interpreter again.
        if (now := time.monotonic()) - self._polled > _POLL_S:
            self._polled = now
            heard(self._producer.poll, 0, self._failed)

    def _produce(self, records: Iterable[Record]) -> None:
        produce, count = self._producer.produce, 0
        for one in records:
            if not self._open:
                self._begin()
            count += 1
            try:
                produce(*one)
            except BufferError:
                self._produce_when_there_is_room(one)
            except KafkaException as error:
                raise self._failed(error) from None
        self._counts.records += count

    def _produce_when_there_is_room(self, one: Record) -> None:
        while True:
            heard(self._producer.poll, 0.05, self._failed)
            self._check()
            try:
                return self._producer.produce(*one)
            except BufferError:
                continue
            except KafkaException as error:
                raise self._failed(error) from None

    def _begin(self) -> None:
        if self._marked:
            try:
                self._producer.begin_transaction()
            except KafkaException as error:
                raise self._failed(error) from None
        self._open = True

    def snapshot(self) -> State:
        """Commit. When the epoch becomes durable, this number does; if it does not, the marker knows what was written.

        Waits for the brokers: some milliseconds.
        """
        self._commit_all()
        if self._commit is not None:
            self._commit.result()
        self._commit, self._touched = None, False
        if not self._marked:
            return None
        return (_STATE_VERSION, self._last.lineage, self._last.number, tuple(sorted(self._awaited)))

    def begin_commit(self, threads: ThreadPoolExecutor) -> None:
        """Begin what `snapshot` waits for, if it will come: Bytewax asks only those that this epoch has written to."""
        if self._touched and self._commit is None:
            self._commit = threads.submit(self._finish)

    def _finish(self) -> None:
        self._behind.settle()
        self._check()
        if not self._marked:
            self._flush()
            self._open = False
            return
        if not self._open and not self._dropped:
            return
        marker = Marker(
            self._last.version, self._last.lineage, self._last.number + 1, dict(self._lanes),
            tuple(self._wrote), tuple(self._dropped), tuple(sorted(self._awaited)),
        )  # fmt: skip
        topic = self._block.topics.markers
        self._produce(
            record(topic, f"{self._at}/{k}".encode(), piece, partition=self._at)
            for k, piece in enumerate(pieces(marker))
        )
        self._committed()
        self._last = marker
        self._open = False
        if marker.number > self._until:
            self._awaited.clear()
        self._wrote, self._dropped = [], []

    def _committed(self) -> None:
        deadline = time.monotonic() + microseconds(self._block.transaction_timeout) / 1e6
        while True:
            try:
                self._producer.commit_transaction(max(0.1, deadline - time.monotonic()))
                return
            except KafkaException as error:
                inner = error.args[0]
                if inner.retriable() and time.monotonic() < deadline:
                    continue
                if inner.txn_requires_abort():
                    self._abort()
                raise self._failed(error) from None

    def _flush(self) -> None:
        while heard(self._producer.flush, 1.0, self._failed):
            self._check()
        self._check()  # the last of them may be those that were not delivered

    def _report(self, error: KafkaError | None, message: Any) -> None:
        """A record that was not delivered."""
        if error is not None and error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self._counts.delivery_errors += 1
            self._undelivered = self._undelivered or f"topic {message.topic()}: {error.str()}"

    def _check(self) -> None:
        """Raise what librdkafka has found out in the background."""
        if (fatal := self._failures.fatal) is not None:
            raise self._failed(KafkaException(fatal))
        if self._undelivered and not self._marked:
            raise OutputError(f"{self._undelivered}; nothing of this epoch is marked done")

    def _failed(self, error: KafkaException) -> LapwingError:
        """The error for the user: what librdkafka has found out in the background says more than the call's own."""
        try:
            self._producer.poll(0)  # lets it say what it is
        except KafkaException as told:
            error = told
        fatal = self._failures.fatal
        return failed_output(KafkaException(fatal) if fatal is not None else error, self._undelivered or self._what)

    def _abort(self) -> None:
        with suppress(KafkaException):
            self._producer.abort_transaction(_ABORT_S)

    def close(self) -> None:
        """Abort what is open, so that readers need not wait for its timeout; also called when another step failed."""
        self._behind.close()
        if self._marked and self._open:
            self._abort()
        self._open = False
