"""The block `[kafka]`: where the brokers are, which topics, what is promised, and what a connection needs."""

import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from flows.durations import microseconds
from flows.structure import meant, shown, structure

EARLIEST: Final = "earliest"
LATEST: Final = "latest"
END: Final = "end"
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_ENV: Final = r"^([A-Za-z_][A-Za-z0-9_]{0,63})?$"

_LONGEST_OPTION: Final = 256

Topic = Annotated[str, Meta(max_length=249)]
Variable = Annotated[str, Meta(pattern=_ENV)]


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """The names of the topics: one is read, the others are written; that of verdicts by people and not by a run, and
    `forward_dead_letters` by `lapwing forward`.
    """

    events: Topic = "audit.events"
    scored: Topic = "audit.scored"
    alerts: Topic = "audit.alerts"
    latest: Topic = "audit.alerts.latest"
    suppressed: Topic = "audit.suppressed"
    actions: Topic = "audit.actions"
    windows: Topic = "audit.windows"
    dead_letters: Topic = "audit.dead-letters"
    verdicts: Topic = "audit.verdicts"
    markers: Topic = "audit.markers"
    forward_dead_letters: Topic = "audit.forward-dead-letters"


_NO_RESULTS: Final = ("events", "verdicts", "markers", "forward_dead_letters")
RESULTS: Final = tuple(key for key in Topics.__struct_fields__ if key not in _NO_RESULTS)
"""The keys of the topics that a run writes its results to."""


class Kafka(msgspec.Struct, frozen=True, kw_only=True):
    """How to speak with the brokers.

    `start` is where a first run begins; with `until = "end"` a run ends where the partitions ended when it began, with
    a time before the first record of that time or later.
    `application` names the consumer group and the transactions: two deployments on one cluster need two names.
    `new_partitions` is how often a run looks whether the topic of events has got some, "0s" for never.
    Secrets are named, not given: the environment variable, or the file, in which they stand. `options` are librdkafka's
    own, for every client; `consumer` and `producer` those of one kind.
    """

    bootstrap: Annotated[str, Meta(max_length=4096)] = "localhost:9092"
    application: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = "lapwing"
    start: str = ""
    until: str = ""
    on_gap: Literal["fail", "earliest"] = "fail"
    sinks: Annotated[int, Meta(ge=1, le=64)] = 4
    delivery: Literal["exactly-once", "at-least-once"] = "exactly-once"
    transaction_timeout: str = "60s"
    startup_timeout: str = "30s"
    closed_retention: str = "7d"
    new_partitions: str = "30s"
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"] = "SCRAM-SHA-512"
    username: str = ""
    username_env: Variable = ""
    password_env: Variable = ""
    password_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password_env: Variable = ""
    topics: Topics = Topics()
    options: dict[str, str | int | bool] = {}
    consumer: dict[str, str | int | bool] = {}
    producer: dict[str, str | int | bool] = {}


OURS: Final = {
    "bootstrap.servers": "bootstrap",
    "security.protocol": "security",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "username or username_env",
    "ssl.ca.location": "ca_file",
    "ssl.certificate.location": "certificate_file",
    "ssl.key.location": "key_file",
    "group.id": "application",
    "transactional.id": "application",
    "transaction.timeout.ms": "transaction_timeout",
    "auto.offset.reset": "on_gap",
    "topic.metadata.refresh.interval.ms": "new_partitions",
}
"""Options of librdkafka that a key of the block sets."""
SECRET: Final = {
    "sasl.password": "password_env or password_file",
    "ssl.key.password": "key_password_env",
    "ssl.key.pem": "key_file",
    "ssl.keystore.password": "key_password_env",
    "sasl.oauthbearer.client.secret": "password_env",
}
"""Options that are secrets, and what names the place where they stand."""
FIXED: Final = {
    "enable.auto.commit": "offsets are committed when their epoch is durable",
    "enable.auto.offset.store": "offsets are committed when their epoch is durable",
    "enable.partition.eof": "it tells a silent partition from an unreachable broker",
    "enable.idempotence": "without it a retry doubles records",
    "isolation.level": "records of aborted transactions are no events",
    "statistics.interval.ms": "the lag comes from it",
}
"""Options that cannot be set, and why."""


EXPECTED_TOPIC: Final = "Expected a topic's name of letters, digits, ., _ and -"


