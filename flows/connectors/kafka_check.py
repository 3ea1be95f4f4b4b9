"""Do the brokers have and allow all that a run will need? Tried for real, and nothing is left behind."""

import shlex
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any, Final

import msgspec
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._config import ConfigResource

from flows.connectors.kafka_client import Failures, admin, common, logger, made, startup_s, unreachable
from flows.connectors.kafka_limits import least_bytes
from flows.durations import microseconds
from flows.kafka_block import RESULTS, Kafka

_READ, _WRITE, _LOOK = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE_CONFIGS
_SPELLED: Final = {_READ: "Read", _WRITE: "Write", _LOOK: "DescribeConfigs"}
_COMPACTED: Final = ("latest", "verdicts", "markers")
"""What is kept by key: the last words on an incident, the machine's and a person's, and of a transaction."""
_SPARED: Final = "verdicts"
"""What no run needs, only `lapwing verdict`."""
_GROWTH: Final = 4096
"""Bytes by which a scored event's record may be larger than the event's."""
_NO_PARTITION: Final = (1 << 31) - 1
_DEFAULT_PARTITIONS: Final = 4
_NOBODY: Final[Mapping[str, str]] = MappingProxyType({})
_ALSO: Final = "events "
"""Before the name of a topic that is read too, where others have their key."""


class Lack(msgspec.Struct, frozen=True):
    """Something that is not there, or not as it should be, and the command for it; empty where there is none."""

    what: str
    command: str = ""


class Found(msgspec.Struct, frozen=True):
    """What the brokers said. Without what is `missing` a run stops; `advice` is what it can do without."""

    bootstrap: str
    topics: dict[str, int]
    missing: list[Lack]
    advice: list[Lack]


def try_out(
    block: Kafka,
    most_bytes: int,
    *,
    reading: bool,
    writing: bool,
    more: Iterable[str] = (),
    destinations: Mapping[str, str] = _NOBODY,
    canary: bool = False,
) -> Found:
    """Ask for topics, their settings and permissions; begin a transaction and abort it.

    `more` are topics that are read beside that of events; `destinations` the consumer groups of `lapwing forward`, with
    the key of the topic that each reads; `canary` asks for what `lapwing canary` needs too.

    The transaction has an id of its own under the application's prefix, so that a running flow is not fenced, and its
    one record, to the topic of markers, is never seen by whoever reads what is committed. No offset is committed.

    Raises
    ------
    InputError
        No broker answers, or lets nobody in, within `startup_timeout`.
    UsageError
        Options or secrets are wrong.
    """
    return _Trial(block, most_bytes, reading, writing, more, destinations, canary).found()


