"""Lines to a topic: events as an identity platform would send them, for `lapwing simulate`, and verdicts."""

import time
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer

from flows.connectors.kafka_client import Failures, common, failed_output, heard, logger, made, missing, topics
from flows.errors import LapwingError, OutputError
from flows.kafka_block import Kafka
from models.event import Headers

_PIECE_S: Final = 0.02
"""How far ahead of its rate a sender may be before it waits."""


class _About(msgspec.Struct):
    user: str | None = None
    username: str | None = None
    ip: str | None = None


class LineSender:
    """Sends each line as a message, keyed by its user or address, at most `rate` a second (None: as fast as they go).

    `topic` is that of events where none is given; each message bears the `headers`. All are delivered, in order within
    a key, when `with` is left without an error.

    Raises
    ------
    InputError
        No broker answers, or there is no such topic.
    OutputError
        A message could not be delivered.
    """

    def __init__(self, block: Kafka, rate: float | None = None, topic: str = "", headers: Headers = ()) -> None:
        self._topic, self._rate = topic or block.topics.events, rate
        self._headers: dict[str, str | bytes | None] = dict(headers)
        if not topics(block, [self._topic]):
            raise OutputError(missing([self._topic]))
        self._failures = Failures()
        self._lost = ""
        options: dict[str, Any] = {"linger.ms": 5, "compression.type": "lz4", "partitioner": "murmur2_random"}
        options |= common(block) | dict(block.producer) | {"enable.idempotence": True, "error_cb": self._failures}
        options |= {"delivery.report.only.error": True, "on_delivery": self._report}
        self._producer = made(lambda: Producer(options, logger=logger()))
        self._sent, self._began = 0, time.monotonic()

    def send(self, lines: bytes, key: bytes | None = None) -> None:
        """Hand over whole lines, waiting where the rate or the brokers ask for it; all with `key` if one is given."""
        for line in lines.splitlines():
            self._pace()
            self._produce(line, key or _key(line))
            self._sent += 1
        heard(self._producer.poll, 0, self._failed)
        self._check()

    def _pace(self) -> None:
        if self._rate is not None:
            ahead = self._sent / self._rate - (time.monotonic() - self._began)
            if ahead > _PIECE_S:
                heard(self._producer.poll, 0, self._failed)
                self._check()
                time.sleep(ahead)

    def _produce(self, value: bytes, key: bytes | None) -> None:
        while True:
            try:
                return self._producer.produce(self._topic, value, key, headers=self._headers)
            except BufferError:
                heard(self._producer.poll, 0.1, self._failed)
                self._check()
            except KafkaException as error:
                raise self._failed(error) from None

    def _failed(self, error: KafkaException) -> LapwingError:
        return failed_output(error, f"topic {self._topic}")

    def _report(self, error: KafkaError | None, message: Any) -> None:
        if error is not None and not self._lost:
            self._lost = f"topic {self._topic}: {self._failures.last or error.str()}"

    def _check(self) -> None:
        if self._failures.fatal is not None:
            raise OutputError(f"topic {self._topic}: {self._failures.fatal.str()}")
        if self._lost:
            raise OutputError(self._lost)

    def flush(self) -> None:
        """Wait until all that was sent is delivered."""
        while heard(self._producer.flush, 1.0, self._failed):
            self._check()
        self._check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._producer.purge()
            while heard(self._producer.flush, 1.0, self._failed):
                self._check()
        else:
            self.flush()


def _key(line: bytes) -> bytes | None:
    """What keeps a user's events in order, as a platform keys them.

    >>> _key(b'{"user": "u-1", "ip": "203.0.113.7"}'), _key(b'{"ip": "203.0.113.7"}'), _key(b"no event")
    (b'u-1', b'203.0.113.7', None)
    """
    try:
        about = msgspec.json.decode(line, type=_About)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    value = about.user or about.username or about.ip
    return value.encode() if value else None