def kafka(table: object, path: str, faults: list[str]) -> Kafka:
    """The block from its table; what is wrong is told in `faults` and keeps its default.

    >>> found = []
    >>> kafka({"options": {"sasl.password": "x"}, "topics": {"scored": "a b"}}, "$.kafka", found).sinks
    4
    >>> print("\\n".join(found))
    "sasl.password" is a secret, and none belongs into a configuration: use password_env or password_file
    - at $.kafka.options
    Expected a topic's name of letters, digits, ., _ and -, got "a b" - at $.kafka.topics.scored
    """
    if not isinstance(table, Mapping):
        return structure(Kafka, table, path, faults)
    plain = {key: value for key, value in table.items() if key not in ("topics", "options", "consumer", "producer")}
    made = structure(Kafka, plain, path, faults)
    below: dict[str, Any] = {}
    for kind in ("options", "consumer", "producer"):
        if kind in table:
            below[kind] = _options(table[kind], f"{path}.{kind}", faults)
    if "topics" in table:
        below["topics"] = structure(Topics, table["topics"], f"{path}.topics", faults)
    made = msgspec.structs.replace(made, **below)
    faults += _faults(made, path)
    return made


def _options(table: object, path: str, faults: list[str]) -> dict[str, str | int | bool]:
    if not isinstance(table, Mapping):
        faults.append(f"Expected a table, got {shown(table)} - at {path}")
        return {}
    kept: dict[str, str | int | bool] = {}
    for key, value in table.items():
        name = shown(key)
        if key in SECRET:
            faults.append(f"{name} is a secret, and none belongs into a configuration: use {SECRET[key]} - at {path}")
        elif key in OURS:
            faults.append(f"{name} is set by {OURS[key]} under [kafka] - at {path}")
        elif key in FIXED:
            faults.append(f"{name} cannot be set: {FIXED[key]} - at {path}")
        elif not isinstance(value, str | int | float) or len(str(key)) > _LONGEST_OPTION:
            faults.append(f"Expected an option of librdkafka, got {name} = {shown(value)} - at {path}")
        else:
            kept[key] = str(value) if isinstance(value, float) else value
    return kept


def _faults(block: Kafka, path: str) -> list[str]:
    """What no single type shows."""
    faults = []
    names = msgspec.structs.asdict(block.topics)
    first: dict[str, str] = {}
    for key, name in names.items():
        if not is_topic(name):
            faults.append(f"{EXPECTED_TOPIC}, got {shown(name)} - at {path}.topics.{key}")
        elif name in first:
            faults.append(f"{shown(name)} is also the topic of {first[name]} - at {path}.topics.{key}")
        first.setdefault(name, key)
    for key, value, known in (("start", block.start, (EARLIEST, LATEST)), ("until", block.until, (END,))):
        if value and value not in known:
            try:
                moment_ms(value)
            except ValueError:
                listed = ", ".join(f'"{word}"' for word in reversed(known))
                faults.append(
                    f'Expected {listed} or a time such as "2026-11-23T05:00:00Z", got {shown(value)}'
                    f"{meant(value, known) if value.isalpha() else ''} - at {path}.{key}"
                )
    for key in ("transaction_timeout", "startup_timeout", "closed_retention"):
        if microseconds(getattr(block, key)) < 1_000_000:
            faults.append(f"Expected at least 1s - at {path}.{key}")
    if microseconds(block.transaction_timeout) > 900_000_000:
        faults.append(f"Expected at most 15m, which brokers allow - at {path}.transaction_timeout")
    if block.username and block.username_env:
        faults.append(f"Expected username or username_env, not both - at {path}.username_env")
    if block.password_env and block.password_file:
        faults.append(f"Expected password_env or password_file, not both - at {path}.password_file")
    if block.security.startswith("sasl") and block.sasl_mechanism != "OAUTHBEARER":
        if not (block.username or block.username_env):
            faults.append(f"Expected username or username_env for {block.security} - at {path}.username")
        if not (block.password_env or block.password_file):
            faults.append(f"Expected password_env or password_file for {block.security} - at {path}.password_env")
    if bool(block.certificate_file) != bool(block.key_file):
        faults.append(f"Expected certificate_file and key_file together - at {path}.certificate_file")
    return faults


def is_topic(name: str) -> bool:
    """Whether brokers take this as a topic's name.

    >>> is_topic("audit.events"), is_topic("a b"), is_topic("..")
    (True, False, False)
    """
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")


def moment_ms(text: str) -> int:
    """A time in RFC 3339 with its offset from UTC as epoch ms.

    >>> moment_ms("2026-11-23T05:00:00Z")
    1795410000000
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without an offset from UTC")
    return round(moment.timestamp() * 1000)


def secret(variable: str, file: str, what: str, faults: list[str]) -> str:
    """A secret from where it stands; what is missing is told in `faults`, never what was found."""
    if file:
        try:
            with open(file, encoding="utf-8") as text:
                return text.read().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{what}: {file} cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})")
            return ""
    found = os.environ.get(variable)
    if found is None:
        faults.append(f"{what}: the environment has no {variable}")
    return found or ""
