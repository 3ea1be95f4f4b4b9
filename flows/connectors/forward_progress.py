"""How far a destination is: written by its flow, read by whoever asks."""

import threading
import time
from collections.abc import Mapping, Sequence

from flows.formats.forwarded import Record


class ForwardProgress:
    """Counts of one destination since the start. Its flow's thread writes, others read.

    `delivered` is, by source, the offset up to which everything has been delivered or refused, `waiting` how much lies
    behind it. `failing` says why the last attempt failed, empty once one has had an answer.
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.read = self.sent = self.filtered = self.refused = self.retries = self.batches = 0
        self.sent_bytes = 0
        self.failing = ""
        self.last_sent = 0.0
        self.waiting: dict[str, int] = {}
        self._delivered: dict[str, int] = {}
        self._lock = threading.Lock()

    def failed(self, why: str) -> bool:
        """An attempt failed; whether it is the first of several."""
        first = not self.failing
        self.failing = why
        self.retries += 1
        return first

    def take(self, batches: Sequence[Sequence[Record]]) -> None:
        """The destination has taken these."""
        for batch in batches:
            self.batches += 1
            self.sent += len(batch)
            self.sent_bytes += sum(len(record.body) for record in batch)
            self.last_sent = time.time()

    def succeeded(self) -> bool:
        """An attempt was answered; whether the one before it had failed."""
        was, self.failing = self.failing, ""
        return bool(was)

    def deliver(self, reached: Mapping[str, int]) -> None:
        """Everything up to these offsets is with the destination, or refused."""
        with self._lock:
            self._delivered.update(reached)

    @property
    def delivered(self) -> dict[str, int]:
        """By source, the offset behind what is delivered."""
        with self._lock:
            return dict(self._delivered)

    @property
    def behind(self) -> int:
        """Messages, or bytes of files, that are not delivered yet; -1 where nobody has said."""
        known = list(self.waiting.values())
        return sum(known) if known and min(known) >= 0 else -1