class _Trial:
    def __init__(
        self,
        block: Kafka,
        most_bytes: int,
        reading: bool,
        writing: bool,
        more: Iterable[str],
        destinations: Mapping[str, str],
        canary: bool,
    ) -> None:
        also = sorted({*more} - {block.topics.events}) if reading else []
        self._also = {f"{_ALSO}{name}": name for name in also}
        self._block, self._most, self._reading, self._writing = block, most_bytes, reading, writing
        self._destinations, self._canary = destinations, canary
        self._read_back = {"markers", _SPARED, *destinations.values()} | ({"suppressed"} if canary else set())
        self._marked = writing and block.delivery == "exactly-once"
        self._failures = Failures()
        self._client: AdminClient = admin(block, self._failures)
        self._options = common(block)
        self._missing: list[Lack] = []
        self._advice: list[Lack] = []
        self._partitions: dict[str, int] = {}
        self._settings: dict[str, dict[str, str]] = {}

    def found(self) -> Found:
        """All that can be said in one go."""
        self._answer(self._client.describe_cluster(request_timeout=startup_s(self._block)))
        names = {key: getattr(self._block.topics, key) for key in self._wanted()} | self._also
        self._look_at(names)
        for key, name in names.items():
            if name in self._settings:
                self._check(key, name, self._settings[name])
        self._compare(names)
        for group in [self._block.application] * self._reading + [*self._destinations]:
            self._try_group(group)
        if self._marked:
            self._try_transaction(names["markers"])
        return Found(self._block.bootstrap, self._partitions, self._missing, self._advice)

    def _wanted(self) -> list[str]:
        keys = [*RESULTS, _SPARED]
        wanted = ["events"] * self._reading + keys * self._writing + ["markers"] * self._marked
        return wanted + ["forward_dead_letters"] * bool(self._destinations)

    def _lacking(self, key: str, lack: Lack) -> None:
        (self._advice if key == _SPARED else self._missing).append(lack)

    # Topics

    def _look_at(self, names: dict[str, str]) -> None:
        asked = self._client.describe_topics(
            TopicCollection([*names.values()]), include_authorized_operations=True, request_timeout=self._timeout
        )
        unseen = []
        for key, name in names.items():
            needed = {_LOOK} | ({_READ} if _is_read(key) or key in self._read_back else set())
            needed |= {_WRITE} if not _is_read(key) or (self._canary and key == "events") else set()
            topic, refused = self._tried(asked[name])
            if refused == KafkaError.UNKNOWN_TOPIC_OR_PART:
                unseen.append(key)
            elif refused is not None:
                what = f"topic {name} (whether there is one is not known)"
                self._lacking(key, self._forbidden(what, "--topic", name, needed))
            else:
                self._partitions[name] = len(topic.partitions)
                if lacking := needed - {*(topic.authorized_operations or needed)}:
                    self._lacking(key, self._forbidden(f"topic {name}", "--topic", name, lacking))
        for key in unseen:
            self._lacking(key, Lack(f"no topic {names[key]}", self._creation(key, names[key])))
        self._ask_settings()

    def _ask_settings(self) -> None:
        places = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in self._partitions]
        if not places:
            return
        for place, asked in self._client.describe_configs(places, request_timeout=self._timeout).items():
            entries, refused = self._tried(asked)
            if refused is None:
                self._settings[place.name] = {key: entry.value for key, entry in entries.items()}

    def _creation(self, key: str, name: str) -> str:
        events = self._partitions.get(self._block.topics.events, _DEFAULT_PARTITIONS)
        count = self._block.sinks if key == "markers" else events
        config = " --config cleanup.policy=compact" if key in _COMPACTED else ""
        return self._command("kafka-topics.sh", f"--create --topic {name} --partitions {count}{config}")

    def _check(self, key: str, name: str, own: dict[str, str]) -> None:
        policies = {policy.strip() for policy in own["cleanup.policy"].split(",")}
        if key in _COMPACTED and policies != {"compact"}:
            what = f"topic {name} has cleanup.policy {own['cleanup.policy']}, and loses what it is for without compact"
            self._lacking(key, Lack(what, self._setting(name, "cleanup.policy=compact")))
        most, least = int(own["max.message.bytes"]), least_bytes(key)
        if not _is_read(key) and most < least:
            what = f"topic {name} takes messages of {most} bytes at most, and needs {least}"
            self._lacking(key, Lack(what, self._setting(name, f"max.message.bytes={least}")))
        if key == "markers" and self._partitions[name] < self._block.sinks:
            what = f"topic {name} has {self._partitions[name]} partitions, and kafka.sinks = {self._block.sinks}"
            grow = f"--alter --topic {name} --partitions {self._block.sinks}"
            self._missing.append(Lack(f"{what} needs as many", self._command("kafka-topics.sh", grow)))

    def _compare(self, names: dict[str, str]) -> None:
        """The topic of scored events beside that of events."""
        events, scored = names.get("events", ""), names.get("scored", "")
        if events in self._partitions and scored in self._partitions and not self._also:
            wanted, count = self._partitions[events], self._partitions[scored]
            what = (
                f"topic {scored} has {count} partitions, {events} {wanted}: with as many, scored events keep their own"
            )
            if count < wanted:
                grow = f"--alter --topic {scored} --partitions {wanted}"
                self._advice.append(Lack(what, self._command("kafka-topics.sh", grow)))
            elif count > wanted:
                self._advice.append(Lack(what))
        if scored in self._settings:
            read = [self._settings[name] for name in (events, *self._also.values()) if name in self._settings]
            longest = max((int(settings["max.message.bytes"]) for settings in read), default=self._most)
            needed, most = min(longest, self._most) + _GROWTH, int(self._settings[scored]["max.message.bytes"])
            if most < needed:
                what = (
                    f"topic {scored} takes messages of {most} bytes at most: an event of more than {most - _GROWTH} "
                    "may become a dead letter (output_too_large)"
                )
                self._advice.append(Lack(what, self._setting(scored, f"max.message.bytes={needed}")))

    # Permissions

    def _try_group(self, group: str) -> None:
        """Commit to a partition that no topic has: a broker says first whether we may."""
        nowhere = TopicPartition(self._block.topics.events, _NO_PARTITION, 0)
        asked = self._client.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, [nowhere])], request_timeout=self._timeout
        )
        _, refused = self._tried(asked[group])
        if refused == KafkaError.GROUP_AUTHORIZATION_FAILED:
            self._missing.append(self._forbidden(f"group {group}", "--group", group, {_READ}))

    def _try_transaction(self, topic: str) -> None:
        block = self._block
        options = self._options | dict(block.producer) | {"enable.idempotence": True, "error_cb": self._failures}
        options["transactional.id"] = f"{block.application}-check"
        options["transaction.timeout.ms"] = microseconds(block.transaction_timeout) // 1000
        producer = made(lambda: Producer(options, logger=logger()))
        try:
            producer.init_transactions(self._timeout)
            if self._partitions.get(topic, 0) > 0 and not self._denied(topic):
                producer.begin_transaction()
                producer.produce(topic, b"", b"check", 0)
                producer.flush(self._timeout)
                producer.abort_transaction(self._timeout)
        except KafkaException as error:
            self._take_refusal(error)

    def _take_refusal(self, error: KafkaException) -> None:
        block, code = self._block, error.args[0].code()
        if code == KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
            prefix = f"{block.application}-"
            what = f"transactional ids that begin with {prefix}"
            option = "--resource-pattern-type prefixed --transactional-id"
            self._missing.append(self._forbidden(what, option, prefix, {_WRITE}))
        elif code == KafkaError.INVALID_TRANSACTION_TIMEOUT:
            what = (
                f"kafka.transaction_timeout = {block.transaction_timeout} is longer than the brokers allow: shorten "
                "it, or raise transaction.max.timeout.ms there"
            )
            self._missing.append(Lack(what))
        else:
            raise unreachable(block, self._failures, error) from None

    def _denied(self, topic: str) -> bool:
        return any(f"--topic {topic}" in lack.command for lack in self._missing if "kafka-acls" in lack.command)

    def _forbidden(self, what: str, option: str, name: str, operations: Iterable[AclOperation]) -> Lack:
        spelled = sorted(_SPELLED[operation] for operation in operations)
        words = " ".join(f"--operation {operation}" for operation in spelled)
        principal = f"User:{self._user()}"
        command = self._command("kafka-acls.sh", f"--add --allow-principal {principal} {words} {option} {name}")
        return Lack(f"{principal} may not {', '.join(spelled)} on {what}", command)

    def _user(self) -> str:
        """Who the brokers take us for, as far as can be known from here: a certificate's name is mapped by them."""
        known = str(self._options.get("sasl.username", ""))
        if self._block.security == "plaintext":
            return "ANONYMOUS"
        return known if known and known.isprintable() and not {*" '\"\\$`"} & {*known} else "NAME"

    # Words

    def _setting(self, topic: str, setting: str) -> str:
        return self._command(
            "kafka-configs.sh", f"--alter --entity-type topics --entity-name {topic} --add-config {setting}"
        )

    def _command(self, program: str, words: str) -> str:
        """A line for a shell; who administers secured brokers has a file of what lets them in."""
        secured = "" if self._block.security == "plaintext" else " --command-config admin.properties"
        return f"{program} --bootstrap-server {shlex.quote(self._block.bootstrap)}{secured} {words}"

    # Waiting

    @property
    def _timeout(self) -> float:
        return startup_s(self._block)

    def _answer(self, asked: Future[Any]) -> Any:
        try:
            return asked.result(self._timeout + 1)
        except (KafkaException, TimeoutError) as error:
            self._client.poll(0)  # tells `failures` why
            raise unreachable(self._block, self._failures, error) from None

    def _tried(self, asked: Future[Any]) -> tuple[Any, int | None]:
        """An answer, or the code with which a broker refused one."""
        try:
            return asked.result(self._timeout + 1), None
        except KafkaException as error:
            if error.args[0].code() < 0:  # of the client's own: nobody has answered
                self._client.poll(0)
                raise unreachable(self._block, self._failures, error) from None
            return None, error.args[0].code()
        except TimeoutError as error:
            raise unreachable(self._block, self._failures, error) from None


def _is_read(key: str) -> bool:
    return key == "events" or key.startswith(_ALSO)
