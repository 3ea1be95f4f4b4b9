"""`latest`: which closed incidents leave the compacted topic, and when."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import msgspec
from bytewax.operators import StatefulBatchLogic

from flows.connectors.kafka_limits import Limits, Record, record
from flows.steps.gather import Gathered
from models.alert import CLOSE, Alert
from models.base import END_OF_TIME, NONE_TIME

VERSION: Final = 1


@dataclass(slots=True, frozen=True)
class Tombstones:
    """Incidents whose last alert a compacted topic may forget, by uid."""

    uids: tuple[str, ...]
    topic: str

    @property
    def size(self) -> int:
        """A name each."""
        return 64 * len(self.uids)

    def named(self, limits: Limits) -> Iterator[tuple[bytes, list[Record]]]:
        """A record without a value for each."""
        for uid in self.uids:
            name = blake2b(f"{uid}/forgotten".encode(), digest_size=12).digest()
            yield name, [record(self.topic, uid.encode(), None)]


class _State(msgspec.Struct, array_like=True):
    version: int
    clock: int
    due: dict[str, int]


class Latest(StatefulBatchLogic[Gathered | list[Alert], Tombstones, bytes]):
    """Remembers what has been closed, and for how long: `retention` microseconds of event time.

    The clock is the furthest watermark of any source. Memory is what is closed within the retention, some 100 bytes an
    incident; how many that are is bounded by the hourly limit of incidents.
    """

    def __init__(self, topic: str, retention: int, resume: bytes | None) -> None:
        state = msgspec.msgpack.decode(resume, type=_State) if resume else _State(VERSION, NONE_TIME, {})
        if state.version != VERSION:
            raise ValueError(f"closed incidents of version {state.version} cannot be read")
        self._topic, self._retention = topic, retention
        self._clock, self._due = state.clock, state.due

    def on_batch(self, values: list[Gathered | list[Alert]]) -> tuple[list[Tombstones], bool]:
        """Take closes and the time, and give those whose time is over."""
        for value in values:
            if isinstance(value, list):
                for alert in value:
                    if alert.activity == CLOSE and not alert.suppressed_by:
                        self._due[alert.uid] = alert.time + self._retention
            elif (watermark := value.scored.batch.watermark) != END_OF_TIME:
                self._clock = max(self._clock, watermark)
        # Closes come in the order of their time, but for those of a group: the first that is not due ends the look.
        over = []
        for uid, due in self._due.items():
            if due > self._clock:
                break
            over.append(uid)
        for uid in over:
            del self._due[uid]
        return ([Tombstones(tuple(over), self._topic)] if over else []), StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[Tombstones], bool]:
        """Nothing: what is closed is remembered by the next run."""
        return [], StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        """What is remembered, as plain bytes."""
        return msgspec.msgpack.encode(_State(VERSION, self._clock, dict(self._due)))
