"""A destination as a Bytewax sink: what an epoch has read is delivered, or refused for good, before the epoch ends."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from flows.connectors.destinations.answer import Answer, Client
from flows.connectors.forward_progress import ForwardProgress
from flows.connectors.refusals import Refusals
from flows.durations import microseconds
from flows.errors import LapwingError
from flows.formats.forwarded import Message, Record, Selected
from flows.forward_block import Destination

_DOUBLINGS: Final = 30
_STOPPING_S: Final = 10.0
"""How long a stop waits for what is sent and not confirmed."""


class Stopped(LapwingError):
    """A stop was asked for while a destination could not be reached: what it does not have is sent again."""


class DestinationSink(FixedPartitionedSink[Selected, None]):
    """Sends batches one after another, so that order holds, and waits for as long as the destination is away.

    It holds one batch and what is not acknowledged: a dataflow that waits here reads nothing further.
    """

    def __init__(
        self,
        one: Destination,
        client: Client,
        refusals: Refusals,
        progress: ForwardProgress,
        stop: threading.Event,
        tell: Callable[[str], None],
    ) -> None:
        self._make = partial(_Sending, one, client, refusals, progress, stop, tell)

    def list_parts(self) -> list[str]:
        """One: order asks for it."""
        return ["destination"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Sending":
        """Begin; it remembers nothing."""
        return self._make()


class _Sending(StatefulSinkPartition[Selected, None]):
    def __init__(
        self,
        one: Destination,
        client: Client,
        refusals: Refusals,
        progress: ForwardProgress,
        stop: threading.Event,
        tell: Callable[[str], None],
    ) -> None:
        self._one, self._client, self._refusals, self._progress = one, client, refusals, progress
        self._stop, self._tell = stop, tell
        self._batch: list[Record] = []
        self._reached: dict[str, int] = {}
        self._failures = 0
        self._patient_until = float("inf")
        self._random = random.Random()

    def write_batch(self, values: list[Selected]) -> None:
        for selected in values:
            self._progress.read += selected.messages
            self._progress.filtered += selected.messages - len(selected.records) - len(selected.unreadable)
            for message, why in selected.unreadable:
                self._refuse(message, "", "unreadable", why)
            *full, self._batch = self._cut([*self._batch, *selected.records])
            self._deliver(full)
            self._reached.update(selected.reached)

    def snapshot(self) -> None:
        """The epoch's end: nothing may be under way any more."""
        again, self._batch = [self._batch], []
        while again:
            self._deliver(again)
            again = self._settled()
        self._refusals.flush()
        self._progress.deliver(self._reached)

    def close(self) -> None:
        self._client.close()

    def _cut(self, records: Sequence[Record]) -> list[list[Record]]:
        """The records in batches, the last of which has room, and may have none."""
        batches: list[list[Record]] = [[]]
        room = self._one.batch_bytes
        for record in records:
            size = self._client.size(record)
            if len(batches[-1]) == self._one.batch_events or (batches[-1] and size > room):
                batches.append([])
                room = self._one.batch_bytes
            batches[-1].append(record)
            room -= size
        return [*batches, []] if len(batches[-1]) == self._one.batch_events else batches

    def _deliver(self, batches: Sequence[Sequence[Record]]) -> None:
        """Send until each record is sent or refused. What is refused as a whole is halved, so that one is found."""
        open_ = [*reversed(batches)]
        while open_:
            if self._client.full:
                open_ += reversed(self._settled())
            if not (part := open_.pop()):
                continue
            answer = self._client.send(part)
            if answer.halve:
                self._served()
                if len(part) == 1:
                    self._refuse(part[0].message, part[0].id, "refused", answer.why)
                else:
                    middle = len(part) // 2
                    open_ += [part[middle:], part[:middle]]
            elif again := self._judge(answer):
                open_.append(again)

    def _settled(self) -> list[list[Record]]:
        """Wait until nothing is open at the destination, or some of it is to be sent again: then that, in batches."""
        while True:
            answer = self._client.settle()
            if again := self._judge(answer):
                return self._cut(again)
            if not answer.pending_s:
                return []
            self._pause(answer.pending_s)

    def _judge(self, answer: Answer) -> Sequence[Record]:
        """Count what an answer says, and wait if it says that something is to be sent again, which is returned."""
        for record, why in answer.refused:
            self._refuse(record.message, record.id, "refused", why)
        self._progress.take(answer.taken)
        if answer.again:
            if self._progress.failed(answer.why):
                self._tell(f"{self._one.id}: {answer.why}; trying again")
            self._wait(answer.wait_s)
        elif answer.taken or answer.refused:
            self._served()
        return answer.again

    def _served(self) -> None:
        """The destination has answered, be it that it refuses something."""
        self._failures = 0
        if self._progress.succeeded():
            self._tell(f"{self._one.id}: is being served again")

    def _pause(self, seconds: float) -> None:
        """Wait for a confirmation; after a stop not for very long."""
        if not self._stop.wait(seconds):
            return
        now = time.monotonic()
        self._patient_until = min(self._patient_until, now + _STOPPING_S)
        if now > self._patient_until:
            raise Stopped(f"{self._one.id}: stopped before it had confirmed everything")
        time.sleep(seconds)

    def _wait(self, asked_s: float) -> None:
        """Full jitter: anything up to a bound that doubles; what the destination asks for, where that is longer."""
        first, most = microseconds(self._one.retry_first), microseconds(self._one.retry_most)
        bound = min(most, first << min(self._failures, _DOUBLINGS)) / 1e6
        self._failures += 1
        if self._stop.wait(max(asked_s, self._random.uniform(0, bound))):
            raise Stopped(f"{self._one.id}: stopped while it could not be reached ({self._progress.failing})")

    def _refuse(self, message: Message, id: str, reason: str, answer: str) -> None:
        self._progress.refused += 1
        self._refusals.add(self._one.id, message, id, reason, answer)
        if self._progress.refused == 1:
            # Not the answer: it may quote what was sent. It is kept with the record.
            self._tell(f"{self._one.id}: refused a record, which is kept as dead letter with the answer ({reason})")
