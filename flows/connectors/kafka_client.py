"""What every client of the brokers needs: options, secrets, the topics' layout, and errors a user can read."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from flows.durations import microseconds
from flows.errors import InputError, LapwingError, OutputError, UsageError
from flows.kafka_block import RESULTS, Kafka, secret

T = TypeVar("T")
PASSING: Final = {
    KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE,
    KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.OFFSET_NOT_AVAILABLE,
}  # fmt: skip
"""What a broker's restart or a leader's election answers for a while."""
_AGAIN_S: Final = 0.2
FOR_EVER: Final = (1 << 63) - 1
"""What brokers say for no limit."""
_SILENT: Final = logging.getLogger("lapwing.librdkafka")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@dataclass(slots=True, frozen=True)
class Topic:
    """A topic as the brokers describe it.

    `most_bytes` is the largest record batch it takes; `before_ms` and `after_ms` are how far from the broker's clock a
    record's timestamp may lie.
    """

    name: str
    id: str
    partitions: int
    most_bytes: int
    before_ms: int
    after_ms: int


def common(block: Kafka) -> dict[str, Any]:
    """The options of every client.

    Raises
    ------
    UsageError
        A secret is not where the configuration says, each one named.
    """
    faults: list[str] = []
    options: dict[str, Any] = dict(block.options)
    options |= {"bootstrap.servers": block.bootstrap, "security.protocol": block.security}
    options.setdefault("client.id", block.application)
    if block.security.startswith("sasl"):
        options["sasl.mechanism"] = block.sasl_mechanism
        if name := block.username or (block.username_env and secret(block.username_env, "", "username", faults)):
            options["sasl.username"] = name
        if block.password_env or block.password_file:
            options["sasl.password"] = secret(block.password_env, block.password_file, "password", faults)
    if block.security.endswith("ssl"):
        files = {"ca": block.ca_file, "certificate": block.certificate_file, "key": block.key_file}
        options |= {f"ssl.{name}.location": path for name, path in files.items() if path}
        if block.key_password_env:
            options["ssl.key.password"] = secret(block.key_password_env, "", "key password", faults)
    if faults:
        raise UsageError("\n".join(f"[kafka] {fault}" for fault in faults))
    return options


class Failures:
    """What a client's background threads complained of: kept for whoever has to say why nothing comes."""

    def __init__(self) -> None:
        self.last = ""
        self.fatal: KafkaError | None = None

    def __call__(self, error: KafkaError) -> None:
        """Take an error, as librdkafka gives it."""
        self.last = error.str()
        if error.fatal():
            self.fatal = error


def admin(block: Kafka, failures: Failures | None = None) -> AdminClient:
    """A client that asks and changes nothing by itself."""
    options = common(block)
    if failures is not None:
        options["error_cb"] = failures
    return made(lambda: AdminClient(options, logger=_SILENT))


def made(make: Callable[[], T]) -> T:
    """A client, or what is wrong with its options."""
    try:
        return make()
    except (KafkaException, ValueError, TypeError) as error:
        raise UsageError(f"[kafka] {reason(error)}") from None


def logger() -> logging.Logger:
    """Where librdkafka's own lines go: nowhere. What matters is raised or counted."""
    return _SILENT


def reason(error: BaseException) -> str:
    """A broker's or librdkafka's error in its own words."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return inner.str() if isinstance(inner, KafkaError) else str(inner)


def topics(block: Kafka, names: Iterable[str]) -> dict[str, Topic]:
    """The topics as they are; one that does not exist is left out.

    Raises
    ------
    InputError
        No broker answered within `startup_timeout`, or one refuses to say.
    """
    failures = Failures()
    client = admin(block, failures)
    timeout, wanted = startup_s(block), [*names]
    try:
        answers = client.describe_topics(TopicCollection(wanted), request_timeout=timeout)
        found = {}
        for name, answer in answers.items():
            try:
                found[name] = answer.result(timeout + 1)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise
        if not found:
            return {}
        asked = client.describe_configs(
            [ConfigResource(ConfigResource.Type.TOPIC, name) for name in found], request_timeout=timeout
        )
        known = {
            place.name: {key: entry.value for key, entry in answer.result(timeout + 1).items()}
            for place, answer in asked.items()
        }
    except (KafkaException, TimeoutError) as error:
        client.poll(0)  # tells `failures` why
        raise unreachable(block, failures, error) from None
    described = {}
    for name, one in found.items():
        own = known[name]
        before, after = (_span_ms(own, side) for side in ("before", "after"))
        most = int(own["max.message.bytes"])
        described[name] = Topic(name, str(one.topic_id), len(one.partitions), most, before, after)
    return described


def _span_ms(known: Mapping[str, str], side: str) -> int:
    """How far from the broker's clock a topic lets a timestamp lie on one side."""
    if known.get("message.timestamp.type") == "LogAppendTime":
        return FOR_EVER
    # Brokers before 3.6 have one limit for both sides.
    both = known.get("message.timestamp.difference.max.ms", str(FOR_EVER))
    return int(known.get(f"message.timestamp.{side}.max.ms", both))


def unreachable(block: Kafka, failures: Failures, error: BaseException) -> InputError:
    """The one line for brokers that do not answer."""
    why = failures.last or reason(error)
    return InputError(f"Kafka at {block.bootstrap}: no answer within {block.startup_timeout} ({why})")


def startup_s(block: Kafka) -> float:
    """Seconds to wait for brokers at the start."""
    return microseconds(block.startup_timeout) / 1e6


def patient(block: Kafka, failures: Failures, ask: Callable[[float], T]) -> T:
    """What `ask` is told within the seconds given to it, asked again while brokers start and leaders are elected.

    Raises
    ------
    InputError
        There was no answer within `startup_timeout`, or one that waiting does not change.
    """
    deadline = time.monotonic() + startup_s(block)
    while True:
        try:
            return ask(max(_AGAIN_S, deadline - time.monotonic()))
        except KafkaException as error:
            if error.args[0].code() not in PASSING:
                raise InputError(f"Kafka at {block.bootstrap}: {reason(error)}") from None
            if time.monotonic() + _AGAIN_S > deadline:
                raise unreachable(block, failures, error) from None
        time.sleep(_AGAIN_S)


def heard(ask: Callable[[float], int], seconds: float, told: Callable[[KafkaException], LapwingError]) -> int:
    """What a producer's `poll` or `flush` answers; a fatal error may be raised there too, and is `told` the user."""
    try:
        return ask(seconds)
    except KafkaException as error:
        raise told(error) from None


def all_there(block: Kafka, reading: bool, writing: bool) -> None:
    """Say beforehand which topics do not exist, all of them in one InputError; raises as `topics` too."""
    keys = [*RESULTS, "markers"] if block.delivery == "exactly-once" else [*RESULTS]
    wanted = [getattr(block.topics, key) for key in ["events"] * reading + keys * writing]
    found = topics(block, wanted)
    if lacking := [name for name in wanted if name not in found]:
        raise InputError(missing(lacking))


def missing(names: Iterable[str]) -> str:
    """One line for topics that do not exist."""
    return f"no topic {', '.join(names)}; `lapwing check --connect` prints the commands that make what is missing"


def failed_output(error: BaseException, what: str) -> LapwingError:
    """The error of a sink, for the user."""
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else None
    if isinstance(inner, KafkaError) and inner.code() in (KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
        return OutputError(
            f"{what}: fenced, because another run with the same kafka.application has started; "
            "two runs at a time need two names"
        )
    return OutputError(f"{what}: {reason(error)}")
