"""Results in a directory or in topics, as commands of the people on shift read and add to them."""

import getpass
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from flows import verdicts
from flows.config import Config, load
from flows.connectors.output_directory import SCORED
from flows.errors import UsageError
from flows.formats.evidence import clean
from flows.incidents import signed_in
from flows.kafka_block import Kafka
from flows.query import Incident, events
from flows.verdicts import MOST_BY, MOST_NOTE, Operation, Verdict

KAFKA = "kafka"
_MOST_EVENTS = 10_000


class Results(Protocol):
    """Where results are."""

    name: str

    def alerts(self, *, suppressed: bool) -> Iterator[bytes]:
        """The lines of alerts, also of what is suppressed if it is asked for."""

    def said(self) -> tuple[dict[str, Verdict], list[Operation]]:
        """What people said and did."""

    def let_in(self, one: Incident) -> list[str]:
        """Accounts that signed in at an incident's address while it lasted, as far as that can be looked up."""

    def add(self, said: Verdict | Operation) -> str:
        """Keep what somebody says, durably; where that is."""


class Directory:
    """Files of a directory."""

    def __init__(self, path: str) -> None:
        self.name = self._path = path

    def alerts(self, *, suppressed: bool) -> Iterator[bytes]:
        """The lines of alerts."""
        return verdicts.alert_lines(self._path, suppressed=suppressed)

    def said(self) -> tuple[dict[str, Verdict], list[Operation]]:
        """What people said and did."""
        return verdicts.read_verdicts(self._path), verdicts.read_operations(self._path)

    def let_in(self, one: Incident) -> list[str]:
        """Accounts that signed in there, by the scored events; one pass over the file."""
        address = one.entities.get("ip") or (one.entity if one.dimension == "ip" else "")
        if not address or not (Path(self._path) / SCORED).is_file():
            return []
        return signed_in(events(self._path, one.tenant, "ip", address, one.start, one.end + 1, _MOST_EVENTS))

    def add(self, said: Verdict | Operation) -> str:
        """Add a line; the file's path."""
        return str(verdicts.write_verdict(self._path, said))


class Topics:
    """Topics of the brokers. That of verdicts need not be there to be read."""

    name = "the topics of alerts"

    def __init__(self, block: Kafka) -> None:
        self._block = block

    def alerts(self, *, suppressed: bool) -> Iterator[bytes]:
        """The values of alerts."""
        from flows.connectors.kafka_topic import values

        topics = self._block.topics
        for topic in (topics.alerts, topics.suppressed) if suppressed else (topics.alerts,):
            yield from values(self._block, topic)

    def said(self) -> tuple[dict[str, Verdict], list[Operation]]:
        """What people said and did."""
        from flows.connectors.kafka_client import topics
        from flows.connectors.kafka_topic import values

        topic = self._block.topics.verdicts
        if topic not in topics(self._block, [topic]):
            return {}, []
        found, operations, _ = verdicts.read_records(values(self._block, topic))
        return found, operations

    def let_in(self, one: Incident) -> list[str]:
        """None: the topic of scored events is too long to be looked through."""
        return []

    def add(self, said: Verdict | Operation) -> str:
        """Add a record, delivered when this returns; the topic."""
        from flows.connectors.kafka_lines import LineSender

        topic = self._block.topics.verdicts
        with LineSender(self._block, topic=topic) as sender:
            sender.send(verdicts.encode(said), verdicts.key(said))
        return f"topic {topic}"


def results(given: str | None, config: str | None) -> tuple[Results, Config]:
    """The results that an option, or the configuration's output, names; else those of the working directory."""
    chosen = load(config)
    path = given or chosen.output.path or "."
    if path == KAFKA:
        return Topics(chosen.kafka), chosen
    return Directory(path), chosen


def bounded(text: str, most: int, what: str) -> str:
    """A text of at most so many characters, as valid Unicode."""
    if len(text) > most:
        raise UsageError(f"{what} has {len(text):,} characters, at most {most:,}")
    return clean(text, most)


def noted(note: str) -> str:
    """A note that is not too long."""
    return bounded(note, MOST_NOTE, "--note")


def who(by: str | None) -> str:
    """Who speaks: who is named, else the user of the system."""
    if by is None:
        try:
            by = getpass.getuser()
        except (OSError, KeyError):
            raise UsageError("this system has no name for you: give --by NAME") from None
    if not by.strip():
        raise UsageError("--by is empty: what is said needs somebody who answers for it")
    return bounded(by, MOST_BY, "--by")
